"""Hostile input over a live server: afterwards it serves as before, and has not grown."""

import json
import random
import threading
import time

import numpy as np
import pytest
from testenv import until
from testenv.rawhttp import Closed, RawHttp, request_bytes
from testenv.server import sanitized
from testenv.v2 import answer, array_tensor, binary, request

ADD = request(array_tensor("INPUT0", np.ones((1, 16), np.float32)),
              array_tensor("INPUT1", np.ones((1, 16), np.float32)))
SEED = 20240607
GROWTH = 64 << 20


@pytest.fixture
def target(start_server, repository):
    repository.add("add_sub", "identity_bytes", "identity_fp32", "mixed", "multi_free")
    return start_server({"repository.path": repository.path, "limits.body_max": "4Mi",
                         "limits.inflated_max": "4Mi", "limits.tensors_max": "16Mi",
                         "limits.header_timeout": "2s", "limits.body_timeout": "2s"})


def assert_well(server, before):
    """It serves right answers, its memory is bounded, and no connection is left behind."""
    assert answer(server.infer("add_sub", ADD))["OUTPUT0"] == [2] * 16
    assert server.get("/v2/health/ready").status == 200
    if not sanitized():
        assert server.resident_bytes() - before < GROWTH
    until(lambda: server.metrics().value("inferd_http_connections", listener="data") == 0, 15)
    assert (server.metrics().value("inferd_requests_in_flight", model="add_sub") or 0) == 0


def mutate(data, chance):
    """A request with a few bytes changed, dropped, repeated, or cut."""
    data = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(data)) if data else 0
        kind = chance.randrange(6)
        if kind == 0 and data:
            data[at] = chance.randrange(256)
        elif kind == 1 and data:
            del data[at:at + chance.randint(1, 20)]
        elif kind == 2:
            data[at:at] = bytes(chance.randrange(256) for _ in range(chance.randint(1, 10)))
        elif kind == 3:
            data[at:at] = data[at:at + chance.randint(1, 60)]
        elif kind == 4 and data:
            data[at:at] = chance.choice([b"-1", b"1e999", b"99999999999999999999", b"[[[[", b"\0",
                                         b"\r\n", b"\xff\xff\xff\xff", b"null", b'"', b"{}", b":"])
        elif kind == 5:
            del data[at:]
    return bytes(data)


def whole_requests():
    text, text_headers = binary(("INPUT0", "BYTES", [1, 2], b"\1\0\0\0a\2\0\0\0bc"), id="x")
    three, three_headers = binary(
        ("INPUT0", "INT32", [1, 2], bytes(8)), ("INPUT1", "FP32", [1, 2], bytes(8)),
        ("INPUT2", "BYTES", [1, 1], b"\1\0\0\0a"), parameters={"binary_data_output": True},
        outputs=[{"name": "OUTPUT1"}, {"name": "OUTPUT0", "parameters": {"binary_data": False}}])
    return [request_bytes("POST", "/v2/models/add_sub/infer", ADD),
            request_bytes("POST", "/v2/models/identity_bytes/infer", text, text_headers),
            request_bytes("POST", "/v2/models/mixed/infer", three, three_headers),
            request_bytes("POST", "/v2/repository/index", b'{"ready":true}'),
            request_bytes("GET", "/v2/models/add_sub/versions/1/stats")]


def test_mutated_requests(target):
    """Whatever comes back is an HTTP answer, and never a 500."""
    chance, before = random.Random(SEED), target.resident_bytes()
    seeds = whole_requests()
    statuses = {}
    for _ in range(500):
        with target.raw(seconds=10) as raw:
            try:
                raw.send(mutate(chance.choice(seeds), chance))
                raw.socket.shutdown(1)
                while True:
                    reply = raw.reply()
                    statuses[reply.status] = statuses.get(reply.status, 0) + 1
                    if reply.status >= 400:
                        assert reply.error
            except (Closed, OSError):
                pass
    assert set(statuses) <= {200, 100, 400, 404, 405, 408, 411,
               413, 414, 415, 417, 431, 501, 505}, statuses
    assert statuses.get(400, 0) > 50
    assert_well(target, before)


