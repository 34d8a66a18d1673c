"""gRPC as its own library speaks it: stubs of the messages that tritonclient carries, and calls
with bytes of the test's choice."""

import contextlib

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from .waiting import PATIENCE

SECONDS = 20 * PATIENCE
# Our limits are to be met, not the client's.
ANY_SIZE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
            ("grpc.enable_retries", 0)]


@contextlib.contextmanager
def stub(server, listener="grpc", kind=service_pb2_grpc.GRPCInferenceServiceStub, options=()):
    """A stub on a connection of its own."""
    with grpc.insecure_channel(server.address(listener), [*ANY_SIZE, *options]) as channel:
        yield kind(channel)


def raw_call(channel, method, body=b"", **rest):
    """One unary call of bytes: (answer, code, details, trailing metadata, initial metadata)."""
    call = channel.unary_unary(method, None, None)
    try:
        answer, done = call.with_call(body, timeout=SECONDS, **rest)
    except grpc.RpcError as error:
        return (None, error.code(), error.details(), dict(error.trailing_metadata() or ()),
                dict(error.initial_metadata() or ()))
    return (answer, done.code(), done.details(), dict(done.trailing_metadata() or ()),
            dict(done.initial_metadata() or ()))


def infer_request(model, array, name="INPUT0", datatype="FP32", **rest):
    """A ModelInferRequest with one raw input."""
    made = service_pb2.ModelInferRequest(model_name=model, **rest)
    made.inputs.add(name=name, datatype=datatype, shape=array.shape)
    made.raw_input_contents.append(np.ascontiguousarray(array).tobytes())
    return made


def code_of(call, *arguments, **rest):
    """The status that a call fails with, and its text."""
    try:
        call(*arguments, timeout=SECONDS, **rest)
    except grpc.RpcError as error:
        return error.code(), error.details()
    return grpc.StatusCode.OK, ""
