"""Every tensor datatype, in JSON and in binary, in and out, with its extremes."""

import json

import numpy as np
import pytest
from testenv.v2 import DATATYPES, answer, bf16_floats, bf16_words, binary, pack, request, tensor

INTEGERS = ["UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"]
REALS = ["FP16", "BF16", "FP32", "FP64"]


def sample(datatype):
    """Six values with the extremes, as JSON would carry them."""
    if datatype == "BOOL":
        return [True, False, True, True, False, False]
    if datatype == "BYTES":
        return ["", "a", "Zürich", "\x01\x7f", "日本", "x" * 300]
    if datatype == "BF16":
        return [0.0, -0.0, 1.5, -3.0, float(bf16_floats([0x7F7F])[0]), float(bf16_floats([1])[0])]
    if datatype in REALS:
        limits = np.finfo(DATATYPES[datatype])
        return [float(value) for value in (0.0, -0.0, 1.5, limits.min, limits.max,
                                           limits.smallest_subnormal)]
    limits = np.iinfo(DATATYPES[datatype])
    return [0, 1, 2, int(limits.max) - 1, int(limits.max), int(limits.min)]


def packed(datatype, values):
    if datatype == "BF16":
        return bf16_words(values).tobytes()
    return pack(datatype, values)


def one(datatype, data, shape=(2, 3)):
    return request(tensor("INPUT0", datatype, shape, data))


def infer(server, datatype, body, headers=None):
    return server.infer(f"identity_{datatype.lower()}", body, headers)


def exactly(datatype, data):
    """The bytes that JSON data stands for."""
    if datatype in ("FP16", "FP32"):
        data = np.array(data, np.float64).astype(DATATYPES[datatype])
    return packed(datatype, data)


@pytest.mark.parametrize("datatype", DATATYPES)
def test_json_in_json_out(server, datatype):
    values = sample(datatype)
    reply = infer(server, datatype, one(datatype, values))
    assert reply.status == 200, reply.body
    (output,) = reply.json["outputs"]
    assert (output["datatype"], output["shape"]) == (datatype, [2, 3])
    assert exactly(datatype, output["data"]) == packed(datatype, values)
    if datatype in INTEGERS:
        assert all(isinstance(value, int) for value in output["data"]), "never through a double"
    if datatype == "BOOL":
        assert all(isinstance(value, bool) for value in output["data"])


@pytest.mark.parametrize("datatype", DATATYPES)
def test_nested_json(server, datatype):
    values = sample(datatype)
    reply = infer(server, datatype, one(datatype, [values[:3], values[3:]]))
    assert exactly(datatype, reply.json["outputs"][0]["data"]) == packed(datatype, values)


@pytest.mark.parametrize("datatype", DATATYPES)
def test_binary_in_binary_out(server, datatype):
    data = packed(datatype, sample(datatype))
    body, headers = binary(("INPUT0", datatype, [2, 3], data),
                           parameters={"binary_data_output": True})
    reply = infer(server, datatype, body, headers)
    assert reply.status == 200, reply.body
    assert packed_back(datatype, reply) == data


def packed_back(datatype, reply):
    found = answer(reply)["OUTPUT0"]
    return pack(datatype, found)


@pytest.mark.parametrize("datatype", DATATYPES)
def test_json_in_binary_out(server, datatype):
    values = sample(datatype)
    body = one(datatype, values)
    body["parameters"] = {"binary_data_output": True}
    assert packed_back(datatype, infer(server, datatype, body)) == packed(datatype, values)


@pytest.mark.parametrize("datatype", DATATYPES)
def test_binary_in_json_out(server, datatype):
    values = sample(datatype)
    body, headers = binary(("INPUT0", datatype, [2, 3], packed(datatype, values)))
    reply = infer(server, datatype, body, headers)
    assert exactly(datatype, reply.json["outputs"][0]["data"]) == packed(datatype, values)


