"""The repository extension: index, load, unload; where it is served, and who may."""

import json

import numpy as np
import pytest
from testenv.v2 import answer, array_tensor, request

ZEROS = request(array_tensor("INPUT0", np.zeros((1, 4), np.float32)))


@pytest.fixture
def managed(start_server, repository, token_file):
    """managed(**options) -> a server whose repository may be changed."""
    def start(wait="ready", **options):
        return start_server({"repository.path": repository.path, "repository.settle": "0s",
                             "admin.token_file": token_file, **options}, wait=wait)
    return start


def test_index_names_every_version_with_its_state(managed, repository):
    repository.add("add_sub", "versions").add_broken("truncated")
    server = managed(wait="listening")
    server.wait_logged("model_version_state", model="truncated", to="FAILED")
    server.wait_logged("model_version_state", model="versions", to="READY")
    server.wait_logged("model_version_state", model="add_sub", to="READY")
    for listener in ("data", "management"):
        index = server.index(listener=listener)
        assert index["add_sub", "1"]["state"] == "READY"
        assert index["versions", "10"]["state"] == "READY"
        assert index["truncated", "1"]["state"] == "UNAVAILABLE"
        assert index["truncated", "1"]["reason"], "why"


def test_index_of_what_is_ready(managed, repository):
    repository.add("add_sub").add_broken("truncated")
    server = managed(wait="listening")
    server.wait_logged("model_version_state", model="truncated", to="FAILED")
    server.wait_logged("model_version_state", model="add_sub", to="READY")
    assert set(server.index('{"ready": true}')) == {("add_sub", "1")}
    assert len(server.index('{"ready": false}')) == 2
    assert len(server.index("{}")) == 2
    assert len(server.index('{"parameters": {}}')) == 2


@pytest.mark.parametrize("body", ["[]", "x", '{"ready": 1}', '{"ready": "yes"}', "{"])
def test_bad_index_requests(server, body):
    reply = server.post("/v2/repository/index", body)
    assert reply.status == 400 and reply.error


def test_unload_and_load(managed, repository):
    repository.add("add_sub", "versions")
    server = managed()
    reply = server.admin("unload", "versions")
    assert reply.status == 200, reply.body
    assert server.infer("versions", ZEROS).status in (404, 503)
    assert "versions" in server.infer("versions", ZEROS).error
    assert server.get("/v2/models/versions/ready").status in (404, 503)
    assert all(row["state"] != "READY" for key,
     row in server.index().items() if key[0] == "versions")
    assert server.is_ready(), "what an admin unloaded is not missing"
    assert server.get("/v2/models/add_sub/ready").status == 200
    assert server.admin("load", "versions").status == 200
    assert answer(server.infer("versions", ZEROS))["OUTPUT0"] == [10] * 4, "serves at once"


def test_unloaded_models_stay_unloaded(managed, repository):
    repository.add("add_sub", "versions")
    server = managed(**{"repository.poll_interval": "100ms"})
    assert server.admin("unload", "versions").status == 200
    repository.add_version("mlp", 1)
    server.wait_logged("model_version_state", model="mlp", to="READY")
    assert server.get("/v2/models/versions/ready").status in (404, 503)


def test_unloading_twice_does_no_harm(managed, repository):
    repository.add("add_sub", "versions")
    server = managed()
    assert server.admin("unload", "versions").status == 200
    assert server.admin("unload", "versions").status in (200, 400, 404)
    assert server.admin("load", "versions").status == 200
    assert server.admin("load", "versions").status == 200, "loading what is loaded"


def test_load_of_a_model_that_cannot_load_says_why(managed, repository):
    repository.add("add_sub").add_broken("truncated")
    server = managed(wait="listening")
    server.wait_logged("model_version_state", model="truncated", to="FAILED")
    reply = server.admin("load", "truncated")
    assert reply.status in (400, 500, 503)
    assert reply.error.startswith("failed to load 'truncated'")
    assert len(reply.error) > 40, "with the reason"


def test_load_tries_again_what_failed(managed, repository):
    repository.add("add_sub").add_broken("truncated")
    server = managed(wait="listening", **{"repository.poll_interval": "1h",
                                          "repository.watch": False})
    server.wait_logged("model_version_state", model="truncated", to="FAILED")
    repository.write("truncated", 1, (repository.models / "mlp/1/model.onnx").read_bytes())
    assert server.admin("load", "truncated").status == 200
    assert server.get("/v2/models/truncated/ready").status == 200


