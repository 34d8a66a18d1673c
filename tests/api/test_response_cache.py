"""The response cache: the same answers, fewer runs, bounded memory, and never an old version's."""

import json
import threading

import numpy as np
import pytest
import tritonclient.grpc as triton
from testenv import until
from testenv.v2 import answer, array_tensor, binary, request

pytestmark = pytest.mark.tsan
CACHED = "response_cache: {bytes: 1Mi}\n"


def row(*values):
    return request(array_tensor("INPUT0", np.array([values], np.float32)))


def statistics(server, model):
    server.let_counts_settle()
    (one,) = server.get(f"/v2/models/{model}/stats").json["model_stats"]
    return one


def counted(server, what, model="echo"):
    return server.metrics().value(f"inferd_response_cache_{what}", model=model)


@pytest.fixture
def cached(start_server, repository):
    """A server with `echo`, which keeps answers, and `plain`, which does not."""
    repository.fake("echo").settings("echo", CACHED).fake("plain")
    return start_server({"repository.path": repository.path, "engine": "fake"})


def test_off_by_default(cached):
    for _ in range(3):
        assert cached.infer("plain", row(1, 2, 3, 4)).status == 200
    stats = statistics(cached, "plain")
    assert stats["execution_count"] == 3
    assert stats["inference_stats"]["cache_miss"]["count"] == 0
    assert "response_cache" not in cached.get("/v2/models/plain/config").json
    assert not [line for line in cached.logged("request", model="plain") if "cache" in line]


def test_a_hit_is_the_run_s_answer_and_runs_nothing(cached):
    replies = [cached.infer("echo", row(1, 0.1, -3e-7, 4)) for _ in range(5)]
    assert {reply.status for reply in replies} == {200}
    assert len({reply.body for reply in replies}) == 1, "byte for byte"
    assert replies[0].json["outputs"][0]["data"] == [1.0, 0.1, -3e-07, 4.0]
    until(lambda: statistics(cached, "echo")["inference_stats"]["success"]["count"] == 5)
    stats = statistics(cached, "echo")
    assert stats["execution_count"] == 1 and stats["inference_count"] == 1
    inner = stats["inference_stats"]
    assert inner["success"]["count"] == 5
    assert inner["cache_hit"]["count"] == 4 and inner["cache_hit"]["ns"] > 0
    assert inner["cache_miss"]["count"] == 1 and inner["cache_miss"]["ns"] > 0
    for name in ("queue", "compute_input", "compute_infer", "compute_output"):
        assert inner[name]["count"] == 1, name
    assert counted(cached, "hits_total") == 4 and counted(cached, "misses_total") == 1
    assert counted(cached, "entries") == 1
    assert 0 < counted(cached, "bytes") <= 1 << 20
    assert cached.get("/v2/models/echo/config").json["response_cache"] == {"enable": True}
    lines = until(lambda: len(found := cached.logged("request", model="echo",
                                                         method="POST")) == 5 and found)
    assert sorted(line["cache"] for line in lines) == ["hit"] * 4 + ["miss"], "of two loops"
    assert cached.metrics().value("inferd_requests_total", model="echo", code="200") == 5


def test_json_and_binary_share_an_answer(cached):
    values = np.array([[1, 2, 3, 4]], np.float32)
    asked = [{"name": "OUTPUT0", "parameters": {"binary_data": True}}]
    first = answer(cached.infer("echo", row(1, 2, 3, 4)))
    body, headers = binary(("INPUT0", "FP32", (1, 4), values.tobytes()), outputs=asked)
    second = answer(cached.infer("echo", body, headers))
    assert counted(cached, "hits_total") == 1
    assert first["OUTPUT0"] == second["OUTPUT0"].reshape(-1).tolist()
    assert second["OUTPUT0"].tobytes() == values.tobytes()


def test_grpc_shares_the_answers(cached):
    values = np.array([[1, 0.1, -3e-7, 4]], np.float32)
    assert cached.infer("echo", row(*values[0].tolist())).status == 200
    one = triton.InferInput("INPUT0", list(values.shape), "FP32")
    one.set_data_from_numpy(values)
    with triton.InferenceServerClient(cached.address("grpc")) as client:
        answers = [client.infer("echo", [one]) for _ in range(2)]

        def counts():
            stats = client.get_inference_statistics("echo").model_stats[0].inference_stats
            return stats.success.count, stats.cache_hit.count, stats.cache_miss.count
        until(lambda: counts() == (3, 2, 1))
        assert client.get_model_config("echo").config.response_cache.enable
    for reply in answers:
        assert reply.as_numpy("OUTPUT0").tobytes() == values.tobytes()
    assert counted(cached, "hits_total") == 2 and counted(cached, "misses_total") == 1


