"""Fixtures: servers that are checked when their test ends, repositories, certificates.

`server` is one process for a module's tests, with every fixture model; `start_server` starts more,
with other options. Both end with the process's exit code and stderr checked.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from testenv import Certificates, Curl, Gate, Repository, Server, server as server_module
from testenv.waiting import FLAVOUR

TREE = Path(__file__).resolve().parents[2]
TOKEN = "test-token"


def pytest_collection_modifyitems(items):
    if FLAVOUR != "asan":
        return
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason="slow, and this is the asan flavour"))


@pytest.fixture(scope="session", autouse=True)
def inferd_binary():
    path = server_module.binary()
    if not path.is_file():
        pytest.exit(f"there is no inferd at {path}: build it, or set INFERD_BIN", returncode=2)
    return path


@pytest.fixture(scope="session")
def models():
    """The folder of the fixture models; made when INFERD_TEST_MODELS does not name one."""
    folder = Path(os.environ.get("INFERD_TEST_MODELS") or TREE / "build" / "test-models")
    subprocess.run([sys.executable, TREE / "tests" / "data" / "make_models.py", folder],
                   check=True, stdout=subprocess.DEVNULL)
    return folder


@pytest.fixture(scope="session")
def everything(models, tmp_path_factory):
    """A repository with every fixture model and the demonstration model. Not to be changed."""
    folder = tmp_path_factory.mktemp("everything") / "repository"
    return Repository(folder, models).add_everything().add("breast-cancer")


@pytest.fixture
def repository(models, tmp_path):
    """An empty repository of the test's own."""
    return Repository(tmp_path / "repository", models)


@pytest.fixture(scope="session")
def token_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("token") / "token"
    path.write_text(TOKEN + "\n")
    return path


@pytest.fixture(scope="module")
def server(everything, token_file):
    """Shared by the tests of one module: they must leave it as they found it."""
    one = Server({"repository.path": everything.path, "admin.token_file": token_file,
                  "log.level": "info"})
    try:
        one.start()
        yield one
    finally:
        one.finish()


@pytest.fixture
def start_server(tmp_path):
    """start_server({"option": value}, wait=..., ...) -> a Server, finished with the test."""
    started = []

    def start(options, wait="ready", seconds=15, **rest):
        one = Server(options, **rest)
        started.append(one)
        return one.start(wait, seconds)

    yield start
    wrong = []
    for one in started:
        try:
            one.finish()
        except AssertionError as error:
            wrong.append(str(error))
    assert not wrong, "\n".join(wrong)


@pytest.fixture
def gate(start_server, tmp_path):
    """Opened at the latest when the test ends, before its servers are told to."""
    one = Gate(tmp_path / "gate")
    yield one
    one.open()


@pytest.fixture
def curl(server):
    return Curl(server.url())


@pytest.fixture
def certificates(tmp_path):
    return Certificates(tmp_path / "certificates")


@pytest.fixture
def served_repository(repository):
    """Options of a server with the model `echo` on the fake engine: OUTPUT0 is INPUT0."""
    repository.fake("echo")
    return {"repository.path": repository.path, "engine": "fake"}
