"""Configuration: precedence, and errors that say where, what was found and what is allowed."""

import json
import os
import signal
import subprocess

import pytest
import yaml
from testenv import until
from testenv.server import TREE, as_flags, binary, clean_environment, run_inferd


@pytest.fixture
def config_file(tmp_path):
    def write(text):
        path = tmp_path / "inferd.yaml"
        path.write_text(text if isinstance(text, str) else yaml.safe_dump(text))
        return path
    return write


def refused(*arguments, environment=None):
    """The texts of a start that is refused."""
    done = run_inferd("serve", "--http-port=0", "--grpc-port=0", "--management-port=0", *arguments,
                      environment=environment)
    assert done.returncode > 0, (done.returncode, done.stdout, done.stderr)
    assert done.stdout == "", "nothing was started"
    return done.stderr


FILE_PROBLEMS = [  # the file, the line that is named, further words
    ("http:\n  prot: 8080\n", 2, ["http.prot"]),
    ("htp:\n  port: 8080\n", 1, ["htp"]),
    ("http:\n  port: 70000\n", 2, ["http.port", "70000", "65535"]),
    ("http:\n  port: -1\n", 2, ["http.port", "-1", "0"]),
    ("http:\n  port: many\n", 2, ["http.port", "many"]),
    ("http:\n  port: 8080.5\n", 2, ["http.port", "8080.5"]),
    ("http:\n  port: 99999999999999999999\n", 2, ["http.port", "99999999999999999999"]),
    ("http:\n  port: [8080]\n", 2, ["http.port"]),
    ("http: 8080\n", 1, ["http"]),
    ("ready:\n  policy: most\n", 2, ["ready.policy", "most", "all", "any", "list"]),
    ("# a comment\n\nlimits:\n  body_max: 5 parsecs\n", 4, ["limits.body_max", "5 parsecs"]),
    ("limits:\n  body_max: 1\n", 2, ["limits.body_max", "1Ki"]),
    ("limits:\n  idle_timeout: 10\n", 2, ["limits.idle_timeout", "10"]),
    ("limits:\n  idle_timeout: 1ns\n", 2, ["limits.idle_timeout", "1ns"]),
    ("log:\n  access: perhaps\n", 2, ["log.access", "perhaps", "true", "false"]),
    ("http:\n  port: 1\n  port: 2\n", 3, ["http.port"]),
    ("repository:\n  path: [a, b]\n", 2, ["repository.path"]),
    ("http:\n  port: 8080\n bad\n", 3, []),
    ("http: {port: 1\n", 2, []),
    ("- http\n", 1, []),
    ("http:\n\tport: 1\n", 2, []),
]


@pytest.mark.parametrize("text, line, words", FILE_PROBLEMS)
def test_problems_in_the_file(config_file, text, line, words):
    path = config_file(text)
    said = refused("--config", path)
    assert str(path) in said
    assert f":{line}" in said or f"line {line}" in said, said
    for word in words:
        assert word in said, said


def test_every_problem_is_named_at_once(config_file):
    path = config_file("http:\n  port: 70000\n  prot: 1\nlog:\n  level: loud\n")
    said = refused("--config", path, environment={"INFERD_READY_POLICY": "most"})
    for word in ("70000", "http.prot", "loud", "INFERD_READY_POLICY"):
        assert word in said, said


@pytest.mark.parametrize("flag, words", [
    ("--http-prot=1", ["--http-prot"]), ("--http-port=70000", ["--http-port", "70000", "65535"]),
    ("--ready-policy=most", ["most", "all", "any", "list"]), ("--http-port", ["--http-port"]),
    ("stray", ["stray"]), ("-x", ["-x"]), ("--log-access=2", ["log-access", "2"]),
    ("--limits-idle-timeout=10x", ["10x"])])
def test_problems_in_flags(flag, words):
    said = refused(flag)
    for word in words:
        assert word in said, said


