"""Bodies that take long to read or to write: workers do it, and the one loop stays free for others.
Who did the work is read from the threads' own CPU time, not from a clock."""

import contextlib
import gzip
import json
import select
from pathlib import Path

import numpy as np
import pytest
from testenv import until
from testenv.v2 import answer, request, tensor

pytestmark = pytest.mark.tsan
PATH = "/v2/models/echo/infer"
COLUMNS = 1024
ALIVE = "/v2/health/live"


@pytest.fixture
def started(start_server, repository):
    repository.fake("echo", "input INPUT0 FP32 [-1,-1]\noutput OUTPUT0 FP32 [-1,-1]\n")

    def start(**options):
        return start_server({"repository.path": repository.path, "engine": "fake", "loops": 1,
                             "compression.bytes_max": "64Mi",
                             **{key.replace("__", "."): value for key, value in options.items()}})
    return start


def body_of(rows, text="0.25", **rest):
    """A request with rows of the same number, made as text since numpy would be slow at it."""
    row = ",".join([text] * COLUMNS)
    head = json.dumps(request(tensor("INPUT0", "FP32", [rows, COLUMNS], "DATA"), **rest))
    return head.replace('"DATA"', "[" + ",".join([row] * rows) + "]").encode()


def small_answer(rows):
    """An answer of a few bytes, whatever the request: the sizes do not fit."""
    return body_of(rows).replace(b'"shape": [', b'"shape": [1, ')


def cpu_ns(server, prefix):
    total = 0
    for task in Path(f"/proc/{server.process.pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that ends
            if (task / "comm").read_text().startswith(prefix):
                total += int((task / "schedstat").read_text().split()[0])
    return total


class Shares:
    """CPU time of the loop and of the workers between enter and exit."""

    def __init__(self, server):
        self.server = server

    def read(self):
        return {who: cpu_ns(self.server, f"inferd-{who}") for who in ("loop", "work")}

    def __enter__(self):
        self.before = self.read()
        return self

    def __exit__(self, *_):
        after = self.read()
        self.loop, self.work = (after[who] - self.before[who] for who in ("loop", "work"))


def test_a_large_json_body_is_read_by_a_worker(started):
    server = started()
    body = small_answer(2048)
    with Shares(server) as cpu:
        reply = server.infer("echo", body)
    assert reply.status == 400
    assert "echo" in reply.json["error"]
    with Shares(server) as small:
        assert server.infer("echo", body_of(1)).status == 200
    assert cpu.work > 0
    assert small.work == 0


def test_a_large_json_answer_is_written_by_a_worker(started):
    server = started()
    rows = np.full((256, COLUMNS), 0.1, np.float32)
    head = json.dumps(request(tensor("INPUT0", "FP32", rows.shape, None,
                                     binary_data_size=rows.nbytes))).replace('"data": null, ', "")
    with Shares(server) as cpu:
        reply = server.infer("echo", head.encode() + rows.tobytes(),
                             {"Inference-Header-Content-Length": str(len(head))})
    assert answer(reply)["OUTPUT0"] == [0.1] * rows.size
    assert cpu.work > 0


def test_an_answer_of_many_empty_texts_is_written_by_a_worker(start_server, repository):
    """Nothing but quotes and commas; they are written one by one all the same."""
    repository.fake("texts", "input INPUT0 BYTES [-1]\noutput OUTPUT0 BYTES [-1]\n"
                             "output OUTPUT1 BYTES [-1]\n")
    server = start_server({"repository.path": repository.path, "engine": "fake", "loops": 1,
                           "limits.loop_parse_max": "1Mi"})
    texts = [""] * 250_000
    body = json.dumps(request(tensor("INPUT0", "BYTES", [len(texts)], texts)),
                      separators=(",", ":"))
    assert len(body) < 1 << 20
    with Shares(server) as cpu:
        reply = server.infer("texts", body)
    assert answer(reply) == {"OUTPUT0": texts, "OUTPUT1": texts}
    assert cpu.work > 0


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_large_answer_is_compressed_by_a_worker(started, coding):
    server = started(limits__loop_parse_max="64Ki")
    with Shares(server) as cpu:
        plain = server.infer("echo", body_of(4))
    assert cpu.work == 0
    with Shares(server) as cpu:
        reply = server.infer("echo", body_of(4), {"Accept-Encoding": coding})
    assert reply.header("Content-Encoding") == coding
    assert len(reply.body) < len(plain.body) / 10
    assert cpu.work > 0


def answered(raw):
    return bool(select.select([raw.socket], [], [], 0)[0])


def test_health_answers_while_a_large_body_is_inflated_and_parsed(started):
    """All answers of the health check come before the one that was asked for first. With the work
    on the loop at most two do: one that the loop has read together with the body's end."""
    server = started()
    body = gzip.compress(small_answer(11_000), 1)
    with server.raw(seconds=60) as slow, server.raw() as quick:
        slow.send(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\n"
                  f"Content-Length: {len(body)}\r\n\r\n".encode() + body[:-1])
        assert quick.get(ALIVE).status == 200
        assert not answered(slow)
        slow.send(body[-1:])
        before = 0
        while not answered(slow) and before < 5:
            assert quick.get(ALIVE).status == 200
            before += 1
        assert not answered(slow)
        assert before == 5
        assert slow.reply().status == 400


def test_clients_that_go_away_are_counted_and_the_next_one_is_served(started):
    """One worker: the second body waits for the first and is never read."""
    server = started()
    large = body_of(4096)
    with server.raw(seconds=60) as first, server.raw(seconds=60) as second:
        for raw, name in ((first, "one"), (second, "two")):
            raw.request("POST", PATH, large, {"X-Request-Id": name})
    for name in ("one", "two"):
        (line,) = until(lambda name=name: server.logged("request", request_id=name), 60)
        assert line["status"] == 499
    assert server.infer("echo", body_of(600)).status == 200


def test_a_deadline_that_passes_meanwhile_is_answered(started):
    server = started(limits__request_timeout="1ms")
    reply = server.infer("echo", gzip.compress(body_of(4096), 1),
                         {"Content-Encoding": "gzip"})
    assert reply.status == 504
    assert "echo" in reply.json["error"]
    assert server.get(ALIVE).status == 200


def test_zero_gives_everything_to_the_workers(started):
    server = started(limits__loop_parse_max=0)
    with Shares(server) as cpu:
        assert answer(server.infer("echo", body_of(1)))["OUTPUT0"] == [0.25] * COLUMNS
    assert cpu.work > 0


def test_a_drain_waits_for_what_a_worker_has(started):
    server = started(drain__timeout="60s")
    with server.raw(seconds=60) as raw:
        raw.request("POST", PATH, body_of(4096))
        server.signal()
        assert raw.reply().status == 200
    assert server.wait(60) == 0
