"""What a user sets about batching: delay, preferred sizes, priority levels, time-outs in the queue.

Runs are held by a gate and queues are filled before it opens, so that what follows is determined.
"""

import json

import numpy as np
import pytest
import tritonclient.grpc
from testenv import until
from testenv.server import TREE
from testenv.v2 import answer, array_tensor, binary, request

DEMO = TREE / "models" / "breast-cancer"
PATH = "/v2/models/slow/infer"
# Fixed shapes: each request is a run of its own.
FIXED = "input INPUT0 FP32 [1,4]\noutput OUTPUT0 FP32 [1,4]\n"
FREE = "input INPUT0 FP32 [-1,4]\noutput OUTPUT0 FP32 [-1,4]\n"
SETTINGS = "warmup: false\nbatching:\n  inline_max: 0\n"
REASONS = {"full", "preferred", "delay", "idle", "shape", "turn"}


def numbered(number, rows=1, **rest):
    return request(array_tensor("INPUT0", np.full((rows, 4), number, np.float32)), **rest)


def reasons(server, model="slow"):
    series = server.metrics().series("inferd_batches_total", model=model)
    return {one.labels["reason"]: one.value for one in series}


class Clients:
    """Connections with a request each, all inside the server before the next one comes."""

    def __init__(self, server, model="slow"):
        self.server, self.model, self.all = server, model, []

    def send(self, number, rows=1, **parameters):
        client = self.server.raw(seconds=60)
        client.request("POST", f"/v2/models/{self.model}/infer",
                       numbered(number, rows, parameters=parameters),
                       {"X-Request-Id": f"number-{number}"})
        self.all.append((client, number, rows))
        return client

    def queue(self, number, rows=1, **parameters):
        before = self.inside()
        client = self.send(number, rows, **parameters)
        until(lambda: self.inside() == before + 1)
        return client

    def inside(self):
        return self.server.metrics().value("inferd_requests_in_flight", model=self.model)

    def finish(self):
        for client, number, rows in self.all:
            assert answer(client.reply())["OUTPUT0"] == [number] * 4 * rows
            client.close()
        self.all = []


@pytest.fixture
def start(start_server, repository, gate):
    """start(settings, shape) -> a server with one executor; runs of `slow` wait for the gate."""
    def started(settings, shape=FREE, gated=True, **options):
        text = shape + gate.directive if gated else shape
        mode = "  mode: on\n" if shape == FREE else ""
        repository.fake("slow", text).settings("slow", SETTINGS + mode + settings)
        return start_server({"repository.path": repository.path, "engine": "fake", "executors": 1,
                             "loops": 1, **options})
    return started


def order_of_answers(server, count):
    """The numbers of the requests, in the order in which they were answered."""
    lines = until(lambda: len(found := server.logged("request", path=PATH)) == count and found)
    return [int(line["request_id"].removeprefix("number-"))
            for line in sorted(lines, key=lambda line: line["time"])]


@pytest.mark.tsan
def test_every_reason_is_there_from_the_start(start):
    server = start("", gated=False)
    assert reasons(server) == dict.fromkeys(REASONS, 0)
    assert server.infer("slow", numbered(1)).status == 200
    assert reasons(server) == dict.fromkeys(REASONS, 0) | {"idle": 1}
    assert server.metrics().value("inferd_model_runs_inline", model="slow") == 0


@pytest.mark.tsan
def test_a_quick_model_runs_inline_and_its_batches_leave_with_the_turn(start_server, repository):
    repository.fake("quick").settings("quick", "batching:\n  inline_max: 1s\n")
    server = start_server({"repository.path": repository.path, "engine": "fake"})
    assert server.metrics().value("inferd_model_runs_inline", model="quick") == 1
    assert server.infer("quick", numbered(1)).status == 200
    assert reasons(server, "quick")["turn"] == 1


