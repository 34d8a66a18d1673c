"""SIGTERM: not ready at once, nothing lost, exit 0."""

import http.client
import signal
import threading
import time

import numpy as np
import pytest
from testenv import PATIENCE, until
from testenv.rawhttp import Closed
from testenv.v2 import answer, array_tensor, request

ECHO = request(array_tensor("INPUT0", np.ones((1, 4), np.float32)))

SLOW_PATH = "/v2/models/slow/infer"
# Fixed shapes: each request is a run of its own.
FIXED = "input INPUT0 FP32 [1,4]\noutput OUTPUT0 FP32 [1,4]\n"
pytestmark = pytest.mark.tsan


@pytest.fixture
def served(start_server, repository, gate):
    """served(options) -> a server with the models `echo` and `slow`, whose runs wait for the gate."""
    def start(options):
        repository.fake("echo").fake("slow", FIXED + gate.directive).settings("slow", "warmup: false\n")
        return start_server({"repository.path": repository.path, "engine": "fake", **options})
    return start


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ready_turns_503_at_once_and_everything_is_still_served(served, number):
    server = served({"drain.delay": "1500ms"})
    server.signal(number)
    until(lambda: server.get("/v2/health/ready").status == 503)
    reply = server.get("/v2/health/ready")
    assert reply.json["ready"] is False and "shut" in reply.json["error"]
    assert server.get("/readyz", listener="management").status == 503
    assert server.get("/v2/health/live").status == 200
    assert server.get("/livez", listener="management").status == 200
    assert server.infer("echo", ECHO).status == 200
    assert server.metrics().value("inferd_ready") == 0
    assert server.wait() == 0


@pytest.mark.tsan
@pytest.mark.parametrize("delay", ["0s", "500ms"])
def test_under_load_no_request_fails(start_server, served_repository, delay):
    """Keep-alive clients and fresh connections: nothing but refused connections after the end."""
    server = start_server({**served_repository, "drain.delay": delay})
    stop, wrong = threading.Event(), []
    served = {"kept": 0, "fresh": 0}

    def kept():
        """As connection pools do: a closed connection is opened anew before the next request."""
        connection = server.connection()
        while not stop.is_set():
            try:
                reply = server.infer("echo", ECHO, connection=connection)
                assert reply.status == 200 and answer(reply)["OUTPUT0"] == [1] * 4, reply
                served["kept"] += 1
            except ConnectionRefusedError:
                return
            except (OSError, http.client.HTTPException, AssertionError) as error:
                wrong.append(f"kept: {error!r}")
                return

    def fresh():
        while not stop.is_set():
            try:
                reply = server.infer("echo", ECHO)
                assert reply.status == 200, reply
                served["fresh"] += 1
            except ConnectionRefusedError:
                return
            except (OSError, http.client.HTTPException, AssertionError) as error:
                wrong.append(f"fresh: {error!r}")
                return
    threads = [threading.Thread(target=kept) for _ in range(8)]
    threads += [threading.Thread(target=fresh) for _ in range(8)]
    for thread in threads:
        thread.start()
    until(lambda: min(served.values()) > 100)
    server.signal()
    code = server.wait(20)
    stop.set()
    for thread in threads:
        thread.join()
    assert code == 0
    assert not wrong, wrong[:5]


def test_requests_in_flight_and_in_the_queue_finish(served, gate):
    server = served({"executors": 1})
    clients = [server.raw(seconds=60) for _ in range(4)]
    for client in clients:
        client.request("POST", SLOW_PATH, ECHO)
    until(lambda: server.metrics().value("inferd_requests_in_flight", model="slow") == 4)
    server.signal()
    server.wait_logged("draining")
    gate.open()
    for client in clients:
        reply = client.reply()
        assert answer(reply)["OUTPUT0"] == [1] * 4
        assert reply.header("Connection").lower() == "close"
        assert client.is_closed_by_server()
    assert server.wait() == 0


def test_idle_keep_alive_connections_are_closed(served):
    server = served({"drain.delay": "300ms"})
    clients = [server.raw() for _ in range(10)]
    for client in clients:
        assert client.get("/v2").status == 200
    server.signal()
    for client in clients:
        assert client.is_closed_by_server()
        assert client.pending == b""
    assert server.wait(10) == 0


def test_a_request_that_is_half_sent_may_finish(served):
    import json
    server = served({})
    body = json.dumps(ECHO)
    with server.raw() as raw:
        raw.send(f"POST /v2/models/echo/infer HTTP/1.1\r\nHost: x\r\n"
                 f"Content-Length: {len(body)}\r\n\r\n{body[:100]}")
        time.sleep(0.2)
        server.signal()
        server.wait_logged("draining")
        time.sleep(0.2)
        raw.send(body[100:])
        assert raw.reply().status == 200
    assert server.wait() == 0


def test_pipelined_requests_that_have_arrived_are_answered(served, gate):
    from testenv.rawhttp import request_bytes
    server = served({})
    with server.raw(seconds=60) as raw:
        raw.send(request_bytes("POST", SLOW_PATH, ECHO)
                 + request_bytes("POST", "/v2/models/echo/infer", ECHO) * 3)
        until(lambda: server.metrics().value("inferd_requests_in_flight", model="slow") == 1)
        server.signal()
        server.wait_logged("draining")
        gate.open()
        statuses = []
        try:
            while len(statuses) < 4:
                statuses.append(raw.reply().status)
        except Closed:
            pass
        assert statuses[0] == 200 and set(statuses) == {200}
    assert server.wait() == 0


def test_the_time_to_drain_is_bounded(served):
    """A client that never finishes its request does not hold the end up."""
    server = served({"drain.timeout": "1s"})
    with server.raw() as raw:
        raw.send(
            "POST /v2/models/echo/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        time.sleep(0.1)
        server.signal()
        started = time.monotonic()
        code = server.wait()
        assert time.monotonic() - started < 6 * PATIENCE
    (line,) = server.logged("stopped")
    assert "connections were left" in line["reason"]
    assert code in (0, 1)
    server.expected_exit = code


def test_after_the_listener_closed_connections_are_refused(served, gate):
    server = served({})
    with server.raw(seconds=60) as raw:
        raw.request("POST", SLOW_PATH, ECHO)
        until(lambda: server.metrics().value("inferd_requests_in_flight", model="slow") == 1)
        server.signal()

        def refused():
            try:
                server.raw(seconds=1).close()
            except ConnectionRefusedError:
                return True
            except TimeoutError:
                return False
            return False
        until(refused)
        gate.open()
        assert raw.reply().status == 200
    assert server.wait() == 0


def test_terminated_while_models_load(start_server, repository):
    """Loading is no reason to stay."""
    repository.fake("late", FIXED + "load_us 1500000\n")
    server = start_server({"repository.path": repository.path, "engine": "fake"}, wait="listening")
    assert server.get("/v2/health/live").status == 200
    server.signal()
    assert server.wait() == 0


def test_a_second_signal_skips_the_delay(served):
    server = served({"drain.delay": "20s",
                           "drain.timeout": "30s"})
    started = time.monotonic()
    server.signal()
    server.wait_logged("draining")
    server.signal()
    assert server.wait() == 0
    assert time.monotonic() - started < 10 * PATIENCE
