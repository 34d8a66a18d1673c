"""The load generator: what it counts agrees with the server, and what it cannot say it does not."""

import http.server
import json
import math
import os
import signal
import threading
import xml.etree.ElementTree

import pytest
from testenv import Bench, until
from testenv.server import TREE, run_inferd

REQUEST = TREE / "models" / "breast-cancer" / "request.json"
PROTOCOLS = [{"protocol": "rest"}, {"protocol": "rest-binary"}, {"protocol": "rest", "http": 2},
             {"protocol": "rest-binary", "http": 2, "streams": 3},
             {"protocol": "grpc", "streams": 4}]
NAMES = ["rest", "rest-binary", "rest-http2", "rest-binary-http2", "grpc"]
# Each request is a run of its own, and runs are not on the loops.
FIXED = "input INPUT0 FP32 [1,4]\noutput OUTPUT0 FP32 [1,4]\n"
QUEUED = "warmup: false\nbatching:\n  inline_max: 0\n"


@pytest.fixture
def bench(server, tmp_path):
    """For the module's server, which has every model."""
    return Bench(server.url(), tmp_path)


@pytest.fixture
def echo(start_server, served_repository, tmp_path):
    """A server with a quick model of the fake engine, and a bench for it."""
    server = start_server(served_repository)
    server.bench = Bench(server.url(), tmp_path)
    return server


def served(server, model):
    """Inference requests that the server counts, by the status of REST."""
    series = server.metrics().series("inferd_requests_total", model=model)
    counts = {}
    for sample in series:
        code = sample.labels["code"]
        counts[code] = counts.get(code, 0) + int(sample.value)
    return {code: count for code, count in counts.items() if count}


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=NAMES)
def test_counts_agree_with_the_servers(echo, protocol):
    bench = echo.bench(model="echo", connections=3, requests=200, **protocol)
    assert bench.code == 0, bench.errors
    assert bench.step["requests"] == bench.step["latency_us"]["samples"] == 200
    assert bench.step["failed"] == 0 and bench.step["failures"] == {}
    # One more: the answer that was checked before.
    assert served(echo, "echo") == {"200": 201}


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=NAMES)
def test_connections_that_the_server_ends_cost_no_request(start_server, served_repository, tmp_path,
                                                          protocol):
    server = start_server({**served_repository, "limits.connection_age_max": "200ms"})
    bench = Bench(server.url(), tmp_path)(model="echo", connections=4, duration="2s", **protocol)
    assert bench.code == 0, bench.errors
    assert bench.step["failed"] == 0 and bench.step["reconnects"] > 4


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=NAMES)
@pytest.mark.parametrize("data", [{}, {"data": REQUEST}], ids=["generated", "file"])
def test_the_demonstration_model_answers(start_server, repository, tmp_path, protocol, data):
    server = start_server({"repository.path": repository.add("breast-cancer").path})
    bench = Bench(server.url(), tmp_path)(model="breast-cancer", requests=20, batch=1, **protocol,
                                          **data)
    assert bench.code == 0, bench.errors
    assert served(server, "breast-cancer") == {"200": 21}


@pytest.mark.parametrize("protocol", ["rest", "rest-binary", "grpc"])
@pytest.mark.parametrize("datatype", [
    "bool", "bytes", "fp16", "bf16", "fp32", "fp64", "int8", "int16", "int32", "int64", "uint8",
    "uint16", "uint32", "uint64", "scalar"])
def test_every_datatype_is_generated(bench, protocol, datatype):
    done = bench(model=f"identity_{datatype}", protocol=protocol, requests=3, variants=3)
    assert done.code == 0, done.errors


def test_warm_up_is_counted_apart(echo):
    bench = echo.bench(model="echo", connections=2, warmup="200ms", duration="200ms", rounds=2)
    assert bench.code == 0, bench.errors
    step = bench.step
    assert step["warmup_requests"] > 0 and len(step["rounds"]) == 2
    assert step["requests"] == sum(one["requests"] for one in step["rounds"])
    assert served(echo, "echo") == {"200": step["requests"] + step["warmup_requests"] + 1}


def test_too_few_samples_have_no_p99(echo):
    bench = echo.bench(model="echo", requests=999)
    assert bench.step["latency_us"]["p90"] > 0
    assert bench.step["latency_us"]["p99"] is None
    assert "p99 needs 1000 samples" in bench.table
    bench = echo.bench(model="echo", requests=1000)
    assert bench.step["latency_us"]["p99"] > 0
    assert bench.step["latency_us"]["p99_9"] is None
    assert bench.said["samples_needed"] == {"p50": 20, "p90": 100, "p99": 1000, "p99_9": 10000}


