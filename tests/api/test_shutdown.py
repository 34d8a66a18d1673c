"""The end of the process when something is still going on."""

import time

import numpy as np
import pytest
from testenv import until
from testenv.v2 import array_tensor, request

pytestmark = pytest.mark.tsan

ECHO = request(array_tensor("INPUT0", np.ones((1, 4), np.float32)))
FIXED = "input INPUT0 FP32 [1,4]\noutput OUTPUT0 FP32 [1,4]\n"


@pytest.fixture
def slow(start_server, repository, gate):
    repository.fake("slow", FIXED + gate.directive).settings("slow", "warmup: false\n")
    return start_server({"repository.path": repository.path, "engine": "fake",
                         "drain.delay": "0s", "drain.timeout": "20s"})


def in_flight(server):
    return server.metrics().value("inferd_requests_in_flight", model="slow")


def test_a_run_whose_client_is_gone_is_waited_for(slow, gate):
    client = slow.raw()
    client.request("POST", "/v2/models/slow/infer", ECHO)
    until(lambda: in_flight(slow) == 1)
    client.close()
    slow.signal()
    slow.wait_logged("draining")
    gate.open()
    assert slow.wait() == 0
    assert slow.logged("drained")[0]["left"] == 0


def test_a_run_that_was_answered_at_its_deadline_is_waited_for(slow, gate):
    client = slow.raw()
    client.request("POST", "/v2/models/slow/infer",
                   {**ECHO, "parameters": {"timeout": 200_000}} if isinstance(ECHO, dict) else ECHO)
    assert client.reply().status == 504
    client.close()
    slow.signal()
    slow.wait_logged("draining")
    gate.open()
    assert slow.wait() == 0


def test_the_timeout_ends_a_server_whose_model_still_runs(start_server, repository):
    repository.fake("slow", FIXED + "sleep_us 60000000\n").settings("slow", "warmup: false\n")
    server = start_server({"repository.path": repository.path, "engine": "fake",
                           "drain.delay": "0s", "drain.timeout": "1s"})
    client = server.raw()
    client.request("POST", "/v2/models/slow/infer", ECHO)
    until(lambda: in_flight(server) == 1)
    began = time.monotonic()
    server.signal()
    assert server.wait() == 0
    assert time.monotonic() - began < 15
    client.close()


def test_the_timeout_ends_a_server_whose_model_still_loads(start_server, repository):
    repository.fake("late", FIXED + "load_us 60000000\n")
    server = start_server({"repository.path": repository.path, "engine": "fake",
                           "drain.delay": "0s", "drain.timeout": "1s"}, wait="listening")
    until(lambda: server.get("/v2/health/live").status == 200)
    began = time.monotonic()
    server.signal()
    assert server.wait() == 0
    assert time.monotonic() - began < 15