@pytest.mark.tsan
def test_a_lone_request_leaves_after_the_delay(start):
    server = start("  delay_max: 20ms\n", gated=False)
    assert server.infer("slow", numbered(1)).status == 200
    (line,) = until(lambda: server.logged("request", path=PATH))
    assert line["queue_us"] >= 20_000
    assert reasons(server)["delay"] == 1


@pytest.mark.tsan
def test_a_full_batch_does_not_wait_for_the_delay(start):
    server = start("  rows_max: 4\n  delay_max: 60s\n", gated=False)
    clients = Clients(server)
    for number in range(4):
        clients.send(number)
    clients.finish()
    assert reasons(server)["full"] == 1
    assert server.metrics().value("inferd_batch_rows_sum", model="slow") == 4


@pytest.mark.tsan
def test_a_preferred_size_does_not_wait_for_the_delay(start):
    server = start("  delay_max: 60s\n  preferred_sizes: [3, 6]\n", gated=False)
    clients = Clients(server)
    for number in range(3):
        clients.send(number)
    clients.finish()
    assert reasons(server)["preferred"] == 1


@pytest.mark.tsan
def test_what_queues_up_is_cut_to_a_preferred_size(start, gate):
    server = start("  preferred_sizes: [4]\n")
    clients = Clients(server)
    for number in range(7):  # the first runs, six wait
        clients.queue(number)
    gate.open()
    clients.finish()
    assert reasons(server) == dict.fromkeys(REASONS, 0) | {"idle": 2, "preferred": 1}


def test_64_clients_in_one_batch_get_the_bits_they_get_alone(start_server, repository):
    """The demonstration model. The batch leaves when it is full: all 64 are in one run."""
    repository.add("breast-cancer")
    settings = repository.path / "breast-cancer" / "model.yaml"
    row = np.array(json.loads((DEMO / "expected.json").read_text())["inputs"]["X"], np.float32)[0]
    random = np.random.RandomState(4)
    bodies = []
    for _ in range(64):
        one = (row * random.uniform(0.8, 1.2, row.shape)).astype(np.float32).reshape(1, -1)
        bodies.append(binary(("X", "FP32", one.shape, one.tobytes()),
                             parameters={"binary_data_output": True}))

    def bits(reply):
        return {name: np.asarray(value).tobytes() for name, value in answer(reply).items()}

    def serve(text):
        settings.write_text(text)
        repository.age(repository.path)
        return start_server({"repository.path": repository.path, "executors": 1})

    single = serve("batching:\n  mode: off\n")
    alone = [bits(single.infer("breast-cancer", body, headers)) for body, headers in bodies]
    assert len({one["probabilities"] for one in alone}) > 32, "the rows differ"
    server = serve("batching:\n  rows_max: 64\n  delay_max: 60s\n")
    for _ in range(3):
        clients = [server.raw(seconds=60) for _ in bodies]
        for client, (body, headers) in zip(clients, bodies):
            client.request("POST", "/v2/models/breast-cancer/infer", body, headers)
        assert [bits(client.reply()) for client in clients] == alone
        for client in clients:
            client.close()
    assert reasons(server, "breast-cancer")["full"] == 3
    assert server.metrics().value("inferd_model_runs_total", model="breast-cancer") == 3


@pytest.mark.tsan
def test_a_higher_priority_goes_first(start, gate):
    server = start("  priority_levels: 3\n  default_priority_level: 2\n", FIXED)
    clients = Clients(server)
    clients.queue(0)  # runs
    order = [(1, {"priority": 3}), (2, {}), (3, {"priority": 1}), (4, {"priority": 7}),
             (5, {"priority": 1})]
    for number, parameters in order:
        clients.queue(number, **parameters)
    gate.open()
    clients.finish()
    assert order_of_answers(server, 6) == [0, 3, 5, 2, 4, 1]


