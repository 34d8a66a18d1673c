#!/usr/bin/env python3
"""Measures inferd with three models beside its limits and, with --peers, beside other servers.

What is measured, and how to read it: bench/README.md. Only Python's standard library is used.
"""
import argparse
import datetime
import pathlib
import sys
import time

import machine
import report
import servers
import trials
import workloads
from machine import ROOT, BenchError
from trials import Case

IN_FLIGHT = (1, 8, 64)
REST_AND_GRPC = ("rest", "rest-binary", "grpc")
# Their gRPC is left out: it tells no inputs and outputs, which the client asks for first.
PEER_PROTOCOLS = {"fastapi": ("rest",), "mlserver": ("rest",), "kserve": ("rest",)}
# Rounds, rounds of the peers, seconds of each load, seconds of each loop of bare runs.
FULL, QUICK = (3, 1, 3, 1.0), (2, 1, 1, 0.3)


def arguments():
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true",
                        help="fewer and shorter rounds; the results go to build/bench")
    parser.add_argument("--peers", action="store_true",
                        help="measure the servers of bench/peers too (tools/deps.sh peers)")
    parser.add_argument("--rounds", type=int, help=f"of inferd and nginx ({FULL[0]})")
    parser.add_argument("--seconds", type=int, help=f"of each load ({FULL[2]})")
    parser.add_argument("--check", action="store_true", help="fail when a target is missed")
    parser.add_argument("--output", type=pathlib.Path, metavar="FOLDER",
                        help="where the results go (bench/results; with --quick build/bench)")
    parser.add_argument("--inferd", type=pathlib.Path, metavar="PROGRAM",
                        default=ROOT / "build/release/inferd", help="the server to measure")
    parser.add_argument("--bare-run", type=pathlib.Path, metavar="PROGRAM",
                        default=ROOT / "build/release/bench/bare_run", help="bare_run, built")
    return parser.parse_args()


def say(text):
    print(f"bench: {text}", flush=True)


def relative(path):
    """A path as it can be read anywhere: without the place of the tree, or of the system."""
    path = pathlib.Path(path)
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.name)


def shown(command):
    return " ".join(
        f"{head}={relative(tail)}" if sign and tail.startswith("/")
        else relative(word) if word.startswith("/") else word
        for word in map(str, command) for head, sign, tail in [word.partition("=")])


def cases_of_a_round(models):
    """Every case of one round, the servers that are compared next to each other."""
    cases = []
    for in_flight in IN_FLIGHT:
        cases += [Case("nginx", "tabular", "static", in_flight),
                  *(Case("inferd", "tabular", protocol, in_flight) for protocol in REST_AND_GRPC),
                  Case("nginx", "tabular", "static-http2", in_flight)]
    cases += [Case("inferd-unbatched", "tabular", protocol, 64) for protocol in ("rest", "grpc")]
    for workload in models:
        if workload.name != "tabular":
            cases += [Case("inferd", workload.name, protocol, in_flight)
                      for in_flight in IN_FLIGHT for protocol in REST_AND_GRPC]
    return cases


def cases_of_the_peers(models):
    return [Case(peer, workload.name, protocol, in_flight)
            for workload in models for in_flight in IN_FLIGHT
            for peer, protocols in PEER_PROTOCOLS.items() for protocol in protocols]


class Bench:
    """The running servers, and what a trial needs."""

    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.models, self.repository = workloads.all_of_them(folder)
        self.by_name = {workload.name: workload for workload in self.models}
        self.running = {}

    def start(self, name, starter, *rest):
        self.running[name] = starter(*rest)
        return self.running[name]

    def inferd(self, name, core, *options):
        return self.start(name, lambda: servers.start_inferd(
            self.options.inferd, core, self.folder, self.repository, *options, name=name))

    def stop(self):
        for server in self.running.values():
            server.stop()

    def load(self, case, seconds, client_core="pinned"):
        core = self.options.cores[1] if client_core == "pinned" else client_core
        return trials.load(self.options.inferd, self.running[case.server],
                           self.by_name[case.workload], case, seconds,
                           (self.options.cores[0], core))

    def bare(self, workload, seconds):
        return trials.bare(self.options.bare_run, workload, seconds, self.options.cores[0])

    def round(self, number, seconds, bare_seconds):
        """Each model's bare runs stand before and behind its loads: the same minute."""
        measured = []
        groups = {workload.name: [] for workload in self.models}
        for case in cases_of_a_round(self.models):
            groups[case.workload].append(case)
        for name in list(groups)[::1 if number % 2 == 0 else -1]:
            cases = groups[name][::1 if number % 2 == 0 else -1]
            measured.append(self.bare(self.by_name[name], bare_seconds))
            measured += [self.load(case, seconds) for case in cases]
            measured.append(self.bare(self.by_name[name], bare_seconds))
        return measured

    def two_cores(self, seconds):
        """The image model, which leaves the client little to do, on one core and on both."""
        return [self.load(Case(name, "image", "rest-binary", 8), seconds, None)
                for name in ("inferd", "inferd-two-cores")]


