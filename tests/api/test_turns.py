"""Turns of an event loop: what one turn may not run is run in the next, without being asked again."""

import numpy as np
import pytest
from testenv.v2 import answer, array_tensor, request

pytestmark = pytest.mark.tsan

# A quick model of which a turn's 5 ms hold only some runs; fixed shape: each request is a run.
QUICK = "input INPUT0 FP32 [1,4]\noutput OUTPUT0 FP32 [1,4]\nrun_us 300\n"
CLIENTS = 64


def test_a_burst_longer_than_a_turn_is_answered_without_further_traffic(start_server, repository):
    repository.fake("quick", QUICK).settings("quick", "batching:\n  inline_max: 100ms\n")
    server = start_server({"repository.path": repository.path, "engine": "fake", "loops": 1})
    clients = [server.raw(seconds=20) for _ in range(CLIENTS)]
    for number, client in enumerate(clients):
        client.request("POST", "/v2/models/quick/infer",
                       request(array_tensor("INPUT0", np.full((1, 4), number, np.float32))))
    for number, client in enumerate(clients):
        assert answer(client.reply())["OUTPUT0"] == [number] * 4
        client.close()
    assert server.metrics().value("inferd_model_runs_total", model="quick", where="inline") >= 1


def test_an_answer_beyond_the_limit_is_an_error_and_not_cut(start_server, repository):
    for number in range(40):
        repository.fake(f"model-with-a-name-{number}")
    server = start_server({"repository.path": repository.path, "engine": "fake",
                           "limits.response_max": "64Ki"})
    reply = server.get("/metrics", listener="management")
    assert reply.status == 500
    assert "limits.response_max" in reply.error and "65536" in reply.error
    assert server.get("/v2/health/ready").status == 200