@pytest.mark.parametrize("name, value, words", [
    ("INFERD_HTTP_PORT", "70000", ["INFERD_HTTP_PORT", "70000", "65535"]),
    ("INFERD_HTTP_PROT", "1", ["INFERD_HTTP_PROT"]),
    ("INFERD_LOG_ACCESS", "perhaps", ["INFERD_LOG_ACCESS", "perhaps"])])
def test_problems_in_the_environment(name, value, words):
    done = run_inferd("check", environment={name: value})
    assert done.returncode > 0
    for word in words:
        assert word in done.stderr + done.stdout


def test_variables_that_kubernetes_makes_for_services_do_no_harm(start_server, repository):
    """A Service called inferd gives every pod INFERD_SERVICE_HOST, INFERD_PORT and more."""
    repository.add("add_sub")
    start_server({"repository.path": repository.path}, environment={
        "INFERD_SERVICE_HOST": "10.0.0.1", "INFERD_SERVICE_PORT": "8080",
        "INFERD_SERVICE_PORT_HTTP": "8080", "INFERD_PORT": "tcp://10.0.0.1:8080",
        "INFERD_PORT_8080_TCP": "tcp://10.0.0.1:8080", "INFERD_PORT_8080_TCP_ADDR": "10.0.0.1",
        "INFERD_PORT_8080_TCP_PORT": "8080", "INFERD_PORT_8080_TCP_PROTO": "tcp"})


def test_a_config_file_that_is_not_there(tmp_path):
    said = refused("--config", tmp_path / "absent.yaml")
    assert "absent.yaml" in said


def test_an_empty_config_file_is_a_config_file(start_server, repository, config_file):
    repository.add("add_sub")
    start_server({"repository.path": repository.path}, config=config_file("# nothing\n"))


def test_precedence_flag_environment_file_default(start_server, repository, config_file):
    """Told by what each layer does: who may call is visible from outside."""
    repository.add("add_sub")
    path = config_file({"repository": {"path": str(repository.path)},
                        "cors": {"origins": ["http://file.example"]}})

    def allowed(server):
        replies = {name: server.get("/v2", headers={"Origin": f"http://{name}.example"})
                   for name in ("file", "environment", "flag")}
        return [name for name, reply in replies.items()
                if reply.header("Access-Control-Allow-Origin")]
    environment = {"INFERD_CORS_ORIGINS": "http://environment.example"}
    assert allowed(start_server({}, config=path)) == ["file"]
    assert allowed(start_server({}, config=path, environment=environment)) == ["environment"]
    assert allowed(start_server({"cors.origins": "http://flag.example"}, config=path,
                                environment=environment)) == ["flag"]
    assert allowed(start_server({}, environment={
        **environment, "INFERD_CONFIG": str(path)})) == ["environment"], "the file by environment"
    assert allowed(start_server({"repository.path": repository.path})) == []


def test_lists_in_every_form(start_server, repository, config_file):
    repository.add("add_sub", "mlp", "versions")
    text = "ready:\n  policy: list\n  models:\n    - add_sub\n    - mlp\n"
    start_server({"repository.path": repository.path}, config=config_file(text))
    start_server({"repository.path": repository.path, "ready.policy": "list",
                  "ready.models": "add_sub,mlp"})


def test_flags_with_a_space_instead_of_an_equals_sign(repository):
    repository.add("add_sub")
    done = run_inferd("check", "--repository-path", repository.path)
    assert done.returncode in (0, 2), done.stderr
    if done.returncode == 2:
        assert "--repository-path" in done.stderr


def test_help_lists_every_option():
    done = run_inferd("serve", "--help")
    assert done.returncode == 0
    for word in ("--repository-path", "--http-port", "--limits-body-max", "--http-tls-client-auth",
                 "8080", "none|optional|required", "INFERD_"):
        assert word in done.stdout, word
    assert max(map(len, done.stdout.splitlines())) <= 140, "readable in a terminal"
    for arguments in (["--help"], ["-h"]):
        done = run_inferd(*arguments)
        assert done.returncode == 0
        assert "serve" in done.stdout and "check" in done.stdout


def test_version():
    done = run_inferd("--version")
    assert done.returncode == 0
    assert (TREE / "VERSION").read_text().strip() in done.stdout