def test_mutated_bodies(target):
    """The framing is right, so that the body's readers see every mutation."""
    chance, before = random.Random(SEED + 1), target.resident_bytes()
    plain = json.dumps(ADD).encode()
    three, headers = binary(("INPUT0", "INT32", [1, 2], bytes(8)),
                            ("INPUT1", "FP32", [1, 2], bytes(8)),
                            ("INPUT2", "BYTES", [1, 1], b"\1\0\0\0a"))
    connection = target.connection()
    for number in range(1000):
        if number % 2:
            reply = target.infer("add_sub", mutate(plain, chance), connection=connection)
        else:
            reply = target.infer("mixed", mutate(three, chance), headers, connection=connection)
        assert reply.status in (200, 400), reply
        assert reply.status == 200 or reply.error
    connection.close()
    assert_well(target, before)


def test_random_bytes(target):
    chance, before = random.Random(SEED + 2), target.resident_bytes()
    for _ in range(200):
        with target.raw(seconds=10) as raw:
            try:
                raw.send(chance.randbytes(chance.randint(1, 3000)))
                raw.socket.shutdown(1)
                while raw.is_closed_by_server() is False:
                    pass
            except OSError:
                pass
    assert_well(target, before)


BOMBS = {
    "a deep list": b"[" * 3_000_000,
    "a deep object": b'{"a":' * 600_000,
    "deep data": b'{"inputs":[{"name":"INPUT0","shape":[1,1],"datatype":"FP32","data":'
                 + b"[" * 2_000_000,
    "a long number": b'{"inputs":[{"name":"INPUT0","shape":[1,1],"datatype":"FP32","data":[1'
                     + b"0" * 2_000_000 + b"]}]}",
    "a long text": b'{"id":"' + b"x" * 3_000_000 + b'","inputs":[]}',
    "many inputs": b'{"inputs":['
                   + b'{"name":"x","shape":[1],"datatype":"FP32","data":[1]},' * 60_000
                   + b"{}]}",
    "many parameters": b'{"parameters":{' + b",".join(b'"p%d":1' % n for n in range(200_000))
                       + b'},"inputs":[]}',
    "many outputs": b'{"inputs":[],"outputs":[' + b'{"name":"OUTPUT0"},' * 150_000 + b"{}]}",
    "many dimensions": b'{"inputs":[{"name":"INPUT0","datatype":"FP32","data":[],"shape":['
                       + b"1," * 1_000_000 + b"1]}]}",
    "a huge shape": b'{"inputs":[{"name":"INPUT0","datatype":"FP32","data":[],"shape":'
                    b"[9223372036854775807,9223372036854775807]}]}",
    "a shape beyond the memory": b'{"inputs":[{"name":"INPUT0","datatype":"FP32","data":[1],'
                                 b'"shape":'
                                 b"[1000000,60000]}]}",
    "many values": b'{"inputs":[{"name":"INPUT0","datatype":"FP32","shape":[1,1],"data":['
                   + b"1," * 1_500_000 + b"1]}]}",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs(target, name):
    before = target.resident_bytes()
    started = time.monotonic()
    for _ in range(3):
        reply = target.infer("identity_fp32", BOMBS[name])
        assert reply.status in (400, 413) and reply.error
    assert time.monotonic() - started < 20
    assert_well(target, before)


def test_answers_that_would_be_far_larger_than_requests(target):
    """[n, 0, 3]: a shape without values costs nothing."""
    empty = request({"name": "INPUT0", "datatype": "FP32", "shape": [10 ** 9, 0, 3], "data": []})
    before = target.resident_bytes()
    assert target.infer("multi_free", empty).status in (200, 400)
    assert_well(target, before)


def test_many_connections_that_do_nothing(target):
    before = target.resident_bytes()
    idle = [target.raw() for _ in range(300)]
    half = [target.raw() for _ in range(100)]
    for one in half:
        one.send("POST /v2/models/add_sub/infer HTTP/1.1\r\nContent-Len")
    assert answer(target.infer("add_sub", ADD))["OUTPUT0"] == [2] * 16
    for one in idle + half:
        one.close()
    assert_well(target, before)


def test_connections_that_come_and_go(target):
    before = target.resident_bytes()
    files = target.open_files()
    for number in range(400):
        raw = target.raw()
        if number % 4 == 1:
            raw.request("POST", "/v2/models/add_sub/infer", ADD)
        if number % 4 == 2:
            raw.send("GET /v2 HT")
        (raw.reset if number % 2 else raw.close)()
    until(lambda: target.open_files() <= files + 2)
    assert_well(target, before)


def test_clients_that_never_read_are_bounded(target):
    """Pipelines without reading: back-pressure instead of memory."""
    before = target.resident_bytes()
    body, headers = binary(("INPUT0", "FP32", [1, 100_000], bytes(400_000)),
                           parameters={"binary_data_output": True})
    one = request_bytes("POST", "/v2/models/identity_fp32/infer", body, headers)
    clients = [RawHttp(target.ports["data"], receive_buffer=4096, seconds=1) for _ in range(8)]

    def flood(raw):
        try:
            for _ in range(100):
                raw.send(one)
        except OSError:
            pass
    threads = [threading.Thread(target=flood, args=(raw,)) for raw in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if not sanitized():
        assert target.resident_bytes() - before < GROWTH
    for raw in clients:
        raw.reset()
    assert_well(target, before)


def test_large_bodies_leave_no_memory_behind(target):
    array = np.zeros((1, 900_000), np.float32)
    body, headers = binary(("INPUT0", "FP32", array.shape, array.tobytes()),
                           parameters={"binary_data_output": True})
    before = target.resident_bytes()
    for _ in range(20):
        assert target.infer("identity_fp32", body, headers).status == 200
    assert_well(target, before)


@pytest.mark.slow
def test_memory_stays_flat_over_many_requests(target):
    body = json.dumps(ADD)

    def many(count):
        connection = target.connection()
        for _ in range(count):
            assert target.infer("add_sub", body, connection=connection).status == 200
        connection.close()
    many(2000)
    before = target.resident_bytes()
    many(6000)
    assert target.resident_bytes() - before < 4 << 20


@pytest.mark.tsan
def test_a_mix_of_everything_at_once(start_server, served_repository, token_file):
    """Good, bad and rude clients, scrapes and repository calls side by side."""
    server = start_server({**served_repository, "loops": 2, "executors": 2,
                           "admin.token_file": token_file})
    body = request(array_tensor("INPUT0", np.ones((1, 4), np.float32)))
    stop, wrong = threading.Event(), []

    def repeat(action):
        while not stop.is_set():
            try:
                action()
            except Exception as error:  # noqa: BLE001 (any failure is the finding)
                wrong.append(repr(error))
                return

    def good():
        reply = server.infer("echo", body)
        assert reply.status == 200 and answer(reply)["OUTPUT0"] == [1] * 4

    def bad():
        assert server.infer("echo", "{").status == 400
        assert server.infer("nobody", body).status == 404

    def rude():
        raw = server.raw()
        raw.request("POST", "/v2/models/echo/infer", body)
        raw.reset()

    def watching():
        assert server.metrics().value("inferd_ready") == 1
        assert server.get("/v2/models/stats").status == 200
        assert server.index()["echo", "1"]["state"] == "READY"
        assert server.admin("load", "echo").status == 200
    threads = [threading.Thread(target=repeat, args=(action,))
               for action in (good, good, bad, rude, watching)]
    for thread in threads:
        thread.start()
    time.sleep(2)
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:3]
