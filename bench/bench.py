#!/usr/bin/env python3
"""Measures inferd beside the two limits of what it does: nginx and ONNX Runtime's bare Run.

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
from machine import ROOT, BenchError

# Rounds, seconds of each wrk run (whole ones), seconds of each loop of bare runs.
FULL, QUICK = (7, 6, 1.5), (3, 3, 0.5)


def arguments():
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true",
                        help="about a minute instead of four; the results go to build/bench")
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
    return " ".join(relative(word) if str(word).startswith("/") else str(word) for word in command)


def plan_round(number, inferd, nginx, seconds, row, options):
    """The trials of one round as functions, in the order in which they run."""
    wrk_seconds, bare_seconds = seconds
    cores = options.cores
    plan = []
    for server in (inferd, nginx):
        for connections in trials.CONNECTIONS:
            plan.append(lambda s=server, c=connections: trials.load(s, c, wrk_seconds, cores))
    for batch in trials.BATCHES:
        plan.append(lambda b=batch: trials.bare(options.bare_run, row, b, bare_seconds, cores[0]))
    return plan if number % 2 == 0 else plan[::-1]


def measure_rounds(inferd, nginx, row, options, parameters):
    rounds, *seconds = parameters
    measured = []
    for number in range(rounds):
        measured.append([trial() for trial in
                         plan_round(number, inferd, nginx, seconds, row, options)])
        cpu = {server: report.pick(measured[-1:], "cpu_us", server=server, connections=64).median
               for server in ("inferd", "nginx")}
        bare = report.pick(measured[-1:], "cpu_us", kind="bare", batch=1).median
        say(f"round {number + 1} of {rounds}: CPU µs per request at 64 connections: "
            f"inferd {cpu['inferd']:.1f}, nginx {cpu['nginx']:.1f}; bare Run {bare:.1f}; "
            f"ratio {cpu['inferd'] / (cpu['nginx'] + bare):.2f}")
    return measured


def measure(options, folder, parameters):
    """Everything; the result as it is written to JSON, without the summary."""
    row = folder / "row.f32"
    trials.write_row(row)
    server_core, client_core = options.cores
    first_bare = trials.bare(options.bare_run, row, 1, 0.2, server_core)
    say(f"starting inferd {trials.READY_STARTS} times")
    ready = [trials.start_to_ready(options.inferd, server_core, folder)
             for _ in range(trials.READY_STARTS)]
    running = []
    try:
        inferd = servers.start_inferd(options.inferd, server_core, folder)
        running.append(inferd)
        answer = trials.check_answer(inferd, first_bare["last_value"])
        nginx = servers.start_nginx(server_core, folder, answer)
        running.append(nginx)
        if trials.check_answer(nginx, first_bare["last_value"]) != answer:
            raise BenchError("nginx does not answer with inferd's bytes")
        say(f"{trials.MEMORY_REQUESTS:,} requests to inferd for its memory")
        requests, resident = trials.memory_after_load(inferd, options.cores)
        trials.load(nginx, trials.CONNECTIONS[-1], 1, options.cores)
        rounds = measure_rounds(inferd, nginx, row, options, parameters)
        trials.check_answer(inferd, first_bare["last_value"])
        dropped = trials.dropped_log_lines(inferd)
        resident_end = inferd.resident_bytes()
    finally:
        for server in running:
            server.stop()
    commands = [inferd.command, nginx.command,
                *(trials.wrk_command(inferd, c, parameters[1]) for c in trials.CONNECTIONS),
                *(trials.bare_command(options.bare_run, row, b, parameters[2])
                  for b in trials.BATCHES)]
    return {
        "parameters": {
            "rounds": parameters[0], "wrk_seconds": parameters[1], "bare_seconds": parameters[2],
            "server_core": server_core, "client_core": client_core,
            "two_cores": options.two_cores, "connections": trials.CONNECTIONS,
            "batches": trials.BATCHES, "starts": trials.READY_STARTS,
            "request": trials.REQUEST_FILE, "request_bytes": len(trials.request_body()),
            "answer_bytes": len(answer)},
        "versions": {**machine.versions(options.inferd), "ONNX Runtime": first_bare["onnxruntime"]},
        "commands": [shown(command) for command in commands],
        "ready_seconds": ready,
        "memory": {"requests": requests, "resident_bytes": resident,
                   "resident_bytes_at_the_end": resident_end},
        "log_lines_dropped": dropped,
        "rounds": rounds,
    }


def main():
    options = arguments()
    for program in (options.inferd, options.bare_run):
        if not program.is_file():
            raise BenchError(f"{program} is missing: make bench builds it")
    for name in ("nginx", "wrk"):
        machine.tool(name)
    options.inferd, options.bare_run = options.inferd.resolve(), options.bare_run.resolve()
    *options.cores, options.two_cores = machine.cores()
    if not options.two_cores:
        say("one core only: the server and the client share it; requests per second will say "
            "little")
    folder = ROOT / "build/bench"
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    commit, changed = machine.commit()
    now = datetime.datetime.now(datetime.timezone.utc)
    result = {
        "date": now.strftime("%Y-%m-%d"), "time": now.strftime("%H:%M:%SZ"), "commit": commit,
        "changed": changed, "mode": "quick" if options.quick else "full",
        "machine": machine.describe(),
        **measure(options, folder, QUICK if options.quick else FULL),
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
