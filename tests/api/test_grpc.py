"""The calls of GRPCInferenceService as tritonclient makes them, and what gRPC asks of a server."""

import subprocess

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from testenv import until
from testenv.grpcs import SECONDS, code_of, infer_request, raw_call, stub
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

Code = grpc.StatusCode
ROWS = np.arange(48, dtype=np.float32).reshape(3, 16)
SERVICE = "/inference.GRPCInferenceService/"


@pytest.fixture(params=["grpc", "data"])
def client(server, request):
    with triton.InferenceServerClient(server.address(request.param)) as one:
        yield one


@pytest.fixture
def channel(server):
    with grpc.insecure_channel(server.address("grpc")) as one:
        yield one


def inputs(kind=triton):
    made = []
    for name, values in (("INPUT0", ROWS), ("INPUT1", np.ones_like(ROWS))):
        one = kind.InferInput(name, list(values.shape), "FP32")
        one.set_data_from_numpy(values)
        made.append(one)
    return made


def add_sub(**rest):
    request = infer_request("add_sub", ROWS, **rest)
    request.inputs.add(name="INPUT1", datatype="FP32", shape=ROWS.shape)
    request.raw_input_contents.append(np.ones_like(ROWS).tobytes())
    return request


def status_of(call):
    with pytest.raises(InferenceServerException) as failure:
        call()
    return failure.value.status(), failure.value.message()


# ---- What every call of the client answers ---------------------------------------------------


def test_health(client):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("add_sub") and client.is_model_ready("add_sub", "1")
    assert not client.is_model_ready("nobody") and not client.is_model_ready("add_sub", "99")


def test_metadata_is_what_rest_says(client, server):
    said = server.get("/v2").json
    assert client.get_server_metadata(as_json=True) == said
    for model in ("add_sub", "versions", "identity_bytes"):
        said = server.get(f"/v2/models/{model}").json
        found = client.get_model_metadata(model)
        assert (found.name, list(found.versions), found.platform) == (
            said["name"], said["versions"], said["platform"])
        for kind in ("inputs", "outputs"):
            assert [{"name": one.name, "datatype": one.datatype, "shape": list(one.shape)}
                    for one in getattr(found, kind)] == said[kind]


def test_one_version_of_a_model(client):
    versions = list(client.get_model_metadata("versions").versions)
    assert list(client.get_model_metadata("versions", versions[0]).versions) == versions[:1]
    code, text = status_of(lambda: client.get_model_metadata("versions", "999"))
    assert code == "StatusCode.NOT_FOUND" and "999" in text


def test_configuration_is_what_rest_says(client, server):
    for model in ("add_sub", "seqmix", "identity_bytes"):
        said = server.get(f"/v2/models/{model}/config").json
        found = client.get_model_config(model, as_json=True)["config"]
        assert found["name"] == said["name"] and found["backend"] == said["backend"]
        assert found.get("max_batch_size", 0) == said["max_batch_size"]
        assert ("dynamic_batching" in found) == ("dynamic_batching" in said)
        for kind in ("input", "output"):
            assert [(one["name"], one["data_type"], [int(dim) for dim in one["dims"]])
                    for one in found[kind]] == [
                (one["name"], one["data_type"], one["dims"]) for one in said[kind]]


def test_statistics_count_both_protocols(client, server):
    def successes():
        (one,) = client.get_inference_statistics("mixed").model_stats
        return one.inference_stats.success.count
    before = successes()
    metadata = client.get_model_metadata("mixed")
    made = []
    for tensor in metadata.inputs:
        shape = [max(1, dim) for dim in tensor.shape]
        one = triton.InferInput(tensor.name, shape, tensor.datatype)
        one.set_data_from_numpy(np.zeros(shape, triton_to_np_dtype(tensor.datatype)))
        made.append(one)
    client.infer("mixed", made)
    until(lambda: successes() == before + 1)
    said = server.get("/v2/models/mixed/stats").json["model_stats"][0]
    (found,) = client.get_inference_statistics("mixed", as_json=True)["model_stats"]
    for name in ("inference_count", "execution_count", "last_inference"):
        assert int(found[name]) == said[name]
    for name, duration in said["inference_stats"].items():
        given = found["inference_stats"].get(name, {})
        assert int(given.get("count", 0)) == duration["count"], name
        assert int(given.get("ns", 0)) == duration["ns"], name


def test_statistics_of_all_models(client):
    names = {one.name for one in client.get_inference_statistics().model_stats}
    assert {"add_sub", "versions"} <= names


