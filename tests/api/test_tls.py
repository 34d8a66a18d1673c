"""TLS on either listener: versions, client certificates, reload."""

import os
import socket
import ssl
import subprocess

import numpy as np
import pytest
from cryptography import x509
from testenv import Certificates, Curl, until
from testenv.rawhttp import Closed
from testenv.v2 import answer, array_tensor, request

ADD = request(array_tensor("INPUT0", np.ones((1, 16), np.float32)),
              array_tensor("INPUT1", np.ones((1, 16), np.float32)))


@pytest.fixture
def secured(start_server, repository, certificates):
    """secured(listener, **tls options) -> a server with TLS on that listener."""
    repository.add("add_sub", "identity_fp32")
    _, certificate, key = certificates.make("server")

    def start(listener="http", **options):
        prefix = f"{listener}.tls."
        given = {"certificate_file": certificate, "key_file": key, **options}
        server = start_server({"repository.path": repository.path,
                               **{prefix + name: value for name, value in given.items()}},
                              wait="listening")
        name = "data" if listener == "http" else "management"
        server.scheme[name] = "https"
        server.tls = certificates.client_context()
        until(lambda: server.get("/v2/health/ready", listener="management"
                                 if name == "data" else "data").status == 200)
        return server

    return start


def presented(server, certificates, listener="data"):
    """The serial number of the certificate that a new connection gets."""
    context = certificates.client_context()
    with socket.create_connection(("127.0.0.1", server.ports[listener]), timeout=10) as plain, \
            context.wrap_socket(plain, server_hostname="localhost") as wrapped:
        return x509.load_der_x509_certificate(wrapped.getpeercert(binary_form=True)).serial_number


def test_inference_over_tls(secured):
    server = secured()
    assert answer(server.infer("add_sub", ADD))["OUTPUT0"] == [2] * 16
    assert server.get("/livez", listener="management").status == 200, "which stays plain"


def test_keep_alive_pipelining_and_large_bodies_over_tls(secured, certificates):
    from testenv.rawhttp import request_bytes
    from testenv.v2 import binary
    server = secured()
    with server.raw(tls=certificates.client_context()) as raw:
        raw.send(request_bytes("POST", "/v2/models/add_sub/infer", ADD) * 20)
        for _ in range(20):
            assert answer(raw.reply())["OUTPUT0"] == [2] * 16
        array = np.arange(500_000, dtype=np.float32).reshape(1, -1)
        body, headers = binary(("INPUT0", "FP32", array.shape, array.tobytes()),
                               parameters={"binary_data_output": True})
        raw.request("POST", "/v2/models/identity_fp32/infer", body, headers)
        assert np.array_equal(answer(raw.reply())["OUTPUT0"], array)


def test_management_over_tls(secured):
    server = secured("management")
    assert server.get("/livez", listener="management").status == 200
    assert server.metrics().value("inferd_certificate_not_after_seconds",
                                  listener="management") > 1e9


def test_curl_and_openssl(secured, certificates):
    server = secured()
    curl = Curl(f"https://localhost:{server.ports['data']}")
    assert curl("/v2", "--cacert", str(certificates.ca_file)).status == 200
    assert curl.run(curl.base + "/v2").returncode == 60, "unknown authority"
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"localhost:{server.ports['data']}", "-CAfile",
         str(certificates.ca_file), "-verify_return_error", "-brief"],
        input=b"GET /v2 HTTP/1.0\r\n\r\n", capture_output=True, timeout=30, check=False)
    assert b"Verification: OK" in done.stderr + done.stdout


@pytest.mark.parametrize("version, works",
    [ (ssl.TLSVersion.TLSv1_1,
    False),
    (ssl.TLSVersion.TLSv1_2,
    True),
    (ssl.TLSVersion.TLSv1_3,
     True)])
def test_versions(secured, certificates, version, works):
    server = secured()
    context = certificates.client_context()
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = version
    context.minimum_version = version
    if works:
        with server.raw(tls=context) as raw:
            assert raw.get("/v2").status == 200
    else:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            server.raw(tls=context)


