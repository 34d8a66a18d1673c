"""Bad requests: the status, and a text that names the model, the tensor, what was expected and
what came. The connection stays usable."""

import json

import pytest
from testenv.v2 import request, tensor

ZEROS = [0.0] * 16
A = tensor("INPUT0", "FP32", [1, 16], ZEROS)
B = tensor("INPUT1", "FP32", [1, 16], ZEROS)


def changed(**members):
    """A with some members replaced; None takes one away."""
    return {key: value for key, value in {**A, **members}.items() if value is not None}


def text(body, old, new):
    """A body with a piece of its text replaced, for what json.dumps does not write."""
    written = json.dumps(body)
    assert old in written
    return written.replace(old, new, 1)


NAN = [float("nan")] + ZEROS[1:]
INFINITE = [float("inf")] + ZEROS[1:]
CASES = {  # name: (body for add_sub, words of the error text)
    "datatype": (request(changed(datatype="FP64"), B), ["add_sub", "INPUT0", "FP32", "FP64"]),
    "unknown datatype": (request(changed(datatype="FLOAT"), B), ["INPUT0", "FLOAT"]),
    "lower-case datatype": (request(changed(datatype="fp32"), B), ["INPUT0", "fp32"]),
    "no datatype": (request(changed(datatype=None), B), ["INPUT0", "datatype"]),
    "datatype that is no text": (request(changed(datatype=7), B), ["INPUT0", "datatype"]),
    "shape": (request(changed(shape=[1, 15], data=ZEROS[1:]), B),
              ["unexpected shape for input 'INPUT0'", "add_sub", "[-1,16]", "[1,15]"]),
    "rank": (request(changed(shape=[16]), B),
             ["unexpected shape for input 'INPUT0'", "add_sub", "[-1,16]", "[16]"]),
    "rank too high": (request(changed(shape=[1] * 100 + [16]), B), ["INPUT0"]),
    "no shape": (request(changed(shape=None), B), ["INPUT0", "shape"]),
    "shape that is no list": (request(changed(shape=16), B), ["INPUT0", "shape"]),
    "shape of text": (request(changed(shape=["1", "16"]), B), ["INPUT0", "shape"]),
    "shape with a fraction": (request(changed(shape=[1, 16.5]), B), ["INPUT0", "shape"]),
    "negative dimension": (request(changed(shape=[-1, 16]), B), ["INPUT0", "-1"]),
    "dimension beyond 64 bits": (request(changed(shape=[2 ** 64, 16]), B), ["INPUT0", "shape"]),
    "shape product that overflows": (request(changed(shape=[2 ** 62, 16]), B), ["INPUT0"]),
    "shape product that wraps to 16": (request(changed(shape=[2 ** 60 + 1, 16]), B), ["INPUT0"]),
    "zero that hides an overflow": (request(changed(shape=[0, 2 ** 62, 2 ** 62]), B), ["INPUT0"]),
    "too few values": (request(changed(data=ZEROS[1:]), B), ["add_sub", "INPUT0", "16", "15"]),
    "too many values": (request(changed(data=[*ZEROS, 0]), B), ["add_sub", "INPUT0", "16", "17"]),
    "no values": (request(changed(data=[]), B), ["INPUT0", "16", "0"]),
    "no data": (request(changed(data=None), B), ["INPUT0", "data"]),
    "data that is no list": (request(changed(data=5), B), ["INPUT0", "data"]),
    "data as an object": (request(changed(data={"0": 1}), B), ["INPUT0", "data"]),
    "text among numbers": (request(changed(data=[*ZEROS[1:], "x"]), B), ["INPUT0", "FP32"]),
    "null among numbers": (request(changed(data=[*ZEROS[1:], None]), B), ["INPUT0", "FP32"]),
    "NaN": (request(changed(data=NAN), B), ["INPUT0", "NaN"]),
    "Infinity": (request(changed(data=INFINITE), B), ["INPUT0", "Infinity"]),
    "nested unevenly": (request(changed(shape=[2, 16], data=[ZEROS[1:], [*ZEROS, 0]]), B),
                        ["INPUT0"]),
    "nested too deep": (request(changed(data=[[[z] for z in ZEROS]]), B), ["INPUT0"]),
    "missing input": (request(A),
                      ["expected 2 inputs but got 1 inputs for model 'add_sub'", "INPUT1"]),
    "unknown input": (request(A, B, tensor("INPUT2", "FP32", [1], [0])), ["add_sub", "INPUT2"]),
    "wrong input": (request(A, tensor("INPUTX", "FP32", [1, 16], ZEROS)), ["add_sub", "INPUTX"]),
    "duplicate input": (request(A, A), ["add_sub", "INPUT0"]),
    "duplicate beside all": (request(A, B, A), ["add_sub", "INPUT0"]),
    "no inputs": (request(), ["add_sub"]),
    "no member inputs": ({}, ["inputs"]),
    "inputs that are no list": ({"inputs": {}}, ["inputs"]),
    "an input that is no object": ({"inputs": [5]}, ["inputs"]),
    "an input without a name": (request(changed(name=None), B), ["name"]),
    "unknown output": (request(A, B, outputs=[{"name": "OUTPUT9"}]), ["add_sub", "OUTPUT9"]),
    "duplicate output": (request(A, B, outputs=[{"name": "OUTPUT0"}] * 2), ["add_sub", "OUTPUT0"]),
    "outputs that are no list": (request(A, B, outputs={}), ["outputs"]),
    "id that is no text": (request(A, B, id=5), ["id"]),
    "id far too long": (request(A, B, id="x" * 100000), ["id"]),
    "parameters that are no object": (request(A, B, parameters=[]), ["parameters"]),
    "binary_data_output that is no flag": (request(A, B, parameters={"binary_data_output": "yes"}),
                                           ["binary_data_output"]),
    "not json": ("inputs", []),
    "empty": ("", []),
    "cut": (json.dumps(request(A, B))[:-10], []),
    "a list": ("[]", []),
    "null": ("null", []),
    "text after the end": (json.dumps(request(A, B)) + "x", []),
    "a comment": ("/* */" + json.dumps(request(A, B)), []),
    "a comma too many": (text(request(A, B), "]}", ",]}"), []),
    "leading zero": (text(request(A, B), "0.0", "00.0"), []),
    "plus sign": (text(request(A, B), "0.0", "+0.0"), []),
    "hexadecimal": (text(request(A, B), "0.0", "0x10"), []),
    "number without an end": (text(request(A, B), "0.0", "1."), []),
    "control character in text": (b'{"id":"\x01","inputs":[]}', []),
    "bad UTF-8 in a name": (json.dumps(request(A, B)).encode().replace(b"INPUT0", b"IN\xffT0"), []),
    "bad UTF-8 in the id": (b'{"id":"\xc3\x28",' + json.dumps(request(A, B)).encode()[1:], []),
    "overlong UTF-8": (b'{"id":"\xc0\xaf",' + json.dumps(request(A, B)).encode()[1:], []),
    "lone surrogate": (b'{"id":"\\ud800",' + json.dumps(request(A, B)).encode()[1:], []),
    "NUL byte": (json.dumps(request(A, B)).encode() + b"\0", []),
    "nesting bomb of lists": ("[" * 100000, []),
    "nesting bomb in data": ('{"inputs":[{"name":"INPUT0","shape":[1,16],"datatype":"FP32","data":'
                             + "[" * 100000, []),
    "nesting bomb of objects": ('{"a":' * 100000, []),
    "nesting bomb that is closed": ("[" * 50000 + "]" * 50000, []),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_request(server, name):
    body, words = CASES[name]
    if isinstance(body, dict):
        body = json.dumps(body)
    with server.raw() as raw:
        reply = raw.request("POST", "/v2/models/add_sub/infer", body,
                            [("Content-Length", str(len(body)))]).reply()
        assert reply.status == 400, reply.body[:500]
        for word in words:
            assert word in reply.error, f"{word!r} is not in: {reply.error}"
        assert len(reply.body) < 4096, "an error does not grow with the request"
        assert raw.post("/v2/models/add_sub/infer", request(A, B)).status == 200, "still usable"


def test_every_missing_datatype_combination_is_refused(server):
    for datatype in ("BOOL", "INT64", "UINT8", "FP16", "BYTES"):
        data = {"BOOL": [True] * 16, "BYTES": ["x"] * 16}.get(datatype, [1] * 16)
        body = request(changed(datatype=datatype, data=data), B)
        reply = server.infer("add_sub", body)
        assert reply.status == 400 and datatype in reply.error


@pytest.mark.parametrize("path", [
    "/v2/models/nobody/infer", "/v2/models/nobody/versions/1/infer",
    "/v2/models/add_sub/versions/77/infer"])
def test_unknown_model_or_version(server, path):
    reply = server.post(path, json.dumps(request(A, B)))
    assert reply.status == 404
    assert reply.error.startswith("Request for unknown model: ")
    assert "nobody" in reply.error or ("add_sub" in reply.error and "77" in reply.error)


@pytest.mark.parametrize("version", ["0", "-1", "01", "+1",
                         "1.0", "x", "99999999999999999999", "%31%00"])
def test_versions_that_are_no_versions(server, version):
    reply = server.post(f"/v2/models/add_sub/versions/{version}/infer", json.dumps(request(A, B)))
    assert reply.status in (400, 404), reply.body
    assert reply.error


def test_a_model_that_is_not_ready(start_server, repository):
    repository.add("add_sub").add_broken("truncated")
    server = start_server({"repository.path": repository.path}, wait="listening")
    server.wait_logged("model_version_state", model="truncated", to="FAILED")
    reply = server.infer("truncated", request(A, B))
    assert reply.status == 503
    assert "truncated" in reply.error and len(reply.error) > 30, "with the reason"
    reply = server.infer("truncated", request(A, B), version=1)
    assert reply.status == 503 and "truncated" in reply.error


@pytest.mark.parametrize("path",
    ["/",
    "/v1",
    "/v2x",
    "/v2/",
    "/v2/model",
    "/v2/models/add_sub/infer/x",
    "/v2/models/add_sub/generate",
    "/v3",
    "/v2/models//infer",
    "/v2/health",
    "/favicon.ico",
     "/v2/../metrics"])
def test_paths_that_lead_nowhere(server, path):
    reply = server.get(path)
    if path == "/v2/":
        assert reply.status == 200
        return
    assert reply.status == 404
    assert reply.error


@pytest.mark.parametrize("path, method, allowed", [
    ("/v2", "POST", {"GET", "HEAD"}), ("/v2/health/live", "POST", {"GET", "HEAD"}),
    ("/v2/health/ready", "DELETE", {"GET", "HEAD"}),
    ("/v2/models/add_sub", "POST", {"GET", "HEAD"}),
    ("/v2/models/add_sub/infer", "GET", {"POST"}), ("/v2/models/add_sub/infer", "PUT", {"POST"}),
    ("/v2/models/add_sub/infer", "DELETE", {"POST"}),
    ("/v2/models/add_sub/infer", "PATCH", {"POST"}),
    ("/v2/repository/index", "GET", {"POST"}), ("/v2/models/stats", "POST", {"GET", "HEAD"})])
def test_bad_method(server, path, method, allowed):
    reply = server.call(method, path, b"{}")
    assert reply.status == 405
    assert {one.strip() for one in reply.header("Allow").split(",")} - {"OPTIONS"} == allowed
    assert method in reply.error


def test_a_run_that_fails_is_told(server):
    """An index outside the table: the model refuses its input."""
    reply = server.infer("lookup", request(tensor("INPUT0", "INT64", [2], [0, 4])))
    assert reply.status in (400, 500)
    assert "lookup" in reply.error
    assert server.infer("lookup", request(tensor("INPUT0", "INT64", [1], [3]))).status == 200


def test_a_failing_row_does_not_spoil_its_neighbours(server):
    """Requests that may share a batch: only the bad one fails."""
    good = request(tensor("INPUT0", "INT64", [1], [3]))
    bad = request(tensor("INPUT0", "INT64", [1], [9]))
    connections = [server.raw() for _ in range(8)]
    for _ in range(20):
        for number, connection in enumerate(connections):
            connection.request("POST", "/v2/models/lookup/infer", bad if number == 4 else good)
        replies = [connection.reply() for connection in connections]
        assert [reply.status == 200 for reply in replies] == [number != 4 for number in range(8)]
        assert all(reply.json["outputs"][0]["data"] == [40] for reply in replies
                   if reply.status == 200)
    for connection in connections:
        connection.close()


def test_input_values_do_not_appear_in_error_texts(server):
    secret = "hunter2-secret-value"
    reply = server.infer("add_sub", request(changed(data=[*ZEROS[1:], secret]), B))
    assert reply.status == 400 and secret not in reply.error
