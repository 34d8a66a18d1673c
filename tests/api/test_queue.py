"""Bounded queues: 429, deadlines, clients that go away, models that do not hinder others."""

import json
import threading

import numpy as np
import pytest
from testenv import until
from testenv.v2 import answer, array_tensor, request

pytestmark = pytest.mark.tsan

ECHO = request(array_tensor("INPUT0", np.ones((1, 4), np.float32)))
PATH = "/v2/models/slow/infer"
# Fixed shapes: each request is a run of its own.
FIXED = "input INPUT0 FP32 [1,4]\noutput OUTPUT0 FP32 [1,4]\n"
NO_WARM_UP = "warmup: false\nbatching:\n  inline_max: 0\n"


def numbered(number, **rest):
    return request(array_tensor("INPUT0", np.full((1, 4), number, np.float32)), **rest)


@pytest.fixture
def queued(start_server, repository, gate):
    """One executor, and room for three requests of a model. Runs of `slow` wait for the gate."""
    repository.fake("echo").fake("slow", FIXED + gate.directive).settings("slow", NO_WARM_UP)
    return start_server({"repository.path": repository.path, "engine": "fake", "executors": 1,
                         "batching.queue_max": 3})


def gauge(server, name, model="slow"):
    return server.metrics().value(f"inferd_{name}", model=model)


def fill(server, count, path=PATH):
    """That many connections with a request each, all inside the server."""
    clients = []
    for number in range(count):
        client = server.raw(seconds=60)
        client.request("POST", path, numbered(number))
        clients.append(client)
        until(lambda number=number: gauge(server, "requests_in_flight") == number + 1)
    return clients


def assert_answered(clients):
    for number, client in enumerate(clients):
        assert answer(client.reply())["OUTPUT0"] == [number] * 4
        client.close()


def test_beyond_the_queue_is_429_with_retry_after(queued, gate):
    clients = fill(queued, 3)
    for _ in range(3):
        reply = queued.infer("slow", ECHO)
        assert reply.status == 429
        assert reply.error.startswith("Exceeds maximum queue size")
        assert int(reply.header("Retry-After")) >= 1
    scrape = queued.metrics()
    assert scrape.value("inferd_requests_rejected_total", model="slow", reason="queue_full") == 3
    assert scrape.value("inferd_requests_total", model="slow", code="429") == 3
    gate.open()
    assert_answered(clients)
    assert queued.infer("slow", ECHO).status == 200, "room again"


def test_the_connection_of_a_429_stays_usable(queued, gate):
    clients = fill(queued, 3)
    with queued.raw() as raw:
        assert raw.post(PATH, ECHO).status == 429
        assert raw.post("/v2/models/echo/infer", ECHO).status == 200
    gate.open()
    assert_answered(clients)


def test_a_slow_model_delays_neither_others_nor_health(queued, gate):
    """They are answered while the executor is held."""
    clients = fill(queued, 3)
    for _ in range(5):
        assert queued.infer("echo", ECHO).status == 200
        assert queued.get("/v2/health/live").status == 200
        assert queued.get("/v2/health/ready").status == 200
        assert queued.get("/livez", listener="management").status == 200
    assert gauge(queued, "requests_in_flight") == 3
    gate.open()
    assert_answered(clients)


def test_two_slow_models_share_the_executors(start_server, repository, gate):
    """A model with a long queue does not keep another one's only request waiting for its end."""
    for name in ("slow", "other"):
        repository.fake(name, FIXED + gate.directive).settings(name, NO_WARM_UP)
    server = start_server({"repository.path": repository.path, "engine": "fake",
                           "executors": 1, "loops": 1})
    clients = fill(server, 6)
    with server.raw(seconds=60) as raw:
        raw.request("POST", "/v2/models/other/infer", ECHO)
        until(lambda: gauge(server, "requests_in_flight", "other") == 1)
        gate.open()
        assert raw.reply().status == 200
    assert_answered(clients)
    lines = until(lambda: len(found := server.logged("request", path=PATH)
                              + server.logged("request", model="other")) == 7 and found)
    order = [line["model"] for line in sorted(lines, key=lambda line: line["time"])]
    assert order.index("other") <= 3, "it went in between"


