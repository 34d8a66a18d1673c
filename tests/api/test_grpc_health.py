"""grpc.health.v1 and server reflection, as grpcio's own clients use them; long-lived streams and
calls through a drain."""

import queue
import threading

import grpc
import numpy as np
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase)
from testenv import until
from testenv.grpcs import SECONDS, code_of, infer_request, raw_call, stub
from tritonclient.grpc import service_pb2, service_pb2_grpc

pytestmark = pytest.mark.tsan

Code = grpc.StatusCode
Status = health_pb2.HealthCheckResponse
SERVICE = "inference.GRPCInferenceService"
ONES = np.ones((1, 4), np.float32)
FIXED = "input INPUT0 FP32 [1,4]\noutput OUTPUT0 FP32 [1,4]\n"


def health(server, listener="grpc"):
    return stub(server, listener, health_pb2_grpc.HealthStub)


def asked(service=""):
    return health_pb2.HealthCheckRequest(service=service)


class Watch:
    """The statuses that a watch has told, in order; `ended` is its code when it is over."""

    def __init__(self, one, service=""):
        self.call = one.Watch(asked(service))
        self.told = queue.Queue()
        self.ended = None
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        try:
            for message in self.call:
                self.told.put(message.status)
            self.ended = Code.OK
        except grpc.RpcError as error:
            self.ended = error.code()

    def next(self):
        return self.told.get(timeout=SECONDS)


@pytest.fixture
def served(start_server, repository, gate, token_file):
    def start(**options):
        repository.fake("echo").fake("slow", FIXED + gate.directive).settings(
            "slow", "warmup: false\nbatching:\n  inline_max: 0\n")
        return start_server({"repository.path": repository.path, "engine": "fake", "executors": 1,
                             "admin.token_file": token_file,
                             **{name.replace("__", "."): value for name, value in options.items()}})
    return start


@pytest.mark.parametrize("listener", ["grpc", "data", "management"])
def test_check(served, listener):
    with health(served(), listener) as one:
        for service in ("", SERVICE, "echo"):
            assert one.Check(asked(service), timeout=SECONDS).status == Status.SERVING
        code, text = code_of(one.Check, asked("nobody"))
        assert code == Code.NOT_FOUND and "nobody" in text


def test_a_server_that_is_not_ready(start_server, repository):
    repository.fake("good").fake("bad", "fail_load no\n" + FIXED)
    server = start_server({"repository.path": repository.path, "engine": "fake"}, wait="listening")
    with health(server) as one, stub(server) as infer:
        until(lambda: code_of(one.Check, asked("good"))[0] == Code.OK
              and one.Check(asked("good")).status == Status.SERVING)
        until(lambda: code_of(one.Check, asked("bad"))[0] == Code.OK)
        assert one.Check(asked("bad"), timeout=SECONDS).status == Status.NOT_SERVING
        assert one.Check(asked(), timeout=SECONDS).status == Status.NOT_SERVING
        assert not infer.ServerReady(service_pb2.ServerReadyRequest(), timeout=SECONDS).ready
        assert infer.ServerLive(service_pb2.ServerLiveRequest(), timeout=SECONDS).live
        assert not infer.ModelReady(service_pb2.ModelReadyRequest(name="bad"),
                                    timeout=SECONDS).ready


def test_watch_tells_of_changes_of_a_model(served):
    server = served()
    with health(server) as one:
        echo, other, whole = Watch(one, "echo"), Watch(one, "later"), Watch(one)
        assert echo.next() == Status.SERVING
        assert other.next() == Status.SERVICE_UNKNOWN, "and the watch goes on"
        assert whole.next() == Status.SERVING
        assert server.admin("unload", "echo").status == 200
        assert echo.next() == Status.NOT_SERVING
        assert server.admin("load", "echo").status == 200
        assert echo.next() == Status.SERVING
        for watch in (echo, other, whole):
            watch.call.cancel()
    until(lambda: server.metrics().value("inferd_grpc_requests_total", code="CANCELLED") == 3)


def test_watch_of_a_model_that_comes_later(served, repository):
    server = served(repository__poll_interval="100ms")
    with health(server) as one:
        watch = Watch(one, "later")
        assert watch.next() == Status.SERVICE_UNKNOWN
        repository.fake("later")
        found = watch.next()
        if found == Status.NOT_SERVING:  # seen while it loads
            found = watch.next()
        assert found == Status.SERVING
        watch.call.cancel()


def test_watch_through_a_drain(served):
    """Told at once that the server goes, and ended so that nothing waits for its client."""
    server = served(drain__delay="500ms", drain__timeout="20s")
    with health(server) as one, health(server, "data") as two:
        watches = [Watch(one), Watch(one, "echo"), Watch(two, SERVICE)]
        for watch in watches:
            assert watch.next() == Status.SERVING
        server.signal()
        for watch in watches:
            assert watch.next() == Status.NOT_SERVING
        assert server.wait() == 0
        for watch in watches:
            watch.thread.join(SECONDS)
            assert watch.ended == Code.UNAVAILABLE
    assert server.logged("drained")[0]["left"] == 0


