"""Recorded requests: run before a version serves, and telling when they do not fit."""

import json

import numpy as np
import pytest
from testenv import until
from testenv.server import run_inferd
from testenv.v2 import answer, array_tensor, pack, request

ROW = request(array_tensor("INPUT0", np.ones((1, 4), np.float32)))


def record(repository, name, file, content, version=1):
    """Writes <name>/<version>/warmup/<file>; a dict becomes JSON."""
    if isinstance(content, dict):
        content = json.dumps(content)
    folder = repository.path / name / str(version) / "warmup"
    folder.mkdir(exist_ok=True)
    path = folder / file
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    repository.age(repository.path / name)
    return path


def reason_of(server, name, version="1"):
    def failed():
        row = server.index().get((name, version), {})
        return row.get("state") == "UNAVAILABLE" and row.get("reason")
    return until(failed, what=f"the failure of {name}")


@pytest.mark.tsan
def test_recorded_requests_run_before_the_version_is_ready(start_server, repository):
    repository.fake("echo").settings("echo", "warmup_count: 3\n")
    record(repository, "echo", "1-json.json", {**ROW, "id": "one"})
    values = np.arange(8, dtype=np.float32)
    record(repository, "echo", "2-binary.json", {"inputs": [
        {"name": "INPUT0", "datatype": "FP32", "shape": [2, 4],
         "parameters": {"binary_data_size": values.nbytes}}]})
    record(repository, "echo", "2-binary.bin", pack("FP32", values))
    record(repository, "echo", "README.md", "how these were recorded")
    server = start_server({"repository.path": repository.path, "engine": "fake"})
    (line,) = server.wait_logged("model_batching", model="echo")
    assert line["recorded_requests"] == 2
    server.let_counts_settle()
    (stats,) = server.get("/v2/models/echo/stats").json["model_stats"]
    assert stats["execution_count"] == 0, "warm-up is no traffic"
    assert answer(server.infer("echo", ROW))["OUTPUT0"] == [1.0] * 4


@pytest.mark.tsan
@pytest.mark.parametrize("content, says", [
    ("{", "line"),
    (request(array_tensor("INPUT0", np.ones((1, 5), np.float32))), "[1,5]"),
    (request(array_tensor("WRONG", np.ones((1, 4), np.float32))), "WRONG"),
    ({"inputs": [{"name": "INPUT0", "datatype": "FP32", "shape": [1, 4],
                  "parameters": {"binary_data_size": 16}}]}, "INPUT0"),
], ids=["no JSON", "another shape", "another name", "no .bin"])
def test_one_that_does_not_fit_fails_the_version(start_server, repository, content, says):
    repository.fake("echo").fake("other")
    record(repository, "echo", "a.json", ROW)
    bad = record(repository, "echo", "bad.json", content)
    server = start_server({"repository.path": repository.path, "engine": "fake"},
                          wait="listening")
    reason = reason_of(server, "echo")
    assert reason.startswith("warmup/bad.json: ")
    if says != "line":
        assert says in reason
    until(lambda: server.infer("other", ROW).status == 200)
    bad.unlink()  # mended: the version is tried again
    until(lambda: server.infer("echo", ROW).status == 200)


def test_one_that_the_model_refuses_fails_the_version(start_server, repository):
    """An index beyond the table: the request is well-formed, the run fails."""
    repository.add("lookup")
    bad = {"inputs": [{"name": "INPUT0", "datatype": "INT64", "shape": [1], "data": [9]}]}
    record(repository, "lookup", "index.json", bad)
    server = start_server({"repository.path": repository.path}, wait="listening")
    assert reason_of(server, "lookup").startswith("warmup/index.json: ")


def test_a_new_version_that_fails_its_requests_leaves_the_old_one_serving(start_server,
                                                                            repository):
    repository.add_version("versions", 1).add_version("versions", 2, source_version=2)
    server = start_server({"repository.path": repository.path, "repository.poll_interval": "200ms",
                           "repository.settle": "100ms"})
    until(lambda: answer(server.infer("versions", ROW))["OUTPUT0"] == [3.0] * 4)
    record(repository, "versions", "bad.json", "[]", version=2)
    until(lambda: "warmup/bad.json" in server.index()[("versions", "2")].get("reason", ""))
    assert answer(server.infer("versions", ROW))["OUTPUT0"] == [3.0] * 4


@pytest.mark.tsan
def test_no_request_is_read_from_outside_the_repository(start_server, repository, tmp_path):
    outside = tmp_path / "outside.json"
    outside.write_text(json.dumps(ROW))
    repository.fake("echo")
    record(repository, "echo", "a.json", ROW).unlink()
    (repository.path / "echo/1/warmup/a.json").symlink_to(outside)
    server = start_server({"repository.path": repository.path, "engine": "fake"},
                          wait="listening")
    assert "leads out of the repository" in reason_of(server, "echo")


def test_without_warm_up_none_is_run(start_server, repository):
    repository.fake("echo").settings("echo", "warmup: false\n")
    record(repository, "echo", "bad.json", "{")
    server = start_server({"repository.path": repository.path, "engine": "fake"})
    assert server.infer("echo", ROW).status == 200


def test_inferd_check_says_it(repository):
    repository.fake("echo").fake("good")
    record(repository, "echo", "bad.json", {"inputs": []})
    record(repository, "good", "fine.json", ROW)
    done = run_inferd("check", "--repository-path", str(repository.path), "--engine", "fake")
    assert done.returncode == 1
    assert "echo version 1: warmup/bad.json: " in done.stdout
    assert "good version 1: ok" in done.stdout and "requests answered: 1)" in done.stdout
    assert "1 problem" in done.stdout