def test_the_index_is_what_rest_says(client, server):
    found = [{"name": one.name, "version": one.version, "state": one.state, "reason": one.reason}
             for one in client.get_model_repository_index().models]
    assert found == list(server.index().values())


def test_what_there_is_not_says_so(client):
    for call in (client.get_trace_settings, client.get_log_settings,
                 client.get_system_shared_memory_status, client.get_cuda_shared_memory_status,
                 lambda: client.register_system_shared_memory("a", "/b", 8)):
        code, text = status_of(call)
        assert code == "StatusCode.UNIMPLEMENTED" and text


# ---- Admin -----------------------------------------------------------------------------------


def test_load_and_unload_need_the_token_and_the_management_listener(start_server, repository,
                                                                   token_file):
    repository.add("add_sub")
    server = start_server({"repository.path": repository.path, "admin.token_file": token_file})
    with triton.InferenceServerClient(server.address("management")) as admin:
        assert status_of(lambda: admin.unload_model("add_sub"))[0] == "StatusCode.UNAUTHENTICATED"
        token = {"authorization": "Bearer test-token"}
        admin.unload_model("add_sub", headers=token)
        assert not admin.is_model_ready("add_sub")
        admin.load_model("add_sub", headers=token)
        assert admin.is_model_ready("add_sub")
        code, text = status_of(lambda: admin.load_model("nobody", headers=token))
        assert code == "StatusCode.NOT_FOUND" and "nobody" in text
        code, text = status_of(lambda: admin.load_model("add_sub", headers=token,
                                                        config='{"name": "x"}'))
        assert code == "StatusCode.INVALID_ARGUMENT" and "config" in text
        assert status_of(lambda: admin.infer("add_sub", inputs()))[0] == \
            "StatusCode.UNIMPLEMENTED", "models run on the data loops"
    for listener in ("grpc", "data"):
        with triton.InferenceServerClient(server.address(listener)) as client:
            code, text = status_of(lambda client=client: client.load_model("add_sub",
                                                                           headers=token))
            assert code == "StatusCode.UNIMPLEMENTED" and "listener" in text


def test_admin_calls_on_the_data_and_grpc_listeners_when_allowed(start_server, repository,
                                                                 token_file):
    repository.add("add_sub")
    server = start_server({"repository.path": repository.path, "admin.token_file": token_file,
                           "admin.on_data": True})
    for listener in ("grpc", "data"):
        with triton.InferenceServerClient(server.address(listener)) as client:
            assert status_of(lambda client=client: client.load_model("add_sub"))[0] == \
                "StatusCode.UNAUTHENTICATED"
            client.load_model("add_sub", headers={"authorization": "Bearer test-token"})


def test_the_data_token(start_server, repository, token_file):
    repository.add("add_sub")
    server = start_server({"repository.path": repository.path, "data.token_file": token_file})
    for listener in ("grpc", "data"):
        with triton.InferenceServerClient(server.address(listener)) as client:
            assert client.is_server_ready(), "health needs none"
            code, text = status_of(lambda client=client: client.infer("add_sub", inputs()))
            assert code == "StatusCode.UNAUTHENTICATED" and "data token" in text
            for wrong in ("Bearer test", "Basic test-token", "test-token"):
                assert status_of(lambda client=client, wrong=wrong: client.infer(
                    "add_sub", inputs(), headers={"authorization": wrong}))[0] == \
                    "StatusCode.UNAUTHENTICATED"
            client.infer("add_sub", inputs(), headers={"authorization": "Bearer test-token"})


# ---- gRPC's own rules ------------------------------------------------------------------------


def test_unknown_services_and_methods(channel):
    for method in (SERVICE + "Nothing", "/inference.Other/ModelInfer", "/x"):
        _, code, text, _, _ = raw_call(channel, method)
        assert code == Code.UNIMPLEMENTED and method in text


def test_a_message_that_is_no_protobuf(channel):
    for method in ("ModelInfer", "ModelMetadata", "RepositoryIndex"):
        _, code, text, _, _ = raw_call(channel, SERVICE + method, b"\xff\xff\xff")
        assert code == Code.INVALID_ARGUMENT and text


def test_an_empty_message_is_a_message(channel):
    answer, code, *_ = raw_call(channel, SERVICE + "ServerLive")
    assert code == Code.OK and service_pb2.ServerLiveResponse.FromString(answer).live
    _, code, text, *_ = raw_call(channel, SERVICE + "ModelInfer")
    assert code in (Code.NOT_FOUND, Code.INVALID_ARGUMENT) and text


