"""The binary tensor extension, both ways."""

import json

import numpy as np
import pytest
from testenv.v2 import answer, array_tensor, binary, pack, request, tensor

LEFT = np.arange(32, dtype=np.float32).reshape(2, 16)
RIGHT = np.full((2, 16), 0.5, np.float32)
TWO = (("INPUT0", "FP32", [2, 16], LEFT.tobytes()), ("INPUT1", "FP32", [2, 16], RIGHT.tobytes()))


def assert_right(found):
    assert np.array_equal(np.asarray(found["OUTPUT0"]).reshape(2, 16), LEFT + RIGHT)
    assert np.array_equal(np.asarray(found["OUTPUT1"]).reshape(2, 16), LEFT - RIGHT)


def test_binary_in_json_out(server):
    body, headers = binary(*TWO)
    reply = server.infer("add_sub", body, headers)
    assert reply.header("Inference-Header-Content-Length") is None
    assert_right(answer(reply))


def test_binary_in_binary_out(server):
    body, headers = binary(*TWO, parameters={"binary_data_output": True})
    reply = server.infer("add_sub", body, headers)
    found = answer(reply)
    assert all(isinstance(one, np.ndarray) for one in found.values())
    assert_right(found)


def test_json_in_binary_out(server):
    """What tritonclient sends with binary_data=False and no outputs named."""
    body = request(array_tensor("INPUT0", LEFT), array_tensor("INPUT1", RIGHT),
                   parameters={"binary_data_output": True})
    found = answer(server.infer("add_sub", body))
    assert all(isinstance(one, np.ndarray) for one in found.values())
    assert_right(found)


def test_one_input_binary_and_one_json(server):
    for inputs in ((TWO[0], array_tensor("INPUT1", RIGHT)), (array_tensor("INPUT0", LEFT), TWO[1])):
        body, headers = binary(*inputs)
        assert_right(answer(server.infer("add_sub", body, headers)))


def test_blobs_follow_the_order_of_the_request(server):
    body, headers = binary(TWO[1], TWO[0])
    assert_right(answer(server.infer("add_sub", body, headers)))


@pytest.mark.parametrize("default", [None, True, False])
@pytest.mark.parametrize("first", [None, True, False])
@pytest.mark.parametrize("second", [None, True, False])
def test_the_flag_of_an_output_wins_over_the_request_s(server, default, first, second):
    def asked(name, flag):
        return {"name": name} | ({} if flag is None else {"parameters": {"binary_data": flag}})

    rest = {} if default is None else {"parameters": {"binary_data_output": default}}
    body, headers = binary(
        *TWO, outputs=[asked("OUTPUT0", first), asked("OUTPUT1", second)], **rest)
    found = answer(server.infer("add_sub", body, headers))
    for name, flag in (("OUTPUT0", first), ("OUTPUT1", second)):
        expected = flag if flag is not None else bool(default)
        assert isinstance(found[name], np.ndarray) == expected, name
    assert_right(found)


def test_outputs_are_laid_out_in_the_asked_order(server):
    body, headers = binary(*TWO, parameters={"binary_data_output": True},
                           outputs=[{"name": "OUTPUT1"}, {"name": "OUTPUT0"}])
    reply = server.infer("add_sub", body, headers)
    assert list(answer(reply)) == ["OUTPUT1", "OUTPUT0"]
    assert_right(answer(reply))


def test_the_id_comes_back_beside_binary_data(server):
    body, headers = binary(*TWO, id="seven", parameters={"binary_data_output": True})
    reply = server.infer("add_sub", body, headers)
    head = json.loads(reply.body[:int(reply.header("Inference-Header-Content-Length"))])
    assert head["id"] == "seven" and head["model_name"] == "add_sub"


def test_data_at_odd_offsets(server):
    """The text's length shifts what follows off every alignment."""
    for length in range(9):
        words = pack("BYTES", ["x" * length])
        floats = np.array([[0.5, 1.5]], np.float32)
        body, headers = binary(("INPUT2", "BYTES", [1, 1], words),
                               ("INPUT1", "FP32", [1, 2], floats.tobytes()),
                               ("INPUT0", "INT32", [1, 2], np.array([1, 2], np.int32).tobytes()),
                               parameters={"binary_data_output": True}, id="p" * length)
        found = answer(server.infer("mixed", body, headers))
        assert found["OUTPUT0"].tolist() == [[1.5, 3.5]]
        assert found["OUTPUT1"].tolist() == [[b"x" * length]]
        assert found["OUTPUT2"].tolist() == [1, 2]


def test_empty_tensors(server):
    body, headers = binary(("INPUT0", "FP32", [0, 2], b""), parameters={"binary_data_output": True})
    assert headers["Inference-Header-Content-Length"] == str(len(body))
    reply = server.infer("identity_fp32", body, headers)
    assert answer(reply)["OUTPUT0"].shape == (0, 2)


def test_nan_and_infinity_travel_in_binary(server):
    values = np.array([[np.nan, np.inf, -np.inf, -0.0]], np.float32)
    body, headers = binary(("INPUT0", "FP32", [1, 4], values.tobytes()),
                           parameters={"binary_data_output": True})
    assert answer(server.infer("identity_fp32", body, headers))[
                  "OUTPUT0"].tobytes() == values.tobytes()


def test_the_header_may_come_before_content_length(server):
    """tritonclient's order, which trips searches for "content-length:"."""
    body, headers = binary(*TWO)
    length = headers["Inference-Header-Content-Length"]
    for order in ([("Inference-Header-Content-Length", length),
                   ("Content-Length", str(len(body)))],
                  [("content-length", str(len(body))),
                   ("inference-header-content-length", length)]):
        with server.raw() as raw:
            assert_right(answer(raw.post("/v2/models/add_sub/infer", body, order)))


