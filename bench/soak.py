#!/usr/bin/env python3
"""A soak: inferd at saturation with every protocol at once; no failed request, no growing memory.

    bench/soak.py [--seconds 600]

Fails when a request failed, a log line says so, or resident memory grew after the first fifth.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import time

import machine
import servers
import workloads
from machine import ROOT, BenchError

SETTLED = 0.2         # of the time: from then on memory may not grow ...
GROWTH_MAX = 0.05     # ... by more than this share
GROWTH_MIB_MIN = 2.0  # what counts as growth at all
LOADS = (("tabular", "rest", 16, 1), ("tabular", "grpc", 4, 8), ("tabular", "rest-binary", 8, 1),
         ("image", "rest", 2, 1), ("image", "grpc", 1, 2), ("text", "rest", 1, 1))


def client(inferd, server, workload, load, seconds):
    _, protocol, connections, streams = load
    port = server.grpc_port if protocol == "grpc" else server.port
    command = [str(inferd), "bench", f"--url=http://127.0.0.1:{port}", f"--protocol={protocol}",
               f"--model={workload.model}", f"--data={workload.request}", "--quiet", "--json=-",
               f"--connections={connections}", f"--duration={seconds}s", "--timeout=60s",
               "--allow=all"]
    command += [f"--streams={streams}"] if streams > 1 else []
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True)


def main():
    parser = argparse.ArgumentParser(prog="bench/soak.py", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--inferd", type=pathlib.Path, default=ROOT / "build/release/inferd")
    options = parser.parse_args()
    inferd = options.inferd.resolve()
    folder = ROOT / "build/soak"
    folder.mkdir(parents=True, exist_ok=True)
    models, repository = workloads.all_of_them(folder)
    by_name = {workload.name: workload for workload in models}
    server = servers.start_inferd(inferd, set(machine.cores()[:2]), folder, repository)
    clients, samples = [], []
    began = time.monotonic()
    try:
        clients = [client(inferd, server, by_name[load[0]], load, options.seconds)
                   for load in LOADS]
        while any(one.poll() is None for one in clients):
            time.sleep(1)
            samples.append((time.monotonic() - began, server.resident_bytes() / 2 ** 20))
            server.take_log_lines()
        results = [one.communicate() for one in clients]
        settled = [mib for at, mib in samples if at > SETTLED * options.seconds]
        errors = sum(one.returncode != 0 for one in clients)
        _, page = servers.get(server.management, "/metrics", servers.PATIENCE_S)
    finally:
        for one in clients:
            one.kill()
        server.stop()
    requests = 0
    for load, (out, said) in zip(LOADS, results, strict=True):
        if not out.strip():
            raise BenchError(f"{load}: the client gave no result: {said.strip()[-200:]}")
        (result,) = json.loads(out)["steps"]
        requests += result["requests"]
        print(f"soak: {load[0]:8} {load[1]:12} {result['requests']:>10,} requests, "
              f"{result['failed']} failed")
        errors += result["failed"]
    quarter = max(len(settled) // 4, 1)
    first, last = (sorted(part)[len(part) // 2] for part in (settled[:quarter], settled[-quarter:]))
    grown = last - first
    print(f"soak: {options.seconds} s, {requests:,} requests; resident {first:.1f} MiB after "
          f"{SETTLED:.0%} of the time, {last:.1f} MiB at the end, at most {max(settled):.1f} MiB")
    if errors:
        raise BenchError("requests failed, see above")
    if grown > max(GROWTH_MIB_MIN, GROWTH_MAX * first):
        raise BenchError(f"resident memory grew by {grown:.1f} MiB")
    if b"inferd_anomalies_total 0" not in page:
        raise BenchError("inferd_anomalies_total is not 0")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchError as problem:
        print(f"soak: error: {problem}", file=sys.stderr)
        sys.exit(1)
