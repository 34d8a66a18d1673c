"""Health: live, ready, per model, on both listeners, under each policy."""

import pytest
from testenv import until

LIVE = ["/v2/health/live", "/livez"]
READY = ["/v2/health/ready", "/readyz"]


@pytest.mark.parametrize("path", LIVE)
def test_live_on_management(server, path):
    reply = server.get(path, listener="management")
    assert (reply.status, reply.json) == (200, {"live": True})
    assert reply.header("Content-Type") == "application/json"


@pytest.mark.parametrize("path", READY)
def test_ready_on_management(server, path):
    reply = server.get(path, listener="management")
    assert (reply.status, reply.json) == (200, {"ready": True})


def test_startup_is_done_on_management(server):
    assert server.get("/startupz", listener="management").status == 200


def test_live_and_ready_on_data(server):
    assert server.get("/v2/health/live").json == {"live": True}
    assert server.get("/v2/health/ready").json == {"ready": True}


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/startupz", "/metrics"])
def test_management_paths_are_not_on_the_data_listener(server, path):
    reply = server.get(path)
    assert reply.status == 404
    assert path in reply.error


@pytest.mark.parametrize("path",
    ["/v2/health/live",
    "/v2/health/ready",
     "/v2/models/add_sub/ready"])
def test_health_answers_head_without_a_body(server, path):
    with server.raw() as raw:
        reply = raw.request("HEAD", path).reply(head=True)
        assert reply.status == 200
        assert int(reply.header("Content-Length")) > 0
        assert raw.get("/v2/health/live").json == {"live": True}, "the next answer is in step"


def test_health_needs_no_token(server):
    reply = server.get("/v2/health/ready", headers={"Authorization": "Bearer wrong"})
    assert reply.status == 200


def test_model_ready(server):
    reply = server.get("/v2/models/add_sub/ready")
    assert reply.status == 200
    assert reply.json["name"] == "add_sub" and reply.json["ready"] is True
    assert server.get("/v2/models/versions/versions/10/ready").json["ready"] is True


@pytest.mark.parametrize("path", ["/v2/models/nobody/ready",
                         "/v2/models/add_sub/versions/77/ready"])
def test_unknown_model_or_version_is_not_found(server, path):
    reply = server.get(path)
    assert reply.status == 404
    assert reply.error.startswith("Request for unknown model")


def test_a_model_that_failed_is_not_ready_and_the_reason_is_named(start_server, repository):
    repository.add("add_sub").add_broken("truncated")
    server = start_server({"repository.path": repository.path}, wait="listening")
    server.wait_logged("model_version_state", model="truncated", to="FAILED")
    server.wait_logged("model_version_state", model="add_sub", to="READY")
    until(lambda: server.get("/v2/models/add_sub/ready").status == 200)
    reply = server.get("/v2/models/truncated/ready")
    assert reply.status == 503
    assert "truncated" in reply.body.decode() and reply.json["error"]

    ready = server.get("/v2/health/ready")
    assert ready.status == 503
    assert ready.json["ready"] is False and ready.json["error"]
    (missing,) = ready.json["missing"]
    assert missing["model"] == "truncated" and missing["version"] == "1"
    assert missing["state"] == "FAILED" and missing["reason"]
    for path in READY:
        assert server.get(path, listener="management").json["missing"] == [missing]
    for path in LIVE:
        assert server.get(path, listener="management").status == 200, "alive all the same"


@pytest.mark.parametrize("options, ready", [
    ({"ready.policy": "all"}, False),
    ({"ready.policy": "any"}, True),
    ({"ready.policy": "list", "ready.models": "add_sub"}, True),
    ({"ready.policy": "list", "ready.models": "add_sub,truncated"}, False),
    ({"ready.policy": "list", "ready.models": "add_sub,absent"}, False),
])
def test_ready_follows_the_policy(start_server, repository, options, ready):
    repository.add("add_sub").add_broken("truncated")
    server = start_server({"repository.path": repository.path, **options}, wait="listening")
    server.wait_logged("model_version_state", model="truncated", to="FAILED")
    until(lambda: server.get("/v2/models/add_sub/ready").status == 200)
    if ready:
        server.wait_ready()
    else:
        assert server.get("/v2/health/ready").status == 503


def test_an_empty_repository_is_alive_but_not_ready_until_a_model_comes(start_server, repository):
    server = start_server({"repository.path": repository.path, "repository.settle": "0s"},
                          wait="listening")
    assert server.get("/v2/health/live").status == 200
    reply = server.get("/v2/health/ready")
    assert reply.status == 503 and reply.json["ready"] is False
    repository.add_version("mlp", 1)
    server.wait_ready()


def test_live_answers_while_a_model_loads(start_server, repository):
    """Bind first: a version whose files are not still yet counts as loading."""
    repository.add("add_sub").add_version("mlp", 1)
    server = start_server({"repository.path": repository.path, "repository.settle": "3s"},
                          wait="listening")
    repository.add_version("mlp", 2)
    assert server.get("/v2/health/live").status == 200
    server.wait_ready()


@pytest.mark.tsan
def test_health_is_quick_on_many_connections(start_server, served_repository):
    server = start_server(served_repository)
    connections = [server.raw() for _ in range(50)]
    for connection in connections:
        connection.request("GET", "/v2/health/ready")
    for connection in connections:
        assert connection.reply().json == {"ready": True}
        connection.close()