@pytest.mark.parametrize("waits", [True, False], ids=["in the queue", "while it runs"])
def test_the_deadline_of_a_request_is_504(queued, gate, waits):
    clients = fill(queued, 1) if waits else []
    with queued.raw() as raw:
        reply = raw.post(PATH, numbered(7, parameters={"timeout": 50_000}))
        assert reply.status == 504
        assert reply.error.startswith("Request timeout expired") and "slow" in reply.error
        if not waits:
            gate.open()  # until its run has ended a request holds its connection
        assert raw.post("/v2/models/echo/infer", ECHO).status == 200, "the connection stays usable"
    scrape = queued.metrics()
    assert scrape.value("inferd_requests_rejected_total", model="slow", reason="deadline") == 1
    assert scrape.value("inferd_requests_total", model="slow", code="504") == 1
    gate.open()
    assert_answered(clients)
    assert queued.infer("slow", ECHO).status == 200


def test_a_short_deadline_is_told_in_microseconds(queued, gate):
    with queued.raw() as raw:
        reply = raw.post(PATH, numbered(7, parameters={"timeout": 1}))
        assert reply.status == 504
        assert " 0 ms" not in reply.error
        gate.open()


def test_the_server_s_deadline(start_server, repository, gate):
    repository.fake("slow", FIXED + gate.directive).settings("slow", NO_WARM_UP)
    server = start_server({"repository.path": repository.path, "engine": "fake", "executors": 1,
                           "limits.request_timeout": "100ms"})
    assert server.infer("slow", ECHO).status == 504
    longer = numbered(1, parameters={"timeout": 60_000_000})
    assert server.infer("slow", longer).status == 504, "a request may only shorten it"


def test_a_model_s_own_deadline(start_server, repository, gate):
    repository.fake("slow", FIXED + gate.directive).settings("slow", NO_WARM_UP + "request_timeout: 100ms\n")
    server = start_server({"repository.path": repository.path, "engine": "fake"})
    assert server.infer("slow", ECHO).status == 504


@pytest.mark.parametrize("timeout", [0, 60_000_000])
def test_a_deadline_that_is_far_or_none_changes_nothing(queued, timeout):
    assert queued.infer("echo", numbered(1, parameters={"timeout": timeout})).status == 200


@pytest.mark.parametrize("timeout", [-1, 1.5, "soon", True, None, [], 2 ** 64])
def test_a_deadline_that_is_none(queued, timeout):
    reply = queued.infer("echo", numbered(1, parameters={"timeout": timeout}))
    assert reply.status == 400 and "timeout" in reply.error


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_goes_away_frees_its_place(queued, gate, how):
    clients = fill(queued, 3)
    assert queued.infer("slow", ECHO).status == 429
    getattr(clients[2], how)()
    until(lambda: gauge(queued, "requests_in_flight") < 3, what="the freed place")
    with queued.raw(seconds=60) as raw:
        raw.request("POST", PATH, numbered(7))
        until(lambda: gauge(queued, "requests_in_flight") == 3)
        gate.open()
        assert_answered(clients[:2])
        assert answer(raw.reply())["OUTPUT0"] == [7] * 4
    scrape = queued.metrics()
    assert scrape.value("inferd_requests_rejected_total", model="slow", reason="cancelled") == 1
    assert scrape.value("inferd_model_runs_total", model="slow") == 3, "what was given up never ran"


def test_a_client_that_goes_away_while_its_request_runs(queued, gate):
    (client,) = fill(queued, 1)
    client.reset()
    gate.open()
    assert queued.infer("slow", ECHO).status == 200
    until(lambda: gauge(queued, "requests_in_flight") == 0)


