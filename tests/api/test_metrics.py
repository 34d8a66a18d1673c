"""/metrics, read with Prometheus' own parsers."""

import math
import struct
import threading
import time

import numpy as np
import pytest
from testenv import until
from testenv.grpcs import infer_request
from testenv.http2 import Http2
from testenv.v2 import array_tensor, request

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
HISTOGRAMS = ["inferd_request_duration_seconds", "inferd_queue_duration_seconds",
              "inferd_compute_duration_seconds", "inferd_batch_rows", "inferd_batch_requests"]
NAMES = [  # what the product promises: see the issue, and src/observe/metrics.def
    "inferd_requests_total", "inferd_inferences_total", "inferd_model_runs_total",
    "inferd_queue_depth", "inferd_requests_in_flight", "inferd_model_run_seconds",
    "inferd_model_state", "inferd_model_ready", "inferd_model_loads_total",
    "inferd_model_load_seconds", "inferd_http_requests_total", "inferd_http_received_bytes_total",
    "inferd_http_sent_bytes_total", "inferd_http_connections", "inferd_executor_busy_seconds_total",
    "inferd_executor_busy_ratio", "inferd_ready", "inferd_cpu_cores",
    "inferd_cgroup_cpu_throttled_periods_total", "inferd_cgroup_cpu_throttled_seconds_total",
    "inferd_log_lines_dropped_total", "inferd_build_info", "process_cpu_seconds_total",
    "process_open_fds", "process_max_fds", "process_virtual_memory_bytes",
    "process_resident_memory_bytes", "process_start_time_seconds",
    *(name + suffix for name in HISTOGRAMS for suffix in ("_bucket", "_sum", "_count"))]


def add(rows=1):
    return request(array_tensor("INPUT0", np.zeros((rows, 16), np.float32)),
                   array_tensor("INPUT1", np.zeros((rows, 16), np.float32)))


@pytest.fixture
def counted(start_server, repository):
    """A server of the test's own, so that its counters start at 0."""
    repository.add("add_sub", "lookup")
    return start_server({"repository.path": repository.path})


@pytest.mark.parametrize("accept, kind", [
    (None, "text/plain; version=0.0.4"), ("*/*", "text/plain; version=0.0.4"),
    ("text/plain", "text/plain; version=0.0.4"), (OPENMETRICS, "application/openmetrics-text"),
    ("application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;"
     "q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2", "application/openmetrics-text")])
def test_formats(server, accept, kind):
    """The last is what Prometheus sends."""
    server.infer("add_sub", add())
    scrape = server.metrics(accept)
    assert scrape.type.startswith(kind)
    assert scrape.value("inferd_requests_total", model="add_sub", code="200") >= 1
    assert scrape.text.endswith("# EOF\n") == ("openmetrics" in kind)
    assert all(family.documentation for family in scrape.families.values())


def test_every_promised_metric_is_there(server):
    server.infer("add_sub", add())
    names = {sample.name for sample in server.metrics().samples}
    assert not set(NAMES) - names


def test_counts_by_model_version_and_code(counted):
    for _ in range(3):
        assert counted.infer("add_sub", add(2)).status == 200
    assert counted.infer("add_sub", "{").status == 400
    assert counted.infer("add_sub", add(), version=1).status == 200
    scrape = counted.metrics()
    assert scrape.value("inferd_requests_total", model="add_sub", version="1", code="200") == 4
    assert scrape.value("inferd_requests_total", model="add_sub", version="1", code="400") == 1
    assert scrape.value("inferd_inferences_total", model="add_sub") == 7
    assert scrape.value("inferd_model_runs_total", model="add_sub") == 4
    assert scrape.value("inferd_requests_rejected_total", model="add_sub", reason="invalid") == 1
    assert scrape.value("inferd_queue_depth", model="add_sub") == 0
    assert scrape.value("inferd_requests_in_flight", model="add_sub") == 0
    assert scrape.value("inferd_http_requests_total", code="200") >= 4