def measure_servers(bench, parameters):
    """inferd and nginx: the rounds, starts and memory."""
    rounds, _, seconds, bare_seconds = parameters
    options, tabular = bench.options, bench.by_name["tabular"]
    core = options.cores[0]
    first = {workload.name: bench.bare(workload, 0.2) for workload in bench.models}
    say(f"starting inferd {trials.READY_STARTS} times")
    ready = [trials.start_to_ready(options.inferd, core, bench.folder, ROOT / "models/repository")
             for _ in range(trials.READY_STARTS)]
    fresh = bench.start("fresh", lambda: servers.start_inferd(
        options.inferd, core, bench.folder, ROOT / "models/repository", name="fresh"))
    say(f"{trials.MEMORY_REQUESTS:,} requests to inferd for its memory")
    requests, resident = trials.memory_after_load(options.inferd, fresh, tabular, options.cores)
    fresh.stop()
    inferd = bench.inferd("inferd", core)
    bench.inferd("inferd-unbatched", core, "--batching-mode=off")
    if options.two_cores:
        bench.inferd("inferd-two-cores", set(options.cores))
    for workload in bench.models:
        answer = trials.check_answer(inferd, workload, first[workload.name]["last_value"])
        if workload is tabular:
            nginx = bench.start("nginx", servers.start_nginx, core, bench.folder, answer)
            if trials.check_answer(nginx, workload, first["tabular"]["last_value"]) != answer:
                raise BenchError("nginx does not answer with inferd's bytes")
    measured, both = [], []
    for number in range(rounds):
        measured.append(bench.round(number, seconds, bare_seconds))
        both.append(bench.two_cores(seconds) if options.two_cores else [])
        say(f"round {number + 1} of {rounds}: " + report.one_line(measured[-1]))
    dropped = trials.dropped_log_lines(inferd)
    return {"ready_seconds": ready, "log_lines_dropped": dropped, "rounds": measured,
            "two_cores": both, "first_bare": first,
            "memory": {"requests": requests, "resident_bytes": resident}}


def measure_peers(bench, parameters):
    """The peers one after the other (their idle threads would disturb), inferd beside each."""
    _, rounds, seconds, _ = parameters
    measured = {}
    for peer, protocols in PEER_PROTOCOLS.items():
        say(f"peer {peer}")
        server = bench.start(peer, servers.start_peer, peer, bench.options.cores[0],
                             bench.folder, bench.repository)
        cases = [case for case in cases_of_the_peers(bench.models) if case.server == peer]
        trials_of_peer = []
        for _ in range(rounds):
            for case in cases:
                trials_of_peer.append(bench.load(case, seconds))
                if case.workload == "tabular":
                    trials_of_peer.append(bench.load(case._replace(server="inferd"), seconds))
        measured[peer] = {"ready_seconds": server.ready_seconds, "protocols": protocols,
                          "resident_bytes": server.resident_bytes(), "trials": trials_of_peer}
        server.stop()
    return measured


def measure(options, folder, parameters):
    """Everything; the result as it is written to JSON, without the summary."""
    bench = Bench(options, folder)
    try:
        result = measure_servers(bench, parameters)
        result["peers"] = measure_peers(bench, parameters) if options.peers else {}
        commands = [server.command for server in bench.running.values()]
        commands += [trials.bench_command(options.inferd, bench.running[case.server],
                                          bench.by_name[case.workload], case, parameters[2])
                     for case in cases_of_a_round(bench.models) if case.in_flight == 64]
    finally:
        bench.stop()
    versions = {**machine.versions(options.inferd),
                "ONNX Runtime": result["first_bare"]["tabular"]["onnxruntime"]}
    return {**result, "versions": versions, "commands": [shown(command) for command in commands],
            "models": {workload.name: workload.title for workload in bench.models},
            "parameters": {"rounds": parameters[0], "seconds": parameters[2],
                           "server_core": options.cores[0], "client_core": options.cores[1],
                           "two_cores": options.two_cores, "in_flight": IN_FLIGHT,
                           "starts": trials.READY_STARTS}}


def main():
    options = arguments()
    for program in (options.inferd, options.bare_run):
        if not program.is_file():
            raise BenchError(f"{program} is missing: make bench builds it")
    machine.tool("nginx")
    options.inferd, options.bare_run = options.inferd.resolve(), options.bare_run.resolve()
    *options.cores, options.two_cores = machine.cores()
    if not options.two_cores:
        say("one core only: the server and the client share it; requests per second will say "
            "little")
    folder = ROOT / "build/bench"
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    rounds, peer_rounds, seconds, bare_seconds = QUICK if options.quick else FULL
    parameters = (options.rounds or rounds, peer_rounds, options.seconds or seconds, bare_seconds)
    commit, changed = machine.commit()
    now = datetime.datetime.now(datetime.timezone.utc)
    result = {
        "date": now.strftime("%Y-%m-%d"), "time": now.strftime("%H:%M:%SZ"), "commit": commit,
        "changed": changed, "mode": "quick" if options.quick else "full",
        "machine": machine.describe(),
        **measure(options, folder, parameters),
    }
    result["wall_seconds"] = round(time.monotonic() - began)
    output = options.output or (folder if options.quick else ROOT / "bench/results")
    name = "quick" if options.quick else f"{result['date']}-{commit}" + "-changed" * changed
    text = report.write(result, output, name)
    print("\n" + text.partition("## Machine")[0].strip() + "\n")
    say(f"{result['wall_seconds']} s; the whole report: {relative(output.resolve() / name)}.md")
    return 1 if options.check and not all(row["pass"] for row in result["targets"]) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchError as problem:
        print(f"bench: error: {problem}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