@pytest.mark.parametrize("arguments", [[], ["dance"], ["--dance"], ["serve", "serve"]])
def test_wrong_commands_show_the_usage(arguments):
    done = run_inferd(*arguments)
    assert done.returncode == 2
    assert "inferd" in done.stderr and done.stdout == ""


def test_check_of_a_good_repository(repository):
    repository.add("add_sub", "versions")
    done = run_inferd("check", *as_flags({"repository.path": repository.path}))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "add_sub" in done.stdout and "versions" in done.stdout and "10" in done.stdout


def test_check_names_everything_that_is_wrong(repository):
    repository.add("add_sub", "versions", "mlp")
    repository.add_broken("truncated", "unsupported", "badname $x")
    repository.settings("versions", "versions:\n  policy: some\n")
    done = run_inferd("check", *as_flags({"repository.path": repository.path}))
    assert done.returncode == 1
    said = done.stdout + done.stderr
    for word in ("truncated", "unsupported", "NoSuchOperator", "badname $x", "model.yaml", "some",
                 "add_sub"):
        assert word in said, said
    assert "add_sub" in said


def test_check_counts_each_problem_of_a_model_s_settings(repository):
    repository.add("mlp").settings("mlp", "batching:\n  rows: 3\n  delay_max: 5\n")
    done = run_inferd("check", *as_flags({"repository.path": repository.path}))
    assert done.returncode == 1
    first, second, end = done.stdout.splitlines()
    assert first.startswith("mlp: ") and "did you mean batching.rows_max?" in first
    assert second.startswith("mlp: ") and "batching.delay_max: found 5" in second
    assert end == "2 problems"


def test_a_default_level_beyond_the_levels_is_told_with_its_file(repository):
    repository.add("mlp").settings(
        "mlp", "batching: {priority_levels: 2, default_priority_level: 3}\n")
    done = run_inferd("check", *as_flags({"repository.path": repository.path}))
    assert done.returncode == 1
    assert ("mlp/model.yaml: batching.default_priority_level: found 3; allowed: 0 to 2"
            in done.stdout)


@pytest.mark.parametrize("settings, note", [
    ("batching: {rows_max: 16, preferred_sizes: [8, 64]}", "batching.preferred_sizes holds more"),
    ("versions: {listed: [1]}", "versions.listed has no effect"),
])
def test_settings_without_effect_are_a_note(repository, settings, note):
    repository.add("mlp").settings("mlp", settings + "\n")
    done = run_inferd("check", *as_flags({"repository.path": repository.path}))
    assert done.returncode == 0 and f"mlp: note: {note}" in done.stdout


def test_a_key_that_onnx_runtime_would_ignore_is_told(repository, start_server):
    repository.add("add_sub").settings(
        "add_sub", "execution: {session: {session.set_denormals_as_zero: '1'}}\n")
    done = run_inferd("check", *as_flags({"repository.path": repository.path}))
    assert done.returncode == 0 and "session.set_denormals_as_zero" in done.stdout
    server = start_server({"repository.path": repository.path})
    (line,) = server.wait_logged("model_settings_doubtful", model="add_sub")
    assert "session.set_denormals_as_zero" in line["reason"] and line["level"] == "warn"


def test_models_that_are_not_there_are_told(repository, start_server):
    options = {"repository.path": repository.add("add_sub").path, "ready.policy": "list",
               "ready.models": "add_sub,gone"}
    done = run_inferd("check", *as_flags(options))
    assert done.returncode == 1 and "gone: ready.models names it" in done.stdout
    server = start_server(options, wait="listening")
    server.wait_logged("configured_model_missing", model="gone")


def test_check_of_a_bad_config(config_file):
    done = run_inferd("check", "--config", config_file("http:\n  prot: 1\n"))
    assert done.returncode > 0
    assert "http.prot" in done.stdout + done.stderr


def test_check_serves_nothing(repository):
    """It works beside a running server on the same ports."""
    repository.add("add_sub")
    done = run_inferd("check", *as_flags({"repository.path": repository.path, "http.port": 1,
                                          "management.port": 2}))
    assert done.returncode == 0, done.stderr


