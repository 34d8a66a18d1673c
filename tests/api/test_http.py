"""HTTP/1.1 as a careful server speaks it: keep-alive, pipelining, chunks, 100-continue, HEAD."""

import json

import numpy as np
import pytest
from testenv.rawhttp import chunked, request_bytes
from testenv.v2 import answer, array_tensor, request

LIVE = "GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
INFER = "/v2/models/add_sub/infer"
PATH = "/v2/models/identity_fp32/infer"


def add(number):
    row = np.full((1, 16), number, np.float32)
    return request(array_tensor("INPUT0", row), array_tensor("INPUT1", row), id=str(number))


def assert_sum(reply, number):
    assert answer(reply)["OUTPUT0"] == [2 * number] * 16
    assert reply.json["id"] == str(number)


@pytest.mark.tsan
def test_keep_alive(start_server, served_repository):
    server = start_server(served_repository)
    with server.raw() as raw:
        for _ in range(100):
            assert raw.get("/v2/health/live").status == 200


def test_keep_alive_over_inferences_and_errors(server):
    with server.raw() as raw:
        for number in range(50):
            assert_sum(raw.post(INFER, add(number)), number)
            assert raw.get("/nowhere").status == 404
            assert raw.post(INFER, "{").status == 400


def test_connection_close_is_honoured(server):
    with server.raw() as raw:
        reply = raw.get("/v2/health/live", {"Connection": "close"})
        assert (reply.header("Connection") or "").lower() == "close"
        assert raw.is_closed_by_server()


