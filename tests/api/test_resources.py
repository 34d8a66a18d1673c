"""What the server takes from the machine: threads, processor time while idle, memory afterwards."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
from testenv import until
from testenv.server import sanitized
from testenv.v2 import answer, binary

LENGTH = 4000  # of `attention`: 125 KiB in, 61 MiB within
MIB = 1 << 20


def attention(length, value=0.01):
    values = np.full((length, 8), value, np.float32)
    return binary(("INPUT0", "FP32", values.shape, values.tobytes()), outputs=[
        {"name": "OUTPUT0", "parameters": {"binary_data": True}}])


def processor_ticks(server):
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def test_threads_are_as_many_as_the_cores_in_force(start_server, repository):
    repository.fake("echo")
    server = start_server({"repository.path": repository.path, "engine": "fake"})
    (line,) = server.logged("starting")
    scrape = server.metrics()
    whole = -int(-scrape.value("inferd_cpu_cores") // 1)
    assert line["cores"] == pytest.approx(scrape.value("inferd_cpu_cores"), abs=0.01)
    assert line["loops"] == line["executors"] == whole
    assert scrape.value("inferd_threads", kind="loop") == whole
    assert scrape.value("inferd_threads", kind="executor") == whole
    assert whole <= len(os.sched_getaffinity(0))


def test_affinity_bounds_the_threads(start_server, repository):
    repository.fake("echo")
    core = str(min(os.sched_getaffinity(0)))
    server = start_server({"repository.path": repository.path, "engine": "fake"},
                          prefix=("taskset", "-c", core))
    (line,) = server.logged("starting")
    assert line["affinity"] == line["loops"] == line["executors"] == 1
    assert server.metrics().value("inferd_cpu_cores") <= 1


def test_runtime_threads_are_set_and_logged(start_server, repository):
    """0 is the cores in force, not what ONNX Runtime would guess from the host."""
    repository.add("mlp", "add_sub").settings("mlp", "execution: {intra_op_threads: 0}\n")
    server = start_server({"repository.path": repository.path})
    (start,) = server.logged("starting")
    (many,) = server.wait_logged("model_version_state", model="mlp", to="READY")
    (one,) = server.wait_logged("model_version_state", model="add_sub", to="READY")
    assert many["intra_op_threads"] == -int(-start["cores"] // 1)
    assert one["intra_op_threads"] == one["inter_op_threads"] == 1
    assert many["spinning"] is one["spinning"] is False


def test_an_idle_server_uses_no_processor(start_server, repository):
    """Threads of the runtime that spun would take whole cores. Looks only at the server's own
    time, so that a busy machine changes nothing."""
    repository.add("mlp").settings("mlp", "execution: {intra_op_threads: 4}\n")
    server = start_server({"repository.path": repository.path})
    body, headers = binary(("INPUT0", "FP32", (64, 64), bytes(4 * 64 * 64)))
    assert server.infer("mlp", body, headers).status == 200
    before = processor_ticks(server)
    time.sleep(4)
    used = (processor_ticks(server) - before) / os.sysconf("SC_CLK_TCK")
    assert used < 0.8, f"{used} s of 4: something spins"


@pytest.mark.skipif(sanitized(), reason="sanitizers keep freed memory")
def test_memory_after_variable_shapes_comes_back(start_server, repository):
    repository.add("attention")
    server = start_server({"repository.path": repository.path, "execution.trim_after": "300ms"})
    connection = server.connection()

    def ask(length):
        body, headers = attention(length)
        reply = server.infer("attention", body, headers, connection=connection)
        assert answer(reply)["OUTPUT0"].shape == (length, 8)

    def trims():
        return server.metrics().value("inferd_model_memory_trims_total", model="attention")
    for _ in range(20):
        ask(16)
    until(lambda: trims() >= 1, what="the first trim")
    before = server.resident_bytes()
    seen = 0
    for length in range(100, LENGTH + 1, 390):
        ask(length)
        seen = max(seen, server.resident_bytes())
    until(lambda: server.resident_bytes() < before + 24 * MIB, what="memory to come back")
    assert seen > before + 48 * MIB, "else nothing was shown"
    ask(16)


@pytest.mark.skipif(sanitized(), reason="sanitizers keep freed memory")
def test_memory_comes_back_though_the_model_is_never_idle(start_server, repository):
    repository.add("attention")
    server = start_server({"repository.path": repository.path, "execution.trim_after": "1s"})
    connection = server.connection()

    def ask(length):
        body, headers = attention(length)
        assert server.infer("attention", body, headers, connection=connection).status == 200
    for _ in range(50):
        ask(16)
    before = server.resident_bytes()
    ask(LENGTH)
    assert server.resident_bytes() > before + 48 * MIB

    def small_now():
        for _ in range(20):
            ask(16)
        return server.resident_bytes() < before + 24 * MIB
    until(small_now, 30, "memory to come back")


@pytest.mark.skipif(sanitized(), reason="sanitizers keep freed memory")
def test_memory_of_large_bodies_comes_back(start_server, repository):
    """Bodies, tensors, answers: nothing of 30 MB requests stays with connections or loops."""
    repository.fake("echo", "input INPUT0 FP32 [-1,1024]\noutput OUTPUT0 FP32 [-1,1024]\n")
    server = start_server({"repository.path": repository.path, "engine": "fake"})
    small = {"inputs": [{"name": "INPUT0", "datatype": "FP32", "shape": [1, 1024],
                         "data": [0.5] * 1024}]}
    connections = [server.connection() for _ in range(4)]
    for connection in connections:
        assert server.infer("echo", small, connection=connection).status == 200
    before = server.resident_bytes()
    values = np.full((2000, 1024), 0.25, np.float32)
    body, headers = binary(("INPUT0", "FP32", values.shape, values.tobytes()))
    for connection in connections:
        reply = server.infer("echo", body, headers, connection=connection)
        assert reply.status == 200 and len(reply.body) > 8 * MIB
        assert server.infer("echo", small, connection=connection).status == 200
    until(lambda: server.resident_bytes() < before + 16 * MIB, what="memory to come back")
