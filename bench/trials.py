"""The measurements: one load of one server, one loop of bare runs, one start, memory."""
import json
import os
import re
import signal
import struct
import subprocess
import time

import machine
import servers
from machine import ROOT, BenchError

MODEL_FILE = f"models/repository/{servers.MODEL}/1/model.onnx"
REQUEST_FILE = f"models/{servers.MODEL}/request.json"
CONNECTIONS = (1, 64)
BATCHES = (1, 8, 32)
READY_STARTS = 10
MEMORY_REQUESTS = 100_000


def request_body():
    return (ROOT / REQUEST_FILE).read_bytes()


def write_row(path):
    """The request's row as bare_run reads it."""
    values = json.loads(request_body())["inputs"][0]["data"]
    path.write_bytes(struct.pack(f"<{len(values)}f", *values))


def as_float(number):
    """The 32-bit number that a decimal text stands for."""
    return struct.unpack("f", struct.pack("f", number))[0]


def check_answer(server, expected):
    """The answer's body, after making sure that it is right: bare Run's own last value."""
    status, body = servers.post(server.port, server.path, request_body())
    if status != 200:
        raise BenchError(f"{server.name} answers {status}: {body[:200].decode(errors='replace')}")
    last = json.loads(body)["outputs"][-1]["data"][-1]
    if as_float(last) != as_float(expected):
        raise BenchError(f"{server.name} answers {last}, bare Run gives {expected}")
    return body


def wrk_command(server, connections, seconds):
    return [machine.tool("wrk"), "-t1", f"-c{connections}", f"-d{seconds}s", "-s", "bench/post.lua",
            server.url]


def load(server, connections, seconds, cores):
    """One run of wrk against a server: what wrk says, and what the server spent on it."""
    server_core, client_core = cores
    server.take_log_lines()
    busy, steal = machine.core_busy_ticks(server_core)
    cpu, began = server.cpu_seconds(), time.monotonic()
    done = subprocess.run(
        wrk_command(server, connections, seconds), cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "BENCH_BODY": REQUEST_FILE}, check=False,
        preexec_fn=machine.placed_on(client_core))
    cpu, wall = server.cpu_seconds() - cpu, time.monotonic() - began
    busy_after, steal_after = machine.core_busy_ticks(server_core)
    report = re.search(r"^bench: (\{.*\})$", done.stdout, re.M)
    if not report:
        raise BenchError(f"wrk failed: {(done.stderr or done.stdout).strip()[-200:]}")
    said = json.loads(report.group(1))
    wrong = {name: said[name] for name in ("connect_errors", "read_errors", "write_errors",
                                           "timeouts", "bad_statuses") if said[name]}
    if wrong or not said["requests"]:
        raise BenchError(f"{server.name} at {connections} connections: not all went well: {wrong}")
    requests = said["requests"]
    return {
        "kind": "load", "server": server.name, "connections": connections,
        "requests": requests, "seconds": said["seconds"],
        "requests_per_second": requests / said["seconds"],
        "cpu_us": cpu * 1e6 / requests,
        "busy_percent": 100 * cpu / said["seconds"],
        # In one process's time or not: interrupts, other programs, and what the host took.
        "others_percent": max(0.0, 100 * ((busy_after - busy) / servers.TICKS - cpu) / wall),
        "stolen_percent": 100 * (steal_after - steal) / servers.TICKS / wall,
        "p50_us": said["p50_us"], "p99_us": said["p99_us"], "max_us": said["max_us"],
        "log_lines": server.take_log_lines(),
    }


def bare_command(bare_run, row, batch, seconds):
    return [str(bare_run), MODEL_FILE, str(row), str(batch), str(seconds)]


def bare(bare_run, row, batch, seconds, core):
    """ONNX Runtime's Run in a loop on the server's core."""
    done = subprocess.run(bare_command(bare_run, row, batch, seconds), cwd=ROOT, text=True,
                          capture_output=True, check=False,
                          preexec_fn=machine.placed_on(core))
    if done.returncode != 0:
        raise BenchError(done.stderr.strip() or f"bare_run ended with {done.returncode}")
    return {"kind": "bare", **json.loads(done.stdout)}


def start_to_ready(inferd, core, folder):
    """Seconds from before fork and exec to the first 200 of /v2/health/ready, asked every ms."""
    began = time.monotonic()
    server = servers.start_inferd(inferd, core, folder)
    seconds = time.monotonic() - began
    server.stop(signal.SIGKILL)  # nothing is in flight, and a drain would only take time
    return seconds


def memory_after_load(server, cores):
    """(requests, resident bytes) once a fresh server has answered MEMORY_REQUESTS."""
    requests = 0
    while requests < MEMORY_REQUESTS:
        requests += load(server, CONNECTIONS[-1], 2, cores)["requests"]
    return requests, server.resident_bytes()


def dropped_log_lines(server):
    """What inferd itself says about lines that its log's reader was too slow for."""
    _, page = servers.get(server.management, "/metrics", servers.PATIENCE_S)
    found = re.search(rb"^inferd_log_lines_dropped_total (\S+)$", page, re.M)
    return int(float(found.group(1))) if found else None