def test_a_server_that_ends_while_an_abandoned_request_runs(queued, gate):
    """Nobody waits for the answer any more, but the executor still holds it."""
    (client,) = fill(queued, 1)
    client.reset()
    queued.signal()
    queued.wait_logged("draining")
    gate.open()
    assert queued.wait() == 0


def test_a_model_s_own_queue_limit(start_server, repository, gate):
    repository.fake("slow", FIXED + gate.directive).settings("slow", NO_WARM_UP + "  queue_max: 1\n")
    server = start_server({"repository.path": repository.path, "engine": "fake", "executors": 1})
    clients = fill(server, 1)
    assert server.infer("slow", ECHO).status == 429
    gate.open()
    assert_answered(clients)


def test_more_than_one_turn_of_a_loop_can_run(start_server, repository):
    """Quick requests that together take longer than a turn may: those left over do not wait for
    somebody else's bytes."""
    repository.fake("echo", "input INPUT0 FP32 [1,4]\noutput OUTPUT0 FP32 [1,4]\nrun_us 300\n")
    server = start_server({"repository.path": repository.path, "engine": "fake", "loops": 1})
    clients = [server.raw() for _ in range(64)]
    for _ in range(3):
        for client in clients:
            client.request("POST", "/v2/models/echo/infer", ECHO)
        for client in clients:
            assert client.reply().status == 200
    for client in clients:
        client.close()


def test_a_failing_request_leaves_its_batch_alone(start_server, repository):
    """A row that the model refuses, among others that arrive with it: only its request fails."""
    repository.fake("echo", "input INPUT0 UINT8 [-1,4]\noutput OUTPUT0 UINT8 [-1,4]\n"
                            "sleep_us 2000\npoison 66\n")
    server = start_server({"repository.path": repository.path, "engine": "fake", "executors": 1})
    clients = [server.raw() for _ in range(8)]

    def row(number):
        return request({"name": "INPUT0", "datatype": "UINT8", "shape": [1, 4],
                        "data": [number] * 4})
    for _ in range(10):
        for number, client in enumerate(clients):
            client.request("POST", "/v2/models/echo/infer", row(66 if number == 3 else number))
        for number, client in enumerate(clients):
            reply = client.reply()
            assert reply.status == (400 if number == 3 else 200), reply
            assert number == 3 or answer(reply)["OUTPUT0"] == [number] * 4
    for client in clients:
        client.close()


def test_clients_that_come_and_go(start_server, repository):
    """Some wait, some time out, some leave: in the end every place is free again."""
    repository.fake("echo", "input INPUT0 FP32 [-1,4]\noutput OUTPUT0 FP32 [-1,4]\nsleep_us 3000\n")
    server = start_server({"repository.path": repository.path, "engine": "fake", "executors": 2,
                           "batching.queue_max": 8})
    seen = []

    def client(kind):
        for number in range(25):
            raw = server.raw()
            body = dict(ECHO)
            if kind == 1:
                body["parameters"] = {"timeout": 2000}
            raw.request("POST", "/v2/models/echo/infer", body)
            if kind == 2:
                (raw.close if number % 2 else raw.reset)()
                continue
            reply = raw.reply()
            seen.append(reply.status)
            assert reply.status != 200 or answer(reply)["OUTPUT0"] == [1, 1, 1, 1]
            raw.close()
    threads = [threading.Thread(target=client, args=(number % 3,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8 * 25
    assert set(seen) <= {200, 429, 504} and 200 in seen
    until(lambda: gauge(server, "requests_in_flight", "echo") == 0
          and gauge(server, "queue_depth", "echo") == 0)
    assert server.infer("echo", ECHO).status == 200


def test_requests_beyond_the_queue_never_wait(queued):
    """Many at once: each is refused while those before them are held."""
    fillers = fill(queued, 3)
    clients = [queued.raw() for _ in range(40)]
    for client in clients:
        client.request("POST", PATH, json.dumps(ECHO))
    assert {client.reply().status for client in clients} == {429}
    for client in clients + fillers:
        client.close()
