"""Inference with JSON in and JSON out."""

import json

import numpy as np
import pytest
from testenv.v2 import answer, array_tensor, binary, pack, request, tensor

LEFT = np.arange(32, dtype=np.float32).reshape(2, 16)
RIGHT = np.ones((2, 16), np.float32)


def both(left=LEFT, right=RIGHT, **rest):
    return request(array_tensor("INPUT0", left), array_tensor("INPUT1", right), **rest)


def test_nested_data(server):
    reply = server.infer("add_sub", both())
    body = reply.json
    assert body["model_name"] == "add_sub"
    assert body["model_version"] == "1"
    assert "id" not in body
    assert [(one["name"], one["datatype"], one["shape"]) for one in body["outputs"]] == [
        ("OUTPUT0", "FP32", [2, 16]), ("OUTPUT1", "FP32", [2, 16])]
    found = answer(reply)
    assert found["OUTPUT0"] == (LEFT + RIGHT).reshape(-1).tolist(), "row-major, flat"
    assert found["OUTPUT1"] == (LEFT - RIGHT).reshape(-1).tolist()


def test_flat_data(server):
    flat = request(tensor("INPUT0", "FP32", [2, 16], LEFT.reshape(-1).tolist()),
                   tensor("INPUT1", "FP32", [2, 16], RIGHT.reshape(-1).tolist()))
    assert answer(server.infer("add_sub", flat)) == answer(server.infer("add_sub", both()))


def test_one_input_nested_and_one_flat(server):
    mixed = request(array_tensor("INPUT0", LEFT),
                    tensor("INPUT1", "FP32", [2, 16], RIGHT.reshape(-1).tolist()))
    assert answer(server.infer("add_sub", mixed)) == answer(server.infer("add_sub", both()))


def test_inputs_may_come_in_any_order(server):
    body = both()
    body["inputs"].reverse()
    assert answer(server.infer("add_sub", body)) == answer(server.infer("add_sub", both()))


def test_members_may_come_in_any_order(server):
    body = both(id="late")
    turned = {key: body[key] for key in reversed(list(body))}
    turned["inputs"] = [{key: one[key] for key in reversed(list(one))} for one in body["inputs"]]
    reply = server.infer("add_sub", json.dumps(turned))
    assert reply.json["id"] == "late"
    assert answer(reply) == answer(server.infer("add_sub", both()))


@pytest.mark.parametrize("name", ["42", "a\"b\\c\u00e9\u65e5\U0001f600\n", "x" * 500, ""])
def test_the_id_comes_back(server, name):
    reply = server.infer("add_sub", both(id=name))
    assert reply.status == 200
    assert reply.json["id"] == name


@pytest.mark.parametrize("asked", [["OUTPUT0"], ["OUTPUT1"], ["OUTPUT1", "OUTPUT0"]])
def test_only_the_asked_outputs_come_in_the_asked_order(server, asked):
    reply = server.infer("add_sub", both(outputs=[{"name": name} for name in asked]))
    assert [one["name"] for one in reply.json["outputs"]] == asked
    every = answer(server.infer("add_sub", both()))
    assert answer(reply) == {name: every[name] for name in asked}


def test_an_empty_list_of_outputs_means_all(server):
    assert len(server.infer("add_sub", both(outputs=[])).json["outputs"]) == 2


def test_parameters_of_every_kind_are_accepted(server):
    body = both(parameters={"text": "value", "number": 1, "real": 0.5, "flag": True,
                            "priority": 1, "timeout": 30000000})
    body["inputs"][0]["parameters"] = {"note": "x"}
    body["outputs"] = [{"name": "OUTPUT0", "parameters": {"note": "y", "binary_data": False}}]
    assert server.infer("add_sub", body).status == 200


def test_the_model_name_inside_the_body_is_accepted(server):
    """KServe's client sends it."""
    assert server.infer("add_sub", both(model_name="add_sub", id="x")).status == 200


@pytest.mark.parametrize("headers", [
    {}, {"Content-Type": "application/json"}, {"Content-Type": "application/json; charset=utf-8"},
    {"Content-Type": "application/x-www-form-urlencoded"}])
def test_any_usual_content_type_will_do(server, headers):
    assert server.infer("add_sub", json.dumps(both()), headers).status == 200


@pytest.mark.parametrize("version, plus", [(None, 10), (10, 10)])
def test_the_version_without_a_number_is_the_newest(server, version, plus):
    zeros = np.zeros((1, 4), np.float32)
    reply = server.infer("versions", request(array_tensor("INPUT0", zeros)), version=version)
    assert reply.json["model_version"] == "10"
    assert answer(reply)["OUTPUT0"] == [plus] * 4


def test_each_version_answers_for_itself(start_server, repository):
    repository.add("versions").settings("versions", "versions:\n  policy: all\n")
    server = start_server({"repository.path": repository.path})
    server.wait_versions("versions", 1, 2, 10)
    zeros = request(array_tensor("INPUT0", np.zeros((1, 4), np.float32)))
    for version in (1, 2, 10):
        reply = server.infer("versions", zeros, version=version)
        assert reply.json["model_version"] == str(version)
        assert answer(reply)["OUTPUT0"] == [version] * 4
    assert server.infer("versions", zeros, version=3).status == 404


def test_free_dimensions(server):
    for shape in [(1, 1, 3), (2, 5, 3), (7, 2, 3)]:
        array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        reply = server.infer("multi_free", request(array_tensor("INPUT0", array)))
        assert reply.json["outputs"][0]["shape"] == list(shape)
        assert answer(reply)["OUTPUT0"] == (array + 1).reshape(-1).tolist()