def test_the_id_is_the_request_s_own(cached):
    for name in ("one", "two"):
        assert cached.infer("echo", {**row(1, 2, 3, 4), "id": name}).json["id"] == name
    assert counted(cached, "hits_total") == 1


def test_other_values_shapes_and_outputs_are_misses(start_server, repository):
    repository.fake("wide", "input INPUT0 FP32 [-1,-1]\ninput INPUT1 FP32 [-1,-1]\n"
                    "output OUTPUT0 FP32 [-1,-1]\noutput OUTPUT1 FP32 [-1,-1]\n")
    repository.settings("wide", CACHED)
    server = start_server({"repository.path": repository.path, "engine": "fake"})

    def body(left, right, outputs=("OUTPUT0", "OUTPUT1")):
        return request(array_tensor("INPUT0", np.array(left, np.float32)),
                       array_tensor("INPUT1", np.array(right, np.float32)),
                       outputs=[{"name": name} for name in outputs])
    distinct = [body([[1, 2]], [[3, 4]]), body([[1, 2]], [[3, 5]]), body([[3, 4]], [[1, 2]]),
                body([[1], [2]], [[3], [4]]), body([[1, 2]], [[3, 4]], ("OUTPUT0",)),
                body([[1, 2]], [[3, 4]], ("OUTPUT1",)), body([[0, 2]], [[3, 4]]),
                body([[-0.0, 2]], [[3, 4]])]
    for one in distinct:
        found = answer(server.infer("wide", one))
        for name, given in (("OUTPUT0", one["inputs"][0]), ("OUTPUT1", one["inputs"][1])):
            if {"name": name} in one["outputs"]:
                assert found[name] == np.array(given["data"]).reshape(-1).tolist()
    assert counted(server, "misses_total", "wide") == len(distinct)
    assert counted(server, "hits_total", "wide") == 0
    swapped = body([[1, 2]], [[3, 4]], ("OUTPUT1", "OUTPUT0"))
    reply = server.infer("wide", swapped)
    assert [output["name"] for output in reply.json["outputs"]] == ["OUTPUT1", "OUTPUT0"]
    assert answer(reply)["OUTPUT1"] == [3, 4]
    assert counted(server, "hits_total", "wide") == 1, "only the order of the outputs differs"


def test_texts_are_kept(start_server, repository):
    repository.fake("words", "input INPUT0 BYTES [-1]\noutput OUTPUT0 BYTES [-1]\n")
    repository.settings("words", CACHED)
    server = start_server({"repository.path": repository.path, "engine": "fake"})

    def ask(*texts):
        body = {"inputs": [{"name": "INPUT0", "datatype": "BYTES", "shape": [len(texts)],
                            "data": list(texts)}]}
        return server.infer("words", body).json["outputs"][0]["data"]
    assert ask("ab", "c", "") == ask("ab", "c", "") == ["ab", "c", ""]
    assert ask("a", "bc", "") == ["a", "bc", ""]
    assert counted(server, "hits_total", "words") == 1


def test_failures_are_not_kept(start_server, repository):
    repository.fake("flaky", "input INPUT0 FP32 [-1,4]\noutput OUTPUT0 FP32 [-1,4]\nfail broken\n")
    repository.settings("flaky", CACHED + "warmup: false\n")
    server = start_server({"repository.path": repository.path, "engine": "fake"})
    for _ in range(3):
        assert server.infer("flaky", row(1, 2, 3, 4)).status == 500
    assert counted(server, "misses_total", "flaky") == 3
    assert counted(server, "entries", "flaky") == 0