def test_watches_that_are_open_when_the_server_ends_on_the_management_listener(served):
    server = served()
    with health(server, "management") as one:
        watch = Watch(one)
        assert watch.next() == Status.SERVING
        server.signal()
        assert server.wait() == 0
        watch.thread.join(SECONDS)


def test_an_idle_stream_does_not_hold_up_a_drain(served):
    server = served(drain__timeout="60s")
    with stub(server) as one:
        sent = queue.Queue()
        stream = one.ModelStreamInfer(iter(sent.get, None), timeout=SECONDS * 3)
        sent.put(infer_request("echo", ONES, id="1"))
        assert next(stream).infer_response.id == "1"
        server.signal()
        with pytest.raises(grpc.RpcError) as failure:
            next(stream)
        assert failure.value.code() == Code.UNAVAILABLE
        sent.put(None)
    assert server.wait(20) == 0
    assert server.logged("drained")[0]["left"] == 0


def test_calls_in_flight_finish_in_a_drain(served, gate):
    server = served(drain__timeout="60s")
    with stub(server) as one:
        sent = queue.Queue()
        sent.put(infer_request("slow", ONES, id="1"))
        stream = one.ModelStreamInfer(iter(sent.get, None), timeout=SECONDS * 3)
        call = one.ModelInfer.future(infer_request("slow", ONES, id="2"), timeout=SECONDS * 3)
        until(lambda: server.metrics().value("inferd_requests_in_flight", model="slow") == 2)
        server.signal()
        server.wait_logged("draining")
        gate.open()
        assert next(stream).infer_response.id == "1"
        assert call.result(SECONDS).id == "2"
        sent.put(None)
    assert server.wait(20) == 0


def test_no_call_fails_under_load_in_a_drain(served):
    """Calls are answered, or the GOAWAY says that they were never taken: then the library sends
    them again by itself (as it does by default), until no connection can be made any more."""
    server = served(drain__delay="300ms")
    stop, wrong, counts = threading.Event(), [], [0] * 8

    def load(index):
        with grpc.insecure_channel(server.address("grpc" if index % 2 else "data"),
                                   [("grpc.use_local_subchannel_pool", 1)]) as channel:
            one = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            request = infer_request("echo", ONES, id=str(index))
            while not stop.is_set():
                try:
                    assert one.ModelInfer(request, timeout=SECONDS).id == str(index)
                    counts[index] += 1
                except grpc.RpcError as error:
                    if server.process.poll() is None and not server.logged("drained") and \
                            "refused" not in error.details() and "connect" not in error.details():
                        wrong.append((error.code(), error.details()))
                    return
    threads = [threading.Thread(target=load, args=(index,)) for index in range(len(counts))]
    for thread in threads:
        thread.start()
    until(lambda: min(counts) > 30, 30)
    server.signal()
    assert server.wait() == 0
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:3]


# ---- Reflection ------------------------------------------------------------------------------


def test_reflection_lists_the_services_and_their_messages(served):
    with grpc.insecure_channel(served().address("grpc")) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        services = set(database.get_services())
        assert {SERVICE, "grpc.health.v1.Health"} <= services
        assert any(name.startswith("grpc.reflection.") for name in services)
        pool = DescriptorPool(database)
        service = pool.FindServiceByName(SERVICE)
        ours = {method.name: (method.input_type.full_name, method.output_type.full_name)
                for method in service.methods}
        theirs = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
        for method in theirs.methods:
            assert ours[method.name] == (method.input_type.full_name,
                                         method.output_type.full_name)
        # every method that reflection shows is a row of the server's table
        for name in ours:
            _, code, text, _, _ = raw_call(channel, f"/{SERVICE}/{name}")
            assert "no such gRPC method" not in (text or ""), name


def test_reflection_v1_and_questions_it_cannot_answer(served):
    question = reflection_pb2.ServerReflectionRequest
    sent = [question(list_services=""), question(file_containing_symbol="no.such.Symbol"),
            question(file_containing_symbol="inference.ModelInferRequest")]
    with grpc.insecure_channel(served().address("data")) as channel:
        for version in ("v1", "v1alpha"):
            ask = channel.stream_stream(
                f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
                question.SerializeToString, reflection_pb2.ServerReflectionResponse.FromString)
            services, missing, found = list(ask(iter(sent), timeout=SECONDS))
            assert len(services.list_services_response.service) >= 3
            assert missing.error_response.error_code == Code.NOT_FOUND.value[0]
            assert found.file_descriptor_response.file_descriptor_proto


def test_a_stream_of_something_else_ends_with_an_error(served):
    with grpc.insecure_channel(served().address("grpc")) as channel:
        for method in ("/grpc.health.v1.Health/Watch",
                       "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"):
            call = channel.stream_stream(method, None, None)
            with pytest.raises(grpc.RpcError) as failure:
                list(call(iter([b"\xff\xff\xff"]), timeout=SECONDS))
            assert failure.value.code() == Code.INVALID_ARGUMENT
