"""A real model whose work is in its input: nothing tells beforehand how long a run takes."""

import json
import time

import numpy as np
import pytest
from testenv import PATIENCE, until
from testenv.v2 import answer, array_tensor, request

ADD = request(array_tensor("INPUT0", np.ones((1, 16), np.float32)),
              array_tensor("INPUT1", np.ones((1, 16), np.float32)))


def turns(count):
    """10 to 50 microseconds each."""
    return request({"name": "INPUT0", "datatype": "INT64", "shape": [1], "data": [count]})


@pytest.fixture
def started(start_server, repository):
    repository.add("slow", "add_sub")
    return start_server({"repository.path": repository.path, "executors": 1})


def runs(server, where):
    return server.metrics().value("inferd_model_runs_total", model="slow", where=where)


def test_a_model_that_proves_slow_leaves_the_loops(started):
    """Its warm-up was quick: the first long run is the last that a loop does itself."""
    assert started.infer("slow", turns(10_000)).status == 200
    before = runs(started, "inline")
    clients = [started.raw(seconds=60) for _ in range(3)]
    for client in clients:
        client.request("POST", "/v2/models/slow/infer", turns(10_000))
    for _ in range(5):
        began = time.monotonic()
        assert started.infer("add_sub", ADD).status == 200
        assert started.get("/v2/health/live").status == 200
        assert time.monotonic() - began < 1.0 * PATIENCE
    for client in clients:
        assert answer(client.reply())["OUTPUT0"] == [10_000]
        client.close()
    assert runs(started, "inline") == before
    assert runs(started, "executor") == 3


def test_a_recorded_request_that_is_slow_keeps_a_model_off_the_loops(start_server, repository):
    """From the first request on: no loop has to find it out."""
    repository.add("slow")
    (repository.path / "slow" / "1" / "warmup").mkdir()
    repository.write("slow", 1, json.dumps(turns(10_000)), "warmup/long.json")
    repository.age(repository.path)
    server = start_server({"repository.path": repository.path})
    assert server.metrics().value("inferd_model_runs_inline", model="slow") == 0
    assert server.infer("slow", turns(10_000)).status == 200
    assert runs(server, "inline") == 0 and runs(server, "executor") == 1


def test_long_runs_are_right_and_measured(started):
    reply = started.infer("slow", turns(5_000))
    assert answer(reply)["OUTPUT0"] == [5_000]
    request_id = reply.header("X-Request-Id")
    (line,) = until(lambda: started.logged("request", request_id=request_id))
    assert 5_000 < line["compute_us"] <= line["total_us"]
    assert started.metrics().value("inferd_compute_duration_seconds_sum", model="slow") > 0.005