@pytest.mark.parametrize("shape", [[0, 3], [2, 0], [0, 0]])
def test_empty_tensors(server, shape):
    reply = server.infer("identity_zero", request(tensor("INPUT0", "FP32", shape, [])))
    assert reply.json["outputs"][0]["shape"] == shape
    assert reply.json["outputs"][0]["data"] == []


def test_a_tensor_without_dimensions(server):
    reply = server.infer("identity_scalar", request(tensor("INPUT0", "FP32", [], [2.5])))
    assert reply.json["outputs"][0]["shape"] == []
    assert reply.json["outputs"][0]["data"] == [2.5]


def test_names_with_dots_slashes_and_colons(server):
    array = np.arange(4, dtype=np.float32).reshape(1, 4)
    reply = server.infer("wide", request(array_tensor("module/block.1/input:0", array),
                                         array_tensor("x.0", array)))
    assert answer(reply)["save_infer_model/scale_0.tmp_1"] == (array * 2).reshape(-1).tolist()


def test_several_types_at_once(server):
    reply = server.infer("mixed", request(
        tensor("INPUT0", "INT32", [2, 2], [[1, -2], [3, 4]]),
        tensor("INPUT1", "FP32", [2, 2], [[0.5, 0.25], [1, 2]]),
        tensor("INPUT2", "BYTES", [2, 1], [["Zürich"], ["日本"]])))
    found = answer(reply)
    assert found == {
        "OUTPUT0": [1.5, -1.75, 4, 6], "OUTPUT1": ["Zürich", "日本"], "OUTPUT2": [2, 2]}


def test_text_escapes_survive(server):
    texts = ["", "a\"b", "back\\slash", "\n\t\u0001", "\u00e9", "\U0001f600", "\x7f", "\u2028"]
    for ascii_only in (True, False):
        body = json.dumps(request(tensor("INPUT0", "BYTES", [1, len(texts)], texts)),
                          ensure_ascii=ascii_only)
        assert answer(server.infer("identity_bytes", body.encode()))["OUTPUT0"] == texts


def test_text_that_is_no_utf8_still_gives_valid_json(server):
    data = pack("BYTES", [b"\xff\xfe", b"ok"])
    body, headers = binary(("INPUT0", "BYTES", [1, 2], data), outputs=[
        {"name": "OUTPUT0", "parameters": {"binary_data": False}}])
    reply = server.infer("identity_bytes", body, headers)
    assert reply.status in (200, 400, 500)
    json.loads(reply.body.decode("utf-8"))


def test_nan_and_infinity_in_an_answer_can_be_read_by_python(server):
    reply = server.infer("nonfinite", request(tensor("INPUT0", "FP32", [3], [0, -1, 1])))
    data = answer(reply)["OUTPUT0"]
    assert len(data) == 3 and data[2] == 0
    assert data[0] in (None, -np.inf)
    assert data[1] is None or np.isnan(data[1])


def test_numbers_keep_every_bit(server):
    values = np.frombuffer(np.random.RandomState(3).bytes(4 * 4096), np.float32)
    values = values[np.isfinite(values)][:4000].reshape(2, -1)
    reply = server.infer("identity_fp32", request(array_tensor("INPUT0", values)))
    found = np.array(answer(reply)["OUTPUT0"], np.float64).astype(np.float32).reshape(2, -1)
    assert found.tobytes() == values.tobytes()


@pytest.mark.parametrize("written, value", [
    ("1e3", 1000.0), ("1E+3", 1000.0), ("-0", -0.0), ("-0.0", -0.0), ("1e-45", 1e-45), ("0.1", 0.1),
    ("3.4028235e38", 3.4028235e38), ("1" + "0" * 30, 1e30), ("0." + "0" * 60 + "1", 0.0),
    ("0.333333333333333333333333333333333333333333333333333333333", 1 / 3)])
def test_numbers_are_read_as_json_writes_them(server, written, value):
    body = '{"inputs":[{"name":"INPUT0","datatype":"FP32","shape":[1,1],"data":[%s]}]}' % written
    (found,) = answer(server.infer("identity_fp32", body))["OUTPUT0"]
    assert np.float32(found).tobytes() == np.float32(value).tobytes()


def test_white_space_is_allowed_wherever_json_allows_it(server):
    body = "\r\n\t " + json.dumps(both(), indent="\t").replace(",", " ,\r\n") + " \n"
    assert answer(server.infer("add_sub", body)) == answer(server.infer("add_sub", both()))


def test_a_large_body(server):
    array = np.arange(20000, dtype=np.float32).reshape(20, 1000)
    reply = server.infer("identity_fp32", request(array_tensor("INPUT0", array)))
    assert answer(reply)["OUTPUT0"] == array.reshape(-1).tolist()


def test_an_output_whose_shape_depends_on_the_data(server):
    reply = server.infer("positions", request(tensor("INPUT0", "FP32", [2, 2], [1, 0, 0, 1])))
    assert reply.json["outputs"][0]["shape"] == [2, 2]
    assert answer(reply)["OUTPUT0"] == [0, 1, 0, 1]
    reply = server.infer("positions", request(tensor("INPUT0", "FP32", [2, 2], [0, 0, 0, 0])))
    assert reply.json["outputs"][0]["shape"] == [2, 0]
    assert reply.json["outputs"][0]["data"] == []


def test_a_model_that_mixes_rows_never_shares_a_batch(server):
    """Its answer depends on the whole batch: the warm-up must have seen that."""
    bodies = [request(array_tensor("INPUT0", np.full((1, 4), number, np.float32)))
              for number in range(8)]
    connections = [server.raw() for _ in bodies]
    for _ in range(20):
        for connection, body in zip(connections, bodies):
            connection.request("POST", "/v2/models/seqmix/infer", body)
        for connection in connections:
            assert answer(connection.reply())["OUTPUT0"] == [0, 0, 0, 0]
    for connection in connections:
        connection.close()