def test_http_1_0_closes_unless_asked_to_keep(server):
    with server.raw() as raw:
        raw.send("GET /v2/health/live HTTP/1.0\r\n\r\n")
        assert raw.reply().json == {"live": True}
        assert raw.is_closed_by_server()
    with server.raw() as raw:
        raw.send("GET /v2/health/live HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert raw.reply().status == 200


@pytest.mark.parametrize("size", [1, 7, 100])
def test_bytes_may_trickle_in(server, size):
    whole = request_bytes("POST", INFER, add(3)) + LIVE.encode()
    with server.raw() as raw:
        for at in range(0, len(whole), size):
            raw.send(whole[at:at + size])
        assert_sum(raw.reply(), 3)
        assert raw.reply().status == 200


def test_pipelined_requests_are_answered_in_order(server):
    with server.raw(seconds=5) as raw:
        for count in (1, 17, 40, 100):
            raw.send(b"".join(request_bytes("POST", INFER, add(number)) for number in range(count)))
            for number in range(count):
                assert_sum(raw.reply(), number)


def test_pipelined_requests_of_different_models_and_kinds_stay_in_order(server):
    """A slow model's answer holds back those behind it on the same connection."""
    slow = json.dumps(
        request({"name": "INPUT0", "datatype": "INT64", "shape": [1], "data": [5000]}))
    with server.raw() as raw:
        raw.send(request_bytes("POST", "/v2/models/slow/infer", slow)
                 + request_bytes("POST", INFER, add(1)) + LIVE.encode()
                 + request_bytes("POST", INFER, "{") + request_bytes("HEAD", "/v2")
                 + request_bytes("POST", INFER, add(2)))
        assert answer(raw.reply())["OUTPUT0"] == [5000]
        assert_sum(raw.reply(), 1)
        assert raw.reply().json == {"live": True}
        assert raw.reply().status == 400
        assert raw.reply(head=True).status == 200
        assert_sum(raw.reply(), 2)


def test_very_many_pipelined_requests_are_bounded(server):
    """Thousands of requests whose answers are not read yet: all are answered in the end."""
    count = 3000
    with server.raw() as raw:
        import threading
        sender = threading.Thread(target=raw.send, args=(LIVE * count,))
        sender.start()
        for _ in range(count):
            assert raw.reply().status == 200
        sender.join()


@pytest.mark.parametrize("pieces", [1, 2, 10])
def test_chunked_body(server, pieces):
    body = json.dumps(add(5)).encode()
    size = -(-len(body) // pieces)
    cut = [body[at:at + size] for at in range(0, len(body), size)]
    with server.raw() as raw:
        head = request_bytes("POST", INFER, headers={"Transfer-Encoding": "chunked"})
        raw.send(head + chunked(*cut) + LIVE.encode())
        assert_sum(raw.reply(), 5)
        assert raw.reply().status == 200, "in step after the last chunk"


def test_chunk_extensions_and_trailers_are_ignored(server):
    body = json.dumps(add(5)).encode()
    with server.raw() as raw:
        raw.send(request_bytes("POST", INFER, headers={"Transfer-Encoding": "chunked"})
                 + b"%x;name=\"value\"\r\n%s\r\n0\r\nX-Trailer: 1\r\n\r\n" % (len(body), body))
        assert_sum(raw.reply(), 5)
        assert raw.get("/v2/health/live").status == 200


@pytest.mark.parametrize("chunks",
    [b"zz\r\n",
    b"5\r\nabc\r\n0\r\n\r\n",
    b"-1\r\n",
     b"ffffffffffffffffff\r\n"])
def test_broken_chunks(server, chunks):
    with server.raw() as raw:
        raw.send(request_bytes("POST", INFER, headers={"Transfer-Encoding": "chunked"}) + chunks)
        reply = raw.reply()
        assert reply.status in (400, 413) and reply.error
        assert raw.is_closed_by_server()


def test_expect_continue(server):
    body = json.dumps(add(6)).encode()
    with server.raw() as raw:
        raw.send(request_bytes("POST", INFER, headers={
            "Expect": "100-continue", "Content-Length": str(len(body))}))
        assert raw.reply().status == 100
        raw.send(body)
        assert_sum(raw.reply(), 6)
        raw.send(request_bytes("POST", INFER, body, {"Expect": "100-continue"}))
        first = raw.reply()
        assert_sum(raw.reply() if first.status == 100 else first, 6)


def test_expect_continue_is_refused_before_a_body_that_is_too_large(start_server, repository):
    repository.add("add_sub")
    server = start_server({"repository.path": repository.path, "limits.body_max": "1Ki"})
    with server.raw() as raw:
        raw.send(request_bytes("POST", INFER, headers={
            "Expect": "100-continue", "Content-Length": "2000"}))
        assert raw.reply().status == 413


def test_other_expectations_are_refused(server):
    with server.raw() as raw:
        reply = raw.get("/v2/health/live", {"Expect": "the-unexpected"})
        assert reply.status == 417 and reply.error


@pytest.mark.parametrize("path", ["/v2", "/v2/models/add_sub", "/v2/models/nobody", "/nowhere",
                                  "/v2/models/stats"])
def test_head_is_get_without_the_body(server, path):
    with server.raw() as raw:
        whole = raw.get(path)
        head = raw.request("HEAD", path).reply(head=True)
        assert head.status == whole.status
        assert head.header("Content-Type") == whole.header("Content-Type")
        if path != "/v2/models/stats":
            assert head.header("Content-Length") == whole.header("Content-Length")
        assert raw.get("/v2/health/live").status == 200


def test_a_get_with_a_body_stays_in_step(server):
    with server.raw() as raw:
        raw.send(request_bytes("GET", "/v2/health/live", b"a body nobody needs"))
        assert raw.reply().status == 200
        assert raw.get("/v2/health/live").status == 200


def test_absolute_form_and_query(server):
    with server.raw() as raw:
        raw.send("GET http://example.org/v2/health/live?x=1 HTTP/1.1\r\nHost: example.org\r\n\r\n")
        assert raw.reply().status == 200
        assert raw.get("/v2/health/live?a=/../b%00").status == 200


MALFORMED = {
    "no http": b"hello\r\n\r\n", "no version": b"GET /v2\r\n\r\n",
    "binary": bytes(range(256)) + b"\r\n\r\n",
    "tls to a plain port": b"\x16\x03\x01\x02\x00\x01\x00\x01",
    "space in a header name": b"GET /v2 HTTP/1.1\r\nHost: x\r\nBad Name: 1\r\n\r\n",
    "space before the colon": b"GET /v2 HTTP/1.1\r\nHost: x\r\nName : 1\r\n\r\n",
    "NUL in a header": b"GET /v2 HTTP/1.1\r\nHost: x\r\nName: a\0b\r\n\r\n",
    "folded header": b"GET /v2 HTTP/1.1\r\nHost: x\r\nName: a\r\n b\r\n\r\n",
    "two lengths": b"POST /v2 HTTP/1.1\r\nHost: x\r\n"
                   b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length and chunks": b"POST /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
                         b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked not last": b"POST /v2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
    "unknown transfer coding": b"POST /v2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: foo\r\n\r\n",
    "negative length": b"POST /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "length with a sign": b"POST /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na",
    "length that overflows": b"POST /v2 HTTP/1.1\r\nHost: x\r\n"
                             b"Content-Length: 99999999999999999999\r\n\r\n",
    "bare LF in the request line": b"GET /v2 HTTP/1.1\nHost: x\r\n\r\n",
    "space in the target": b"GET /v2 /x HTTP/1.1\r\nHost: x\r\n\r\n",
    "no Host": b"GET /v2 HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET /v2 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_request(server, name):
    with server.raw() as raw:
        raw.send(MALFORMED[name])
        reply = raw.reply()
        assert reply.status in (400, 413, 501, 505), name
        assert reply.error
        assert (reply.header("Connection") or "").lower() == "close"
        assert raw.is_closed_by_server()
    assert server.get("/v2/health/live").status == 200


@pytest.mark.parametrize("version", ["HTTP/2.0", "HTTP/0.9", "HTTP/3.7"])
def test_unknown_versions(server, version):
    with server.raw() as raw:
        raw.send(f"GET /v2 {version}\r\nHost: x\r\n\r\n")
        assert raw.reply().status in (400, 505)


@pytest.mark.parametrize("method", ["BREW", "CONNECT", "TRACE", "PROPFIND", "get"])
def test_unknown_methods(server, method):
    with server.raw() as raw:
        raw.send(f"{method} /v2 HTTP/1.1\r\nHost: x\r\n\r\n")
        reply = raw.reply()
        assert reply.status in (400, 405, 501) and reply.error
    assert server.get("/v2").status == 200


def test_curl_sends_what_it_sends(curl):
    body = json.dumps(add(1)).encode()
    assert_sum(curl(INFER, "-d", body.decode()), 1)
    for header in ("Transfer-Encoding: chunked", "Expect: 100-continue"):
        assert_sum(curl(INFER, "--data-binary", "@-", "-H", header, stdin=body), 1)
    assert_sum(curl(INFER, "-d", body.decode(), "--compressed"), 1)
    assert_sum(curl(INFER, "-d", body.decode(), "--http1.0"), 1)
    assert curl("/v2/models/nobody/infer", "-d", "{}").status == 404


def test_curl_with_a_large_body(curl, server):
    """curl asks first, by itself, when a body is over a mebibyte."""
    array = np.arange(300000, dtype=np.float32).reshape(1, -1)
    body = json.dumps(request(array_tensor("INPUT0", array), id="big")).encode()
    assert len(body) > 1 << 20
    reply = curl(PATH, "--data-binary", "@-", stdin=body)
    assert answer(reply)["OUTPUT0"] == array.reshape(-1).tolist()


def test_answers_larger_than_any_socket_buffer(server):
    """Read slowly, they come whole."""
    array = np.arange(2_000_000, dtype=np.float32).reshape(1, -1)
    from testenv.v2 import binary
    body, headers = binary(("INPUT0", "FP32", array.shape, array.tobytes()),
                           parameters={"binary_data_output": True})
    with server.raw(receive_buffer=4096) as raw:
        raw.request("POST", PATH, body, headers)
        assert np.array_equal(answer(raw.reply())["OUTPUT0"], array)
        assert raw.get("/v2/health/live").status == 200


def test_request_ids(server):
    for given in ("abc", "x" * 128, "a-b_c.d:e/f"):
        assert server.get("/v2", headers={"X-Request-Id": given}).header("X-Request-Id") == given
    made = {server.get("/v2").header("X-Request-Id") for _ in range(20)}
    assert len(made) == 20 and all(made)
    for refused in ("x" * 129, "with space", "caf\u00e9", ""):
        back = server.get("/v2", headers={"X-Request-Id": refused}).header("X-Request-Id")
        assert back and back != refused
    for path in ("/nowhere", "/v2/models/nobody/infer", "/v2/health/live"):
        assert server.post(path, b"{}").header("X-Request-Id")


def test_cors_is_off_by_default(server):
    reply = server.get("/v2", headers={"Origin": "http://example.org"})
    assert reply.status == 200
    assert not [name for name, _ in reply.headers if name.lower().startswith("access-control")]


def test_cors_when_configured(start_server, repository):
    repository.add("add_sub")
    server = start_server({"repository.path": repository.path,
                           "cors.origins": "http://good.example"})
    good = server.get("/v2", headers={"Origin": "http://good.example"})
    assert good.header("Access-Control-Allow-Origin") == "http://good.example"
    assert "Origin" in good.header("Vary")
    bad = server.get("/v2", headers={"Origin": "http://bad.example"})
    assert bad.status == 200 and bad.header("Access-Control-Allow-Origin") is None
    asked = server.call("OPTIONS", INFER, headers={
        "Origin": "http://good.example", "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type"})
    assert asked.status in (200, 204)
    assert asked.header("Access-Control-Allow-Origin") == "http://good.example"
    assert "POST" in asked.header("Access-Control-Allow-Methods")
    assert "content-type" in asked.header("Access-Control-Allow-Headers").lower()
    assert server.infer("add_sub", add(1), {"Origin": "http://good.example"}).header(
        "Access-Control-Allow-Origin") == "http://good.example"
    failed = server.infer("add_sub", "{", {"Origin": "http://good.example"})
    assert failed.status == 400
    assert failed.header("Access-Control-Allow-Origin") == "http://good.example", "readable errors"