@pytest.mark.parametrize(("protocol", "kind"), [({"protocol": "rest"}, "429"),
                                                ({"protocol": "grpc"}, "grpc-8")])
def test_refusals_are_counted_and_may_be_allowed(start_server, repository, tmp_path, protocol,
                                                 kind):
    repository.fake("slow", FIXED + "sleep_us 5000\n").settings("slow", QUEUED)
    server = start_server({"repository.path": repository.path, "engine": "fake", "executors": 1,
                           "batching.queue_max": 2})
    bench = Bench(server.url(), tmp_path)
    bench(model="slow", connections=16, requests=300, **protocol)
    assert bench.code == 1
    refused = bench.step["failures"][kind]
    assert bench.step["failures"] == {kind: refused} and 0 < refused < 300
    assert bench.step["requests"] == 300
    assert bench.step["latency_us"]["samples"] == 300 - refused
    assert served(server, "slow") == {"200": 301 - refused, "429": refused}
    assert f"failed: {kind} {refused}" in bench.table
    assert "Exceeds maximum queue size" in bench.step["first_failure"].replace("%20", " ")
    assert bench(model="slow", connections=16, requests=300, allow=kind, **protocol).code == 0
    assert bench.step["failures"][kind] > 0


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_failed_runs_are_counted(start_server, repository, tmp_path, protocol):
    repository.fake("flaky", FIXED + "fail_every 4\n").settings("flaky", QUEUED)
    server = start_server({"repository.path": repository.path, "engine": "fake"})
    bench = Bench(server.url(), tmp_path)(model="flaky", protocol=protocol, requests=101)
    kind = "500" if protocol == "rest" else "grpc-13"
    # Run 1 was the first answer's check: of runs 2 to 102 every fourth fails.
    assert bench.step["failures"] == {kind: 25}
    assert bench.code == 1


def test_a_request_without_answer_has_failed_in_time(start_server, repository, tmp_path):
    repository.fake("slow", FIXED + "sleep_us 800000\n").settings("slow", QUEUED)
    server = start_server({"repository.path": repository.path, "engine": "fake", "executors": 1})
    for protocol in ({"protocol": "rest"}, {"protocol": "grpc", "streams": 4, "connections": 1}):
        # The first answer takes 0.8 s, and four at a time take longer than 2 s.
        bench = Bench(server.url(), tmp_path)(
            **{"model": "slow", "connections": 4, "requests": 4, "timeout": "2s", **protocol})
        assert bench.code == 1, bench.errors
        assert bench.step["failures"].get("timeout", 0) > 0
        assert bench.step["requests"] == 4 == bench.step["latency_us"]["samples"]


def test_an_open_loop_keeps_its_rate(echo):
    bench = echo.bench(model="echo", connections=32, rate=300, duration="2s")
    step = bench.step
    assert bench.code == 0 and bench.said["loop"] == "open"
    due, expected = step["requests"] + step["unsent"], 300 * step["seconds"]
    # Arrivals are random: their number varies as its own square root.
    assert abs(due - expected) < 5 * math.sqrt(expected)
    assert step["latency_us"]["samples"] == due
    assert served(echo, "echo") == {"200": step["requests"] + 1}


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_an_open_loop_shows_the_wait_that_a_closed_one_hides(start_server, repository, tmp_path,
                                                            protocol):
    repository.fake("slow", FIXED + "sleep_us 50000\n").settings("slow", QUEUED)
    server = start_server({"repository.path": repository.path, "engine": "fake", "executors": 1})
    bench = Bench(server.url(), tmp_path)
    closed = bench(model="slow", protocol=protocol, connections=1, requests=20).step
    assert closed["latency_us"]["min"] >= 50_000
    # Half as many again as it can answer: a wait that grows to a second, and most are sent.
    opened = bench(model="slow", protocol=protocol, connections=1, rate=30, duration="3s").step
    assert opened["latency_us"]["p50"] > 200_000
    assert opened["latency_us"]["max"] > 500_000
    assert opened["requests"] > 0 < opened["unsent"] and not opened["rate_met"]
    assert opened["latency_us"]["samples"] == opened["requests"] + opened["unsent"]
    assert "the rate was not met" in bench.table