def test_plain_http_on_a_tls_port_is_refused(secured):
    server = secured()
    with server.raw() as raw:
        raw.send("GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            assert raw.reply().status == 400
        except (Closed, ValueError, IndexError):
            pass
    with server.raw() as raw:
        raw.send(os.urandom(4096))
    assert server.get("/v2").status == 200


def test_a_handshake_that_stalls_is_ended(start_server, repository, certificates):
    repository.add("add_sub")
    _, certificate, key = certificates.make("server")
    server = start_server({"repository.path": repository.path, "limits.header_timeout": "500ms",
                           "http.tls.certificate_file": certificate, "http.tls.key_file": key},
                          wait="listening")
    with server.raw() as raw:
        raw.send(b"\x16\x03\x01")
        assert raw.is_closed_by_server() or raw.is_closed_by_server()


def swap(path, new):
    """Replaces a file in one step, as cert-manager's volumes and careful scripts do."""
    staged = path.with_suffix(".staged")
    staged.write_bytes(new.read_bytes())
    os.replace(staged, path)


def test_reload(secured, certificates):
    server = secured()
    folder = certificates.folder
    before = presented(server, certificates)
    with server.raw(tls=certificates.client_context()) as kept:
        assert kept.get("/v2").status == 200
        made, certificate, key = certificates.make("next", days=60)
        swap(folder / "server.key", key)
        swap(folder / "server.pem", certificate)
        until(lambda: presented(server, certificates) ==
              made.serial_number, 30, "the new certificate")
        assert kept.get("/v2").status == 200, "connections that were open stay"
    assert made.serial_number != before
    expires = server.metrics().value("inferd_certificate_not_after_seconds", listener="data")
    assert abs(expires - made.not_valid_after_utc.timestamp()) < 2


def test_reload_through_kubernetes_symlinks(start_server, repository, certificates, tmp_path):
    """A projected volume: files are links into ..data, which is a link that is swapped."""
    repository.add("add_sub")
    volume = tmp_path / "volume"

    def publish(number, certificate, key):
        folder = volume / f"..{number}"
        folder.mkdir(parents=True)
        (folder / "tls.crt").write_bytes(certificate.read_bytes())
        (folder / "tls.key").write_bytes(key.read_bytes())
        (volume / "..next").symlink_to(folder.name)
        os.replace(volume / "..next", volume / "..data")
    publish(1, *certificates.make("one")[1:])
    for name in ("tls.crt", "tls.key"):
        (volume / name).symlink_to(f"..data/{name}")
    server = start_server({"repository.path": repository.path,
                           "http.tls.certificate_file": volume / "tls.crt",
                           "http.tls.key_file": volume / "tls.key"}, wait="listening")
    made, certificate, key = certificates.make("two")
    publish(2, certificate, key)
    until(lambda: presented(server, certificates) == made.serial_number, 30, "the new certificate")


@pytest.mark.parametrize("content",
    [b"",
    b"-----BEGIN CERTIFICATE-----\nAAAA\n",
    None,
     "other key"])
def test_a_bad_reload_keeps_the_old_certificate(secured, certificates, content):
    server = secured()
    before = presented(server, certificates)
    path = certificates.folder / "server.pem"
    if content == "other key":
        swap(path, certificates.make("other")[1])
    elif content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    until(lambda: [line for line in server.events if line["level"] in ("warn", "error")
                   and "server.pem" in str(line)], 30, "a log line about it")
    assert presented(server, certificates) == before
    assert server.get("/v2").status == 200


@pytest.mark.parametrize("mode", ["required", "optional"])
def test_client_certificates(secured, certificates, tmp_path, mode):
    _, certificate, key = certificates.make("client", "a client", client=True)
    strangers = Certificates(tmp_path / "strangers", "strangers")
    _, foreign, foreign_key = strangers.make("foreign", client=True)
    server = secured(client_auth=mode, client_ca_file=certificates.ca_file)

    def status(context):
        try:
            with server.raw(tls=context) as raw:
                return raw.get("/v2").status
        except (ssl.SSLError, ConnectionError, Closed):
            return None
    assert status(certificates.client_context(certificate, key)) == 200
    assert status(certificates.client_context()) == (200 if mode == "optional" else None)
    assert status(certificates.client_context(foreign, foreign_key)) is None


@pytest.mark.parametrize("options, words", [
    ({"http.tls.certificate_file": "{absent}", "http.tls.key_file": "{key}"}, ["{absent}"]),
    ({"http.tls.certificate_file": "{certificate}", "http.tls.key_file": "{absent}"}, ["{absent}"]),
    ({"http.tls.certificate_file": "{certificate}", "http.tls.key_file": "{other}"}, ["{other}"]),
    ({"http.tls.certificate_file": "{key}", "http.tls.key_file": "{key}"}, ["{key}"]),
    ({"http.tls.certificate_file": "{certificate}"}, ["key_file"]),
    ({"http.tls.certificate_file": "{certificate}", "http.tls.key_file": "{key}",
      "http.tls.client_auth": "required"}, ["client_ca_file"]),
])
def test_what_cannot_work_refuses_the_start(repository, certificates, tmp_path, options, words):
    from testenv.server import as_flags, run_inferd
    repository.add("add_sub")
    _, certificate, key = certificates.make("server")
    names = {"certificate": certificate, "key": key, "other": certificates.make("other")[2],
             "absent": tmp_path / "absent.pem"}
    done = run_inferd("serve", *as_flags({
        "repository.path": repository.path, "http.port": 0, "grpc.port": 0, "management.port": 0,
        **{name: value.format(**names) for name, value in options.items()}}))
    assert done.returncode not in (0, None) and done.returncode > 0
    for word in words:
        assert word.format(**names) in done.stderr + done.stdout


def test_a_pipe_in_a_certificate_s_place_holds_nothing_up(secured, certificates):
    server = secured()
    before = presented(server, certificates)
    pipe = certificates.folder / "pipe"
    os.mkfifo(pipe)
    pipe.rename(certificates.folder / "server.pem")
    (line,) = server.wait_logged("certificate_reload_failed", what="data")
    assert "not a regular file" in line["reason"]
    assert server.get("/livez", listener="management").status == 200
    assert presented(server, certificates) == before
