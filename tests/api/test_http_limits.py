"""Every limit of HTTP: what is beyond it gets its own status, and others are still served."""

import json
import time

import pytest
from testenv import until
from testenv.rawhttp import Closed, chunked, request_bytes
from testenv.v2 import request, tensor

LIVE = "/v2/health/live"
INFER = "/v2/models/add_sub/infer"
ZEROS = [0.0] * 16
BODY = json.dumps(request(tensor("INPUT0", "FP32", [1, 16], ZEROS),
                          tensor("INPUT1", "FP32", [1, 16], ZEROS)))


@pytest.fixture
def limited(start_server, repository):
    """limited(**limits) -> a server with one model."""
    repository.add("add_sub")

    def start(**options):
        named = {f"limits.{name}": value for name, value in options.items()}
        return start_server({"repository.path": repository.path, **named})

    return start


def test_body_over_the_limit(limited):
    server = limited(body_max="4Ki")
    with server.raw() as raw:
        assert raw.post(INFER, BODY.ljust(4096)).status == 200, "at the limit"
        raw.request("POST", INFER, BODY.ljust(4097))
        reply = raw.reply()
        assert reply.status == 413
        assert reply.header("X-Request-Id")
        assert "4096" in reply.error or "4Ki" in reply.error
    assert server.get(LIVE).status == 200


def test_body_far_over_the_limit_is_refused_before_it_comes(limited):
    server = limited(body_max="4Ki")
    with server.raw() as raw:
        raw.send(request_bytes("POST", INFER, headers={"Content-Length": str(1 << 40)}))
        assert raw.reply().status == 413


def test_chunked_body_over_the_limit(limited):
    server = limited(body_max="4Ki")
    with server.raw() as raw:
        raw.send(request_bytes("POST", INFER, headers={"Transfer-Encoding": "chunked"}))
        try:
            for _ in range(100):
                raw.send(b"400\r\n" + b" " * 1024 + b"\r\n")
        except OSError:
            pass  # it need not read what it refused
        try:
            assert raw.reply().status == 413
        except Closed:
            pytest.fail("closed without an answer that the client could read")
    with server.raw() as raw:
        raw.send(request_bytes("POST", INFER, headers={"Transfer-Encoding": "chunked"})
                 + chunked(BODY.encode()))
        assert raw.reply().status == 200


def test_a_client_that_sends_its_whole_large_body_can_read_the_refusal(limited):
    """The answer must not be lost to a reset while the client still sends."""
    server = limited(body_max="4Ki")
    for _ in range(5):
        with server.raw() as raw:
            raw.send(request_bytes("POST", INFER, b" " * (1 << 20)))
            assert raw.reply().status == 413


def test_target_too_long(limited):
    server = limited()
    with server.raw() as raw:
        reply = raw.request("GET", "/v2/" + "x" * 20000).reply()
        assert reply.status in (414, 431) and reply.error
    with server.raw() as raw:
        assert raw.request("GET", "/v2/" + "x" * 9000).reply().status == 414


def test_headers_too_large(limited):
    server = limited()
    with server.raw() as raw:
        reply = raw.get(LIVE, {"X-Large": "x" * 200000})
        assert reply.status == 431 and reply.error
    with server.raw() as raw:
        reply = raw.get(LIVE, [(f"X-{number}", "1") for number in range(1000)])
        assert reply.status == 431 and reply.error
    assert server.get(LIVE).status == 200


def test_headers_without_an_end_are_cut_off(limited):
    server = limited()
    with server.raw() as raw:
        raw.send("GET /v2 HTTP/1.1\r\nHost: x\r\n")
        try:
            for _ in range(2000):
                raw.send("X-Endless: " + "y" * 1000 + "\r\n")
        except OSError:
            pass
        try:
            assert raw.reply().status == 431
        except Closed:
            pass
    assert server.get(LIVE).status == 200


def test_slow_headers(limited):
    server = limited(header_timeout="500ms")
    with server.raw() as raw:
        raw.send("GET /v2 HTTP/1.1\r\nHos")
        reply = raw.reply()
        assert reply.status == 408 and reply.error
        assert raw.is_closed_by_server()
    assert server.get(LIVE).status == 200


