"""HTTP/2 on the ports of HTTP/1.1: both protocols, flow control, limits, floods, GOAWAY."""

import contextlib
import json
import re
import shutil
import subprocess
import threading
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from testenv import PATIENCE, Curl, Http2, until
from testenv.http2 import CONTINUATION, HEADERS, PING, frame
from testenv.v2 import answer, array_tensor, binary, request

TREE = Path(__file__).resolve().parents[2]
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0)
HEAD = b"\x82\x86\x04\x10/v2/health/ready\x01\x01h"     # GET, http, :path, :authority; no table
ECHO = request(array_tensor("INPUT0", np.ones((1, 4), np.float32)))
FIXED = "input INPUT0 FP32 [1,4]\noutput OUTPUT0 FP32 [1,4]\n"
ENHANCE_YOUR_CALM = 11


def floats(count):
    return np.arange(count, dtype=np.float32).reshape(1, count)


@pytest.fixture
def fake(start_server, served_repository):
    return lambda options=None: start_server({**served_repository, **(options or {})})


@pytest.fixture
def secured(start_server, served_repository, certificates):
    _, certificate, key = certificates.make("server")
    server = start_server({**served_repository, "http.tls.certificate_file": certificate,
                           "http.tls.key_file": key}, wait="listening")
    server.scheme["data"], server.tls = "https", certificates.client_context()
    until(lambda: server.get("/v2/health/ready", listener="management").status == 200)
    return server


# ---- both protocols ------------------------------------------------------------------------------

@pytest.mark.tsan
@pytest.mark.parametrize("listener", ["data", "management"])
def test_one_port_speaks_both(fake, listener):
    server = fake()
    curl = Curl(server.url(listener=listener))
    path = "/v2/health/live" if listener == "data" else "/metrics"
    for flag, version in (("--http2-prior-knowledge", "HTTP/2"), ("--http1.1", "HTTP/1.1"),
                          ("--http2", "HTTP/1.1")):     # h2c by Upgrade is not offered
        reply = curl(path, flag)
        assert (reply.status, reply.version) == (200, version)


def test_alpn_chooses_under_tls(secured, certificates):
    curl = Curl(f"https://localhost:{secured.ports['data']}")
    for flag, version in (("--http2", "HTTP/2"), ("--http1.1", "HTTP/1.1"),
                          ("--no-alpn", "HTTP/1.1")):
        reply = curl("/v2/models/echo/infer", "--cacert", str(certificates.ca_file), flag,
                     "--data-binary", json.dumps(ECHO))
        assert (reply.status, reply.version) == (200, version)
        assert answer(reply)["OUTPUT0"] == [1] * 4


def test_inference_is_the_same_as_over_http_1_1(server):
    with Http2(server.ports["data"]) as client:
        for model in ("identity_fp32", "mlp"):
            meta = server.get(f"/v2/models/{model}").json
            inputs = [array_tensor(one["name"], floats(int(np.prod(np.abs(one["shape"]))))
                                   .reshape(np.abs(one["shape"]))) for one in meta["inputs"]]
            body = json.dumps(request(*inputs)).encode()
            old = server.infer(model, body)
            new = client.call("POST", f"/v2/models/{model}/infer", body)
            assert new.status == old.status == 200
            assert new.json["outputs"] == old.json["outputs"]
        assert client.call("GET", "/v2/models/nobody").status == 404
        assert client.call("GET", "/v2/models/mlp?x=%20").json["name"] == "mlp"
        reply = client.call("HEAD", "/v2/health/live")
        assert reply.status == 200 and reply.body == b""


@pytest.mark.tsan
def test_many_connections_of_both_kinds_at_once(fake):
    server = fake({"loops": 2})
    wrong = []

    def new(count):
        try:
            with Http2(server.ports["data"]) as client:
                for _ in range(count):
                    streams = [client.begin("POST", "/v2/models/echo/infer",
                                            json.dumps(ECHO).encode()) for _ in range(20)]
                    for stream in streams:
                        assert answer(client.finish(stream))["OUTPUT0"] == [1] * 4
        except Exception as error:  # noqa: BLE001 (told by the test)
            wrong.append(repr(error))

    def old(count):
        connection = server.connection()
        for _ in range(count * 5):
            reply = server.infer("echo", ECHO, connection=connection)
            if reply.status != 200:
                wrong.append(repr(reply))
    threads = [threading.Thread(target=target, args=(10,)) for target in (new, old) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:3]
    assert server.metrics().value("inferd_anomalies_total") == 0


