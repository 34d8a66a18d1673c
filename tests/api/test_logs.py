"""JSON logs: their fields, what never appears, and that a blocked reader blocks nobody."""

import datetime
import fcntl
import os
import re
import socket
import subprocess
import threading
import time

import numpy as np
import pytest
from testenv import until
from testenv.server import TREE, Server
from testenv.v2 import array_tensor, request

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def add(value=0.0, rows=1):
    return request(array_tensor("INPUT0", np.full((rows, 16), value, np.float32)),
                   array_tensor("INPUT1", np.zeros((rows, 16), np.float32)))


def access(server, request_id):
    """The access line of a request."""
    (line,) = until(lambda: server.logged("request", request_id=request_id), what="its access line")
    return line


def test_every_line_has_time_level_and_event(server):
    server.infer("add_sub", add())
    assert len(server.events) > 10 and not server.odd_lines
    now = datetime.datetime.now(datetime.timezone.utc)
    for line in list(server.events):
        assert list(line)[:3] == ["time", "level", "event"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line["time"]), line["time"]
        when = datetime.datetime.fromisoformat(line["time"].replace("Z", "+00:00"))
        assert abs((now - when).total_seconds()) < 300
        assert line["level"] in ("debug", "info", "warn", "error")
        assert re.fullmatch(r"[a-z][a-z0-9_]*", line["event"])


def test_the_story_of_a_start_and_a_stop(start_server, repository):
    repository.add("add_sub")
    server = start_server({"repository.path": repository.path, "log.level": "debug"})
    server.wait_logged("ready")
    server.signal()
    assert server.wait() == 0
    names = [line["event"] for line in server.events]
    for first, second in [("starting", "listening"), ("listening", "ready"), ("ready", "draining"),
                          ("draining", "stopped")]:
        assert names.index(first) < names.index(second), (first, second, names)
    assert names[0] == "starting" and names[-1] == "stopped"
    (starting,) = server.logged("starting")
    assert starting["version"]
    assert {line["listener"] for line in server.logged("listening")} == {"data", "grpc", "management"}
    states = [line["to"] for line in server.logged("model_version_state", model="add_sub",
                                                      version="1")]
    assert states[0] in ("SETTLING", "LOADING") and "READY" in states
    assert states.index("LOADING") < states.index("WARMING") < states.index("READY")


def test_the_first_lines_show_a_curl_line_that_works_when_pasted(start_server):
    server = start_server({"repository.path": TREE / "models" / "repository"})

    def pasted():
        """As a person copies them: from the raw text of the lines, up to the closing quote."""
        lines = [*server.raw_lines[:25], *server.stderr().splitlines()[:25]]
        return [found[0] for found in (re.search(r'\bcurl [^"\n]*', line) for line in lines) if found]
    commands = until(pasted, what="a line with curl in it")
    assert any(str(server.ports["data"]) in command for command in commands)
    for command in commands:
        done = subprocess.run(["sh", "-c", command + " --fail"], cwd=TREE, capture_output=True,
                              text=True, timeout=30, check=False)
        assert done.returncode == 0 and done.stdout, (command, done.stderr)


def test_access_line_of_an_inference(server):
    body = add(rows=3)
    headers = {"X-Request-Id": "access-1", "traceparent": TRACEPARENT}
    assert server.infer("add_sub", body, headers).status == 200
    line = access(server, "access-1")
    assert line["level"] == "info" and line["listener"] == "data"
    assert line["method"] == "POST" and line["path"] == "/v2/models/add_sub/infer"
    assert line["model"] == "add_sub" and line["version"] == "1"
    assert line["status"] == 200 and line["rows"] == 3
    assert line["bytes_in"] > 300 and line["bytes_out"] > 300
    for name in ("queue_us", "compute_us", "total_us"):
        assert isinstance(line[name], int) and 0 <= line[name] < 60_000_000
    assert line["total_us"] >= line["compute_us"]
    assert line["trace_id"] == TRACE


@pytest.mark.parametrize("traceparent", ["", "00-xyz", "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
                                         f"ff-{TRACE}-00f067aa0ba902b7-01",
                                         f"00-{TRACE.upper()}-00f067aa0ba902b7-01", "x" * 5000])
def test_a_malformed_traceparent_is_no_trace(server, traceparent):
    name = f"trace-{abs(hash(traceparent))}"
    assert server.infer("add_sub", add(), {"X-Request-Id": name,
                                           "traceparent": traceparent}).status == 200
    assert "trace_id" not in access(server, name)


def test_a_made_request_id_is_logged_as_returned(server):
    made = server.infer("add_sub", add()).header("X-Request-Id")
    assert access(server, made)["status"] == 200


@pytest.mark.parametrize("path, body, status", [
    ("/v2/models/nobody/infer", b"{}", 404), ("/v2/models/add_sub/infer", b"{", 400),
    ("/nowhere", b"", 404), ("/v2/health/live", b"", 405)])
def test_failures_have_their_line(server, path, body, status):
    name = f"failed-{path.replace('/', '-')}-{status}"
    assert server.post(path, body, {"X-Request-Id": name}).status == status
    if path != "/v2/health/live":
        assert access(server, name)["status"] == status


def test_one_line_for_each_request(server):
    names = [f"single-{number}" for number in range(50)]
    with server.raw() as raw:
        for name in names:
            raw.request("POST", "/v2/models/add_sub/infer", add(), {"X-Request-Id": name})
            assert raw.reply().status == 200
    for name in names:
        access(server, name)
    assert len([line for line in server.logged("request")
               if line["request_id"].startswith("single-")]) == 50


