"""Versions come, go and fail while the server runs, and nobody notices."""

import os
import shutil
import threading
import time

import numpy as np
import pytest
from testenv import until
from testenv.v2 import answer, array_tensor, request

ZEROS = request(array_tensor("INPUT0", np.zeros((1, 4), np.float32)))
BROKEN = ["truncated", "random", "empty", "text", "missing", "unsupported", "future_opset",
          "mistyped", "external_missing", "external_escape", "sequence"]
REFUSED = ["badname $x", "badversion", "noversion"]


@pytest.fixture
def live(start_server, repository):
    """live(**options) -> a server that looks at its repository often."""
    def start(wait="ready", **options):
        return start_server({"repository.path": repository.path, "repository.settle": "100ms",
                             "repository.poll_interval": "200ms", **options}, wait=wait)
    return start


def answers_with(server, plus, model="versions"):
    reply = server.infer(model, ZEROS)
    return reply.status == 200 and answer(reply)["OUTPUT0"] == [plus] * 4


def test_every_broken_model_fails_by_itself_and_others_serve(live, repository):
    repository.add("add_sub", "versions").add_broken(*BROKEN, *REFUSED)
    server = live(wait="listening")
    until(lambda: answers_with(server, 10))
    for name in BROKEN:
        def failed(name=name):
            rows = [row for key, row in server.index().items() if key[0] == name]
            return not rows and name == "missing" or rows and all(
                row["state"] == "UNAVAILABLE" and row["reason"] for row in rows)
        until(failed, what=f"the failure of {name}")
        reply = server.infer(name, ZEROS)
        assert reply.status in (503, 404) and name in reply.error
    assert answers_with(server, 10)
    assert not [key for key in server.index() if " " in key[0] or key[1] == "v1"]
    assert server.get("/v2/health/live").status == 200
    assert server.metrics().value("inferd_model_ready", model="versions") == 1
    assert server.metrics().value("inferd_model_ready", model="truncated") == 0
    assert server.metrics().value("inferd_model_loads_total", model="truncated",
                                  result="failed") >= 1


def test_a_failure_is_logged_once_with_its_reason(live, repository):
    repository.add("add_sub").add_broken("truncated")
    server = live(wait="listening")
    (line,) = server.wait_logged("model_version_state", model="truncated", to="FAILED")
    assert line["reason"] and line["level"] in ("warn", "error") and line["version"] == "1"
    time.sleep(1)
    assert len(server.logged("model_version_state", model="truncated", to="FAILED")) == 1, \
        "a scan does not try it again while its files are the same"


@pytest.mark.parametrize("options",
    [{"repository.watch": True,
    "repository.poll_interval": "1h"},
    {"repository.watch": False,
     "repository.poll_interval": "200ms"}])
def test_new_models_and_versions_are_picked_up(live, repository, options):
    """By file events alone, and by the periodic scan alone."""
    repository.add("add_sub").add_version("versions", 1)
    server = live(**options)
    assert answers_with(server, 1)
    repository.add_version("versions", 2, source_version=2)
    until(lambda: answers_with(server, 2))
    repository.add_version("versions", 10, source_version=10)
    until(lambda: answers_with(server, 10))
    repository.add_version("mlp", 1)
    until(lambda: server.get("/v2/models/mlp/ready").status == 200)


def test_versions_that_go_are_unloaded(live, repository):
    repository.add("add_sub", "versions")
    server = live()
    repository.remove("versions", 10)
    until(lambda: answers_with(server, 2))
    repository.remove("versions")
    until(lambda: server.infer("versions", ZEROS).status == 404)
    until(lambda: not [key for key in server.index() if key[0] == "versions"])
    assert server.is_ready()


