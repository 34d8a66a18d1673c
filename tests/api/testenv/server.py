"""One inferd process: started with options, watched by its log, checked when it ends."""

import http.client
import json
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from .rawhttp import RawHttp
from .reply import Reply
from .scrape import Scrape
from .waiting import FLAVOUR, PATIENCE, until

TREE = Path(__file__).resolve().parents[3]
REPORTS = re.compile(r"Sanitizer|runtime error:|^CHECK|assertion|terminate called", re.I | re.M)
# What every server of the tests is started with unless a test says otherwise.
DEFAULTS = {"http.port": 0, "grpc.port": 0, "management.port": 0, "drain.delay": "0s",
            "repository.settle": "0s"}


def binary():
    return Path(os.environ.get("INFERD_BIN") or TREE / "build" / "release" / "inferd")


def as_flags(options):
    """{"http.body_max": 3} -> ["--http-body-max=3"]"""
    return [f"--{name.replace('.', '-').replace('_', '-')}={as_text(value)}"
            for name, value in options.items()]


def as_environment(options):
    """{"http.body_max": 3} -> {"INFERD_HTTP_BODY_MAX": "3"}"""
    return {"INFERD_" + name.replace(".", "_").upper(): as_text(value)
            for name, value in options.items()}


def as_text(value):
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def clean_environment(extra=None):
    """The tests' own environment without settings that would reach the server."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("INFERD_")}
    return {**kept, **(extra or {})}


def run_inferd(*arguments, environment=None, cwd=None, seconds=30):
    """Runs inferd to its end, for commands that do not serve."""
    return subprocess.run([str(binary()), *map(str, arguments)], capture_output=True, text=True,
                          env=clean_environment(environment), cwd=cwd, check=False,
                          timeout=seconds * PATIENCE, stdin=subprocess.DEVNULL)


class Server:
    """`stdout`: None reads and keeps the log; a file descriptor or file receives it unread (then
    give ports, since the log tells them). finish() ends it and raises when anything was wrong."""

    def __init__(self, options, *, environment=None, config=None, stdout=None, prefix=()):
        self.options = {**DEFAULTS, **options}
        self.config, self.environment, self.prefix = config, environment, prefix
        self.given_stdout = stdout
        self.process = None
        self.ports = {}
        self.listener_count = 3 if self.options.get("grpc.enabled", True) else 2
        self.events = []        # log lines, parsed, in order
        self.odd_lines = []     # what was no JSON object
        self.raw_lines = []
        self.expected_exit = 0
        self.scheme = {"data": "http", "grpc": "http", "management": "http"}
        self.tls = None         # what a client needs, when a listener speaks TLS
        self.stderr_file = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        self.reader = None

    # ---- life --------------------------------------------------------------------------------

    def start(self, wait="ready", seconds=15):
        """`wait`: "ready", "listening", or None."""
        config = ["--config", str(self.config)] if self.config else []
        command = [*self.prefix, str(binary()), "serve", *config, *as_flags(self.options)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stderr=self.stderr_file, cwd=TREE,
            stdout=subprocess.PIPE if self.given_stdout is None else self.given_stdout,
            env=clean_environment(self.environment))
        if self.given_stdout is None:
            self.reader = threading.Thread(target=self._read_log, daemon=True)
            self.reader.start()
        else:
            self.ports = {"data": self.options["http.port"], "grpc": self.options["grpc.port"],
                          "management": self.options["management.port"]}
        if wait:
            until(lambda: self._alive() and len(self.ports) == self.listener_count, seconds, "the listeners")
        if wait == "ready":
            self.wait_ready(seconds)
        return self

    def _alive(self):
        code = self.process.poll()
        if code is not None:
            if self.reader:
                self.reader.join(5)
            raise AssertionError(f"inferd ended with {code}: {self.stderr()[-2000:]}\n"
                                 + "\n".join(self.raw_lines[-10:]))
        return True

    def _read_log(self):
        for line in self.process.stdout:
            text = line.decode("utf-8", "replace").rstrip("\n")
            self.raw_lines.append(text)
            try:
                event = json.loads(line)
            except ValueError:
                self.odd_lines.append(text)
                continue
            if not isinstance(event, dict):
                self.odd_lines.append(text)
                continue
            self.events.append(event)
            if event.get("event") == "listening":
                self.ports[event["listener"]] = event["port"]

    def is_ready(self, listener="data"):
        try:
            return self._alive() and self.get("/v2/health/ready", listener=listener).status == 200
        except (OSError, http.client.HTTPException):
            return False

    def wait_ready(self, seconds=15):
        until(self.is_ready, seconds, "readiness")
        return self

    def wait_versions(self, model, *versions, seconds=15):
        """Until just these versions of a model serve: readiness asks for one of each model only."""
        path = f"/v2/models/{model}"
        expected = [str(version) for version in versions]
        until(lambda: self.get(path).json.get("versions") == expected, seconds, f"{expected}")
        return self

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def wait(self, seconds=20):
        """Waits for the end; returns the exit code."""
        code = self.process.wait(seconds * PATIENCE)
        if self.reader:
            self.reader.join(5)
        return code

    def finish(self):
        """Stops it if it runs, and checks how it ended."""
        if self.process is None:
            return
        anomalies = self._anomalies()
        try:
            if self.process.poll() is None:
                self.signal()
            code = self.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"inferd did not stop: {self.stderr()[-2000:]}\n"
                                 + "\n".join(self.raw_lines[-10:])) from None
        errors = self.stderr()
        self.stderr_file.close()
        assert not REPORTS.search(errors), errors[-8000:]
        assert code == self.expected_exit, f"inferd ended with {code}: {errors[-2000:]}"
        assert not self.odd_lines, f"lines that are no JSON: {self.odd_lines[:3]}"
        assert not anomalies, f"{anomalies} anomalies were counted"

    def _anomalies(self):
        if self.process.poll() is not None or "management" not in self.ports:
            return 0
        try:
            return self.metrics().value("inferd_anomalies_total") or 0
        except (OSError, http.client.HTTPException, AssertionError):
            return 0

    def stderr(self):
        self.stderr_file.seek(0)
        return self.stderr_file.read().decode("utf-8", "replace")

    # ---- what it says ------------------------------------------------------------------------

    def logged(self, event, **fields):
        """The log lines of an event whose fields have these values."""
        return [line for line in list(self.events) if line.get("event") == event
                and all(line.get(key) == value for key, value in fields.items())]

    def wait_logged(self, event, seconds=10, **fields):
        return until(lambda: self.logged(event, **fields), seconds, f"log event {event} {fields}")

    # ---- talking to it -----------------------------------------------------------------------

    def address(self, listener="data"):
        return f"127.0.0.1:{self.ports[listener]}"

    def url(self, path="", listener="data"):
        return f"{self.scheme[listener]}://{self.address(listener)}{path}"

    def raw(self, listener="data", **options):
        return RawHttp(self.ports[listener], **options)

    def connection(self, listener="data"):
        seconds = 30 * PATIENCE
        if self.scheme[listener] == "https":
            return http.client.HTTPSConnection("localhost", self.ports[listener], timeout=seconds,
                                               context=self.tls)
        return http.client.HTTPConnection("127.0.0.1", self.ports[listener], timeout=seconds)

    def call(self, method, path, body=None, headers=None, listener="data", connection=None):
        """One request on a connection of its own (or the given one); a dict becomes JSON."""
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        used = connection or self.connection(listener)
        try:
            used.request(method, path, body, dict(headers or {}))
            got = used.getresponse()
            return Reply(got.status, got.getheaders(), got.read(), got.reason)
        finally:
            if connection is None:
                used.close()

    def get(self, path, **rest):
        return self.call("GET", path, **rest)

    def post(self, path, body=b"", headers=None, **rest):
        return self.call("POST", path, body, headers, **rest)

    def infer(self, model, body, headers=None, version=None, **rest):
        at = f"/versions/{version}" if version is not None else ""
        return self.post(f"/v2/models/{model}{at}/infer", body, headers, **rest)

    def admin(self, action, model, token="test-token", body=b"", listener="management"):
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        return self.post(f"/v2/repository/models/{model}/{action}", body, headers,
                         listener=listener)

    def index(self, body=b"", listener="data"):
        """The repository index: (model, version) -> its row."""
        reply = self.post("/v2/repository/index", body, listener=listener)
        assert reply.status == 200, reply.body
        return {(row["name"], row.get("version")): row for row in reply.json}

    def let_counts_settle(self):
        """An answer is counted when it is out, which a client may see a moment earlier."""
        time.sleep(0.05 * PATIENCE)

    def metrics(self, accept=None):
        self.let_counts_settle()
        headers = {"Accept": accept} if accept else {}
        reply = self.get("/metrics", headers=headers, listener="management")
        assert reply.status == 200, reply.body
        return Scrape(reply)

    # ---- the process -------------------------------------------------------------------------

    def resident_bytes(self):
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", text)[1]) * 1024

    def open_files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


def sanitized():
    return FLAVOUR in ("asan", "tsan")