def test_a_header_length_of_the_whole_body_is_plain_json(server):
    body = json.dumps(request(array_tensor("INPUT0", LEFT), array_tensor("INPUT1", RIGHT)))
    reply = server.infer("add_sub", body, {"Inference-Header-Content-Length": str(len(body))})
    assert_right(answer(reply))


def test_raw_request_is_the_one_input(server):
    """Of a model with a batch dimension: a batch of one, and one free dimension by its size."""
    reply = server.infer("lookup", np.array([3], np.int64).tobytes(),
                         {"Inference-Header-Content-Length": "0"})
    assert answer(reply)["OUTPUT0"].tolist() == [40]
    values = np.arange(9, dtype=np.float32)
    reply = server.infer("multi_free", values.tobytes(), {"Inference-Header-Content-Length": "0"})
    assert np.array_equal(answer(reply)["OUTPUT0"], values.reshape(1, 3, 3) + 1)


def test_raw_request_of_text_is_one_element_without_a_length(server):
    reply = server.infer("identity_bytes", b"raw text", {"Inference-Header-Content-Length": "0"})
    # [rows, columns] has two free dimensions: refused, or taken as [1, 1].
    if reply.status == 200:
        assert answer(reply)["OUTPUT0"].reshape(-1).tolist() == [b"raw text"]
    else:
        assert reply.status == 400 and "identity_bytes" in reply.error


@pytest.mark.parametrize("model, data", [("add_sub", b"12345678"), ("positions", b"x" * 36),
                                         ("lookup", b"x" * 7)])
def test_raw_request_that_cannot_be_understood(server, model, data):
    """Two inputs; two free dimensions; bytes that are no whole number of elements."""
    reply = server.infer(model, data, {"Inference-Header-Content-Length": "0"})
    assert reply.status == 400
    assert model in reply.error


@pytest.mark.parametrize("value", ["-1", "abc", "1x", "0x10", "1e2", "99999999999999999999999999",
                                   "18446744073709551616", "9223372036854775808", "", "1 2"])
def test_header_length_that_is_no_length(server, value):
    body, _ = binary(*TWO)
    reply = server.infer("add_sub", body, {"Inference-Header-Content-Length": value})
    assert reply.status == 400
    assert "Inference-Header-Content-Length" in reply.error


def test_header_length_beyond_the_body(server):
    body, _ = binary(*TWO)
    reply = server.infer("add_sub", body, {"Inference-Header-Content-Length": str(len(body) + 1)})
    assert reply.status == 400
    assert str(len(body)) in reply.error and str(len(body) + 1) in reply.error


def test_header_length_that_cuts_the_json(server):
    body, headers = binary(*TWO)
    length = int(headers["Inference-Header-Content-Length"])
    for wrong in (1, length - 1, length + 1):
        reply = server.infer("add_sub", body, {"Inference-Header-Content-Length": str(wrong)})
        assert reply.status == 400 and reply.error


@pytest.mark.parametrize("size", [0, 127, 129, 256, -1, 2 ** 62,
                         2 ** 63, 2 ** 64, 128.5, "128", True, None])
def test_binary_size_that_does_not_fit(server, size):
    body, headers = binary(*TWO)
    document = json.loads(body[:int(headers["Inference-Header-Content-Length"])])
    document["inputs"][0]["parameters"]["binary_data_size"] = size
    head = json.dumps(document).encode()
    reply = server.infer("add_sub", head + LEFT.tobytes() + RIGHT.tobytes(),
                         {"Inference-Header-Content-Length": str(len(head))})
    assert reply.status == 400
    assert "INPUT0" in reply.error or "INPUT1" in reply.error or "binary" in reply.error


def test_bytes_left_over(server):
    body, headers = binary(*TWO)
    reply = server.infer("add_sub", body + b"x", headers)
    assert reply.status == 400
    assert reply.error.startswith("unexpected additional input data for model 'add_sub'")


def test_bytes_missing(server):
    body, headers = binary(*TWO)
    reply = server.infer("add_sub", body[:-1], headers)
    assert reply.status == 400 and "INPUT1" in reply.error


def test_binary_size_without_the_header(server):
    body, _ = binary(("INPUT0", "FP32", [1, 1], b""))
    reply = server.infer("identity_fp32", body)
    assert reply.status == 400 and "INPUT0" in reply.error


def test_both_data_and_binary_data(server):
    one = tensor("INPUT0", "FP32", [1, 1], [1.0], binary_data_size=4)
    head = json.dumps(request(one)).encode()
    reply = server.infer("identity_fp32", head + b"\0\0\0\0",
                         {"Inference-Header-Content-Length": str(len(head))})
    assert reply.status == 400 and "INPUT0" in reply.error


@pytest.mark.parametrize("data", [
    b"\x05\0\0\0abcd", b"\xff\xff\xff\xff", b"\0\0\0", b"\x01\0\0\0a\x01\0\0\0", b"",
    b"\x01\0\0\0a\x01\0\0\0b"])
def test_text_whose_lengths_lie(server, data):
    """Too long, far too long, cut, a second element that is cut, none, one too many."""
    body, headers = binary(("INPUT0", "BYTES", [1, 1], data))
    reply = server.infer("identity_bytes", body, headers)
    assert reply.status == 400 and "INPUT0" in reply.error
