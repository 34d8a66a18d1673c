"""What readiness asks for once a service is ready, and that slips in settings take nothing down."""

import json

import numpy as np
import pytest
from testenv import until
from testenv.server import run_inferd
from testenv.v2 import answer, array_tensor, request

pytestmark = pytest.mark.tsan

ECHO = request(array_tensor("INPUT0", np.ones((1, 4), np.float32)))
LATE = "input INPUT0 FP32 [1,4]\noutput OUTPUT0 FP32 [1,4]\nload_us 700000\n"


@pytest.fixture
def served(start_server, repository):
    repository.fake("echo")
    return start_server({"repository.path": repository.path, "engine": "fake"})


def test_a_model_that_comes_later_takes_no_readiness_away(served, repository):
    repository.fake("late", LATE)
    (repository.path / "empty").mkdir()
    seen = set()

    def late_serves():
        seen.add(served.get("/readyz", listener="management").status)
        return served.infer("late", ECHO).status == 200
    until(late_serves)
    assert seen == {200}


def test_a_model_that_was_there_at_the_start_is_asked_for(start_server, repository):
    repository.fake("echo")
    (repository.path / "empty").mkdir()
    server = start_server({"repository.path": repository.path, "engine": "fake"}, wait="listening")
    until(lambda: server.infer("echo", ECHO).status == 200)
    reply = server.get("/v2/health/ready")
    assert reply.status == 503
    assert [item["model"] for item in reply.json["missing"]] == ["empty"]


def test_a_default_version_that_is_not_there_leaves_the_highest(served, repository):
    repository.fake("echo", version=2)
    repository.settings("echo", "versions:\n  policy: all\n  default: 9\n")
    served.wait_versions("echo", "1", "2")  # so the settings were read
    reply = served.infer("echo", ECHO)
    assert answer(reply)["OUTPUT0"] == [1] * 4
    assert reply.json["model_version"] == "2"
    assert served.get("/v2/health/ready").status == 200


def test_a_start_that_fails_is_in_the_log(served, repository):
    port = served.ports["data"]
    second = run_inferd("serve", "--engine=fake", f"--repository-path={repository.path}",
                        f"--http-port={port}", "--grpc-port=0", "--management-port=0")
    assert second.returncode == 1 and str(port) in second.stderr
    events = {line["event"]: line for line in map(json.loads, second.stdout.splitlines())}
    assert events["start_failed"]["level"] == "error"
    assert str(port) in events["start_failed"]["reason"]


def test_the_access_line_of_a_failure_says_why(served):
    reply = served.infer("echo", {"inputs": []})
    assert reply.status == 400
    request_id = reply.header("X-Request-Id")
    (line,) = until(lambda: served.logged("request", request_id=request_id))
    assert line["reason"] == reply.error
