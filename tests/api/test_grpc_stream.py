"""ModelStreamInfer, deadlines and cancellation, on the fake engine."""

import asyncio
import queue
import threading

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from testenv import until
from testenv.grpcs import SECONDS, code_of, infer_request, stub

pytestmark = pytest.mark.tsan

Code = grpc.StatusCode
# Fixed shapes: each request is a run of its own.
FIXED = "input INPUT0 FP32 [1,4]\noutput OUTPUT0 FP32 [1,4]\n"
NO_WARM_UP = "warmup: false\nbatching:\n  inline_max: 0\n"
IN_FLIGHT_MAX = 64  # GRPC_STREAM_IN_FLIGHT_MAX


@pytest.fixture
def served(start_server, repository, gate):
    """`echo`, and `slow`, whose runs wait for the gate, one at a time."""
    repository.fake("echo").fake("slow", FIXED + gate.directive).settings("slow", NO_WARM_UP)

    def start(**options):
        return start_server({"repository.path": repository.path, "engine": "fake", "executors": 1,
                             **{name.replace("__", "."): value for name, value in options.items()}})
    return start


def row(number):
    return np.full((1, 4), number, np.float32)


def numbered(number, model="echo", **rest):
    return infer_request(model, row(number), id=str(number), **rest)


def in_flight(server, model="slow"):
    return server.metrics().value("inferd_requests_in_flight", model=model)


class Feed:
    """What is sent on a stream: an iterator that the test fills."""

    def __init__(self, *messages):
        self.messages = queue.Queue()
        self.taken = 0
        for one in messages:
            self.put(one)

    def put(self, message):
        self.messages.put(message)

    def close(self):
        self.messages.put(None)

    def __iter__(self):
        return self

    def __next__(self):
        message = self.messages.get()
        if message is None:
            raise StopIteration
        self.taken += 1
        return message


def assert_answer(found, number):
    assert found.error_message == ""
    assert found.infer_response.id == str(number)
    assert found.infer_response.raw_output_contents[0] == row(number).tobytes()


def test_each_message_is_answered_and_the_half_closed_stream_ends(served):
    server = served()
    for listener in ("grpc", "data"):
        with stub(server, listener) as one:
            answers = list(one.ModelStreamInfer(iter([numbered(n) for n in range(300)]),
                                                timeout=SECONDS))
        assert len(answers) == 300
        for found in answers:
            assert_answer(found, int(found.infer_response.id))
        assert {int(found.infer_response.id) for found in answers} == set(range(300))
    until(lambda: server.metrics().value("inferd_requests_total", model="echo", code="200") == 600)


def test_a_stream_without_a_message_ends_well(served):
    with stub(served()) as one:
        assert list(one.ModelStreamInfer(iter([]), timeout=SECONDS)) == []


def test_failures_are_answers_and_the_stream_goes_on(served):
    server = served()
    wrong = infer_request("echo", np.ones((1, 5), np.float32), id="1")
    with stub(server) as one:
        feed = Feed(numbered(0), wrong, numbered(2, model="nobody"), numbered(3))
        found = {}
        stream = one.ModelStreamInfer(feed, timeout=SECONDS)
        for _ in range(4):
            message = next(stream)
            found[message.infer_response.id] = message
        feed.close()
        assert list(stream) == []
    assert_answer(found["0"], 0)
    assert_answer(found["3"], 3)
    assert "INPUT0" in found["1"].error_message and "nobody" in found["2"].error_message
    (line,) = server.wait_logged("request", model="echo", status=400)
    assert line["request_id"] == "1" and line["grpc_status"] == "INVALID_ARGUMENT"
    assert server.metrics().value("inferd_grpc_requests_total", code="OK") >= 1


