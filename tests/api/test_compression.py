"""gzip and deflate bodies, both ways, with a bound on what they inflate to."""

import gzip
import json
import zlib

import numpy as np
import pytest
import requests
from testenv.v2 import answer, array_tensor, binary, request

ROWS = np.zeros((20, 500), np.float32)
PATH = "/v2/models/identity_fp32/infer"


def raw_deflate(data):
    squeezer = zlib.compressobj(wbits=-15)
    return squeezer.compress(data) + squeezer.flush()


CODINGS = {"gzip": gzip.compress, "x-gzip": gzip.compress, "GZIP": gzip.compress,
           "deflate": zlib.compress, "identity": bytes}


@pytest.mark.parametrize("coding", CODINGS)
def test_json_request(server, coding):
    body = CODINGS[coding](json.dumps(request(array_tensor("INPUT0", ROWS))).encode())
    reply = server.infer("identity_fp32", body, {"Content-Encoding": coding})
    assert answer(reply)["OUTPUT0"] == ROWS.reshape(-1).tolist()


def test_deflate_without_its_wrapper_is_understood(server):
    body = raw_deflate(json.dumps(request(array_tensor("INPUT0", ROWS))).encode())
    assert server.infer("identity_fp32", body, {"Content-Encoding": "deflate"}).status == 200


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_binary_request_whose_header_length_counts_inflated_bytes(server, coding):
    body, headers = binary(("INPUT0", "FP32", ROWS.shape, ROWS.tobytes()))
    squeezed = CODINGS[coding](body)
    assert int(headers["Inference-Header-Content-Length"]) < len(body)
    reply = server.infer("identity_fp32", squeezed, {**headers, "Content-Encoding": coding})
    assert answer(reply)["OUTPUT0"] == ROWS.reshape(-1).tolist()


@pytest.mark.parametrize("coding, inflate",
                         [("gzip", gzip.decompress), ("deflate", zlib.decompress)])
@pytest.mark.parametrize("binary_out", [True, False])
def test_response(server, coding, inflate, binary_out):
    body = request(array_tensor("INPUT0", ROWS), parameters={"binary_data_output": binary_out})
    reply = server.infer("identity_fp32", body, {"Accept-Encoding": coding})
    assert reply.status == 200
    assert reply.header("Content-Encoding") == coding
    assert len(reply.body) < 10000
    reply.body = inflate(reply.body)
    assert np.array_equal(np.asarray(answer(reply)["OUTPUT0"]).reshape(ROWS.shape), ROWS)


@pytest.mark.parametrize("accept, coding", [
    (None, None), ("identity", None), ("br", None), ("gzip;q=0", None), ("*;q=0", None),
    ("gzip;q=0, deflate", "deflate"), ("gzip;q=0.1, deflate;q=0.9", "deflate"),
    ("deflate, gzip", "gzip"), ("br, gzip", "gzip"), ("*", "gzip"), ("gzip;q=0, *;q=0", None)])
def test_the_coding_is_negotiated(server, accept, coding):
    headers = {"Accept-Encoding": accept} if accept else {}
    body = json.dumps(request(array_tensor("INPUT0", ROWS)))
    with server.raw() as raw:
        reply = raw.post(PATH, body, headers)
    assert reply.status == 200
    assert reply.header("Content-Encoding") == coding


def test_requests_library(server):
    """It always accepts gzip, and inflates by itself."""
    got = requests.post(server.url(PATH), json=request(array_tensor("INPUT0", ROWS)), timeout=30)
    assert got.json()["outputs"][0]["shape"] == list(ROWS.shape)


def test_errors_of_compressed_requests_are_readable(server):
    body = gzip.compress(b'{"inputs": []}')
    reply = server.infer("identity_fp32", body, {"Content-Encoding": "gzip"})
    assert reply.status == 400 and "identity_fp32" in reply.error


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, gzip", "deflate, gzip", "foo"])
def test_unknown_coding(server, coding):
    with server.raw() as raw:
        reply = raw.post(PATH, b"x" * 100, {"Content-Encoding": coding})
        assert reply.status == 415
        for word in (coding.split(",")[0], "gzip", "deflate"):
            assert word in reply.error, "what came and what may"
        assert raw.get("/v2/health/live").status == 200, "still usable"


WHOLE = gzip.compress(json.dumps(request(array_tensor("INPUT0", ROWS))).encode(), mtime=0)


@pytest.mark.parametrize("coding, body", [
    ("gzip", WHOLE[:-1]), ("gzip", WHOLE[:20]), ("gzip", WHOLE + b"x"), ("gzip", b"not gzip"),
    ("gzip", b""), ("gzip", WHOLE[:-8] + b"\0" * 8), ("deflate", b"\x78\x9c garbage"),
    ("deflate", zlib.compress(b"{}")[:-1]), ("gzip", WHOLE[:50] + b"\xff" * 50 + WHOLE[100:])])
def test_damaged_body(server, coding, body):
    with server.raw() as raw:
        reply = raw.post(PATH, body, {"Content-Encoding": coding})
        assert reply.status == 400
        assert reply.error
        assert raw.get("/v2/health/live").status == 200, "still usable"


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_bomb(start_server, repository, coding):
    """60 MB of zeros in 60 KB: refused, and never held in memory."""
    repository.add("identity_fp32")
    server = start_server({"repository.path": repository.path, "limits.inflated_max": "1Mi"})
    before = server.resident_bytes()
    body = CODINGS[coding](bytes(60 << 20))
    with server.raw() as raw:
        reply = raw.post(PATH, body, {"Content-Encoding": coding})
        assert reply.status == 413
        assert "1048576" in reply.error or "1Mi" in reply.error, "the limit is named"
        assert raw.get("/v2/health/live").status == 200, "still usable"
    assert server.resident_bytes() - before < 32 << 20


def test_inflated_size_at_the_limit(start_server, repository):
    repository.add("identity_fp32")
    server = start_server({"repository.path": repository.path, "limits.inflated_max": "64Ki"})
    body = json.dumps(request(array_tensor("INPUT0", np.zeros((1, 4), np.float32)))).encode()
    for size, status in ((65536, 200), (65537, 413)):
        squeezed = gzip.compress(body.ljust(size))
        reply = server.infer("identity_fp32", squeezed, {"Content-Encoding": "gzip"})
        assert reply.status == status