@pytest.mark.parametrize("name", HISTOGRAMS)
def test_histograms_are_whole(counted, name):
    for rows in (1, 2, 5):
        assert counted.infer("add_sub", add(rows)).status == 200
    scrape = counted.metrics()
    buckets = [(float(one.labels["le"]), one.value)
               for one in scrape.series(name + "_bucket", model="add_sub")]
    assert [bound for bound, _ in buckets] == sorted(bound for bound, _ in buckets)
    assert buckets[-1][0] == math.inf
    values = [value for _, value in buckets]
    assert values == sorted(values), "cumulative"
    count = scrape.value(name + "_count", model="add_sub")
    assert values[-1] == count == 3
    total = scrape.value(name + "_sum", model="add_sub")
    if name == "inferd_batch_rows":
        assert total == 8
    elif name == "inferd_batch_requests":
        assert total == 3
    else:
        assert buckets[0][0] <= 50e-6, "from 50 us"
        assert 0 <= total < 10, "seconds"


def test_parts_of_a_request_are_shorter_than_the_whole(counted):
    for _ in range(20):
        assert counted.infer("add_sub", add()).status == 200
    scrape = counted.metrics()
    total, queue, compute = (scrape.value(f"inferd_{part}_duration_seconds_sum", model="add_sub")
                             for part in ("request", "queue", "compute"))
    assert 0 < compute and 0 <= queue and compute + queue < total


def test_made_up_names_create_no_series(counted):
    before = len(counted.metrics().samples)
    for number in range(100):
        assert counted.infer(f"made-up-{number}", add()).status == 404
        assert counted.infer("add_sub", add(), version=1000 + number).status == 404
        assert counted.get(f"/made/up/{number}").status == 404
        counted.get("/v2", headers={"X-Request-Id": f"made-up-{number}"})
    after = counted.metrics()
    assert "made-up" not in after.text
    assert len(after.samples) - before <= 4, "at most the codes that were new"
    assert after.value("inferd_http_requests_total", code="404") == 300


@pytest.mark.tsan
def test_counters_add_up_over_loops_and_threads(start_server, served_repository):
    server = start_server({**served_repository, "loops": 2})
    body = request(array_tensor("INPUT0", np.zeros((2, 4), np.float32)))

    def client():
        connection = server.connection()
        for _ in range(25):
            assert server.infer("echo", body, connection=connection).status == 200
        connection.close()
    threads = [threading.Thread(target=client) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        server.metrics()  # scraping while it counts
    for thread in threads:
        thread.join()
    scrape = server.metrics()
    assert scrape.value("inferd_requests_total", model="echo", code="200") == 200
    assert scrape.value("inferd_inferences_total", model="echo") == 400
    assert scrape.value("inferd_batch_rows_sum", model="echo") == 400
    assert scrape.value("inferd_batch_requests_sum", model="echo") == 200
    runs = scrape.value("inferd_model_runs_total", model="echo")
    assert runs == scrape.value("inferd_batch_rows_count", model="echo")
    assert scrape.value("inferd_request_duration_seconds_count", model="echo") == 200
    until(lambda: server.metrics().value("inferd_http_connections", listener="data") == 0)


def test_scraping_counters_never_fall(server):
    def counters():
        return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value
                for sample in server.metrics().samples
                if sample.name.endswith(("_total", "_bucket", "_count"))}
    before = counters()
    server.infer("add_sub", add())
    after = counters()
    assert all(after.get(key, -1) >= value for key, value in before.items())


@pytest.mark.tsan
def test_in_flight_queue_depth_and_busy_executors(start_server, repository, gate):
    repository.fake("slow", "input INPUT0 FP32 [1,4]\noutput OUTPUT0 FP32 [1,4]\n" + gate.directive)
    repository.settings("slow", "warmup: false\nbatching:\n  inline_max: 0\n")
    server = start_server({"repository.path": repository.path, "engine": "fake", "executors": 2})
    clients = [server.raw(seconds=60) for _ in range(4)]
    for client in clients:
        client.request("POST", "/v2/models/slow/infer",
                       request(array_tensor("INPUT0", np.zeros((1, 4), np.float32))))

    def load():
        scrape = server.metrics()
        return tuple(scrape.value(f"inferd_{name}", model="slow")
                     for name in ("requests_in_flight", "queue_depth"))
    until(lambda: load() == (4, 2), what="two in the queue behind two executors")
    time.sleep(1)
    busy = server.metrics().series("inferd_executor_busy_ratio")
    assert len(busy) == 2 and all(0.5 < one.value <= 1 for one in busy), "also while it runs"
    gate.open()
    for client in clients:
        assert client.reply().status == 200
        client.close()
    scrape = server.metrics()
    assert scrape.value("inferd_queue_depth", model="slow") == 0
    assert scrape.value("inferd_requests_in_flight", model="slow") == 0
    assert scrape.value("inferd_executor_busy_seconds_total") > 2 * 1
    assert scrape.value("inferd_model_runs_total", model="slow", where="executor") == 4
    assert scrape.value("inferd_queue_duration_seconds_sum", model="slow") > 2 * 1