def test_the_clients_stream(served):
    server, answers = served(), queue.Queue()
    with triton.InferenceServerClient(server.address("grpc")) as client:
        client.start_stream(callback=lambda result, error: answers.put((result, error)))
        for number in range(50):
            tensor = triton.InferInput("INPUT0", [1, 4], "FP32")
            tensor.set_data_from_numpy(row(number))
            client.async_stream_infer("echo" if number % 10 else "nobody", [tensor],
                                      request_id=str(number),
                                      enable_empty_final_response=number == 7)
        seen = set()
        for _ in range(50):
            result, error = answers.get(timeout=SECONDS)
            if error is None:
                number = int(result.get_response().id)
                assert np.array_equal(result.as_numpy("OUTPUT0"), row(number))
                seen.add(number)
            else:
                assert "nobody" in str(error)
        assert seen == {number for number in range(50) if number % 10}
        client.stop_stream()


def test_the_asyncio_clients_stream(served):
    server = served()

    async def requests():
        for number in range(20):
            tensor = triton_aio.InferInput("INPUT0", [1, 4], "FP32")
            tensor.set_data_from_numpy(row(number))
            yield {"model_name": "echo", "inputs": [tensor], "request_id": str(number)}

    async def main():
        found = set()
        async with triton_aio.InferenceServerClient(server.address("grpc")) as client:
            async for result, error in client.stream_infer(requests()):
                assert error is None
                found.add(result.get_response().id)
        return found
    assert asyncio.run(main()) == {str(number) for number in range(20)}


def test_a_quick_answer_overtakes_a_slow_one(served, gate):
    server = served()
    with stub(server) as one:
        feed = Feed(numbered(0, model="slow"))
        stream = one.ModelStreamInfer(feed, timeout=SECONDS * 3)
        until(lambda: in_flight(server) == 1)
        feed.put(numbered(1))
        assert_answer(next(stream), 1)
        gate.open()
        assert_answer(next(stream), 0)
        feed.close()
        assert list(stream) == []


def test_a_stream_takes_no_more_than_it_may_have_in_flight(served, gate):
    """What is beyond waits in front of the server; the rest comes when answers have gone out."""
    server = served(batching__queue_max=1000)
    count = IN_FLIGHT_MAX + 40
    with stub(server) as one:
        feed = Feed(*[numbered(n, model="slow") for n in range(count)])
        feed.close()
        stream = one.ModelStreamInfer(feed, timeout=SECONDS * 3)
        until(lambda: in_flight(server) == IN_FLIGHT_MAX)
        until(lambda: feed.taken == count)
        for _ in range(20):
            assert in_flight(server) <= IN_FLIGHT_MAX
        gate.open()
        assert sorted(int(found.infer_response.id) for found in stream) == list(range(count))


def test_large_messages_in_flight_are_bounded_by_their_bytes(start_server, repository, gate):
    repository.fake("slow", "input INPUT0 FP32 [-1,-1]\noutput OUTPUT0 FP32 [-1,-1]\n"
                    + gate.directive).settings("slow", NO_WARM_UP)
    server = start_server({"repository.path": repository.path, "engine": "fake", "executors": 1,
                           "limits.body_max": "64Ki"})
    sent = [infer_request("slow", np.full((1, 10000), n, np.float32), id=str(n)) for n in range(10)]
    with stub(server) as one:
        stream = one.ModelStreamInfer(iter(sent), timeout=SECONDS * 3)
        until(lambda: in_flight(server) == 2)
        for _ in range(10):
            assert in_flight(server) == 2, "40 KB fit 64, and one more"
        gate.open()
        assert sorted(int(found.infer_response.id) for found in stream) == list(range(10))


def test_messages_that_wait_may_be_more_than_one_body(served, gate):
    """The limit of a body is that of each message; what waits is bounded by the stream's window."""
    server = served(batching__queue_max=1000, limits__body_max="8Ki")
    count = IN_FLIGHT_MAX + 200
    with stub(server) as one:
        stream = one.ModelStreamInfer(iter([numbered(n, model="slow") for n in range(count)]),
                                      timeout=SECONDS * 3)
        until(lambda: in_flight(server) == IN_FLIGHT_MAX)
        server.let_counts_settle()
        gate.open()
        assert sorted(int(found.infer_response.id) for found in stream) == list(range(count))


