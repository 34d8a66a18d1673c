"""The measurements: one load of one server, one loop of bare runs, one start, memory."""
import json
import os
import re
import signal
import struct
import subprocess
import time
from typing import NamedTuple

import machine
import servers
from machine import ROOT, BenchError

READY_STARTS = 10
MEMORY_REQUESTS = 100_000
# Requests in flight -> (connections, streams of each), where a connection carries several.
STREAMS = {1: (1, 1), 8: (2, 4), 64: (8, 8)}
MULTIPLEXED = ("grpc", "static-http2")


class Case(NamedTuple):
    """What one trial asks: `protocol` is rest, rest-binary, grpc, static or static-http2."""
    server: str
    workload: str
    protocol: str
    in_flight: int


def as_float(number):
    """The 32-bit number that a decimal text stands for."""
    return struct.unpack("f", struct.pack("f", number))[0]


def rest_path(workload):
    return f"/v2/models/{workload.model}/infer"


def check_answer(server, workload, expected, close=0.0):
    """The JSON answer's body, after making sure that it is right: bare Run's own last value."""
    path = servers.NGINX_PATH if server.name == "nginx" else rest_path(workload)
    status, body = servers.post(server.port, path, workload.request.read_bytes())
    if status != 200:
        raise BenchError(f"{server.name} answers {status}: {body[:200].decode(errors='replace')}")
    last = json.loads(body)["outputs"][-1]["data"][-1]
    while isinstance(last, list):
        last = last[-1]
    if abs(as_float(last) - as_float(expected)) > close:
        raise BenchError(f"{server.name} answers {last} for {workload.name}, bare Run {expected}")
    return body


def bench_command(inferd, server, workload, case, seconds):
    """`inferd bench` as the client of every server."""
    multiplexed = case.protocol in MULTIPLEXED
    connections, streams = STREAMS[case.in_flight] if multiplexed else (case.in_flight, 1)
    port = {"grpc": server.grpc_port, "static-http2": server.http2_port}.get(
        case.protocol, server.port)
    command = [str(inferd), "bench", f"--url=http://127.0.0.1:{port}",
               f"--data={workload.request}", f"--connections={connections}",
               f"--duration={seconds}s", "--warmup=300ms", "--quiet", "--json=-"]
    if case.protocol.startswith("static"):
        command += ["--protocol=post", f"--path={servers.NGINX_PATH}"]
        command += ["--http=2"] if multiplexed else []
    elif case.protocol == "rest" and case.server in servers.PEERS:
        command += ["--protocol=post", f"--path={rest_path(workload)}"]  # not all have metadata
    else:
        command += [f"--protocol={case.protocol}", f"--model={workload.model}"]
    return command + ([f"--streams={streams}"] if streams > 1 else [])


def read_result(text):
    """What a trial keeps of `inferd bench`'s JSON."""
    (step,) = json.loads(text)["steps"]
    latency = step["latency_us"]
    return {"requests": step["requests"], "seconds": step["seconds"],
            "requests_per_second": step["requests_per_second"],
            "cpu_us": step["server_cpu_us_per_request"], "p50_us": latency.get("p50"),
            "p99_us": latency.get("p99"), "max_us": latency["max"],
            "client_bound": step["client_bound"]}


def load(client, server, workload, case, seconds, cores):
    """One run of the client against a server: what it says, and what the server spent on it."""
    server_core, client_core = cores
    server.take_log_lines()
    command = bench_command(client, server, workload, case, seconds)
    busy, steal = machine.core_busy_ticks(server_core)
    began = time.monotonic()
    command.append(f"--server-pid={server.pids[0]}")  # its children are counted with it
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False,
                          preexec_fn=machine.placed_on(client_core) if client_core is not None
                          else None)
    wall = time.monotonic() - began
    busy_after, steal_after = machine.core_busy_ticks(server_core)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise BenchError(f"{case}: the client failed: {said[-1] if said else done.returncode}")
    measured = read_result(done.stdout)
    server_seconds = measured["cpu_us"] * measured["requests"] / 1e6
    return {
        "kind": "load", **case._asdict(), **measured,
        "busy_percent": 100 * server_seconds / measured["seconds"],
        # In one process's time or not: interrupts, other programs, and what the host took.
        "others_percent": max(0.0, 100 * ((busy_after - busy) / servers.TICKS - server_seconds)
                              / wall),
        "stolen_percent": 100 * (steal_after - steal) / servers.TICKS / wall,
        "log_lines": server.take_log_lines(),
    }


def bare(bare_run, workload, seconds, core):
    """ONNX Runtime's Run in a loop on the server's core."""
    command = [str(bare_run), str(workload.file), str(seconds), *workload.bare_inputs]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False,
                          preexec_fn=machine.placed_on(core))
    if done.returncode != 0:
        raise BenchError(done.stderr.strip() or f"bare_run ended with {done.returncode}")
    return {"kind": "bare", "workload": workload.name, **json.loads(done.stdout)}


def start_to_ready(inferd, core, folder, repository):
    """Seconds from before fork and exec to the first 200 of /v2/health/ready, asked every ms."""
    began = time.monotonic()
    server = servers.start_inferd(inferd, core, folder, repository, name="starting")
    seconds = time.monotonic() - began
    server.stop(signal.SIGKILL)  # nothing is in flight, and a drain would only take time
    return seconds


def memory_after_load(client, server, workload, cores):
    """(requests, resident bytes) once a fresh server has answered MEMORY_REQUESTS."""
    requests = 0
    while requests < MEMORY_REQUESTS:
        case = Case(server.name, workload.name, "rest", 64)
        requests += load(client, server, workload, case, 2, cores)["requests"]
    return requests, server.resident_bytes()


def dropped_log_lines(server):
    """What inferd itself says about lines that its log's reader was too slow for."""
    _, page = servers.get(server.management, "/metrics", servers.PATIENCE_S)
    found = re.search(rb"^inferd_log_lines_dropped_total (\S+)$", page, re.M)
    return int(float(found.group(1))) if found else None
