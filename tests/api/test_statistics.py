"""The statistics extension: complete, unsigned, and adding up."""

import numpy as np
import pytest
from testenv.v2 import array_tensor, request

DURATIONS = {"success", "fail", "queue", "compute_input", "compute_infer", "compute_output",
             "cache_hit", "cache_miss"}


def rows(count):
    return request(array_tensor("INPUT0", np.zeros((count, 16), np.float32)),
                   array_tensor("INPUT1", np.zeros((count, 16), np.float32)))


def statistics(server, model="add_sub", path="/stats"):
    server.let_counts_settle()
    reply = server.get(f"/v2/models/{model}{path}")
    assert reply.status == 200, reply.body
    (one,) = reply.json["model_stats"]
    return one


def is_unsigned(value):
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2 ** 64


def test_every_field_that_perf_analyzer_reads(server):
    one = statistics(server)
    assert one["name"] == "add_sub" and one["version"] == "1"
    assert is_unsigned(one["inference_count"]) and is_unsigned(one["execution_count"])
    assert is_unsigned(one["last_inference"])
    assert set(one["inference_stats"]) >= DURATIONS
    for name in DURATIONS:
        assert is_unsigned(one["inference_stats"][name]["count"]), name
        assert is_unsigned(one["inference_stats"][name]["ns"]), name
    assert isinstance(one["batch_stats"], list)


@pytest.mark.tsan
def test_counts_follow_the_requests(start_server, served_repository):
    server = start_server(served_repository)
    four = request(array_tensor("INPUT0", np.zeros((3, 4), np.float32)))
    for _ in range(10):
        assert server.infer("echo", four).status == 200
    one = statistics(server, "echo")
    assert one["inference_count"] == 30, "rows"
    assert one["execution_count"] == 10, "one after the other: no batch held two"
    stats = one["inference_stats"]
    for name in ("success", "queue", "compute_input", "compute_infer", "compute_output"):
        assert stats[name]["count"] == 10, name
    assert {stats[name]["count"] for name in ("fail", "cache_hit", "cache_miss")} == {0}
    parts = sum(stats[name]["ns"] for name in ("queue", "compute_input", "compute_infer",
                                               "compute_output"))
    assert 0 < stats["compute_infer"]["ns"] <= parts <= stats["success"]["ns"]
    (batch,) = one["batch_stats"]
    assert batch["batch_size"] == 3, "rows of a run"
    assert batch["compute_infer"]["count"] == 10


def test_failures_are_counted_apart(server):
    before = statistics(server, "lookup")["inference_stats"]
    body = request({"name": "INPUT0", "datatype": "INT64", "shape": [1], "data": [9]})
    assert server.infer("lookup", body).status >= 400
    after = statistics(server, "lookup")["inference_stats"]
    assert after["fail"]["count"] == before["fail"]["count"] + 1
    assert after["success"]["count"] == before["success"]["count"]


def test_the_time_of_the_last_inference(server):
    import time
    assert server.infer("add_sub", rows(1)).status == 200
    assert abs(statistics(server)["last_inference"] - time.time() * 1000) < 60_000


def test_concurrent_requests_add_up(server):
    before = statistics(server)
    connections = [server.raw() for _ in range(16)]
    for _ in range(20):
        for number, connection in enumerate(connections):
            connection.request("POST", "/v2/models/add_sub/infer", rows(1 + number % 3))
        for connection in connections:
            assert connection.reply().status == 200
    for connection in connections:
        connection.close()
    after = statistics(server)
    inferred = after["inference_count"] - before["inference_count"]
    assert inferred == 20 * sum(1 + number % 3 for number in range(16))
    assert after["inference_stats"]["success"]["count"] \
        - before["inference_stats"]["success"]["count"] == 320
    executed = after["execution_count"] - before["execution_count"]
    assert 1 <= executed <= 320

    def of(one, what):
        return sum(what(batch) for batch in one["batch_stats"])
    assert of(after, lambda b: b["compute_infer"]["count"]) == after["execution_count"]
    if max(batch["batch_size"] for batch in after["batch_stats"]) < 32:
        assert of(after, lambda b: b["batch_size"] * b["compute_infer"]["count"]) \
            == after["inference_count"]


def test_all_models_at_once(server):
    server.let_counts_settle()
    listed = server.get("/v2/models/stats").json["model_stats"]
    assert {"add_sub", "mlp", "slow", "breast-cancer"} <= {one["name"] for one in listed}
    for one in listed:
        assert set(one["inference_stats"]) >= DURATIONS


def test_versions_are_counted_apart(start_server, repository):
    repository.add("versions").settings("versions", "versions:\n  policy: all\n")
    server = start_server({"repository.path": repository.path})
    server.wait_versions("versions", 1, 2, 10)
    body = request(array_tensor("INPUT0", np.zeros((1, 4), np.float32)))
    server.infer("versions", body, version=1)
    server.infer("versions", body, version=1)
    server.infer("versions", body)
    server.let_counts_settle()
    counts = {one["version"]: one["inference_count"]
              for one in server.get("/v2/models/versions/stats").json["model_stats"]}
    assert counts == {"1": 2, "2": 0, "10": 1}
    assert statistics(server, "versions", "/versions/1/stats")["inference_count"] == 2


def test_on_management_too(server):
    assert server.get("/v2/models/add_sub/stats", listener="management").status == 200