def test_headers_that_trickle_are_slow_headers(limited):
    """A byte now and then does not keep the connection open."""
    server = limited(header_timeout="500ms")
    with server.raw() as raw:
        with pytest.raises(OSError):
            for byte in "GET /v2 HTTP/1.1\r\nHost: " + "x" * 400:
                raw.send(byte)
                time.sleep(0.05)
        try:
            assert raw.reply().status == 408
        except Closed:
            pass  # its answer was overtaken by the reset that our late bytes caused


def test_a_connection_that_says_nothing_is_ended(limited):
    server = limited(header_timeout="500ms", idle_timeout="500ms")
    with server.raw() as raw:
        try:
            assert raw.reply().status == 408
        except Closed:
            pass


def test_slow_body(limited):
    server = limited(body_timeout="500ms")
    with server.raw() as raw:
        raw.send(request_bytes("POST", INFER, BODY)[:-5])
        reply = raw.reply()
        assert reply.status == 408 and reply.error
        assert raw.is_closed_by_server()


def test_body_that_trickles_is_a_slow_body(limited):
    server = limited(body_timeout="1s", body_rate_min="100Ki")
    with server.raw() as raw:
        raw.send(request_bytes("POST", INFER, headers={"Content-Length": "4000"}))
        with pytest.raises(OSError):
            for _ in range(400):
                raw.send(b" ")
                time.sleep(0.05)
        try:
            assert raw.reply().status == 408
        except Closed:
            pass


def test_idle_connections_are_closed_silently(limited):
    server = limited(idle_timeout="300ms")
    with server.raw() as raw:
        assert raw.get(LIVE).status == 200
        with pytest.raises(Closed):
            raw.reply()
        assert raw.pending == b"", "no 408 for an idle connection"


def test_too_many_connections_are_refused_politely(limited):
    server = limited(connections_max=4)
    kept = [server.raw() for _ in range(4)]
    try:
        for one in kept:
            assert one.get(LIVE).status == 200
        refused = 0
        for _ in range(5):
            with server.raw() as extra:
                extra.request("GET", LIVE)
                reply = extra.reply()
                if reply.status == 503:
                    refused += 1
                    assert "connections" in reply.error
                    assert reply.header("Connection").lower() == "close"
                    assert extra.is_closed_by_server()
        assert refused >= 4, "the limit is one of the process, not of each loop"
        for one in kept:
            assert one.get(LIVE).status == 200, "those who were in stay in"
    finally:
        for one in kept:
            one.close()

    def served():
        with server.raw() as raw:
            return raw.get(LIVE).status == 200
    until(served, what="a free place again")


def test_management_answers_when_data_is_full(limited):
    server = limited(connections_max=2)
    kept = [server.raw() for _ in range(2)]
    assert server.get("/livez", listener="management").status == 200
    assert server.get("/metrics", listener="management").status == 200
    for one in kept:
        one.close()


def test_a_peer_that_never_reads_is_dropped(start_server, repository):
    repository.add("identity_fp32")
    server = start_server({"repository.path": repository.path, "limits.write_timeout": "500ms"})
    from testenv.v2 import binary
    body, headers = binary(("INPUT0", "FP32", [1, 2_000_000], bytes(8_000_000)),
                           parameters={"binary_data_output": True})
    with server.raw(receive_buffer=4096) as raw:
        raw.request("POST", "/v2/models/identity_fp32/infer", body, headers)
        until(lambda: server.logged("request", model="identity_fp32"), what="the dropped response")
        assert server.get(LIVE).status == 200


def test_wrong_lengths_close_the_connection(limited):
    server = limited(body_timeout="500ms")
    with server.raw() as raw:
        raw.send(request_bytes("POST", INFER, BODY[:50], {"Content-Length": str(len(BODY))}))
        raw.socket.shutdown(1)
        try:
            assert raw.reply().status in (400, 408)
        except Closed:
            pass
    assert server.get(LIVE).status == 200