@pytest.mark.tsan
def test_a_level_has_its_own_bound(start, gate):
    server = start("  priority_levels: 2\n  priority_queue_max: [64, 1]\n", FIXED)
    clients = Clients(server)
    clients.queue(0, priority=1)
    clients.queue(1)  # the last level is the default
    reply = server.infer("slow", numbered(2))
    assert reply.status == 429
    assert reply.error.startswith("Exceeds maximum queue size: 1 requests of priority level 2")
    clients.queue(3, priority=1)
    gate.open()
    clients.finish()


@pytest.mark.tsan
def test_who_waits_too_long_is_rejected_at_once(start, gate):
    """While the executor is still held; one that runs is not hit by it."""
    server = start("  timeout: 100ms\n", FIXED)
    clients = Clients(server)
    clients.queue(0)
    reply = server.infer("slow", numbered(1))
    assert reply.status == 504 and reply.error.startswith("Request timeout expired")
    rejected = server.metrics().value("inferd_requests_rejected_total", model="slow",
                                      reason="deadline")
    assert rejected == 1
    gate.open()
    clients.finish()


@pytest.mark.tsan
def test_who_waits_too_long_may_go_on_behind_all_others(start, gate):
    server = start("  timeout_action: continue\n", FIXED)
    clients = Clients(server)
    clients.queue(0)
    clients.queue(1, timeout=1)  # a microsecond
    clients.queue(2)
    gate.open()
    clients.finish()
    assert order_of_answers(server, 3) == [0, 2, 1]


@pytest.mark.tsan
def test_a_request_s_timeout_may_be_ignored(start, gate):
    server = start("  allow_timeout_override: false\n", FIXED)
    clients = Clients(server)
    clients.queue(0, timeout=1)
    clients.queue(1, timeout=1)
    gate.open()
    clients.finish()


@pytest.mark.tsan
def test_the_model_s_configuration_says_what_is_set(start):
    server = start("  queue_max: 9\n  delay_max: 5ms\n  preferred_sizes: [2, 4]\n"
                   "  priority_levels: 3\n  timeout: 1s\n  timeout_action: continue\n",
                   gated=False)
    found = server.get("/v2/models/slow/config").json["dynamic_batching"]
    policy = {"timeout_action": "DELAY", "default_timeout_microseconds": 1_000_000,
              "allow_timeout_override": True, "max_queue_size": 9}
    assert found == {"preferred_batch_size": [2, 4], "max_queue_delay_microseconds": 5000,
                     "priority_levels": 3, "default_priority_level": 3,
                     "default_queue_policy": policy}
    with tritonclient.grpc.InferenceServerClient(server.address("grpc")) as client:
        batching = client.get_model_config("slow").config.dynamic_batching
    assert list(batching.preferred_batch_size) == [2, 4]
    assert batching.max_queue_delay_microseconds == 5000
    assert (batching.priority_levels, batching.default_priority_level) == (3, 3)
    said = batching.default_queue_policy
    assert said.timeout_action == said.DELAY and said.default_timeout_microseconds == 1_000_000
    assert said.allow_timeout_override and said.max_queue_size == 9


@pytest.mark.tsan
@pytest.mark.parametrize("settings, says", [
    ("  priority_levels: 2\n  default_priority_level: 3\n", "default_priority_level"),
    ("  preferred_sizes: [0]\n", "preferred_sizes"),
    ("  preferred_sizes: [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]\n", "at most 16"),
    ("  preferred_sizes: [1000001]\n", "preferred_sizes"),
    ("  priority_levels: 1\n  priority_queue_max: [1, 2]\n", "priority_queue_max"),
    ("  timeout_action: forget\n", "timeout_action"),
])
def test_settings_that_make_no_sense_are_said(start_server, repository, settings, says):
    repository.fake("slow").settings("slow", SETTINGS + settings)
    server = start_server({"repository.path": repository.path, "engine": "fake",
                           "ready.policy": "any"}, wait="live")
    (row,) = until(lambda: [row for row in server.index().values() if row.get("reason")])
    assert says in row["reason"]