def test_half_copied_folders_are_not_loaded(live, repository):
    """A copy that takes a while, without a rename at its end."""
    repository.add("add_sub").add_version("versions", 1)
    server = live(**{"repository.settle": "4s"})
    content = (repository.models / "versions/2/model.onnx").read_bytes()
    folder = repository.path / "versions" / "2"
    folder.mkdir()
    with open(folder / "model.onnx", "wb", buffering=0) as file:
        for at in range(0, len(content), 1 + len(content) // 12):
            file.write(content[at:at + 1 + len(content) // 12])
            time.sleep(0.2)
            assert answers_with(server, 1)
    assert not server.logged("model_version_state", model="versions", version="2", to="FAILED")
    until(lambda: answers_with(server, 2))
    assert not server.logged("model_version_state", model="versions", version="2", to="FAILED")


def test_a_folder_without_a_model_waits_for_it(live, repository):
    repository.add("add_sub").add_version("versions", 1)
    server = live()
    (repository.path / "versions" / "2").mkdir()
    time.sleep(0.6)
    assert answers_with(server, 1)
    repository.write("versions", 2, (repository.models / "versions/2/model.onnx").read_bytes())
    until(lambda: answers_with(server, 2))


def test_a_new_version_that_fails_leaves_the_old_one_serving(live, repository):
    repository.add("add_sub").add_version("versions", 1)
    server = live()
    repository.write("versions", 2, b"not a model")
    server.wait_logged("model_version_state", model="versions", version="2", to="FAILED")
    assert answers_with(server, 1)
    assert server.index()["versions", "1"]["state"] == "READY"
    assert server.index()["versions", "2"]["state"] == "UNAVAILABLE"
    assert server.index()["versions", "2"]["reason"]
    assert server.get("/v2/models/versions/versions/2/ready").status == 503
    good = repository.models / "versions/2/model.onnx"
    shutil.copy(good, repository.path / "versions/2/model.onnx")
    until(lambda: answers_with(server, 2), what="the repaired version")


def test_a_version_whose_file_changes_is_loaded_again(live, repository):
    repository.add("add_sub").add_version("versions", 1)
    server = live()
    new = repository.path / ".new"
    shutil.copy(repository.models / "versions/2/model.onnx", new)
    os.replace(new, repository.path / "versions/1/model.onnx")
    until(lambda: answers_with(server, 2))


POLICIES = {
    "latest one": ("", {10}), "latest two": ("versions:\n  policy: latest\n  latest: 2\n", {2, 10}),
    "all": ("versions:\n  policy: all\n", {1, 2, 10}),
    "listed": ("versions:\n  policy: listed\n  listed: [1, 2]\n", {1, 2}),
}


@pytest.mark.parametrize("name", POLICIES)
def test_version_policies(live, repository, name):
    text, expected = POLICIES[name]
    repository.add("versions").settings("versions", text)
    server = live()

    def served():
        return {number for number in (1, 2, 10)
                if server.get(f"/v2/models/versions/versions/{number}/ready").status == 200}
    until(lambda: served() == expected, what=f"the versions {expected}")
    assert answers_with(server, max(expected))
    assert server.infer("versions", ZEROS, version=3).status == 404
    for number in {1, 2, 10} - expected:
        assert server.infer("versions", ZEROS, version=number).status in (404, 503)


def test_default_version(live, repository):
    repository.add("versions").settings("versions",
                                        "versions:\n  policy: all\n  default: 2\n")
    server = live()
    until(lambda: answers_with(server, 2))


def test_model_settings_are_read_again_when_they_change(live, repository):
    repository.add("versions", "add_sub")
    server = live()
    assert answers_with(server, 10)
    repository.settings("versions", "versions:\n  policy: listed\n  listed: [1]\n")
    until(lambda: answers_with(server, 1))


@pytest.mark.parametrize("text, words", [
    ("versoins:\n  policy: all\n", ["versoins", "model.yaml", "1"]),
    ("versions:\n  policy: some\n", ["policy", "some", "latest"]),
    ("versions: [\n", ["model.yaml"]),
    ("execution:\n  session:\n    session.no_such: {a: b}\n", ["session"]),
])
def test_bad_model_settings_fail_that_model_only(live, repository, text, words):
    repository.add("add_sub", "versions").settings("versions", text)
    server = live(wait="listening")
    until(lambda: server.get("/v2/models/add_sub/ready").status == 200)
    until(lambda: server.infer("versions", ZEROS).status == 503)
    reply = server.infer("versions", ZEROS)
    for word in words:
        assert word in reply.error, reply.error
    assert server.get("/v2/health/ready").status == 503


def test_session_options_reach_onnx_runtime(live, repository):
    """An entry that ONNX Runtime refuses fails the load; one that it knows does not."""
    known = "execution:\n  session:\n    session.disable_prepacking: '1'\n"
    repository.add("add_sub", "versions").settings("versions", known)
    server = live()
    assert answers_with(server, 10)


def test_hot_swaps_under_load_lose_no_request(live, repository):
    """Eight clients never see anything but a right answer while versions come and go."""
    repository.add_version("versions", 1)
    server = live()
    stop, wrong, counts = threading.Event(), [], [0] * 8

    def client(number):
        connection = server.connection()
        while not stop.is_set():
            try:
                reply = server.infer("versions", ZEROS, connection=connection)
                values = set(answer(reply)["OUTPUT0"])
                if not values <= {1.0, 2.0, 10.0} or len(values) != 1:
                    wrong.append(values)
                counts[number] += 1
            except Exception as error:  # noqa: BLE001 (any failure is the finding)
                wrong.append(repr(error))
                return
    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        for number in (2, 10):
            repository.add_version("versions", number, source_version=number)
            until(lambda number=number: answers_with(server, number))
        for number, remains in ((10, 2), (2, 1)):
            repository.remove("versions", number)
            until(lambda remains=remains: answers_with(server, remains))
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:3]
    assert min(counts) > 0
    assert server.metrics().value("inferd_requests_total", model="versions", code="200") > 0


@pytest.mark.tsan
def test_load_and_unload_under_load(start_server, repository, token_file):
    """The same with an admin's orders, on the fake engine too: only 200, 404 and 503 are seen."""
    repository.fake("echo").fake("other")
    server = start_server({"repository.path": repository.path, "engine": "fake",
                           "admin.token_file": token_file})
    stop, seen = threading.Event(), []

    def client():
        connection = server.connection()
        while not stop.is_set():
            seen.append(server.infer("echo", ZEROS, connection=connection).status)
    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(15):
        assert server.admin("unload", "echo").status == 200
        assert server.admin("load", "echo").status == 200
    stop.set()
    for thread in threads:
        thread.join()
    assert set(seen) <= {200, 404, 503} and 200 in seen


@pytest.mark.slow
def test_200_loads_and_unloads_return_the_memory(start_server, repository, token_file):
    repository.add("mlp", "add_sub", "breast-cancer")
    server = start_server({"repository.path": repository.path, "admin.token_file": token_file})

    def cycle(count):
        for _ in range(count):
            assert server.admin("unload", "breast-cancer").status == 200
            assert server.admin("load", "breast-cancer").status == 200
    cycle(20)
    memory, files = server.resident_bytes(), server.open_files()
    cycle(200)
    assert server.resident_bytes() < memory * 1.10
    assert server.open_files() <= files + 2


def test_the_old_version_is_freed_when_its_last_request_ends(live, repository, gate):
    """A slow request keeps its version alive while the model is replaced."""
    fixed = "input INPUT0 FP32 [1,4]\noutput OUTPUT0 FP32 [1,4]\n"
    repository.fake("slow", fixed + gate.directive)
    repository.settings("slow", "warmup: false\nbatching:\n  inline_max: 0\n")
    server = live(engine="fake")
    replies = []
    thread = threading.Thread(target=lambda: replies.append(server.infer("slow", ZEROS)))
    thread.start()
    until(lambda: server.metrics().value("inferd_requests_in_flight", model="slow") == 1)
    repository.fake("slow", fixed, version=2)
    server.wait_logged("model_version_state", model="slow", version="2", to="READY")
    assert not server.logged("model_version_state", model="slow", version="1", to="UNLOADED")
    gate.open()
    thread.join()
    assert answer(replies[0])["OUTPUT0"] == [0] * 4
    assert replies[0].json["model_version"] == "1"
    server.wait_logged("model_version_state", model="slow", version="1", to="UNLOADED")


def test_a_repository_that_vanishes_and_comes_back(live, repository):
    repository.add("add_sub", "versions")
    server = live()
    away = repository.path.with_name("away")
    repository.path.rename(away)
    time.sleep(0.8)
    assert server.get("/v2/health/live").status == 200
    away.rename(repository.path)
    until(lambda: answers_with(server, 10))
    server.wait_ready()


def test_links_may_not_leave_the_root(live, repository):
    """Names are checked; a link inside the root to a folder inside the root is what volumes use."""
    repository.add("add_sub", "versions")
    (repository.path / "alias").symlink_to("versions")
    server = live(wait="listening")
    until(lambda: answers_with(server, 10))
    assert server.get("/v2/models/alias/ready").status in (200, 404, 503)
