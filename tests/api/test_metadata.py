"""Server and model metadata, and what perf_analyzer asks before it starts."""

from pathlib import Path

import pytest

VERSION = (Path(__file__).resolve().parents[2] / "VERSION").read_text().strip()
FIXTURES = [  # model, inputs, outputs
    ("add_sub", [("INPUT0", "FP32", [-1, 16]), ("INPUT1", "FP32", [-1, 16])],
     [("OUTPUT0", "FP32", [-1, 16]), ("OUTPUT1", "FP32", [-1, 16])]),
    ("fixed16", [("INPUT0", "FP32", [1, 16]), ("INPUT1", "FP32", [1, 16])],
     [("OUTPUT0", "FP32", [1, 16]), ("OUTPUT1", "FP32", [1, 16])]),
    ("identity_scalar", [("INPUT0", "FP32", [])], [("OUTPUT0", "FP32", [])]),
    ("multi_free", [("INPUT0", "FP32", [-1, -1, 3])], [("OUTPUT0", "FP32", [-1, -1, 3])]),
    ("positions", [("INPUT0", "FP32", [-1, -1])], [("OUTPUT0", "INT64", [2, -1])]),
    ("wide", [("module/block.1/input:0", "FP32", [-1, 4]), ("x.0", "FP32", [-1, 4])],
     [("save_infer_model/scale_0.tmp_1", "FP32", [-1, 4])]),
    ("mixed", [("INPUT0", "INT32", [-1, 2]), ("INPUT1", "FP32", [-1, 2]),
               ("INPUT2", "BYTES", [-1, -1])],
     [("OUTPUT0", "FP32", [-1, 2]), ("OUTPUT1", "BYTES", [-1, -1]), ("OUTPUT2", "INT64", [2])]),
    ("breast-cancer", [("X", "FP32", [-1, 30])],
     [("label", "INT64", [-1]), ("probabilities", "FP32", [-1, 2])]),
]


@pytest.mark.parametrize("path", ["/v2", "/v2/", "/v2?q=1"])
def test_server_metadata(server, path):
    reply = server.get(path)
    assert reply.status == 200
    assert reply.json["name"] == "inferd"
    assert reply.json["version"] == VERSION
    extensions = reply.json["extensions"]
    assert isinstance(extensions, list) and all(isinstance(one, str) for one in extensions)
    assert {"binary_tensor_data", "statistics", "model_repository", "model_configuration",
            "parameters"} <= set(extensions)


@pytest.mark.parametrize("model, inputs, outputs", FIXTURES, ids=[row[0] for row in FIXTURES])
def test_model_metadata_comes_from_the_model(server, model, inputs, outputs):
    reply = server.get(f"/v2/models/{model}")
    assert reply.status == 200
    body = reply.json
    assert body["name"] == model
    assert body["versions"] == ["1"]
    assert isinstance(body["platform"], str) and "onnx" in body["platform"]

    def tensors(listed):
        return [(one["name"], one["datatype"], one["shape"]) for one in listed]

    assert tensors(body["inputs"]) == inputs
    assert tensors(body["outputs"]) == outputs
    assert server.get(f"/v2/models/{model}/versions/1").json["inputs"] == body["inputs"]


@pytest.mark.parametrize("datatype",
    ["bool",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "int8",
    "int16",
    "int32",
    "int64",
    "fp16",
    "bf16",
    "fp32",
    "fp64",
     "bytes"])
def test_metadata_names_every_datatype(server, datatype):
    body = server.get(f"/v2/models/identity_{datatype}").json
    assert body["inputs"][0]["datatype"] == body["outputs"][0]["datatype"] == datatype.upper()


def test_all_served_versions_are_listed(start_server, repository):
    repository.add("versions").settings("versions", "versions:\n  policy: all\n")
    server = start_server({"repository.path": repository.path})
    server.wait_versions("versions", 1, 2, 10)
    for version in (1, 2, 10):
        assert server.get(f"/v2/models/versions/versions/{version}").status == 200


@pytest.mark.parametrize("path", ["", "/config", "/stats", "/ready"])
@pytest.mark.parametrize("model", ["nobody", "add_sub/versions/77", "add_sub/versions/x"])
def test_unknown_models_and_versions_are_not_found(server, path, model):
    reply = server.get(f"/v2/models/{model}{path}")
    assert reply.status in ((404,) if not model.endswith("x") else (400, 404))
    assert model.split("/")[0] in reply.error


def test_model_names_may_come_percent_encoded(server):
    assert server.get("/v2/models/%61dd%5Fsub").json["name"] == "add_sub"


@pytest.mark.parametrize("name", ["..", "%2e%2e", "..%2f..%2fetc", "a%00b", "a%2Fb", "%zz", "a%20b",
                                  "x" * 129, "%F0%9F%98%80", "%FF"])
def test_hostile_model_names_find_nothing(server, name):
    reply = server.get(f"/v2/models/{name}")
    assert reply.status in (400, 404)
    assert reply.error


@pytest.mark.parametrize("model, batched", [("add_sub", True), ("fixed16", False)])
def test_config_has_what_perf_analyzer_reads(server, model, batched):
    metadata = server.get(f"/v2/models/{model}").json
    config = server.get(f"/v2/models/{model}/config").json
    assert config["name"] == model
    assert config["platform"] == metadata["platform"]
    assert isinstance(config["max_batch_size"], int) and config["max_batch_size"] >= 0
    assert [one["name"] for one in config["input"]] == [one["name"] for one in metadata["inputs"]]
    assert [one["name"] for one in config["output"]] == [one["name"] for one in metadata["outputs"]]
    for one in config["input"] + config["output"]:
        assert one["data_type"] == "TYPE_FP32"
        assert all(isinstance(size, int) for size in one["dims"])
    if not batched:
        assert config["max_batch_size"] == 0
    # perf_analyzer drops the first dimension when max_batch_size > 0.
    dims = len(metadata["inputs"][0]["shape"]) - (1 if config["max_batch_size"] > 0 else 0)
    assert len(config["input"][0]["dims"]) == dims
    assert server.get(f"/v2/models/{model}/versions/1/config").json == config


def test_config_names_strings_as_triton_does(server):
    config = server.get("/v2/models/identity_bytes/config").json
    assert config["input"][0]["data_type"] == "TYPE_STRING"
