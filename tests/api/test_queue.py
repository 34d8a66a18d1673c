"""Bounded queues: 429, deadlines, clients that go away, models that do not hinder others."""

import json
import threading
import time

import numpy as np
import pytest
from testenv import PATIENCE, until
from testenv.v2 import answer, array_tensor, request

ADD = request(array_tensor("INPUT0", np.ones((1, 16), np.float32)),
              array_tensor("INPUT1", np.ones((1, 16), np.float32)))
ECHO = request(array_tensor("INPUT0", np.ones((1, 4), np.float32)))
PATH = "/v2/models/slow/infer"
ON_EXECUTORS = "batching:\n  inline_max: 0\n"


def turns(count, **rest):
    """A request that keeps an executor busy: about 10 us a turn, more on a loaded machine."""
    return request({"name": "INPUT0", "datatype": "INT64", "shape": [1], "data": [count]}, **rest)


@pytest.fixture
def queued(start_server, repository):
    """A server with one executor, and room for three requests of a model. The work of `slow` is
    in its input, so nothing tells beforehand that it must not run on a loop."""
    repository.add("slow", "add_sub").settings("slow", ON_EXECUTORS)
    return start_server({"repository.path": repository.path, "executors": 1,
                         "batching.queue_max": 3})


def gauge(server, name, model="slow"):
    return server.metrics().value(f"inferd_{name}", model=model)


def fill(server, count, size):
    """That many connections with a request each, all inside the server."""
    clients = []
    for number in range(count):
        client = server.raw(seconds=60)
        client.request("POST", PATH, turns(size))
        clients.append(client)
        until(lambda number=number: gauge(server, "requests_in_flight") == number + 1)
    return clients


def test_beyond_the_queue_is_429_with_retry_after(queued):
    clients = fill(queued, 3, 150_000)
    for _ in range(3):
        reply = queued.infer("slow", turns(1))
        assert reply.status == 429
        assert reply.error.startswith("Exceeds maximum queue size") and "slow" in reply.error
        assert int(reply.header("Retry-After")) >= 1
    scrape = queued.metrics()
    assert scrape.value("inferd_requests_rejected_total", model="slow", reason="queue_full") == 3
    assert scrape.value("inferd_requests_total", model="slow", code="429") == 3
    for client in clients:
        assert answer(client.reply())["OUTPUT0"] == [150_000]
        client.close()
    assert queued.infer("slow", turns(1)).status == 200, "room again"


def test_the_connection_of_a_429_stays_usable(queued):
    clients = fill(queued, 3, 60_000)
    with queued.raw() as raw:
        assert raw.post(PATH, turns(1)).status == 429
        assert raw.post("/v2/models/add_sub/infer", ADD).status == 200
    for client in clients:
        assert client.reply().status == 200
        client.close()


def test_a_slow_model_delays_neither_others_nor_health(queued):
    clients = fill(queued, 3, 150_000)
    for _ in range(5):
        started = time.monotonic()
        assert queued.infer("add_sub", ADD).status == 200
        assert queued.get("/v2/health/live").status == 200
        assert queued.get("/v2/health/ready").status == 200
        assert queued.get("/livez", listener="management").status == 200
        assert time.monotonic() - started < 0.5 * PATIENCE
    assert gauge(queued, "requests_in_flight") > 0, "the slow ones were still there"
    for client in clients:
        assert client.reply().status == 200
        client.close()


def test_two_slow_models_share_the_executors(start_server, repository):
    """A model with a full queue does not keep another one's only request waiting for its end."""
    repository.add("slow", "slow_batch")
    server = start_server({"repository.path": repository.path, "executors": 1,
                           "batching.inline_max": "0"})
    clients = fill(server, 8, 40_000)
    one = request({"name": "INPUT0", "datatype": "INT64", "shape": [1, 1], "data": [1]})
    assert server.infer("slow_batch", one).status == 200
    assert gauge(server, "requests_in_flight") >= 4, "it went in between"
    for client in clients:
        assert client.reply().status == 200
        client.close()


def test_a_model_that_proves_slow_leaves_the_loops(start_server, repository):
    """Its warm-up was quick: the first long run is the last that a loop does itself."""
    repository.add("slow", "add_sub")
    server = start_server({"repository.path": repository.path, "executors": 1})
    assert server.infer("slow", turns(10_000)).status == 200
    clients = fill(server, 3, 100_000)
    for _ in range(5):
        started = time.monotonic()
        assert server.infer("add_sub", ADD).status == 200
        assert server.get("/v2/health/live").status == 200
        assert time.monotonic() - started < 0.5 * PATIENCE
    assert gauge(server, "requests_in_flight") > 0
    for client in clients:
        client.reset()


