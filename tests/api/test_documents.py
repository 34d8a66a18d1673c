"""The examples of README.md and docs/reference/protocol.md work when pasted.

A ```console block is commands ("$ ...") and what they print; "..." stands for anything. They run
in a folder that has `models` and `token` as the documents say, with the ports of a live server in
place of 8080 and 8081.
"""

import json
import re
import subprocess

import pytest
import yaml
from testenv import Certificates, Server
from testenv.server import TREE, run_inferd

PROTOCOL = (TREE / "docs" / "reference" / "protocol.md").read_text()
README = (TREE / "README.md").read_text()
INFER = "/v2/models/breast-cancer/infer"


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def steps(block):
    """(command, what it prints) of a console block."""
    found = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append([line[2:], []])
        else:
            found[-1][1].append(line)
    return [(command, "\n".join(lines)) for command, lines in found]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the documents' commands find in their folder."""
    path = tmp_path_factory.mktemp("documents")
    (path / "models").symlink_to(TREE / "models")
    (path / "token").write_text("a token\n")
    certificates = Certificates(path)
    certificates.make("server")
    return path


def started(folder, **more):
    return Server({"repository.path": TREE / "models" / "repository",
                   "admin.token_file": folder / "token", **more})


@pytest.fixture(scope="module")
def documented(folder):
    server = started(folder)
    try:
        server.start()
        yield server
    finally:
        server.finish()


def run(command, server, folder):
    for port, listener in ((8080, "data"), (8081, "management")):
        for host in ("127.0.0.1", "localhost"):
            command = command.replace(f"{host}:{port}", f"{host}:{server.ports[listener]}")
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", command], cwd=folder,
                          capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout.decode()


def assert_prints(expected, printed, command):
    pattern = ".*".join(re.escape(part) for part in expected.strip().split("..."))
    assert re.fullmatch(pattern, printed.strip(), re.DOTALL), (command, expected, printed)


@pytest.mark.parametrize("number", range(len(blocks(PROTOCOL, "console"))))
def test_the_commands_of_the_protocol_s_page_print_what_it_says(number, documented, folder):
    for command, expected in steps(blocks(PROTOCOL, "console")[number]):
        assert_prints(expected, run(command, documented, folder), command)


def test_the_requests_of_the_protocol_s_page_are_answered(documented):
    requests = [json.loads(block) for block in blocks(PROTOCOL, "json")]
    assert len(requests) == 2
    replies = [documented.infer("breast-cancer", request) for request in requests]
    assert [reply.status for reply in replies] == [200, 200], [reply.body for reply in replies]
    assert requests[0] == json.loads((TREE / "models" / "breast-cancer" / "request.json").read_text())
    second = replies[1].json
    assert second["id"] == "42"
    assert [(output["name"], output["shape"]) for output in second["outputs"]] == [("label", [2])]


def test_every_route_is_on_the_protocol_s_page():
    routes = (TREE / "docs" / "reference" / "routes.md").read_text()
    paths = re.findall(r"^\| \w+ \| `([^`]+)`", routes, re.MULTILINE)
    assert len(paths) > 20
    for path in paths:
        assert f"`{path.replace('{', '<').replace('}', '>')}`" in PROTOCOL, path


def test_every_status_is_on_the_protocol_s_page():
    errors = (TREE / "docs" / "reference" / "errors.md").read_text()
    table = PROTOCOL[PROTOCOL.index("| status | when |"):]
    for status in set(re.findall(r"^\| `\w+` \| (\d+)", errors, re.MULTILINE)) - {"200", "499"}:
        assert status in table.split("\n\n")[0], status


def curls(text):
    lines = "\n".join(blocks(text, "sh")).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith("curl ")]


def test_the_readme_s_calls_are_answered(documented, folder):
    plain = [line for line in curls(README) if "https:" not in line]
    assert len(plain) == 2
    for line in plain:
        run(line.replace("curl ", "curl --fail-with-body ", 1), documented, folder)


def test_the_readme_s_call_over_tls_is_answered(folder):
    server = started(folder, **{"http.tls.certificate_file": folder / "server.pem",
                                "http.tls.key_file": folder / "server.key"})
    try:
        server.start(wait="listening")
        (line,) = [line for line in curls(README) if "https:" in line]
        run(line.replace("curl ", "curl --retry 20 --retry-all-errors ", 1), server, folder)
    finally:
        server.finish()


def test_the_readme_s_answer_is_the_answer(documented):
    (shown,) = [json.loads(block) for block in blocks(README, "json")]
    request = json.loads((TREE / "models" / "breast-cancer" / "request.json").read_text())
    answer = documented.infer("breast-cancer", request).json
    for one, other in zip(shown["outputs"], answer["outputs"], strict=True):
        assert one.pop("data") == pytest.approx(other.pop("data"), rel=1e-3)
    assert shown == answer


def test_the_readme_s_settings_are_accepted(folder, repository):
    servers = [block for block in blocks(README, "yaml") if block.startswith("# inferd.yaml")]
    models = [block for block in blocks(README, "yaml") if "/model.yaml" in block.split("\n")[0]]
    assert len(servers) == 2 and len(models) == 1
    for block in servers:
        assert isinstance(yaml.safe_load(block), dict)
        (folder / "inferd.yaml").write_text(block)
        done = run_inferd("check", "--config", "inferd.yaml", cwd=folder)
        assert done.returncode == 0, (done.stdout, done.stderr)
    repository.add("breast-cancer").settings("breast-cancer", models[0])
    done = run_inferd("check", f"--repository-path={repository.path}")
    assert done.returncode == 0 and "note" not in done.stdout, (done.stdout, done.stderr)
