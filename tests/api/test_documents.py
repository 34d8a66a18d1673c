"""The examples of README.md and docs/reference/protocol.md work when pasted.

A ```console block is commands ("$ ...") and what they print; "..." stands for anything. They run
in a folder that has `models` and `token` as the documents say, with the ports of a live server in
place of 8080, 8081 and 9000. A ```python block runs in the tests' own environment. grpcurl, which
no Debian has, is testenv/grpcurl.py.
"""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml
from testenv import PATIENCE, Certificates, Server
from testenv.server import TREE, binary, run_inferd

PROTOCOL = (TREE / "docs" / "reference" / "protocol.md").read_text()
README = (TREE / "README.md").read_text()
GRPCURL = TREE / "tests" / "api" / "testenv" / "grpcurl.py"


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
    (path / "shell").write_text(f'grpcurl() {{ "$PYTHON" {GRPCURL} "$@"; }}\n')
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


def with_ports(text, server):
    for port, listener in ((8080, "data"), (8081, "management"), (9000, "grpc")):
        for host in ("127.0.0.1", "localhost"):
            text = text.replace(f"{host}:{port}", f"{host}:{server.ports[listener]}")
    return text


def run(command, server, folder, *program):
    """A command of the shell, or what another program makes of it."""
    done = subprocess.run([*(program or ("bash", "-euo", "pipefail", "-c")),
                           with_ports(command, server)], cwd=folder, capture_output=True,
                          env={**os.environ, "PYTHON": sys.executable,
                               "BASH_ENV": str(folder / "shell")},
                          timeout=60 * PATIENCE, check=False)
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
    committed = (TREE / "models" / "breast-cancer" / "request.json").read_text()
    assert requests[0] == json.loads(committed)
    second = replies[1].json
    assert second["id"] == "42"
    assert [(output["name"], output["shape"]) for output in second["outputs"]] == [("label", [2])]


def test_every_route_is_on_the_protocol_s_page():
    routes = (TREE / "docs" / "reference" / "routes.md").read_text()
    paths = re.findall(r"^\| \w+ \| `(/[^`]+)`", routes, re.MULTILINE)
    assert len(paths) > 20
    for path in paths:
        assert f"`{path.replace('{', '<').replace('}', '>')}`" in PROTOCOL, path


def test_every_status_is_on_the_protocol_s_page():
    errors = (TREE / "docs" / "reference" / "errors.md").read_text()
    table = PROTOCOL[PROTOCOL.index("| status | when |"):]
    for status in set(re.findall(r"^\| `\w+` \| (\d+)", errors, re.MULTILINE)) - {"200", "499"}:
        assert status in table.split("\n\n")[0], status


def test_every_call_is_on_the_protocol_s_page():
    table = (TREE / "src" / "api" / "grpc_routes.def").read_text()
    calls = re.findall(r'^(?:RPC|STREAM)\(\S+ "(\w+)"', table, re.MULTILINE)
    assert len(calls) > 20
    for call in calls:
        written = re.sub(r"SharedMemory\w+", "SharedMemory*", call)
        assert f"`{written}`" in PROTOCOL, call


def test_every_error_s_grpc_status_is_on_the_protocol_s_page():
    errors = (TREE / "src" / "base" / "error.def").read_text()
    rows = re.findall(r"^ERR\((\w+), (\d+), (\d+),", errors, re.MULTILINE)
    table = PROTOCOL[PROTOCOL.index("| gRPC | HTTP status"):].split("\n\n")[0]
    cells = re.findall(r"^\| (\d+) [A-Z_]+ \| ([\d, ]+) \|", table, re.MULTILINE)
    told = {code: set(statuses.split(", ")) for code, statuses in cells}
    found = {}
    for _, status, code in rows:
        found.setdefault(code, set()).add(status)
    assert len(rows) > 20 and told == found


def python_blocks():
    return blocks(README, "python") + blocks(PROTOCOL, "python")


@pytest.mark.parametrize("number", range(len(python_blocks())))
def test_the_programs_of_the_documents_run(number, documented, folder):
    printed = run(python_blocks()[number], documented, folder, sys.executable, "-c")
    assert "[[8.0233" in printed, "the probabilities of a row of zeros"


def commands(text, program):
    """The calls of a program in the document's ```sh blocks; one may have several lines."""
    found = []
    for block in blocks(text, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            if found and found[-1].count("'") % 2:
                found[-1] += "\n" + line
            elif line.startswith(program + " "):
                found.append(line)
    return found


def curls(text):
    return commands(text, "curl")


@pytest.mark.parametrize("text", [README, PROTOCOL], ids=["readme", "protocol"])
def test_the_calls_of_grpcurl_are_answered(text, documented, folder):
    calls = commands(text, "grpcurl")
    assert len(calls) == 3
    printed = [run(call, documented, folder) for call in calls]
    if text is README:
        assert "grpc.health.v1.Health\n" in printed[0] and '"platform"' in printed[1]
        assert '"rawOutputContents"' in printed[2]
    else:
        assert "SERVING" in printed[0] and '"rawOutputContents"' in printed[1]


def test_the_readme_s_recorded_request_is_a_good_one(tmp_path):
    shutil.copytree(TREE / "models", tmp_path / "models")
    (block,) = [block for block in blocks(README, "sh") if "/warmup" in block]
    subprocess.run(["bash", "-euc", block], cwd=tmp_path, check=True)
    assert len(list((tmp_path / "models").rglob("warmup/request.json"))) == 1
    done = run_inferd("check", "--repository-path=models/repository", cwd=tmp_path)
    assert done.returncode == 0, (done.stdout, done.stderr)


def test_the_readme_s_loads_are_served(documented, folder):
    calls = commands(README, "build/release/inferd bench")
    assert len(calls) == 2
    for call in calls:
        command = call.replace("build/release/inferd", str(binary()), 1)
        command = re.sub(r"--(duration|rate)=\S+", "", command)
        if "127.0.0.1" not in command:
            command += " --url=http://127.0.0.1:8080"
        printed = run(command + " --requests=50 --warmup=0s", documented, folder)
        assert "breast-cancer at" in printed


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