@pytest.mark.parametrize("waits", [True, False], ids=["in the queue", "while it runs"])
def test_the_deadline_of_a_request_is_504(queued, waits):
    clients = fill(queued, 1, 150_000) if waits else []
    started = time.monotonic()
    reply = queued.infer("slow", turns(150_000, parameters={"timeout": 100_000}))
    took = time.monotonic() - started
    assert reply.status == 504
    assert reply.error.startswith("Request timeout expired") and "slow" in reply.error
    assert took < 1.2 * PATIENCE, "at once, not when the run has ended"
    scrape = queued.metrics()
    assert scrape.value("inferd_requests_rejected_total", model="slow", reason="deadline") == 1
    assert scrape.value("inferd_requests_total", model="slow", code="504") == 1
    for client in clients:
        assert client.reply().status == 200
        client.close()


def test_the_server_s_deadline(start_server, repository):
    repository.add("slow").settings("slow", ON_EXECUTORS)
    server = start_server({"repository.path": repository.path, "limits.request_timeout": "150ms",
                           "executors": 1})
    assert server.infer("slow", turns(300_000)).status == 504
    longer = turns(300_000, parameters={"timeout": 60_000_000})
    assert server.infer("slow", longer).status == 504, "a request may only shorten it"
    until(lambda: server.infer("slow", turns(1)).status == 200)


def test_a_model_s_own_deadline(start_server, repository):
    repository.add("slow").settings("slow", ON_EXECUTORS + "request_timeout: 150ms\n")
    server = start_server({"repository.path": repository.path})
    assert server.infer("slow", turns(300_000)).status == 504


@pytest.mark.parametrize("timeout", [0, 60_000_000])
def test_a_deadline_that_is_far_or_none_changes_nothing(queued, timeout):
    assert queued.infer("slow", turns(10, parameters={"timeout": timeout})).status == 200


@pytest.mark.parametrize("timeout", [-1, 1.5, "soon", True, None, [], 2 ** 64])
def test_a_deadline_that_is_none(queued, timeout):
    reply = queued.infer("slow", turns(10, parameters={"timeout": timeout}))
    assert reply.status == 400 and "timeout" in reply.error


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_goes_away_frees_its_place(queued, how):
    clients = fill(queued, 3, 150_000)
    assert queued.infer("slow", turns(1)).status == 429
    getattr(clients[2], how)()
    until(lambda: gauge(queued, "requests_in_flight") == 2, what="the freed place")
    with queued.raw(seconds=60) as raw:
        raw.request("POST", PATH, turns(7))
        until(lambda: gauge(queued, "requests_in_flight") == 3)
        for client in clients[:2]:
            assert client.reply().status == 200
            client.close()
        assert answer(raw.reply())["OUTPUT0"] == [7]
    scrape = queued.metrics()
    assert scrape.value("inferd_requests_rejected_total", model="slow", reason="cancelled") == 1
    assert scrape.value("inferd_model_runs_total", model="slow") == 3, "what was given up never ran"


def test_a_client_that_goes_away_while_its_request_runs(queued):
    (client,) = fill(queued, 1, 80_000)
    client.reset()
    assert queued.infer("slow", turns(1)).status == 200
    until(lambda: gauge(queued, "requests_in_flight") == 0)


def test_a_model_s_own_queue_limit(start_server, repository):
    repository.add("slow", "add_sub").settings("slow", ON_EXECUTORS + "  queue_max: 1\n")
    server = start_server({"repository.path": repository.path, "executors": 1})
    (client,) = fill(server, 1, 80_000)
    assert server.infer("slow", turns(1)).status == 429
    assert client.reply().status == 200
    client.close()


@pytest.mark.tsan
def test_more_than_one_turn_of_a_loop_can_run(start_server, repository):
    """Quick requests that together take longer than a turn may: those left over do not wait for
    somebody else's bytes."""
    repository.fake("echo", "input INPUT0 FP32 [1,4]\noutput OUTPUT0 FP32 [1,4]\nrun_us 300\n")
    server = start_server({"repository.path": repository.path, "engine": "fake", "loops": 1})
    clients = [server.raw() for _ in range(64)]
    for _ in range(3):
        started = time.monotonic()
        for client in clients:
            client.request("POST", "/v2/models/echo/infer", ECHO)
        for client in clients:
            assert client.reply().status == 200
        assert time.monotonic() - started < 2 * PATIENCE
    for client in clients:
        client.close()


@pytest.mark.tsan
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
    """Many at once: each is either served or refused quickly."""
    fillers = fill(queued, 3, 100_000)
    clients = [queued.raw() for _ in range(40)]
    started = time.monotonic()
    for client in clients:
        client.request("POST", PATH, json.dumps(turns(1)))
    assert {client.reply().status for client in clients} == {429}
    assert time.monotonic() - started < 1.0 * PATIENCE
    for client in clients + fillers:
        client.close()