def test_a_repository_that_is_not_there(tmp_path):
    for command in ("serve", "check"):
        done = run_inferd(command, f"--repository-path={tmp_path / 'absent'}")
        assert done.returncode > 0
        assert "absent" in done.stderr + done.stdout


def test_a_port_in_use_is_named(start_server, repository):
    repository.add("add_sub")
    server = start_server({"repository.path": repository.path})
    for name in ("http", "grpc", "management"):
        taken = server.ports["data" if name == "http" else name]
        options = {"http.port": 0, "grpc.port": 0, "management.port": 0,
                   "repository.path": repository.path}
        done = run_inferd("serve", *as_flags({**options, f"{name}.port": taken}))
        assert done.returncode > 0
        assert str(taken) in done.stderr + done.stdout and "in use" in done.stderr + done.stdout
        assert f"{name}.port" in done.stderr + done.stdout


def test_a_host_that_is_no_address(repository):
    repository.add("add_sub")
    done = run_inferd("serve", *
    as_flags({"repository.path": repository.path, "http.host": "300.1.1.1"}))
    assert done.returncode > 0 and "300.1.1.1" in done.stderr + done.stdout


def test_listeners_bind_the_loopback_only_by_default(start_server, repository):
    repository.add("add_sub")
    server = start_server({"repository.path": repository.path})
    assert {line["host"] for line in server.logged("listening")} == {"127.0.0.1"}


def test_a_token_file_that_is_not_there_or_empty(repository, tmp_path):
    repository.add("add_sub")
    (tmp_path / "empty").write_text("\n")
    for name in ("absent", "empty"):
        done = run_inferd("serve", *as_flags({
            "repository.path": repository.path, "http.port": 0, "grpc.port": 0,
            "management.port": 0,
            "admin.token_file": tmp_path / name}))
        assert done.returncode > 0
        assert name in done.stderr + done.stdout


def test_the_reference_page_is_what_the_table_says():
    page = TREE / "docs" / "reference" / "configuration.md"
    done = run_inferd("docs", "configuration")
    assert done.returncode == 0
    assert page.read_text() == done.stdout, "make docs"


def test_the_schema_accepts_and_refuses():
    done = run_inferd("docs", "schema")
    assert done.returncode == 0
    schema = json.loads(done.stdout)
    port = schema["properties"]["http"]["properties"]["port"]
    assert port["minimum"] == 0 and port["maximum"] == 65535
    assert schema["additionalProperties"] is False


def test_data_calls_need_a_token_when_one_is_configured(start_server, repository, tmp_path):
    repository.add("add_sub")
    (tmp_path / "data-token").write_text("letmein\n")
    server = start_server({"repository.path": repository.path,
                           "data.token_file": tmp_path / "data-token"})
    assert server.get("/v2/health/ready").status == 200, "health never needs one"
    for path in ("/v2", "/v2/models/add_sub", "/v2/models/stats"):
        refusal = server.get(path)
        assert refusal.status == 401 and refusal.header("WWW-Authenticate")
        assert server.get(path, headers={"Authorization": "Bearer letmein"}).status == 200
    assert server.infer("add_sub", "{}").status == 401
    assert server.infer("add_sub", "{}", {"Authorization": "Bearer letmein"}).status == 400


def test_threads_are_sized_from_affinity(repository):
    """Started on one core, it takes one core; the log says so."""
    repository.add("add_sub")
    process = subprocess.Popen(
        ["taskset", "-c", str(min(os.sched_getaffinity(0))), str(binary()), "serve",
         *as_flags({"repository.path": repository.path, "http.port": 0, "grpc.port": 0,
                    "management.port": 0,
                    "drain.delay": "0s"})], stdout=subprocess.PIPE, text=True,
        env=clean_environment())
    try:
        lines = []
        until(lambda: lines.append(process.stdout.readline()) or '"ready"' in lines[-1])
        starting = next(json.loads(line) for line in lines if '"starting"' in line)
        assert starting["cores"] == 1
    finally:
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        assert process.wait(30) == 0