def test_unknown_model(managed, repository):
    repository.add("add_sub")
    server = managed()
    for action in ("load", "unload"):
        reply = server.admin(action, "nobody")
        assert reply.status == 404
        assert "nobody" in reply.error


@pytest.mark.parametrize("name", ["..%2F..%2Fetc", "%2e%2e", "a%2Fb", "x" * 500, "%00", "a%0Ab"])
def test_names_that_would_leave_the_repository(server, name):
    for action in ("load", "unload"):
        reply = server.admin(action, name)
        assert reply.status in (400, 404), reply.body


@pytest.mark.parametrize("token", [None, "", "wrong", "test-toke", "test-tokenx", "TEST-TOKEN",
                                   "test-token\t x"])
def test_without_the_right_token(server, token):
    for action in ("load", "unload"):
        reply = server.admin(action, "add_sub", token=token)
        assert reply.status == 401
        assert reply.header("WWW-Authenticate").startswith("Bearer")
        assert reply.error
    assert server.get("/v2/models/add_sub/ready").status == 200


@pytest.mark.parametrize("value", ["Basic dGVzdC10b2tlbg==", "test-token", "bearer", "Bearer"])
def test_other_schemes(server, value):
    reply = server.post("/v2/repository/models/add_sub/unload", b"", {"Authorization": value},
                        listener="management")
    assert reply.status == 401


def test_two_authorizations_are_refused(server):
    with server.raw("management") as raw:
        reply = raw.post("/v2/repository/models/add_sub/load", b"", [
            ("Authorization", "Bearer wrong"), ("Authorization", "Bearer test-token")])
        assert reply.status in (400, 401)


def test_without_a_token_file_admin_is_off(start_server, repository):
    repository.add("add_sub")
    server = start_server({"repository.path": repository.path})
    for token in (None, "", "test-token"):
        reply = server.admin("unload", "add_sub", token=token)
        assert reply.status == 403
        assert "admin.token_file" in reply.error, "says what to set"


def test_not_on_the_data_listener(server):
    for action in ("load", "unload"):
        assert server.admin(action, "add_sub", listener="data").status == 404


def test_on_the_data_listener_when_configured(managed, repository):
    repository.add("add_sub")
    server = managed(**{"admin.on_data": True})
    assert server.admin("unload", "add_sub", token="wrong", listener="data").status == 401
    assert server.admin("unload", "add_sub", listener="data").status == 200
    assert server.admin("load", "add_sub", listener="data").status == 200


def test_the_token_is_read_again_when_its_file_changes(start_server, repository, tmp_path):
    repository.add("add_sub")
    token = tmp_path / "token"
    token.write_text("first")
    server = start_server({"repository.path": repository.path, "admin.token_file": token})
    assert server.admin("load", "add_sub", token="first").status == 200
    token.with_suffix(".new").write_text("second")
    token.with_suffix(".new").rename(token)
    from testenv import until
    until(lambda: server.admin("load", "add_sub", token="second").status == 200, 20)
    assert server.admin("load", "add_sub", token="first").status == 401


def test_what_the_client_sends(managed, repository):
    repository.add("add_sub")
    server = managed()
    assert server.admin("unload", "add_sub",
                        body=json.dumps({"parameters": {"unload_dependents": False}})).status == 200
    assert server.admin("load", "add_sub", body="{}").status == 200
    for parameters in ({"config": "{}"}, {"file:1/model.onnx": "AAAA"}, {"file:../../x": "AAAA"}):
        reply = server.admin("load", "add_sub", body=json.dumps({"parameters": parameters}))
        assert reply.status == 400
        assert list(parameters)[0] in reply.error
    assert server.admin("load", "add_sub", body="{").status == 400


def test_explicit_mode_loads_what_it_is_told(managed, repository):
    repository.add("add_sub", "mlp")
    server = managed(**{"repository.control": "explicit", "repository.startup": "add_sub"})
    assert server.get("/v2/models/add_sub/ready").status == 200
    assert server.get("/v2/models/mlp/ready").status != 200
    assert server.admin("load", "mlp").status == 200
    assert server.get("/v2/models/mlp/ready").status == 200