def test_a_stream_that_is_always_behind_goes_on(start_server, repository):
    """Something waits all the time, and in the end much more has waited than ever did at once."""
    repository.fake("work", FIXED + "sleep_us 200\n").settings("work", NO_WARM_UP)
    server = start_server({"repository.path": repository.path, "engine": "fake", "executors": 1,
                           "limits.body_max": "2Ki", "limits.http2_stream_window": "64Ki"})
    count = 4000
    with stub(server) as one:
        stream = one.ModelStreamInfer(iter([numbered(n, model="work") for n in range(count)]),
                                      timeout=SECONDS * 3)
        assert sum(found.error_message == "" for found in stream) == count


def test_a_compressed_message_larger_than_the_limit(served):
    server = served(limits__inflated_max="64Ki")
    large = infer_request("echo", np.zeros((1, 50000), np.float32))
    with stub(server) as one, pytest.raises(grpc.RpcError) as failure:
        list(one.ModelStreamInfer(iter([large]), timeout=SECONDS,
                                  compression=grpc.Compression.Gzip))
    assert failure.value.code() == Code.RESOURCE_EXHAUSTED
    assert "65536" in failure.value.details()


def test_a_client_that_does_not_read_stops_being_read(start_server, repository):
    """The server holds a bounded part of the answers: its memory stays small."""
    repository.fake("echo", "input INPUT0 FP32 [-1,-1]\noutput OUTPUT0 FP32 [-1,-1]\n")
    server = start_server({"repository.path": repository.path, "engine": "fake"})
    large = infer_request("echo", np.ones((1, 1 << 18), np.float32))
    before = server.resident_bytes()
    with stub(server) as one:
        feed = Feed(*[large] * 300)
        feed.close()
        stream = one.ModelStreamInfer(feed, timeout=SECONDS * 6)
        until(lambda: feed.taken > 1)

        def still():
            taken = feed.taken
            threading.Event().wait(0.5)
            return feed.taken == taken
        until(still, 30)
        assert feed.taken < 300, "300 MiB do not fit anywhere in between"
        assert server.resident_bytes() - before < 200 << 20
        assert sum(1 for _ in stream) == 300


def test_cancelling_a_stream_frees_its_places(served, gate):
    server = served()
    with stub(server) as one:
        feed = Feed(*[numbered(n, model="slow") for n in range(10)])
        stream = one.ModelStreamInfer(feed, timeout=SECONDS * 3)
        until(lambda: in_flight(server) == 10)
        stream.cancel()
        until(lambda: in_flight(server) == 1, what="all but the one that runs")
        feed.close()
        gate.open()
        until(lambda: in_flight(server) == 0)
    until(lambda: server.metrics().value("inferd_requests_rejected_total", model="slow",
                                         reason="cancelled") == 10)
    until(lambda: server.metrics().value("inferd_grpc_requests_total", code="CANCELLED") == 1)


def test_a_connection_that_breaks_frees_its_places(served, gate):
    server = served()
    with stub(server) as one:
        feed = Feed(*[numbered(n, model="slow") for n in range(5)])
        stream = one.ModelStreamInfer(feed, timeout=SECONDS * 3)
        until(lambda: in_flight(server) == 5)
        feed.close()
    del stream
    until(lambda: in_flight(server) == 1)
    gate.open()
    until(lambda: in_flight(server) == 0)


def test_a_streams_deadline(served, gate):
    server = served()
    with stub(server) as one:
        feed = Feed(numbered(0), numbered(1, model="slow"), numbered(2, model="slow"))
        stream = one.ModelStreamInfer(feed, timeout=0.5)
        with pytest.raises(grpc.RpcError) as failure:
            list(stream)
        assert failure.value.code() == Code.DEADLINE_EXCEEDED
        until(lambda: in_flight(server) <= 1)
        gate.open()
        until(lambda: in_flight(server) == 0)
        feed.close()
        assert_answer(next(one.ModelStreamInfer(iter([numbered(7)]), timeout=SECONDS)), 7)


