"""Right answers: ONNX Runtime's own bit for bit, and scikit-learn's to 1e-5."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
import pytest
from testenv.server import TREE
from testenv.v2 import answer, array_tensor, binary, request

DEMO = TREE / "models" / "breast-cancer"


@pytest.fixture(scope="module")
def sessions(everything):
    """In-process sessions, with one thread as the server's."""
    onnxruntime.set_default_logger_severity(3)
    made = {}

    def session(model):
        if model not in made:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            made[model] = onnxruntime.InferenceSession(
                str(everything.path / model / "1" / "model.onnx"), options,
                providers=["CPUExecutionProvider"])
        return made[model]
    return session


def features(count, seed=1):
    """Rows like those of the data set: its held-out rows, scaled a little."""
    rows = np.array(json.loads((DEMO / "expected.json").read_text())["inputs"]["X"], np.float32)
    random = np.random.RandomState(seed)
    picked = rows[random.randint(0, len(rows), count)]
    return (picked * random.uniform(0.9, 1.1, picked.shape)).astype(np.float32)


def noise(count, seed):
    return np.random.RandomState(seed).randn(count, 64).astype(np.float32)


INPUTS = {  # model: its input, what makes rows of it, its outputs
    "breast-cancer": ("X", features, ["label", "probabilities"]),
    "mlp": ("INPUT0", noise, ["OUTPUT0"]),
    "external": ("INPUT0", noise, ["OUTPUT0"]),
}


def as_binary(name, rows):
    return binary((name, "FP32", rows.shape, rows.tobytes()),
                  parameters={"binary_data_output": True})


def same_bits(found, expected):
    return all(np.asarray(found[name]).tobytes() == value.tobytes()
               for name, value in expected.items())


@pytest.mark.parametrize("model", INPUTS)
@pytest.mark.parametrize("count", [1, 2, 7, 32, 100])
def test_bit_for_bit(server, sessions, model, count):
    name, make, outputs = INPUTS[model]
    rows = make(count, count)
    expected = dict(zip(outputs, sessions(model).run(outputs, {name: rows})))
    body, headers = as_binary(name, rows)
    assert same_bits(answer(server.infer(model, body, headers)), expected)
    in_json = answer(server.infer(model, request(array_tensor(name, rows))))
    for output, value in expected.items():
        assert np.array(in_json[output]).astype(value.dtype).tobytes() == value.tobytes(), \
            "JSON carries every bit"


@pytest.mark.parametrize("model", INPUTS)
def test_bit_for_bit_under_64_way_concurrency(server, sessions, model):
    """Rows of different requests share batches; each answer is as if it had been alone."""
    name, make, outputs = INPUTS[model]
    session = sessions(model)
    jobs = []
    for number in range(64):
        rows = make(1 + number % 3, number)
        expected = dict(zip(outputs, session.run(outputs, {name: rows})))
        jobs.append((as_binary(name, rows), expected))
    connections = [server.raw() for _ in jobs]
    for _ in range(12):
        for connection, ((body, headers), _) in zip(connections, jobs):
            connection.request("POST", f"/v2/models/{model}/infer", body, headers)
        for connection, (_, expected) in zip(connections, jobs):
            assert same_bits(answer(connection.reply()), expected)
    for connection in connections:
        connection.close()
    runs = server.metrics()
    assert runs.value("inferd_batch_requests_sum", model=model) >= 64 * 12


def test_bit_for_bit_from_many_threads(server, sessions):
    """Several loops and executors at once, JSON and binary mixed."""
    name, make, outputs = INPUTS["mlp"]

    def client(number):
        connection = server.connection()
        for turn in range(20):
            rows = make(1 + turn % 4, number * 100 + turn)
            (expected,) = sessions("mlp").run(outputs, {name: rows})
            if turn % 2:
                body, headers = as_binary(name, rows)
                found = answer(server.infer("mlp", body, headers, connection=connection))["OUTPUT0"]
            else:
                found = answer(server.infer("mlp", request(array_tensor(name, rows)),
                                            connection=connection))["OUTPUT0"]
                found = np.array(found).astype(np.float32)
            assert found.tobytes() == expected.tobytes()
        return True
    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(client, range(16)))


def test_scikit_learn_s_answers(server):
    expected = json.loads((DEMO / "expected.json").read_text())
    rows = np.array(expected["inputs"]["X"], np.float32)
    found = answer(server.infer("breast-cancer", request(array_tensor("X", rows))))
    outputs = {name: np.array(value) for name, value in expected["outputs"].items()}
    assert found["label"] == outputs["label"].reshape(-1).tolist()
    gap = np.abs(np.array(found["probabilities"]).reshape(-1, 2) - outputs["probabilities"])
    assert gap.max() < 1e-5
    for number in range(0, len(rows), 7):
        alone = answer(server.infer("breast-cancer",
                       request(array_tensor("X", rows[number:number + 1]))))
        assert np.abs(np.array(alone["probabilities"]) -
     outputs["probabilities"][number]).max() < 1e-5


def test_the_request_of_the_readme(server):
    reply = server.infer("breast-cancer", (DEMO / "request.json").read_bytes())
    found = answer(reply)
    assert found["label"] == [1]
    assert abs(found["probabilities"][0] - 0.000765) < 1e-5
    assert abs(found["probabilities"][1] - 0.999235) < 1e-5


def test_batching_rows_of_one_connection_and_of_many_agree(server, sessions):
    """A batch of 40 in one request, and 40 requests of one row: the same answers."""
    rows = features(40, 9)
    whole = answer(server.infer("breast-cancer", request(array_tensor("X", rows))))
    connections = [server.raw() for _ in range(40)]
    for connection, row in zip(connections, rows):
        connection.request("POST", "/v2/models/breast-cancer/infer",
                           request(array_tensor("X", row.reshape(1, -1))))
    single = [answer(connection.reply()) for connection in connections]
    assert [one["label"][0] for one in single] == whole["label"]
    assert [value for one in single for value in one["probabilities"]] == whole["probabilities"]
    for connection in connections:
        connection.close()


@pytest.mark.parametrize("inline", ["0", "1s"], ids=["on executors", "on the loops"])
def test_where_it_runs_changes_nothing(start_server, everything, sessions, inline):
    server = start_server({"repository.path": everything.path, "batching.inline_max": inline,
                           "ready.policy": "list", "ready.models": "mlp", "executors": 2})
    name, make, outputs = INPUTS["mlp"]
    for seed in range(20):
        rows = make(3, seed)
        (expected,) = sessions("mlp").run(outputs, {name: rows})
        body, headers = as_binary(name, rows)
        found = answer(server.infer("mlp", body, headers))["OUTPUT0"]
        assert found.tobytes() == expected.tobytes()
    where = {one.labels["where"]: one.value for one in server.metrics().series(
        "inferd_model_runs_total", model="mlp") if one.value}
    assert set(where) == {"executor" if inline == "0" else "inline"}