def test_bytes_are_bounded_under_a_flood_of_distinct_inputs(cached):
    connection = cached.connection()
    bound = 1 << 20
    for number in range(300):  # of 32 KiB, inputs and outputs: 30 fit
        values = np.full((1024, 4), number, np.float32)
        body, headers = binary(("INPUT0", "FP32", values.shape, values.tobytes()), outputs=[
            {"name": "OUTPUT0", "parameters": {"binary_data": True}}])
        reply = cached.infer("echo", body, headers, connection=connection)
        assert answer(reply)["OUTPUT0"].tobytes() == values.tobytes()
        if number % 50 == 0:
            assert counted(cached, "bytes") <= bound
    assert counted(cached, "bytes") <= bound
    entries = counted(cached, "entries")
    assert 20 < entries < 32
    assert counted(cached, "evictions_total") == 300 - entries
    huge = np.zeros((1 << 16, 4), np.float32)  # alone larger than the cache: served, not kept
    body, headers = binary(("INPUT0", "FP32", huge.shape, huge.tobytes()))
    assert cached.infer("echo", body, headers, connection=connection).status == 200
    assert counted(cached, "entries") == entries


def test_it_is_turned_on_and_off_while_serving(start_server, repository):
    repository.fake("echo")
    server = start_server({"repository.path": repository.path, "repository.settle": "50ms",
                           "repository.poll_interval": "100ms", "engine": "fake"})

    def asked_again():
        """True when an answer was a hit."""
        before = counted(server, "hits_total")
        for _ in range(3):
            assert server.infer("echo", row(1, 2, 3, 4)).status == 200
        return counted(server, "hits_total") > before
    assert not asked_again()
    repository.settings("echo", CACHED)
    until(asked_again)
    repository.settings("echo", "")
    until(lambda: not asked_again())
    assert counted(server, "bytes") == 0


def test_a_hit_needs_no_place_in_the_queue(start_server, repository, tmp_path):
    gate = tmp_path / "gate"
    repository.fake("slow", "input INPUT0 FP32 [-1,4]\noutput OUTPUT0 FP32 [-1,4]\n"
                    f"gate {gate}\n")
    repository.settings("slow", CACHED + "warmup: false\nbatching: {queue_max: 1, inline_max: 0}\n")
    server = start_server({"repository.path": repository.path, "engine": "fake"})
    gate.touch()
    kept = server.infer("slow", row(1, 2, 3, 4))
    assert kept.status == 200
    gate.unlink()
    replies = []
    waiting = threading.Thread(target=lambda: replies.append(server.infer("slow", row(9, 9, 9, 9))))
    waiting.start()
    until(lambda: server.metrics().value("inferd_requests_in_flight", model="slow") == 1)
    assert server.infer("slow", row(5, 6, 7, 8)).status == 429, "the queue is full"
    assert server.infer("slow", row(1, 2, 3, 4)).body == kept.body
    gate.touch()
    waiting.join()
    assert replies[0].status == 200


def test_a_swap_never_serves_an_old_version_s_answer(start_server, repository):
    """New versions, and new files of the same version, while the same request comes all the time.
    LEFT is the first input in odd versions, the second in even ones."""
    inputs = "input ONE FP32 [-1,1]\ninput TWO FP32 [-1,1]\n"
    odd = inputs + "output LEFT FP32 [-1,1]\noutput RIGHT FP32 [-1,1]\n"
    even = inputs + "output RIGHT FP32 [-1,1]\noutput LEFT FP32 [-1,1]\n"
    repository.fake("turning", odd).settings("turning", CACHED)
    server = start_server({"repository.path": repository.path, "repository.settle": "100ms",
                           "repository.poll_interval": "200ms", "engine": "fake"})
    body = request(array_tensor("ONE", np.array([[1]], np.float32)),
                   array_tensor("TWO", np.array([[2]], np.float32)), outputs=[{"name": "LEFT"}])
    wrong, seen, stop = [], [], threading.Event()

    def ask():
        connection = server.connection()
        while not stop.is_set():
            reply = server.infer("turning", body, connection=connection)
            document = json.loads(reply.body)
            version, left = int(document["model_version"]), document["outputs"][0]["data"]
            if reply.status != 200 or left != [1.0 if version % 2 else 2.0]:
                wrong.append((reply.status, version, left))
            seen.append(version)
    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for version in (2, 3, 4):
            staging = repository.path / f".{version}"
            staging.mkdir()
            (staging / "model.onnx").write_text(odd if version % 2 else even)
            staging.rename(repository.path / "turning" / str(version))
            until(lambda version=version: seen and seen[-1] == version)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong, wrong[:3]
    assert {1, 2, 3, 4} == set(seen)
    # The same number with other files: its cache begins anew.
    assert answer(server.infer("turning", body))["LEFT"] == [2.0]
    repository.write("turning", 4, odd)
    until(lambda: answer(server.infer("turning", body))["LEFT"] == [1.0])
    assert counted(server, "hits_total", "turning") > 0