def test_process_metrics_are_true(counted):
    scrape = counted.metrics()
    assert abs(scrape.value("process_resident_memory_bytes") - counted.resident_bytes()) < 20 << 20
    assert abs(scrape.value("process_open_fds") - counted.open_files()) <= 3
    assert abs(scrape.value("process_start_time_seconds") - time.time()) < 120
    assert 0 < scrape.value("inferd_cpu_cores") <= 1024
    assert scrape.value("inferd_ready") == 1
    (build,) = scrape.series("inferd_build_info")
    assert build.value == 1 and build.labels["version"] == counted.get("/v2").json["version"]


def test_model_state_follows_the_models(start_server, repository, token_file):
    repository.add("add_sub").add_broken("truncated")
    server = start_server({"repository.path": repository.path, "admin.token_file": token_file},
                          wait="listening")
    server.wait_logged("model_version_state", model="truncated", to="FAILED")
    server.wait_logged("model_version_state", model="add_sub", to="READY")
    scrape = server.metrics()

    def states(model):
        return {one.labels["state"].upper(): one.value
                for one in scrape.series("inferd_model_state", model=model) if one.value}
    assert states("add_sub") == {"READY": 1}
    assert states("truncated") == {"FAILED": 1}
    assert scrape.value("inferd_ready") == 0
    assert scrape.value("inferd_model_load_seconds", model="add_sub") > 0
    assert scrape.value("inferd_model_loads_total", model="add_sub", result="ok") == 1
    assert server.admin("unload", "add_sub").status == 200
    assert (server.metrics().value("inferd_model_ready", model="add_sub") or 0) == 0


def test_messages_that_a_failed_stream_leaves_unanswered_are_no_successes(start_server, repository,
                                                                          gate):
    """One runs and one waits when the stream's time is over: both are counted as out of time."""
    repository.fake("slow", f"input INPUT0 FP32 [1,4]\noutput OUTPUT0 FP32 [1,4]\n{gate.directive}")
    repository.settings("slow", "warmup: false\nbatching:\n  inline_max: 0\n")
    server = start_server({"repository.path": repository.path, "engine": "fake", "executors": 1})
    one = infer_request("slow", np.zeros((1, 4), np.float32)).SerializeToString()

    def count(code):
        return server.metrics().value("inferd_requests_total", model="slow", code=code) or 0

    with Http2(server.ports["grpc"]) as client:     # leaves the time to the server
        stream = client.begin(
            "POST", "/inference.GRPCInferenceService/ModelStreamInfer",
            (struct.pack(">BI", 0, len(one)) + one) * 2,
            {"content-type": "application/grpc", "te": "trailers", "grpc-timeout": "300m"})
        until(lambda: count("504") == 1)
        gate.open()
        client.finish(stream)
        assert dict(stream.trailers)["grpc-status"] == "4" and stream.body == b""
    until(lambda: count("504") == 2)
    assert count("200") == 0


def test_refusals_below_routing_are_counted(counted):
    for data in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nBad Name: x\r\n\r\n"):
        with counted.raw() as raw:
            raw.send(data)
            assert raw.reply().status == 400
    assert counted.metrics().value("inferd_http_refused_total", reason="malformed") == 2


def test_scrapes_may_be_compressed_and_head(server):
    import gzip
    reply = server.get("/metrics", headers={"Accept-Encoding": "gzip"}, listener="management")
    body = gzip.decompress(reply.body) if reply.header("Content-Encoding") == "gzip" else reply.body
    assert b"inferd_build_info" in body
    with server.raw("management") as raw:
        assert raw.request("HEAD", "/metrics").reply(head=True).status == 200
        assert raw.get("/livez").status == 200