def test_a_deadline_of_one_message_leaves_the_stream_alone(served, gate):
    """Its answer goes out while the run still reads its inputs; its place is free after the run."""
    server = served()
    timed = numbered(1, model="slow")
    timed.parameters["timeout"].int64_param = 200_000
    with stub(server) as one:
        feed = Feed(timed)
        stream = one.ModelStreamInfer(feed, timeout=SECONDS * 3)
        late = next(stream)
        assert late.infer_response.id == "1"
        assert late.error_message.startswith("Request timeout expired")
        assert in_flight(server) == 1
        gate.open()
        feed.put(numbered(2, model="slow"))
        assert_answer(next(stream), 2)
        feed.close()
        assert list(stream) == []
    until(lambda: in_flight(server) == 0)
    assert server.metrics().value("inferd_requests_rejected_total", model="slow",
                                  reason="deadline") == 1


def test_grpc_timeout_is_the_deadline(served, gate):
    """The client gives up by itself, so what the server did is seen in its log."""
    server = served()
    with stub(server) as one:
        running = one.ModelInfer.future(numbered(0, model="slow"), timeout=SECONDS * 3)
        until(lambda: in_flight(server) == 1)
        request = numbered(1, model="slow")
        try:
            one.ModelInfer(request, timeout=0.3, metadata=[("x-request-id", "late")])
        except grpc.RpcError as error:
            assert error.code() == Code.DEADLINE_EXCEEDED
        (line,) = server.wait_logged("request", request_id="late")
        assert line["grpc_status"] in ("DEADLINE_EXCEEDED", "CANCELLED")
        until(lambda: in_flight(server) == 1)
        gate.open()
        assert running.result(SECONDS).id == "0"


def test_the_requests_own_timeout(served, gate):
    server = served()
    with stub(server) as one:
        request = numbered(0, model="slow")
        request.parameters["timeout"].int64_param = 200_000
        code, text = code_of(one.ModelInfer, request)
        assert code == Code.DEADLINE_EXCEEDED and text.startswith("Request timeout expired")
        gate.open()


def test_a_full_queue_says_when_to_come_again(served, gate):
    server = served(batching__queue_max=2)
    with stub(server) as one:
        running = [one.ModelInfer.future(numbered(n, model="slow"), timeout=SECONDS * 3)
                   for n in range(2)]
        until(lambda: in_flight(server) == 2)
        with pytest.raises(grpc.RpcError) as failure:
            one.ModelInfer(numbered(9, model="slow"), timeout=SECONDS)
        assert failure.value.code() == Code.RESOURCE_EXHAUSTED
        assert failure.value.details().startswith("Exceeds maximum queue size")
        assert dict(failure.value.trailing_metadata())["grpc-retry-pushback-ms"] == "1000"
        gate.open()
        for number, call in enumerate(running):
            assert call.result(SECONDS).id == str(number)


def test_cancelling_a_call_frees_its_place(served, gate):
    server = served()
    with stub(server) as one:
        calls = [one.ModelInfer.future(numbered(n, model="slow"), timeout=SECONDS * 3)
                 for n in range(4)]
        until(lambda: in_flight(server) == 4)
        for call in calls[1:]:
            call.cancel()
        until(lambda: in_flight(server) <= 2)
        gate.open()
        until(lambda: in_flight(server) == 0)
    until(lambda: server.metrics().value("inferd_requests_total", model="slow", code="499") == 3)


def test_a_stream_may_be_silent_for_long_and_then_send_much(start_server, repository):
    """The time limits of bodies are for requests that are to end."""
    repository.fake("echo", "input INPUT0 FP32 [-1,-1]\noutput OUTPUT0 FP32 [-1,-1]\n")
    server = start_server({"repository.path": repository.path, "engine": "fake",
                           "limits.body_timeout": "200ms", "limits.header_timeout": "200ms",
                           "limits.idle_timeout": "200ms"})
    large = np.arange(3 << 20, dtype=np.float32).reshape(1, -1)
    with stub(server) as one:
        feed = Feed(infer_request("echo", row(1), id="1"))
        stream = one.ModelStreamInfer(feed, timeout=SECONDS * 3)
        assert next(stream).infer_response.id == "1"
        threading.Event().wait(1)
        feed.put(infer_request("echo", large, id="2"))
        assert next(stream).infer_response.raw_output_contents[0] == large.tobytes()
        feed.close()
        assert list(stream) == []


