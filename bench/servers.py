"""The two servers that are measured: inferd, and nginx with an answer of the same bytes.

Each runs on the server's core, writes its access log to a file, and says how much CPU time all
its processes and threads have used.
"""
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

from machine import ROOT, BenchError, placed_on, tool

TICKS = os.sysconf("SC_CLK_TCK")
MODEL = "breast-cancer"
PATIENCE_S = 10

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
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{port};
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
        self.port, self.path = 0, "/"
        self.pids = [self.process.pid]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}{self.path}"

    def wait_until(self, ready):
        """Polls `ready` every millisecond; stops with the server's own words when it ends."""
        until = time.monotonic() + PATIENCE_S
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


def start_inferd(inferd, core, folder, wait=True):
    """inferd as it comes: nothing set but the repository and free ports."""
    port, management = free_port(), free_port()
    command = [str(inferd), "serve", "--repository-path=models/repository",
               f"--http-port={port}", f"--management-port={management}"]
    server = Server("inferd", command, core, folder / "inferd.log", folder / "inferd.err")
    server.port, server.management = port, management
    server.path = f"/v2/models/{MODEL}/infer"
    if wait:
        server.wait_until(lambda: get(port, "/v2/health/ready")[0] == 200)
    return server


def start_nginx(core, folder, body):
    """nginx with one worker that answers every POST with `body`."""
    text = body.decode()
    if set(text) & set("'$\\\n") or not text.isascii():
        raise BenchError("the answer holds characters that nginx's configuration cannot: " + text)
    where = folder / "nginx"
    where.mkdir(exist_ok=True)
    port, log = free_port(), where / "access.log"
    path = f"/v2/models/{MODEL}/infer"
    (where / "nginx.conf").write_text(
        NGINX_CONFIG.format(log=log, port=port, path=path, body=text))
    command = [tool("nginx"), "-p", str(where), "-e", "error.log", "-c", "nginx.conf"]
    server = Server("nginx", command, core, log, where / "stderr.log", where)
    server.port, server.path = port, path
    server.wait_until(lambda: get(port, "/")[0] is not None)
    server.find_children()
    return server
