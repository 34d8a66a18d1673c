"""The Triton HTTP client as users use it: sync, async pool, asyncio, compression, repository."""

import asyncio

import ml_dtypes
import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

ROWS = np.arange(48, dtype=np.float32).reshape(3, 16)


@pytest.fixture
def client(server):
    with triton.InferenceServerClient(server.address(), concurrency=8) as one:
        yield one


@pytest.fixture
def manager(server):
    with triton.InferenceServerClient(server.address("management")) as one:
        yield one


def inputs(binary=True, kind=triton):
    made = []
    for name, values in (("INPUT0", ROWS), ("INPUT1", np.ones_like(ROWS))):
        one = kind.InferInput(name, list(values.shape), "FP32")
        one.set_data_from_numpy(values, binary_data=binary)
        made.append(one)
    return made


def assert_right(result):
    assert np.array_equal(result.as_numpy("OUTPUT0"), ROWS + 1)
    assert np.array_equal(result.as_numpy("OUTPUT1"), ROWS - 1)


def test_health_and_metadata(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("add_sub")
    assert client.is_model_ready("add_sub", "1")
    assert not client.is_model_ready("nobody")
    assert client.get_server_metadata()["name"] == "inferd"
    assert client.get_model_metadata("add_sub")["inputs"][0]["name"] == "INPUT0"
    assert client.get_model_config("add_sub", "1")["name"] == "add_sub"


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
def test_infer(client, binary_in, binary_out):
    outputs = None if binary_out is None else [
        triton.InferRequestedOutput(name, binary_data=binary_out)
        for name in ("OUTPUT0", "OUTPUT1")]
    result = client.infer("add_sub", inputs(binary_in), outputs=outputs, request_id="7",
                          priority=1, timeout=20_000_000, parameters={"k": "v", "n": 1})
    assert_right(result)
    assert result.get_response()["id"] == "7"
    assert result.get_response()["model_version"] == "1"


@pytest.mark.parametrize("request_coding", [None, "gzip", "deflate"])
@pytest.mark.parametrize("response_coding", [None, "gzip", "deflate"])
def test_compression(client, request_coding, response_coding):
    for binary in (True, False):
        assert_right(client.infer("add_sub", inputs(binary),
                                  request_compression_algorithm=request_coding,
                                  response_compression_algorithm=response_coding))


def test_async_pool(client):
    waiting = [client.async_infer("add_sub", inputs(number % 2 == 0), request_id=str(number))
               for number in range(64)]
    for number, one in enumerate(waiting):
        result = one.get_result()
        assert_right(result)
        assert result.get_response()["id"] == str(number)


def test_asyncio(server):
    async def many():
        async with triton_aio.InferenceServerClient(server.address()) as client:
            assert await client.is_server_ready()
            results = await asyncio.gather(*(client.infer("add_sub", inputs(kind=triton_aio))
                                             for _ in range(32)))
            for result in results:
                assert_right(result)
    asyncio.run(many())


@pytest.mark.parametrize("binary", [True, False])
def test_text(client, binary):
    values = np.array([["Zürich".encode(), b"", b"a" * 1000]], dtype=object)
    one = triton.InferInput("INPUT0", [1, 3], "BYTES")
    one.set_data_from_numpy(values, binary_data=binary)
    result = client.infer("identity_bytes", [one], outputs=[
        triton.InferRequestedOutput("OUTPUT0", binary_data=binary)])
    found = [value.encode() if isinstance(value, str) else value
             for value in result.as_numpy("OUTPUT0").reshape(-1)]
    assert found == values.reshape(-1).tolist()


def test_bfloat16(client):
    values = np.array([[1.5, -3.0, 0.0]], ml_dtypes.bfloat16)
    one = triton.InferInput("INPUT0", [1, 3], "BF16")
    one.set_data_from_numpy(values)
    assert np.array_equal(client.infer("identity_bf16", [one]).as_numpy("OUTPUT0"), values)


def test_empty_tensor(client):
    one = triton.InferInput("INPUT0", [0, 2], "FP32")
    one.set_data_from_numpy(np.zeros((0, 2), np.float32))
    assert client.infer("identity_fp32", [one]).as_numpy("OUTPUT0").shape == (0, 2)


def test_query_parameters_do_no_harm(client):
    assert_right(client.infer("add_sub", inputs(), query_params={"q": [1, 2]}))


def test_version(client):
    one = triton.InferInput("INPUT0", [1, 4], "FP32")
    one.set_data_from_numpy(np.zeros((1, 4), np.float32))
    result = client.infer("versions", [one], model_version="10")
    assert result.as_numpy("OUTPUT0").tolist() == [[10, 10, 10, 10]]


def test_errors_carry_the_text_and_the_status(client):
    with pytest.raises(InferenceServerException) as caught:
        client.infer("nobody", inputs())
    assert caught.value.status() == "404"
    assert caught.value.message().startswith("Request for unknown model: 'nobody'")
    with pytest.raises(InferenceServerException) as caught:
        client.infer("add_sub", inputs()[:1])
    assert caught.value.status() == "400"
    assert "expected 2 inputs but got 1 inputs for model 'add_sub'" in caught.value.message()


def test_statistics(client):
    before = client.get_inference_statistics("add_sub", "1")["model_stats"][0]
    client.infer("add_sub", inputs())
    after = client.get_inference_statistics("add_sub", "1")["model_stats"][0]
    assert after["inference_count"] - before["inference_count"] == 3
    assert after["inference_stats"]["success"]["count"] - \
        before["inference_stats"]["success"]["count"] == 1
    names = {one["name"] for one in client.get_inference_statistics()["model_stats"]}
    assert {"add_sub", "mlp", "breast-cancer"} <= names


def test_repository(client, manager):
    index = {row["name"]: row for row in client.get_model_repository_index()}
    assert index["mlp"]["state"] == "READY"
    token = {"Authorization": "Bearer test-token"}
    manager.unload_model("mlp", headers=token)
    assert not client.is_model_ready("mlp")
    manager.load_model("mlp", headers=token)
    assert client.is_model_ready("mlp")
    with pytest.raises(InferenceServerException) as caught:
        manager.load_model("mlp")
    assert caught.value.status() == "401"
    with pytest.raises(InferenceServerException) as caught:
        manager.load_model("nobody", headers=token)
    assert "nobody" in caught.value.message()