@pytest.mark.parametrize("datatype", INTEGERS)
def test_integers_out_of_range(server, datatype):
    limits = np.iinfo(DATATYPES[datatype])
    for value in (int(limits.max) + 1, int(limits.min) - 1, 10 ** 30, -10 ** 30):
        reply = infer(server, datatype, one(datatype, [value], (1, 1)))
        assert reply.status == 400, (value, reply.body)
        assert "INPUT0" in reply.error and datatype in reply.error


@pytest.mark.parametrize("datatype", INTEGERS)
def test_integers_with_a_fraction(server, datatype):
    reply = infer(server, datatype, one(datatype, [1.5], (1, 1)))
    assert reply.status == 400
    assert "INPUT0" in reply.error


@pytest.mark.parametrize("datatype", DATATYPES)
@pytest.mark.parametrize("value", [None, {}, "text", True, 1])
def test_values_of_the_wrong_kind(server, datatype, value):
    fits = {"BOOL": (bool,), "BYTES": (str,)}.get(datatype, (int, float))
    if isinstance(value, fits) and not (isinstance(value, bool) and datatype != "BOOL"):
        pytest.skip("this one fits")
    if datatype == "BOOL" and value == 1:
        pytest.skip("0 and 1 may be taken for BOOL")
    reply = infer(server, datatype, one(datatype, [value], (1, 1)))
    assert reply.status == 400, reply.body
    assert "INPUT0" in reply.error and datatype in reply.error


@pytest.mark.parametrize("datatype, values, rounded", [
    ("FP16", [1.0009765625, 1.00048828125, 2049.0, 65519.0, 5.9e-8],
     [1.0009765625, 1.0, 2048.0, 65504.0, 5.960464477539063e-08]),
    ("BF16", [1.00390625, 1.01171875, 257.0, 3.3895e38, 1e-40], [1.0, 1.015625, 256.0, None, None]),
    ("FP32", [16777217.0, 0.1, 1e-46], [16777216.0, float(np.float32(0.1)), 0.0]),
])
def test_numbers_are_rounded_to_nearest_even(server, datatype, values, rounded):
    reply = infer(server, datatype, one(datatype, values, (1, len(values))))
    assert reply.status == 200, reply.body
    for found, expected in zip(reply.json["outputs"][0]["data"], rounded):
        if expected is not None:
            assert exactly(datatype, [found]) == exactly(datatype, [expected])


@pytest.mark.parametrize("datatype, value", [
    ("FP16", "65520"), ("FP16", "1e9"), ("FP32", "3.5e38"), ("FP32", "1e400"), ("FP64", "1e400"),
    ("BF16", "1e39")])
def test_numbers_beyond_the_range(server, datatype, value):
    body = json.dumps(one(datatype, [0], (1, 1))).replace("[0]", f"[{value}]")
    reply = infer(server, datatype, body)
    assert reply.status == 400, reply.body
    assert "INPUT0" in reply.error


def test_large_integers_survive(server):
    """Beyond 2^53 a double would lose them."""
    values = [2 ** 53 + 1, 2 ** 63 - 1, -2 ** 63, -2 ** 53 - 1]
    reply = infer(server, "INT64", one("INT64", values, (1, 4)))
    assert reply.json["outputs"][0]["data"] == values
    reply = infer(server, "UINT64", one("UINT64", [2 ** 64 - 1, 2 ** 63], (1, 2)))
    assert reply.json["outputs"][0]["data"] == [2 ** 64 - 1, 2 ** 63]


def test_booleans_in_binary_are_bytes(server):
    body, headers = binary(("INPUT0", "BOOL", [1, 3], b"\1\0\1"),
                           parameters={"binary_data_output": True})
    assert answer(infer(server, "BOOL", body, headers))["OUTPUT0"].tolist() == [[True, False, True]]


def test_booleans_that_are_neither_0_nor_1_do_no_harm(server):
    body, headers = binary(("INPUT0", "BOOL", [1, 2], b"\xff\x02"))
    reply = infer(server, "BOOL", body, headers)
    assert reply.status in (200, 400)
    if reply.status == 200:
        assert reply.json["outputs"][0]["data"] == [True, True]