def test_any_server_can_be_asked_for_a_path(server, bench):
    for version in ("1.1", "2"):
        done = bench(protocol="get", path="/v2/health/live", http=version, connections=2,
                     requests=50)
        assert done.code == 0 and done.said["http"] == version, done.errors
    done = bench(protocol="post", path="/v2/models/breast-cancer/infer", data=REQUEST, requests=5)
    assert done.code == 0, done.errors
    done = bench(protocol="get", path="/nowhere", requests=5)
    assert done.code == 1 and "the server answers 404" in done.errors


class Closing(http.server.BaseHTTPRequestHandler):
    """HTTP/1.0: a connection for each answer; every third ends without one."""

    count = 0

    def do_GET(self):
        Closing.count += 1
        if self.path == "/flaky" and Closing.count % 3 == 0:
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"x" * 100)

    def log_message(self, *_):
        pass


@pytest.fixture
def closing(tmp_path):
    Closing.count = 0
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Closing) as one:
        thread = threading.Thread(target=one.serve_forever)
        thread.start()
        yield Bench(f"http://127.0.0.1:{one.server_port}", tmp_path)
        one.shutdown()
        thread.join()


def test_connections_that_close_are_opened_again(closing):
    bench = closing(protocol="get", path="/", connections=2, requests=40)
    assert bench.code == 0 and bench.step["requests"] == 40, bench.errors
    assert bench.step["reconnects"] >= 38
    assert bench.said["answer_bytes"] == 100


def test_a_connection_that_ends_before_the_answer_is_a_failure(closing):
    bench = closing(protocol="get", path="/flaky", connections=2, requests=30, allow="closed")
    assert bench.code == 0 and bench.step["failures"] == {"closed": 10}, bench.errors
    assert bench.step["latency_us"]["samples"] == 20


def test_a_server_of_another_protocol_is_told(closing):
    bench = closing(protocol="get", path="/", http=2, requests=3)
    assert bench.code == 1 and bench.said is None
    assert "malformed" in bench.errors or "closed" in bench.errors


class Odd(http.server.BaseHTTPRequestHandler):
    """The metadata of a model `m`, and answers that are none."""

    protocol_version = "HTTP/1.1"
    answer = b""        # to inference requests
    held = None         # an event: later requests than the first one wait for it
    count = 0

    def send(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        row = {"datatype": "FP32", "shape": [-1, 4]}
        self.send(json.dumps({"name": "m", "versions": ["1"], "platform": "",
                              "inputs": [{"name": "INPUT0", **row}],
                              "outputs": [{"name": "OUTPUT0", **row}]}).encode())

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        Odd.count += 1
        if Odd.count > 1 and Odd.held:
            Odd.held.wait()
        self.send(Odd.answer)

    def log_message(self, *_):
        pass


@pytest.fixture
def odd(tmp_path):
    Odd.count, Odd.held = 0, threading.Event()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Odd) as one:
        thread = threading.Thread(target=one.serve_forever)
        thread.start()
        yield Bench(f"http://127.0.0.1:{one.server_port}", tmp_path)
        Odd.held.set()
        one.shutdown()
        thread.join()


def answer_of(data):
    return (b'{"outputs":[{"name":"OUTPUT0","datatype":"FP32","shape":[1,4],"data":%s}]}' % data)


def test_an_answer_may_be_nested_as_deep_as_it_likes(odd):
    depth = 1_000_000
    Odd.answer = answer_of(b"[" * depth + b"1" + b"]" * depth)
    odd(model="m", requests=1)
    assert odd.code == 1 and "output 'OUTPUT0' has" in odd.errors


def test_a_server_that_stands_still_from_the_warm_up_on_is_a_failure(odd):
    Odd.answer = answer_of(b"[1,2,3,4]")
    odd(model="m", connections=2, warmup="100ms", duration="200ms", timeout="600ms")
    assert odd.code == 1, odd.table
    assert odd.step["requests"] == 0 and odd.step["warmup_failed"] == 2
    assert "nothing could be measured: 2 requests of the warm-up had no answer" in odd.table


