"""The servers that are measured: inferd, nginx with an answer of the same bytes, and the peers.

Each runs on the server's core, writes its access log to a file, and says how much CPU time all
its processes and threads have used.
"""
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

from machine import ROOT, BenchError, placed_on, tool

TICKS = os.sysconf("SC_CLK_TCK")
PATIENCE_S, PEER_PATIENCE_S = 10, 60
NGINX_PATH = "/static"
PEERS = ("fastapi", "mlserver", "kserve")

NGINX_CONFIG = """\
daemon off;
worker_processes 1;
pid nginx.pid;
error_log error.log warn;
events {{ worker_connections 1024; }}
http {{
    default_type application/json;
    access_log {log};
    # Its default closes a connection after 1000 requests; inferd keeps them.
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    http2_max_concurrent_streams 128;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{http2_port} http2;
        # A static file refuses POST; `return` takes it and throws the request's body away.
        location = {path} {{ return 200 '{body}'; }}
    }}
}}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(port, path, timeout=1.0):
    """(status, body) of a GET over a connection of its own; (None, b"") when nobody answers."""
    head = f"GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"
    return exchange(port, head.encode(), timeout)


def post(port, path, body, timeout=PATIENCE_S):
    head = (f"POST {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n")
    return exchange(port, head.encode() + body, timeout)


def exchange(port, request, timeout):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout) as connection:
            connection.sendall(request)
            answer = b""
            while part := connection.recv(65536):
                answer += part
    except OSError:
        return None, b""
    head, _, body = answer.partition(b"\r\n\r\n")
    status = re.match(rb"HTTP/1\.1 (\d{3})", head)
    return (int(status.group(1)), body) if status else (None, b"")


class Server:
    """A running server. `log` is its access log, emptied by take_log_lines()."""

    def __init__(self, name, command, core, log, errors, folder=ROOT):
        self.name, self.command, self.log, self.errors = name, command, log, errors
        self.log.write_bytes(b"")
        with open(log, "ab") as out, open(errors, "wb") as err:
            self.process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                preexec_fn=placed_on(core))
        self.port = self.grpc_port = self.http2_port = 0
        self.pids = [self.process.pid]

    def wait_until(self, ready, seconds=PATIENCE_S):
        """Polls `ready` every millisecond; stops with the server's own words when it ends."""
        until = time.monotonic() + seconds
        while not ready():
            if self.process.poll() is not None or time.monotonic() > until:
                self.stop(signal.SIGKILL)
                said = [line for file in (self.log, self.errors)
                        for line in file.read_text(errors="replace").splitlines() if line.strip()]
                raise BenchError(f"{self.name} did not start: {said[-1] if said else 'no reason'}")
            time.sleep(0.001)

    def find_children(self):
        """Workers count too. Called once all are started."""
        for entry in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = entry.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == self.process.pid:
                self.pids.append(int(entry.parent.name))

    def cpu_seconds(self):
        """User and system time of all threads of all its processes."""
        ticks = 0
        for pid in self.pids:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / TICKS

    def resident_bytes(self):
        text = "".join(pathlib.Path(f"/proc/{pid}/status").read_text() for pid in self.pids)
        return sum(int(kib) * 1024 for kib in re.findall(r"^VmRSS:\s*(\d+) kB$", text, re.M))

    def take_log_lines(self):
        """Lines written since the last call; the file is emptied (both servers append to it)."""
        time.sleep(0.2)  # what is still in a writer's buffer
        lines = 0
        with open(self.log, "rb") as file:
            while part := file.read(1 << 20):
                lines += part.count(b"\n")
        os.truncate(self.log, 0)
        return lines

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def start_inferd(inferd, core, folder, repository, *options, name="inferd", wait=True):
    """inferd as it comes: nothing set but the repository, free ports and `options`."""
    port, grpc_port, management = free_port(), free_port(), free_port()
    command = [str(inferd), "serve", f"--repository-path={repository}", f"--http-port={port}",
               f"--grpc-port={grpc_port}", f"--management-port={management}", *options]
    server = Server(name, command, core, folder / f"{name}.log", folder / f"{name}.err")
    server.port, server.grpc_port, server.management = port, grpc_port, management
    if wait:
        server.wait_until(lambda: get(port, "/v2/health/ready")[0] == 200)
    return server


def start_nginx(core, folder, body):
    """nginx with one worker that answers every POST with `body`, over HTTP/1.1 and HTTP/2."""
    text = body.decode()
    if set(text) & set("'$\\\n") or not text.isascii():
        raise BenchError("the answer holds characters that nginx's configuration cannot: " + text)
    where = folder / "nginx"
    where.mkdir(exist_ok=True)
    port, http2_port, log = free_port(), free_port(), where / "access.log"
    (where / "nginx.conf").write_text(NGINX_CONFIG.format(
        log=log, port=port, http2_port=http2_port, path=NGINX_PATH, body=text))
    command = [tool("nginx"), "-p", str(where), "-e", "error.log", "-c", "nginx.conf"]
    server = Server("nginx", command, core, log, where / "stderr.log", where)
    server.port, server.http2_port = port, http2_port
    server.wait_until(lambda: get(port, "/")[0] is not None)
    server.find_children()
    return server


def peer_python(name):
    done = subprocess.run([ROOT / "tools/deps.sh", f"venv-peer-{name}"], capture_output=True,
                          text=True, check=True)
    return pathlib.Path(done.stdout.strip()) / "bin"


def mlserver_settings(where, repository, port, grpc_port):
    """MLServer reads a folder of settings, one folder a model."""
    (where / "settings.json").write_text(json.dumps({
        "host": "127.0.0.1", "http_port": port, "grpc_port": grpc_port,
        "metrics_port": free_port(), "parallel_workers": 0, "debug": False}))
    for file in repository.glob("*/1/model.onnx"):
        name = file.parts[-3]
        (where / name).mkdir(exist_ok=True)
        (where / name / "model-settings.json").write_text(json.dumps({
            "name": name, "implementation": "mlserver_model.OnnxModel",
            "parameters": {"uri": str(file)}}))


def start_peer(name, core, folder, repository):
    """One of bench/peers with the same models; its Python environment must be there."""
    bin_folder, peers = peer_python(name), ROOT / "bench/peers"
    where = folder / name
    where.mkdir(exist_ok=True)
    port, grpc_port = free_port(), free_port()
    if name == "fastapi":
        command = [bin_folder / "python", peers / "fastapi_app.py", repository, port]
    elif name == "kserve":
        command = [bin_folder / "python", peers / "kserve_app.py", repository, port, grpc_port]
    else:
        mlserver_settings(where, repository, port, grpc_port)
        command = ["env", f"PYTHONPATH={peers}", bin_folder / "mlserver", "start", where]
    began = time.monotonic()
    server = Server(name, [str(word) for word in command], core, where / "out.log",
                    where / "err.log", where)
    server.port, server.grpc_port = port, grpc_port
    ready = "/v2/models/text/ready" if name == "mlserver" else "/v2/health/ready"
    server.wait_until(lambda: get(port, ready)[0] == 200, PEER_PATIENCE_S)
    server.ready_seconds = time.monotonic() - began
    server.find_children()
    return server