def test_hostile_text_stays_inside_its_field(server):
    """What a client sends cannot break a line or forge one."""
    reply = server.get('/v2/models/x"%0A{"event":"forged"}/ready',
                       headers={"X-Request-Id": "evil-1"})
    assert reply.status in (400, 404)
    with server.raw() as raw:
        raw.send(b'GET /v2/\x1b[31m"},{"event":"forged"} HTTP/1.1\r\nHost: x\r\n\r\n')
        raw.reply()
    with server.raw() as raw:
        raw.send(b"GET /v2/\xff\xfe\xc3( HTTP/1.1\r\nHost: x\r\n\r\n")
        raw.reply()
    server.infer("add_sub", add(), {"X-Request-Id": "after-evil"})
    access(server, "after-evil")
    assert not server.logged("forged") and not server.odd_lines


def test_input_values_never_appear(start_server, repository, tmp_path):
    repository.add("add_sub", "identity_bytes")
    server = start_server({"repository.path": repository.path, "log.level": "debug",
                           "log.health": True})
    secret = "s3cr3t-value"
    number = 7654321.5
    server.infer("identity_bytes", request({"name": "INPUT0", "datatype": "BYTES", "shape": [1, 1],
                                            "data": [secret]}), {"X-Request-Id": "one"})
    server.infer("add_sub", add(number))
    wrong = add(number)
    wrong["inputs"][0]["data"][0][0] = secret
    server.infer("add_sub", wrong)
    server.infer("add_sub", f'{{"inputs": "{secret}"')
    server.infer("identity_bytes", request({"name": "INPUT0", "datatype": "BYTES", "shape": [1, 2],
                                            "data": [secret]}), {"X-Request-Id": "last"})
    access(server, "last")
    text = "\n".join(server.raw_lines) + server.stderr()
    assert secret not in text and "7654321" not in text


def test_tokens_never_appear(start_server, repository, token_file):
    repository.add("add_sub")
    server = start_server({"repository.path": repository.path, "admin.token_file": token_file,
                           "log.level": "debug"})
    assert server.admin("load", "add_sub").status == 200
    assert server.admin("load", "add_sub", token="wrong-token").status == 401
    until(lambda: len(server.logged("request")) >= 2)
    text = "\n".join(server.raw_lines) + server.stderr()
    assert "test-token" not in text and "wrong-token" not in text


def test_levels(start_server, repository):
    repository.add("add_sub")
    server = start_server({"repository.path": repository.path, "log.access": False})
    server.infer("add_sub", add())
    server.get("/v2/health/live")
    time.sleep(0.3)
    assert not server.logged("request")
    quiet = start_server({"repository.path": repository.path,
                         "log.level": "debug", "log.health": True})
    quiet.get("/v2/health/live", headers={"X-Request-Id": "seen"})
    assert access(quiet, "seen")["path"] == "/v2/health/live"


def test_health_lines_are_left_out_by_default(server):
    server.get("/v2/health/live", headers={"X-Request-Id": "unseen"})
    server.infer("add_sub", add(), {"X-Request-Id": "later"})
    access(server, "later")
    time.sleep(0.1)
    assert not server.logged("request", request_id="unseen")


@pytest.mark.tsan
@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_reader_that_never_reads_blocks_nobody(start_server, served_repository, kind):
    """Lines are dropped and counted; answers stay quick; the end is not held up."""
    if kind == "pipe":
        unread, given = os.pipe()
        fcntl.fcntl(given, fcntl.F_SETPIPE_SZ, 4096)
    else:
        ours, theirs = socket.socketpair()
        unread, given = ours.detach(), theirs.detach()
    ports = free_ports(2)
    server = start_server({**served_repository, "http.port": ports[0], "management.port": ports[1],
                           "log.health": True}, stdout=given)
    os.close(given)
    body = request(array_tensor("INPUT0", np.zeros((1, 4), np.float32)))
    waited = []

    def client():
        connection = server.connection()
        for _ in range(1500):
            started = time.monotonic()
            assert server.infer("echo", body, connection=connection).status == 200
            waited.append(time.monotonic() - started)
        connection.close()
    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(waited) == 6000
    assert sorted(waited)[int(len(waited) * 0.99)] < 1.0
    assert server.metrics().value("inferd_log_lines_dropped_total") > 0
    assert server.get("/v2/health/live").status == 200
    server.signal()
    assert server.wait(20) == 0, "a stuck reader does not keep it from ending"
    os.close(unread)


def test_a_reader_that_goes_away_does_no_harm(start_server, served_repository):
    unread, given = os.pipe()
    ports = free_ports(2)
    server = start_server({**served_repository, "http.port": ports[0], "management.port": ports[1],
                           "log.health": True}, stdout=given)
    os.close(given)
    os.close(unread)
    for _ in range(200):
        assert server.get("/v2/health/live").status == 200, "no SIGPIPE"


def test_a_full_disk_does_no_harm(served_repository, tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    ports = free_ports(2)
    with open("/dev/full", "wb") as full:
        server = Server({**served_repository, "http.port": ports[0], "management.port": ports[1]},
                        stdout=full)
        try:
            server.start()
            assert server.get("/v2").status == 200
        finally:
            server.finish()


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def test_nothing_is_written_to_stderr_in_normal_times(server):
    server.infer("add_sub", add())
    assert "Traceback" not in server.stderr()
    assert len(server.stderr().splitlines()) <= 3, server.stderr()