def test_a_server_that_goes_away_is_a_failure(start_server, served_repository, tmp_path):
    # Without the access log, of which the kill could leave half a line.
    server = start_server({**served_repository, "log.access": False})
    bench = Bench(server.url(), tmp_path)
    process = bench.start(model="echo", connections=2, duration="4s")
    until(lambda: server.metrics().value("inferd_requests_total", model="echo") > 10)
    server.expected_exit = -signal.SIGKILL
    server.signal(signal.SIGKILL)
    bench.finish(process)
    assert bench.code == 1
    assert bench.step["failures"].get("closed", 0) + bench.step["failures"].get("connect", 0) > 0
    bench(model="echo")
    assert bench.code == 1 and "connection refused" in bench.errors


def test_an_interrupt_ends_it_with_the_result_so_far(echo):
    process = echo.bench.start(model="echo", connections=2)
    until(lambda: served(echo, "echo").get("200", 0) > 100)
    process.send_signal(signal.SIGINT)
    bench = echo.bench.finish(process)
    assert bench.code == 130
    assert bench.step["interrupted"] and bench.step["requests"] > 0
    assert bench.step["seconds"] < 60
    assert "interrupted" in bench.table


def test_a_sweep_has_a_step_and_a_point_for_each_load(echo, tmp_path):
    plot = tmp_path / "plot.svg"
    bench = echo.bench(model="echo", sweep="1,2,4", requests=1000, plot=plot)
    assert bench.code == 0, bench.errors
    assert [step["connections"] for step in bench.said["steps"]] == [1, 2, 4]
    tags = [element.tag.partition("}")[2] for element in
            xml.etree.ElementTree.parse(plot).getroot().iter()]
    assert tags.count("circle") == 3 + 1  # and the legend's
    bench = echo.bench(model="echo", rate=1, sweep="100,200", connections=8, duration="300ms")
    assert [step["rate"] for step in bench.said["steps"]] == [100, 200]


def test_json_can_go_to_standard_output(echo):
    bench = echo.bench(model="echo", requests=10, json="-")
    assert bench.table.startswith("{") and bench.table.endswith("}\n")


def test_progress_is_shown_when_asked_for(echo):
    options = {"model": "echo", "duration": "2s"}
    assert "measuring" in echo.bench(**options, progress=True).errors
    assert echo.bench(**options).errors == ""


def test_the_servers_cpu_time_is_divided_by_its_answers(echo):
    pid = echo.process.pid
    bench = echo.bench(model="echo", connections=4, duration="500ms", server_pid=pid)
    each, total = bench.step["server_cpu_us_per_request"], bench.step["server_cpu_seconds"]
    assert 0 < each and abs(each * bench.step["answers_in_window"] - total * 1e6) < 1e6 * 0.01
    assert 0 < bench.step["client_cpu_share"] <= 1.1
    bench = echo.bench(model="echo", requests=10, server_pid=2**31 - 1)
    assert bench.code == 1 and "there is no process 2147483647" in bench.errors


def test_it_runs_on_the_core_that_it_is_told_to(echo):
    core = min(os.sched_getaffinity(0))
    assert echo.bench(model="echo", requests=10, cpu=core).code == 0
    bench = echo.bench(model="echo", requests=10, cpu=60000)
    assert bench.code == 2 and "may not run on core 60000" in bench.errors


@pytest.mark.parametrize(("arguments", "said"), [
    ([], "model: found nothing"),
    (["--model=m", "--connections=0"], "an integer from 1 to 10000"),
    (["--model=m", "--conections=3"], "did you mean --connections?"),
    (["--model=m", "--url=https://h"], "TLS is not supported"),
    (["--model=m", "--allow=200"], "'200' is no kind of failure"),
])
def test_wrong_arguments_are_said(arguments, said):
    done = run_inferd("bench", *arguments)
    assert done.returncode == 2 and said in done.stderr


def test_help_lists_the_options():
    done = run_inferd("bench", "--help")
    assert done.returncode == 0 and "--server-pid=" in done.stdout


@pytest.mark.parametrize(("options", "said"), [
    ({"model": "nothing"}, "404"),
    ({"model": "nothing", "protocol": "grpc"}, "grpc-status 5"),
    ({"model": "breast-cancer", "shape": "Y:1,30"}, "the shape's input 'Y' is none of model"),
    ({"model": "breast-cancer", "shape": "X:1,31"}, "unexpected shape for input 'X'"),
    ({"model": "breast-cancer", "data": "/nonexistent"}, "/nonexistent"),
    ({"model": "add_sub", "data": REQUEST}, "request.json: "),
])
def test_what_cannot_begin_is_said(bench, options, said):
    done = bench(**options, requests=3)
    assert done.code == 1 and said in done.errors and done.said is None