def test_a_stream_may_be_silent_before_its_first_message(start_server, served_repository):
    """The time limit of writing is for answers that the client does not take."""
    server = start_server({**served_repository, "limits.write_timeout": "200ms"})
    with stub(server) as one:
        feed = Feed()
        stream = one.ModelStreamInfer(feed, timeout=SECONDS)
        for number in range(2):
            threading.Event().wait(1)
            feed.put(numbered(number))
            assert_answer(next(stream), number)
        feed.close()
        assert list(stream) == []


def test_a_stream_that_is_refused_at_its_head(start_server, served_repository, token_file):
    server = start_server({**served_repository, "data.token_file": token_file})
    token = ("authorization", "Bearer test-token")
    with stub(server) as one:
        with pytest.raises(grpc.RpcError) as failure:
            next(one.ModelStreamInfer(iter([numbered(1)]), timeout=SECONDS))
        assert failure.value.code() == Code.UNAUTHENTICATED
        stream = one.ModelStreamInfer(iter([numbered(1)]), timeout=SECONDS, metadata=[token])
        assert_answer(next(stream), 1)
        assert list(stream) == []


def test_many_streams_at_once(served):
    """Several loops and connections, failures in between: everyone gets their own answers."""
    server = served(loops=2)
    wrong = []

    def one_client(first):
        try:
            with stub(server, options=[("grpc.use_local_subchannel_pool", 1)]) as one:
                for _ in range(3):
                    sent = [numbered(first + n, model="echo" if n % 7 else "nobody")
                            for n in range(60)]
                    found = {message.infer_response.id: message
                             for message in one.ModelStreamInfer(iter(sent), timeout=SECONDS * 3)}
                    assert len(found) == 60
                    for n in range(60):
                        if n % 7:
                            assert_answer(found[str(first + n)], first + n)
        except Exception as error:  # noqa: BLE001 (told to the test's thread)
            wrong.append(repr(error))
    threads = [threading.Thread(target=one_client, args=(1000 * n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:3]


def test_streams_that_are_left_in_every_way(start_server, repository):
    """Half-closed, cancelled, out of time, cut off: no place is lost and nothing is left behind."""
    repository.fake("echo").fake("work", FIXED + "sleep_us 2000\n").settings("work", NO_WARM_UP)
    server = start_server({"repository.path": repository.path, "engine": "fake", "executors": 2,
                           "loops": 2, "batching.queue_max": 40})
    wrong = []

    def leave(stream, way):
        if way == "cancel":
            next(stream)
            stream.cancel()
        elif way == "cut":
            next(stream)
        else:
            return list(stream)
        return None

    def one_client(seed):
        random = np.random.RandomState(seed)
        for _ in range(12):
            way = random.choice(["finish", "cancel", "late", "cut"])
            with stub(server, "grpc" if random.rand() < 0.5 else "data",
                      options=[("grpc.use_local_subchannel_pool", 1)]) as one:
                sent = [numbered(n, model="work" if random.rand() < 0.5 else "echo")
                        for n in range(random.randint(1, 40))]
                try:
                    found = leave(one.ModelStreamInfer(
                        iter(sent), timeout=0.02 if way == "late" else SECONDS * 3), way)
                    if way == "finish" and len(found) != len(sent):
                        wrong.append((len(found), len(sent)))
                except grpc.RpcError as error:
                    if way in ("finish", "cut") or error.code() != Code.DEADLINE_EXCEEDED:
                        wrong.append((way, error.code(), error.details()))
    threads = [threading.Thread(target=one_client, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:3]
    for model in ("work", "echo"):
        until(lambda model=model: in_flight(server, model) == 0)
    with stub(server) as one:
        assert_answer(next(one.ModelStreamInfer(iter([numbered(1)]), timeout=SECONDS)), 1)