# ---- flow control --------------------------------------------------------------------------------

@pytest.mark.parametrize("window", [1, 1000, 1 << 20])
def test_answers_wait_for_the_clients_window(fake, window):
    server = fake({"compression.enabled": False})
    count = 100 if window == 1 else 20000
    body, headers = binary(("INPUT0", "FP32", (count // 4, 4), floats(count).tobytes()),
                           outputs=[{"name": "OUTPUT0", "parameters": {"binary_data": True}}])
    with Http2(server.ports["data"], window=window) as client:
        stream = client.begin("POST", "/v2/models/echo/infer", body, headers)
        other = client.begin("GET", "/v2/health/live")
        assert client.finish(other).status == 200       # not held up by the other
        found = answer(client.finish(stream))["OUTPUT0"]
    assert np.array_equal(found.reshape(1, count), floats(count))


def test_bodies_larger_than_every_window_arrive(fake):
    server = fake({"limits.http2_stream_window": "64Ki"})
    count = 6_000_000
    body, headers = binary(("INPUT0", "FP32", (count // 4, 4), floats(count).tobytes()),
                           outputs=[{"name": "OUTPUT0", "parameters": {"binary_data": True}}])
    with Http2(server.ports["data"], window=1 << 24) as client:
        client.state.increment_flow_control_window(1 << 24)
        found = answer(client.call("POST", "/v2/models/echo/infer", body, headers))["OUTPUT0"]
    assert np.array_equal(found.reshape(1, count), floats(count))


def test_large_answers_come_whole_under_tls(secured):
    count = 3_000_000
    body, headers = binary(("INPUT0", "FP32", (count // 4, 4), floats(count).tobytes()),
                           outputs=[{"name": "OUTPUT0", "parameters": {"binary_data": True}}])
    with Http2(secured.ports["data"], tls=secured.tls, window=1 << 26,
               receive_buffer=65536) as client:
        client.state.increment_flow_control_window(1 << 26)
        streams = [client.begin("POST", "/v2/models/echo/infer", body, headers) for _ in range(3)]
        for stream in streams:
            found = answer(client.finish(stream))["OUTPUT0"]
            assert np.array_equal(found.reshape(1, count), floats(count))


# ---- limits --------------------------------------------------------------------------------------

def test_large_bodies_get_413_and_the_connection_goes_on(fake):
    server = fake({"limits.body_max": "4Ki"})
    with Http2(server.ports["data"]) as client:
        for headers in ({}, {"content-length": "5000"}):
            stream = client.begin("POST", "/v2/models/echo/infer", b"x" * 5000, headers)
            reply = client.finish(stream)
            assert reply.status == 413 and "4096 bytes" in reply.json["error"]
        assert client.call("GET", "/v2/health/live").status == 200
    assert server.metrics().value("inferd_http_refused_total", reason="too_large") == 2


def test_large_heads_get_431_and_414(fake):
    server = fake()
    with Http2(server.ports["data"]) as client:
        assert client.call("GET", "/v2", headers={"x-long": "v" * 40000}).status == 431
        assert client.call("GET", "/v2", headers={f"x-{i}": "v" for i in range(120)}).status == 431
        assert client.call("GET", "/" + "p" * 9000).status == 414
        assert client.call("GET", "/v2").status == 200


def test_a_body_that_stops_gets_408(fake):
    server = fake({"limits.body_timeout": "200ms"})
    with Http2(server.ports["data"]) as client:
        stream = client.begin("POST", "/v2/models/echo/infer", b"{", end=False)
        assert client.finish(stream).status == 408
        assert client.call("GET", "/v2").status == 200


@pytest.mark.tsan
def test_rapid_resets_end_the_connection(start_server, repository, gate):
    repository.fake("slow", FIXED + gate.directive).settings("slow", "warmup: false\n")
    server = start_server({"repository.path": repository.path, "engine": "fake",
                           "limits.http2_resets_max": 200})
    body = json.dumps(ECHO).encode()
    with Http2(server.ports["data"]) as client:
        for _ in range(300):
            try:
                stream = client.begin("POST", "/v2/models/slow/infer", body)
                client.state.reset_stream(stream.number, 8)
                client.send()
            except OSError:
                break
        client.until_closed()
        assert ENHANCE_YOUR_CALM in [code for _, code in client.goaways]
    until(lambda: server.metrics().value("inferd_http_refused_total", reason="malformed") == 1)
    gate.open()
    assert server.infer("slow", ECHO).status == 200
    assert server.metrics().value("inferd_anomalies_total") == 0


def flood(server, pieces):
    """Sends until the server ends the connection."""
    with server.raw() as raw:
        raw.send(PREFACE)
        with pytest.raises(OSError):
            for _ in range(100000):
                raw.send(pieces)


def test_floods_end_the_connection_and_take_no_memory(fake):
    server = fake({"limits.write_timeout": "1s"})
    before = server.resident_bytes()
    flood(server, frame(PING, 0, 0, b"p" * 8) * 1000)
    flood(server, frame(4, 0, 0) * 1000)
    with server.raw() as raw:
        raw.send(PREFACE + frame(HEADERS, 0, 1, HEAD))
        with pytest.raises(OSError):
            for _ in range(100000):
                raw.send(frame(CONTINUATION, 0, 1, b"\0\1a\1b" * 100))
    until(lambda: server.metrics().value("inferd_http_refused_total", reason="malformed") >= 3)
    assert server.resident_bytes() - before < 64 << 20
    assert server.get("/v2/health/live").status == 200


def test_a_client_that_never_reads_is_dropped(fake):
    server = fake({"limits.write_timeout": "500ms", "compression.enabled": False})
    count = 1_000_000
    body, headers = binary(("INPUT0", "FP32", (count // 4, 4), floats(count).tobytes()),
                           outputs=[{"name": "OUTPUT0", "parameters": {"binary_data": True}}])
    with Http2(server.ports["data"], reads=False) as client:  # its windows are never handed back
        stream = client.begin("POST", "/v2/models/echo/infer", body, headers)
        until(lambda: stream.reset is not None or not client.take())
        assert stream.reset == 8 and not stream.ended
    with Http2(server.ports["data"], window=1 << 30, receive_buffer=4096) as client:
        client.state.increment_flow_control_window(1 << 30)
        body, headers = binary(("INPUT0", "FP32", (count // 4, 4), floats(count).tobytes()))
        with contextlib.suppress(OSError):                  # dropped while it still sends
            for _ in range(4):
                client.begin("POST", "/v2/models/echo/infer", body, headers)  # JSON: 12 MB each
        until(lambda: server.metrics().value("inferd_http_connections", listener="data") == 0)


# ---- the end -------------------------------------------------------------------------------------

@pytest.mark.tsan
def test_a_reset_cancels_the_request(start_server, repository, gate):
    repository.fake("slow", FIXED + gate.directive).settings("slow", "warmup: false\n")
    server = start_server({"repository.path": repository.path, "engine": "fake"})
    with Http2(server.ports["data"]) as client:
        stream = client.begin("POST", "/v2/models/slow/infer", json.dumps(ECHO).encode())
        client.finish(client.begin("GET", "/v2/health/live"))
        client.state.reset_stream(stream.number, 8)
        client.send()
        assert client.call("GET", "/v2/health/live").status == 200
        gate.open()     # the run that has begun ends; nobody waits for it
        until(lambda: server.metrics().value("inferd_requests_total", model="slow", code="499") == 1)


@pytest.mark.tsan
def test_a_drain_finishes_streams_and_tells_new_ones(start_server, repository, gate):
    repository.fake("slow", FIXED + gate.directive).settings("slow", "warmup: false\n")
    server = start_server({"repository.path": repository.path, "engine": "fake"})
    body = json.dumps(ECHO).encode()
    with Http2(server.ports["data"]) as client:
        stream = client.begin("POST", "/v2/models/slow/infer", body)
        assert client.finish(client.begin("GET", "/v2/health/live")).status == 200
        server.signal()
        client.wait_goaway(2)
        assert client.goaways == [(2**31 - 1, 0), (3, 0)]
        gate.open()
        assert answer(client.finish(stream))["OUTPUT0"] == [1] * 4
        client.until_closed()
    assert server.wait() == 0


@pytest.mark.tsan
def test_under_load_a_drain_loses_no_request(fake):
    """Clients that begin nothing after a GOAWAY, and repeat what it says was not taken."""
    server = fake()
    wrong, served, ended = [], [0], threading.Event()

    def work():
        try:
            while not ended.is_set():
                client = Http2(server.ports["data"])
                while not client.goaways and not client.closed:
                    assert client.call("GET", "/v2/health/live").status == 200
                    served[0] += 1
                client.close()
        except ConnectionRefusedError:
            pass
        except Exception as error:  # noqa: BLE001 (told by the test)
            wrong.append(repr(error))
    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    until(lambda: served[0] > 200)
    server.signal()
    code = server.wait(20)
    ended.set()
    for thread in threads:
        thread.join()
    assert code == 0 and not wrong, wrong[:5]


def test_old_connections_are_given_up(fake):
    server = fake({"limits.connection_age_max": "1s"})
    connection = server.connection()
    assert server.get("/v2", connection=connection).header("Connection") is None
    with Http2(server.ports["data"]) as client:
        client.wait_goaway(1)
        assert client.goaways[0] == (2**31 - 1, 0)
        client.until_closed()
    assert until(lambda: server.get("/v2", connection=connection).header("Connection")) == "close"


# ---- other people's programs ---------------------------------------------------------------------

# What fails, and why that is right.
EXPLAINED = {
    "Sends invalid connection preface":
        "what is no preface is an HTTP/1.1 request here: it is answered with 400, then closed",
    "Sends stream identifier that is numerically smaller than previous":
        "nghttp2 ignores such a stream: frames of one that was reset may still be on their way",
}


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_h2spec(request, tmp_path, secure):
    cache = subprocess.run([TREE / "tools" / "deps.sh", "cache"], capture_output=True, text=True,
                           check=True).stdout.strip()
    program = Path(cache) / "h2spec" / "h2spec"
    if not program.is_file():
        pytest.skip(f"there is no {program}: tools/deps.sh h2spec builds it")
    server = request.getfixturevalue("secured") if secure else request.getfixturevalue("fake")()
    report = tmp_path / "report.xml"
    subprocess.run([program, "--port", str(server.ports["data"]), "--strict", "--path",
                    "/v2/health/live", "--timeout", str(int(5 * PATIENCE)), "--junit-report", report,
                    *(["--tls", "--insecure"] if secure else [])],
                   capture_output=True, check=False, timeout=80 * PATIENCE)
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    assert len(cases) >= 140
    wrong = [case.get("classname") for case in cases
             if case.find("failure") is not None or case.find("error") is not None
             or case.find("skipped") is not None]
    assert not [name for name in wrong if name not in EXPLAINED], wrong


def test_h2load_counts_no_failure(fake, tmp_path):
    if not shutil.which("h2load"):
        pytest.skip("there is no h2load: Debian's nghttp2-client brings it")
    server = fake()
    body = tmp_path / "body"
    body.write_text(json.dumps(ECHO))
    done = subprocess.run(["h2load", "-n", "4000", "-c", "8", "-m", "8", "-d", body,
                           server.url("/v2/models/echo/infer")], capture_output=True, text=True,
                          check=True, timeout=60 * PATIENCE)
    assert re.search(r"4000 done, .* 0 failed, 0 errored, 0 timeout", done.stdout), done.stdout
