"""Inference over gRPC: every datatype, raw and typed, large tensors, every kind of client, and the
same bits as REST and as ONNX Runtime in this process."""

import asyncio
import queue
from concurrent.futures import ThreadPoolExecutor

import grpc
import ml_dtypes
import numpy as np
import onnxruntime
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from testenv.grpcs import SECONDS, code_of, infer_request, stub
from testenv.v2 import DATATYPES, answer, array_tensor, binary, pack, request
from tritonclient.grpc import service_pb2

Code = grpc.StatusCode
# The field of InferTensorContents that carries a datatype; FP16 and BF16 have none.
CONTENTS = {"BOOL": "bool", "INT8": "int", "INT16": "int", "INT32": "int", "INT64": "int64",
            "UINT8": "uint", "UINT16": "uint", "UINT32": "uint", "UINT64": "uint64",
            "FP32": "fp32", "FP64": "fp64", "BYTES": "bytes"}


def sample(datatype):
    if datatype == "BOOL":
        return np.array([[True, False, True], [False, False, True]])
    if datatype == "BYTES":
        return np.array([[b"", b"a", "Zürich".encode()], [b"\0\1\xff", b"x" * 300, b"z"]], object)
    if datatype == "BF16":
        return np.array([[0, -0.0, 1.5], [3e38, -2, 1e-38]], ml_dtypes.bfloat16)
    numpy_type = DATATYPES[datatype]
    if datatype.startswith("FP"):
        limits = np.finfo(numpy_type)
        return np.array([[0, -0.0, 1.5], [limits.max, limits.min, np.nan]], numpy_type)
    limits = np.iinfo(numpy_type)
    return np.array([[0, 1, 2], [limits.max, limits.min, 7]], numpy_type)


def bits(datatype, array):
    return pack(datatype, array) if datatype == "BYTES" else np.ascontiguousarray(array).tobytes()


@pytest.fixture
def client(server):
    with triton.InferenceServerClient(server.address("grpc")) as one:
        yield one


@pytest.mark.parametrize("datatype", DATATYPES)
def test_raw_tensors(client, datatype):
    values = sample(datatype)
    tensor = triton.InferInput("INPUT0", list(values.shape), datatype)
    if datatype == "BF16":
        tensor._input.shape[:] = values.shape
        tensor._raw_content = values.tobytes()
    else:
        tensor.set_data_from_numpy(values)
    result = client.infer(f"identity_{datatype.lower()}", [tensor])
    (output,) = result.get_response().outputs
    assert (output.datatype, list(output.shape)) == (datatype, [2, 3])
    assert result.get_response().raw_output_contents[0] == bits(datatype, values)


@pytest.mark.parametrize("datatype", CONTENTS)
def test_typed_contents(server, datatype):
    values = sample(datatype)
    made = service_pb2.ModelInferRequest(model_name=f"identity_{datatype.lower()}")
    tensor = made.inputs.add(name="INPUT0", datatype=datatype, shape=values.shape)
    field = getattr(tensor.contents, f"{CONTENTS[datatype]}_contents")
    field.extend(values.reshape(-1).tolist())
    with stub(server) as one:
        found = one.ModelInfer(made, timeout=SECONDS)
    assert found.raw_output_contents[0] == bits(datatype, values)


def test_the_same_failures_as_rest(server):
    """One table of errors, one text."""
    ones = np.ones((1, 16), np.float32)
    cases = [
        ("nobody", ones, {}), ("add_sub", ones, {}), ("identity_fp32", ones, {"version": "99"}),
        ("mlp", ones, {}),
    ]
    with stub(server) as one:
        for model, array, rest in cases:
            version = rest.get("version")
            reply = server.infer(model, request(array_tensor("INPUT0", array)), version=version)
            code, text = code_of(one.ModelInfer, infer_request(
                model, array, model_version=version or ""))
            assert text == reply.error
            assert code == {404: Code.NOT_FOUND, 400: Code.INVALID_ARGUMENT}[reply.status]


def test_wrong_raw_contents(server):
    with stub(server) as one:
        short = infer_request("identity_fp32", np.ones((2, 4), np.float32))
        short.raw_input_contents[0] = short.raw_input_contents[0][:-1]
        code, text = code_of(one.ModelInfer, short)
        assert code == Code.INVALID_ARGUMENT and "INPUT0" in text
        extra = infer_request("identity_fp32", np.ones((2, 4), np.float32))
        extra.raw_input_contents.append(b"more")
        assert code_of(one.ModelInfer, extra)[0] == Code.INVALID_ARGUMENT
        both = infer_request("identity_fp32", np.ones((2, 4), np.float32))
        both.inputs[0].contents.fp32_contents.extend([1] * 8)
        assert code_of(one.ModelInfer, both)[0] == Code.INVALID_ARGUMENT