def curl(server, listener, *arguments, method="ServerLive"):
    return subprocess.run(["curl", "-s", "-i", "--max-time", str(SECONDS), *arguments,
                           f"http://{server.address(listener)}{SERVICE}{method}"],
                          capture_output=True, check=True, timeout=60 + SECONDS).stdout


H2 = ["--http2-prior-knowledge"]


def test_other_content_types_are_415_on_the_grpc_listener(server):
    for extra in ([], H2):
        said = curl(server, "grpc", *extra, "-X", "POST", "-H", "content-type: application/json",
                    "-d", "{}")
        assert said.split(b"\r\n")[0].split()[1] == b"415" and b"application/grpc" in said


def test_grpc_over_http1_is_505(server):
    said = curl(server, "grpc", "-X", "POST", "-H", "content-type: application/grpc", "-d", "")
    assert b"505" in said.split(b"\r\n")[0] and b"HTTP/2" in said


def test_only_post(server):
    said = curl(server, "grpc", *H2, "-X", "GET", "-H", "content-type: application/grpc")
    assert b"grpc-status: 12" in said and b"200" in said.split(b"\r\n")[0]


def test_content_types_with_proto_and_parameters(server, tmp_path):
    body = tmp_path / "body"
    body.write_bytes(b"\0\0\0\0\0")
    for kind in ("application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8"):
        said = curl(server, "data", *H2, "-H", f"content-type: {kind}", "--data-binary", f"@{body}")
        assert b"grpc-status: 0" in said and b"content-type: application/grpc\r\n" in said, said
    said = curl(server, "data", *H2, "-H", "content-type: application/grpc-web", "--data-binary",
                f"@{body}")
    assert b"404" in said.split(b"\r\n")[0]


@pytest.mark.parametrize("body", [
    b"", b"\0\0\0\0", b"\0\0\0\0\5abc", b"\2\0\0\0\0", b"\0\0\0\0\0\0\0\0\0\0", b"\1\0\0\0\0"])
@pytest.mark.parametrize("method", ["ServerLive", "ModelInfer", "ModelStreamInfer"])
def test_broken_framing_is_the_clients_error(server, tmp_path, body, method):
    path = tmp_path / "body"
    path.write_bytes(body)
    said = curl(server, "grpc", *H2, "-H", "content-type: application/grpc", "--data-binary",
                f"@{path}", method=method)
    if method == "ModelStreamInfer" and body in (b"", b"\0" * 10):
        assert b"grpc-status: 0" in said, "no message, or two, are well there"
    else:
        assert b"grpc-status: 3" in said and b"grpc-message: " in said


def test_a_timeout_that_is_none(server, tmp_path):
    body = tmp_path / "body"
    body.write_bytes(b"\0\0\0\0\0")
    for timeout in ("5", "5x", "123456789S", "-1S", "S"):
        said = curl(server, "grpc", *H2, "-H", "content-type: application/grpc", "-H",
                    f"grpc-timeout: {timeout}", "--data-binary", f"@{body}")
        assert b"grpc-status: 3" in said and b"grpc-timeout" in said, timeout


def test_compressed_requests_and_answers(client):
    for algorithm in ("gzip", "deflate", None):
        result = client.infer("add_sub", inputs(), compression_algorithm=algorithm)
        assert np.array_equal(result.as_numpy("OUTPUT0"), ROWS + 1)


def test_an_answer_is_compressed_when_the_request_was(server):
    """The library hides grpc-encoding; the bytes on the wire tell."""
    def bytes_out(request_id):
        return server.wait_logged("request", request_id=request_id)[0]["bytes_out"]
    zeros = infer_request("identity_fp32", np.zeros((64, 16), np.float32))
    with stub(server) as one:
        for name, compression in (("small", grpc.Compression.Gzip),
                                  ("large", grpc.Compression.NoCompression)):
            answer = one.ModelInfer(zeros, compression=compression, timeout=SECONDS,
                                    metadata=[("x-request-id", name)])
            assert answer.raw_output_contents[0] == zeros.raw_input_contents[0]
    assert bytes_out("small") < 1000 < 4096 < bytes_out("large")


def test_an_unknown_encoding_is_unimplemented_and_names_ours(server, tmp_path):
    body = tmp_path / "body"
    body.write_bytes(b"\0\0\0\0\0")
    said = curl(server, "grpc", *H2, "-H", "content-type: application/grpc", "-H",
                "grpc-encoding: br", "--data-binary", f"@{body}")
    assert b"grpc-status: 12" in said and b"grpc-accept-encoding: identity,deflate,gzip" in said


def test_messages_larger_than_the_limit_name_both_numbers(start_server, repository):
    repository.add("identity_fp32")
    server = start_server({"repository.path": repository.path, "limits.body_max": "64Ki"})
    fits = np.zeros((1, (65536 - 200) // 4), np.float32)
    for array, expected in ((fits, Code.OK), (np.zeros((1, 20000), np.float32),
                                              Code.RESOURCE_EXHAUSTED)):
        with stub(server) as one:
            request = infer_request("identity_fp32", array)
            code, text = code_of(one.ModelInfer, request)
            assert code == expected, text
    assert str(request.ByteSize()) in text and str(65536 - 5) in text, text
    assert server.metrics().value("inferd_grpc_requests_total", code="RESOURCE_EXHAUSTED") == 1


def test_a_compressed_message_larger_than_the_limit(start_server, repository):
    repository.add("identity_fp32")
    server = start_server({"repository.path": repository.path, "limits.inflated_max": "64Ki"})
    with stub(server) as one:
        code, text = code_of(one.ModelInfer,
                             infer_request("identity_fp32", np.zeros((1, 50000), np.float32)),
                             compression=grpc.Compression.Gzip)
    assert code == Code.RESOURCE_EXHAUSTED and "65536" in text


def test_request_ids_go_both_ways(server, channel):
    request = add_sub(id="mine").SerializeToString()
    answer, _, _, _, head = raw_call(channel, SERVICE + "ModelInfer", request,
                                     metadata=[("x-request-id", "abc-1"),
                                               ("traceparent", f"00-{'a' * 32}-{'b' * 16}-01")])
    assert head["x-request-id"] == "abc-1"
    assert service_pb2.ModelInferResponse.FromString(answer).id == "mine"
    (line,) = server.wait_logged("request", request_id="abc-1")
    assert line["protocol"] == "grpc" and line["grpc_status"] == "OK" and line["status"] == 200
    assert line["trace_id"] == "a" * 32 and line["rows"] == 3 and line["listener"] == "grpc"
    _, _, _, _, head = raw_call(channel, SERVICE + "ServerLive")
    assert len(head["x-request-id"]) == 32, "one of ours"


def test_a_failure_is_in_the_log_and_in_both_counters(server, channel):
    def value():
        return server.metrics().value("inferd_grpc_requests_total", code="NOT_FOUND") or 0
    before = value()
    raw_call(channel, SERVICE + "ModelInfer",
             infer_request("nobody", ROWS).SerializeToString(),
             metadata=[("x-request-id", "lost")])
    (line,) = server.wait_logged("request", request_id="lost")
    assert line["status"] == 404 and line["grpc_status"] == "NOT_FOUND"
    assert line["error"] == "NOT_FOUND" and "nobody" in line["reason"]
    assert value() == before + 1
    assert server.metrics().value("inferd_http_connections", listener="grpc") >= 1


def test_texts_beyond_ascii_survive(channel):
    _, code, text, _, _ = raw_call(channel, SERVICE + "ModelMetadata",
                                   service_pb2.ModelMetadataRequest(
                                       name="Zürich 100%").SerializeToString())
    assert code == Code.NOT_FOUND and "Zürich 100%" in text


def test_grpc_can_be_switched_off(start_server, repository):
    repository.add("add_sub")
    server = start_server({"repository.path": repository.path, "grpc.enabled": False})
    assert "grpc" not in server.ports
    with triton.InferenceServerClient(server.address("data")) as client:
        assert client.is_server_ready(), "the data listener still answers it"


def test_tls_and_client_certificates(start_server, repository, certificates):
    repository.add("add_sub")
    _, certificate, key = certificates.make("server")
    _, client_certificate, client_key = certificates.make("client", name="client", client=True)
    server = start_server({
        "repository.path": repository.path, "grpc.tls.certificate_file": certificate,
        "grpc.tls.key_file": key, "grpc.tls.client_ca_file": certificates.ca_file,
        "grpc.tls.client_auth": "required"})
    address = server.address("grpc").replace("127.0.0.1", "localhost")
    root = certificates.ca_file.read_bytes()
    with triton.InferenceServerClient(
            address, ssl=True, root_certificates=certificates.ca_file,
            private_key=client_key, certificate_chain=client_certificate) as client:
        assert np.array_equal(client.infer("add_sub", inputs()).as_numpy("OUTPUT0"), ROWS + 1)
    with grpc.secure_channel(address, grpc.ssl_channel_credentials(root)) as channel:
        assert raw_call(channel, SERVICE + "ServerLive")[1] == Code.UNAVAILABLE
    assert server.metrics().value("inferd_certificate_not_after_seconds", listener="grpc") > 1e9