@pytest.mark.parametrize("megabytes", [5, 40])
def test_large_tensors(server, megabytes):
    """More than the 4 MiB that gRPC's servers take by default, and than any window."""
    values = np.arange(megabytes << 18, dtype=np.float32).reshape(1, -1)
    with stub(server) as one:
        found = one.ModelInfer(infer_request("identity_fp32", values), timeout=SECONDS * 3)
    assert found.raw_output_contents[0] == values.tobytes()


def test_outputs_that_are_asked_for(client):
    ones = np.ones((1, 16), np.float32)
    made = []
    for name in ("INPUT1", "INPUT0"):
        tensor = triton.InferInput(name, [1, 16], "FP32")
        tensor.set_data_from_numpy(ones * len(made))
        made.append(tensor)
    result = client.infer("add_sub", made, outputs=[triton.InferRequestedOutput("OUTPUT1")],
                          model_version="1", request_id="7", priority=1, timeout=20_000_000,
                          parameters={"k": "v", "n": 1})
    response = result.get_response()
    assert [one.name for one in response.outputs] == ["OUTPUT1"]
    assert (response.model_name, response.model_version, response.id) == ("add_sub", "1", "7")
    assert np.array_equal(result.as_numpy("OUTPUT1"), ones)


def tensors(kind, rows):
    tensor = kind.InferInput("INPUT0", list(rows.shape), "FP32")
    tensor.set_data_from_numpy(rows)
    return [tensor]


def noise(count, seed):
    return np.random.RandomState(seed).randn(count, 64).astype(np.float32)


@pytest.fixture(scope="module")
def expected(everything):
    """What ONNX Runtime answers in this process, with one thread as the server."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(everything.path / "mlp" / "1" / "model.onnx"), options,
        providers=["CPUExecutionProvider"])
    return lambda rows: session.run(["OUTPUT0"], {"INPUT0": rows})[0].tobytes()


def test_every_way_gives_the_same_bits(server, client, expected):
    for count in (1, 3, 32):
        rows = noise(count, count)
        right = expected(rows)
        assert client.infer("mlp", tensors(triton, rows)).as_numpy("OUTPUT0").tobytes() == right
        json_reply = server.infer("mlp", request(array_tensor("INPUT0", rows)))
        assert np.array(answer(json_reply)["OUTPUT0"], np.float32).tobytes() == right
        body, headers = binary(("INPUT0", "FP32", rows.shape, rows.tobytes()),
                               parameters={"binary_data_output": True})
        assert answer(server.infer("mlp", body, headers))["OUTPUT0"].tobytes() == right


def test_many_at_once_in_shared_batches(server, expected):
    """Both protocols' requests share runs, and everyone gets their own rows."""
    requests = [noise(1, seed) for seed in range(200)]
    right = [expected(rows) for rows in requests]
    with triton.InferenceServerClient(server.address("data")) as one, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda rows: one.infer("mlp", tensors(triton, rows))
                              .as_numpy("OUTPUT0").tobytes(), requests))
    assert found == right


def test_the_clients_async_calls(client, expected):
    answers = queue.Queue()
    for seed in range(20):
        client.async_infer("mlp", tensors(triton, noise(1, seed)), request_id=str(seed),
                           callback=lambda result, error: answers.put((result, error)))
    for _ in range(20):
        result, error = answers.get(timeout=SECONDS)
        assert error is None
        rows = noise(1, int(result.get_response().id))
        assert result.as_numpy("OUTPUT0").tobytes() == expected(rows)


def test_asyncio(server, expected):
    async def main():
        async with triton_aio.InferenceServerClient(server.address("grpc")) as client:
            assert await client.is_server_ready()
            assert (await client.get_model_metadata("mlp")).name == "mlp"
            return await asyncio.gather(*(
                client.infer("mlp", tensors(triton_aio, noise(1, seed))) for seed in range(20)))
    for seed, result in enumerate(asyncio.run(main())):
        assert result.as_numpy("OUTPUT0").tobytes() == expected(noise(1, seed))
