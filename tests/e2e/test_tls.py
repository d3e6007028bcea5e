# SPDX-License-Identifier: MIT
"""https: handshakes, certificates and their reload, and HTTP over records of any shape."""

import contextlib
import hashlib
import os
import pathlib
import queue
import select
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading

import pytest

from certificates import Certificate, openssl
from conftest import DEMO, TIMEOUT, Server, Shared, Site, run_forebay, wait_until
from forebay_client import Outcome
from http_raw import Client
from tls_client import StepClient, TlsClient, client_context

SECURE = ("https://127.0.0.1:0",)
VERSIONS = ["TLSv1_2", "TLSv1_3"]


@pytest.fixture(scope="module")
def localhost(tmp_path_factory):
    return Certificate(tmp_path_factory.mktemp("tls"), "localhost", "localhost")


@pytest.fixture(scope="module")
def context(localhost):
    return client_context(localhost)


class SecureSite(Site):
    def __init__(self, server, context):
        super().__init__(server)
        self.context = context

    def client(self, address=None):
        return TlsClient(address or self.server.address, self.context)


@pytest.fixture(scope="module")
def module_secure_site(localhost, context):
    @contextlib.contextmanager
    def open_site():
        with Server(*localhost.options, bind=SECURE) as server:
            yield SecureSite(server, context)
    share = Shared(open_site)
    yield share
    share.drop()


@pytest.fixture
def secure_site(module_secure_site, request):
    with module_secure_site.lend(request) as site:
        yield site


@pytest.fixture
def secure(serve, localhost):
    """Starts a server with TLS and the options given."""
    def start(*options, certificate=localhost, **keywords):
        return serve(*certificate.options, *options, bind=SECURE, **keywords)
    return start


def answer_one(site, client, content="fine"):
    """A request and its answer; whether the connection goes on."""
    client.get("/")
    message = site.message()
    site.reply(message, content)
    response = client.response()
    assert response.body.decode() == content
    return not response.closes


# ----------------------------------------------------------------------------------------------
# Handshakes
# ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_request_over_tls(secure_site, localhost, version):
    context = client_context(localhost, version=version)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with TlsClient(secure_site.server.address, context) as client:
        assert client.socket.version() == version.replace("_", ".")
        assert client.socket.selected_alpn_protocol() == "http/1.1"
        assert client.socket.compression() is None
        client.get("/a")
        message = secure_site.message()
        assert message["meta"]["wsgi.url_scheme"] == "https"
        assert message["meta"]["SERVER_PORT"] == str(secure_site.server.address[1])
        secure_site.reply(message, "fine")
        assert client.response().body == b"fine"


def test_plain_and_tls_side_by_side(serve, localhost, context):
    server = serve(*localhost.options, bind=("http://127.0.0.1:0", *SECURE))
    site = Site(server)
    for client, scheme in ((server.client(), "http"),
                           (TlsClient(server.addresses[1], context), "https")):
        with client:
            client.get("/")
            message = site.message()
            assert message["meta"]["wsgi.url_scheme"] == scheme
            site.reply(message)
            assert client.response().status == 200


def test_curl_accepts_it(secure, localhost):
    server = secure(app=DEMO)
    url = f"https://localhost:{server.address[1]}/hello"
    result = subprocess.run(["curl", "-sS", "--cacert", localhost.path, url, url],
                            capture_output=True, timeout=TIMEOUT, check=True)
    assert result.stdout == b"Hello, world!" * 2


@pytest.mark.parametrize("options, version", [
    ([], "TLSv1"), ([], "TLSv1_1"), (["--tls-min-version", "1.3"], "TLSv1_2")])
def test_older_versions_are_refused(secure, options, version):
    server = secure(*options)
    context = client_context(version=version, check=False)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        TlsClient(server.address, context)
    server.wait_for_log("TLS handshake failed")


def test_ciphers_of_tls_1_2_are_an_option(secure, localhost):
    server = secure("--tls-ciphers", "ECDHE-ECDSA-AES256-GCM-SHA384")
    context = client_context(localhost, version="TLSv1_2")
    with TlsClient(server.address, context) as client:
        assert client.socket.cipher()[0] == "ECDHE-ECDSA-AES256-GCM-SHA384"
    context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        TlsClient(server.address, context)


@pytest.mark.parametrize("cipher", ["ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES128-SHA256"])
def test_ciphers_without_authentication_of_records_are_refused(secure_site, localhost, cipher):
    context = client_context(localhost, version="TLSv1_2")
    context.set_ciphers(cipher)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        TlsClient(secure_site.server.address, context)


def test_a_client_that_speaks_only_http_2_is_refused(secure_site, localhost):
    context = client_context(localhost)
    context.set_alpn_protocols(["h2"])
    with pytest.raises((ssl.SSLError, ConnectionError)):
        TlsClient(secure_site.server.address, context)


@pytest.mark.parametrize("name, index", [
    ("a.test", 0), ("other.test", 0), ("b.test", 1), ("B.TEST", 1), ("x.wild.test", 1),
    ("exact.wild.test", 2), ("x.y.wild.test", 0), ("wild.test", 0), (None, 0)])
def test_the_name_asked_for_chooses_the_certificate(names_server, name, index):
    server, certificates = names_server
    with TlsClient(server.address, client_context(check=False), name) as client:
        assert client.der == certificates[index].der


@pytest.fixture(scope="module")
def names_server(tmp_path_factory):
    directory = tmp_path_factory.mktemp("names")
    certificates = [Certificate(directory, "a", "a.test"),
                    Certificate(directory, "b", "b.test", "*.wild.test"),
                    Certificate(directory, "c", "exact.wild.test")]
    options = [option for each in certificates for option in each.options]
    with Server(*options, bind=SECURE) as server:
        yield server, certificates


@pytest.mark.parametrize("version", VERSIONS)
def test_handshake_and_request_octet_by_octet(secure_site, localhost, version):
    context = client_context(localhost, version=version)
    with StepClient(secure_site.server.address, context) as client:
        client.handshake()
        for number in range(2):
            assert answer_one(secure_site, client, f"answer {number}")


def test_clients_that_vanish_in_the_handshake(secure_site, context):
    with StepClient(secure_site.server.address, context) as unsent:
        hello = unsent.hello()
    for length in (0, 1, 5, 6, len(hello) - 1, len(hello)):
        for leave in (Client.close, Client.reset):
            client = secure_site.server.client()
            client.send(hello[:length])
            leave(client)
    with secure_site.client() as client:
        assert answer_one(secure_site, client)


def test_slow_handshake_times_out(secure, context):
    server = secure("--head-timeout", "200ms")
    with StepClient(server.address, context) as client, server.client() as silent:
        client.send_octets_quietly(client.hello()[:20])
        assert client.has_socket_ended()
        assert silent.is_ended()
    server.wait_for_log("TLS handshake failed: it took too long")


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "PROPFIND"])
def test_plain_http_on_a_tls_port_is_told_so(secure_site, method):
    with secure_site.server.client() as client:
        client.get("/", method=method)
        response = client.response()
        assert response.status == 400 and response.closes
        assert b"HTTPS" in response.body
        assert client.is_ended()
    secure_site.expect_nothing_dispatched()


@pytest.mark.parametrize("octets", [
    b"\0" * 100, b"\x16" * 100, b"\x16\x03\x01\xff\xff" + b"a" * 100,
    b"\x16\x03\x01\x00\x04\x01\x00\x00\x00", b"\x15\x03\x01\x00\x02\x02\x00"],
    ids=["zeros", "16", "long", "empty hello", "alert"])
def test_what_is_no_handshake_ends_the_connection(secure_site, octets):
    with secure_site.server.client() as client:
        client.send_quietly(octets)
        try:
            client.read_to_end()  # an alert, perhaps
        except ConnectionResetError:
            pass
    secure_site.expect_nothing_dispatched()


# ----------------------------------------------------------------------------------------------
# HTTP over records
# ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_pipelined_requests_in_few_records(secure_site, localhost, version):
    """More than a buffer holds: what is left in OpenSSL is read on, though no event tells of it."""
    count = 100
    requests = b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\nX: %s\r\n\r\n" % (number, b"x" * 700)
                        for number in range(count))
    with TlsClient(secure_site.server.address,
                   client_context(localhost, version=version)) as client:
        client.send(requests)
        for number in range(count):
            message = secure_site.message()
            assert message["path"] == f"/{number}"
            secure_site.reply(message, str(number))
            assert client.response().body == str(number).encode()


@pytest.mark.parametrize("step", [1, 7, 4096])
def test_small_records(secure_site, step):
    body = bytes(range(256)) * 16
    head = b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
    octets = head + body
    with secure_site.client() as client:
        for at in range(0, len(octets), step):
            client.send(octets[at:at + step])
        message = secure_site.message()
        assert message["body"] == body if "body" in message else message["content"] == body
        secure_site.reply(message)
        assert client.response().status == 200


def test_large_upload(secure, context):
    server = secure(app=DEMO)
    body = os.urandom(1 << 20) * 3
    with TlsClient(server.address, context) as client:
        client.get("/upload", method="POST", body=body)
        response = client.response()
        assert response.status == 200
        assert hashlib.sha256(body).hexdigest().encode() in response.body


def test_large_download(secure, context):
    server = secure(app=DEMO)
    line = b"0123456789 ABCDEFGHIJKLMNOPQRSTUVWXYZ abcdefghijklmnopqrstuvwxy\n"
    size = 3 << 20
    with TlsClient(server.address, context) as client:
        for _ in range(2):
            client.get(f"/stream?bytes={size}")
            assert client.response().body == line * (size // len(line))


def test_slow_reader_gets_everything(secure_site):
    """What the client doesn't take waits: the rest of a record, and what is in shared memory."""
    sizes = (30000, 1, 16384, 100, 16383, 20000)
    with secure_site.client() as client:
        client.get("/")
        channel = secure_site.message()["reply_channel"]
        sent, keys = [], {"status": 200}
        while True:
            content = bytes([len(sent) % 251]) * sizes[len(sent) % len(sizes)]
            result = secure_site.layer.send(channel, {**keys, "more_content": True}, content,
                                            timeout=0.2)
            if result != Outcome.OK:
                break
            sent.append(content)
            keys = {}
        assert result == Outcome.TIMEOUT  # full all the while
        responses = queue.Queue()
        reader = threading.Thread(target=lambda: responses.put(client.response()))
        reader.start()
        assert secure_site.layer.send(channel, {}, b"the end", TIMEOUT) == Outcome.OK
        reader.join(TIMEOUT)
        assert responses.get_nowait().body == b"".join(sent) + b"the end"


def test_upload_and_download_at_once(secure, context):
    """Both directions have octets under way, so reading and writing wait in turn."""
    secure_site = SecureSite(secure(), context)
    body = os.urandom(1 << 20)
    with secure_site.client() as client:
        head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
        writer = threading.Thread(target=client.send, args=(head + body,))
        writer.start()
        message = secure_site.message()
        layer = secure_site.layer
        layer.listen(message["body_channel"])
        received, first = b"", {"status": 200}
        while True:
            part = layer.receive()
            received += part.get("content", b"")
            more = part.get("more_content", False)
            assert layer.send(message["reply_channel"], {**first, "more_content": more},
                              part.get("content", b""), TIMEOUT) == Outcome.OK
            first = {}
            if not more:
                break
            if len(received) == len(part["content"]):
                responses = queue.Queue()
                reader = threading.Thread(target=lambda: responses.put(client.response()))
                reader.start()
        writer.join(TIMEOUT)
        reader.join(TIMEOUT)
        assert received == body
        assert responses.get_nowait().body == body


# ----------------------------------------------------------------------------------------------
# Ends
# ----------------------------------------------------------------------------------------------


def test_a_complete_end_is_told(secure_site):
    with secure_site.client() as client:
        client.get("/", "Connection: close")
        secure_site.reply(secure_site.message(), "fine")
        assert client.response().closes
        assert client.socket.recv(1) == b""  # an end without close_notify would raise


def test_an_idle_end_is_told(secure, context):
    server = secure("--idle-timeout", "100ms")
    with TlsClient(server.address, context) as client:
        assert client.socket.recv(1) == b""


def test_an_answer_that_is_cut_off_can_be_told_from_a_whole_one(secure_site):
    with secure_site.client() as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        channel = secure_site.message()["reply_channel"]
        secure_site.layer.send(channel, {"status": 200, "more_content": True}, "half")
        secure_site.layer.send(channel, {"status": 200}, "a status comes first or never")
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            client.read_head()
            client.read_to_end()


def test_refusal_reaches_a_client_that_goes_on_sending(secure_site):
    """The rest of the upload is read and dropped: a reset could destroy the answer."""
    with secure_site.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nwrong\r\n")
        client.send_quietly(b"x" * 100000)
        response = client.response()
        assert response.status == 400 and response.closes
        assert client.socket.recv(1) == b""
    secure_site.expect_nothing_dispatched()


@pytest.mark.parametrize("version", VERSIONS)
def test_client_that_ends_its_side_gets_its_answer(secure, localhost, version):
    server = secure("--half-close-timeout", "1m")
    site = Site(server)
    context = client_context(localhost, version=version)
    with StepClient(server.address, context, step=1 << 20) as client:
        client.handshake()
        client.get("/")
        client.end()
        site.reply(site.message(), "fine")
        assert client.response().body == b"fine"


def test_client_that_vanishes_is_noticed(secure, context):
    server = secure("--half-close-timeout", "0")
    site = SecureSite(server, context)
    site.layer.listen("http.disconnect")
    client = site.client()
    client.get("/")
    channel = site.message()["reply_channel"]
    client.close()
    assert site.message("http.disconnect")["reply_channel"] == channel


# ----------------------------------------------------------------------------------------------
# New keys
# ----------------------------------------------------------------------------------------------


class Openssl:
    """`openssl s_client`, which does what Python's ssl can't."""

    def __init__(self, address, certificate, *options):
        host, port = address
        self.process = subprocess.Popen(
            ["openssl", "s_client", "-connect", f"{host}:{port}", "-servername", "localhost",
             "-CAfile", certificate.path, "-verify_return_error", *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.output = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def type(self, text):
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def read_until(self, text):
        while text not in self.output:
            assert self._fill(), self.output
        self.output = self.output.partition(text)[2]

    def read_to_end(self):
        while self._fill():
            pass
        return self.output

    def _fill(self):
        output = self.process.stdout
        assert select.select([output], [], [], TIMEOUT)[0], f"nothing comes behind {self.output}"
        octets = os.read(output.fileno(), 65536)
        self.output += octets
        return bool(octets)


def test_new_keys_in_mid_connection(secure, localhost):
    server = secure(app=DEMO)
    with Openssl(server.address, localhost, "-tls1_3") as client:
        client.read_until(b"Verify return code: 0 (ok)")
        for _ in range(3):
            client.type(b"K\n")  # asks for new keys, and for the server's too
            client.read_until(b"KEYUPDATE")
            client.type(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
            client.read_until(b"Hello, world!")


def test_renegotiation_is_refused(secure, localhost):
    server = secure()
    with Openssl(server.address, localhost, "-tls1_2") as client:
        client.read_until(b"Verify return code: 0 (ok)")
        client.type(b"R\n")
        client.read_until(b"RENEGOTIATING")
        assert b"no renegotiation" in client.read_to_end()


# ----------------------------------------------------------------------------------------------
# Resumption
# ----------------------------------------------------------------------------------------------


def session_of(server, context, session=None):
    """Connects; whether SESSION was resumed, and the session to resume next."""
    with TlsClient(server.address, context, session=session) as client:
        client.get("/hello", "Connection: close")
        assert client.response().status == 200
        return client.socket.session_reused, client.socket.session


@pytest.mark.parametrize("version", VERSIONS)
def test_another_worker_resumes_a_session(secure, localhost, version):
    server = secure(app=DEMO)
    context = client_context(localhost, version=version)
    reused, session = session_of(server, context)
    assert not reused
    assert session_of(server, context, session)[0]
    (worker,) = server.workers
    os.kill(worker, signal.SIGKILL)
    server.wait_for(lambda: server.workers not in ([], [worker]), "a new worker")
    reused, session = session_of(server, context, session)
    assert reused


@pytest.mark.parametrize("version", VERSIONS)
def test_ticket_keys_last_for_one_reload(secure, localhost, version):
    server = secure(app=DEMO)
    context = client_context(localhost, version=version)
    _, first = session_of(server, context)
    reload(server)
    reused, second = session_of(server, context, first)
    assert reused
    reload(server)
    assert not session_of(server, context, first)[0]
    # What the second server gave out was sealed with its own key.
    assert session_of(server, context, second)[0]


# ----------------------------------------------------------------------------------------------
# Reload
# ----------------------------------------------------------------------------------------------


def reload(server):
    before = server.workers
    server.signal(signal.SIGHUP)
    server.wait_for(lambda: len(server.workers) == len(before) and
                    not set(server.workers) & set(before), "new workers")


def test_reload_with_a_new_certificate(secure, tmp_path):
    one, other = (Certificate(tmp_path, name, "localhost") for name in ("one", "other"))
    former = one.der
    server = secure(certificate=one)
    site = SecureSite(server, client_context(one))
    busy, idle = site.client(), site.client()
    assert answer_one(site, idle)
    busy.get("/busy")
    message = site.message()
    one.install(other)
    site.context = client_context(other, check=False)
    server.signal(signal.SIGHUP)

    def new_certificate():
        with site.client() as client:
            assert client.der in (former, other.der)
            return client.der == other.der

    wait_until(new_certificate, "the new certificate")
    site.reply(message, "still here")
    assert busy.response().body == b"still here"
    assert busy.der == former and idle.der == former
    busy.close()
    idle.close()
    server.wait_for(lambda: len(server.workers) == 1, "the end of the old worker")
    with site.client() as client:
        assert client.der == other.der
        assert answer_one(site, client)


def test_reload_with_a_bad_certificate_changes_nothing(secure, tmp_path):
    certificate = Certificate(tmp_path, "a", "localhost")
    server = secure(certificate=certificate)
    site = SecureSite(server, client_context(certificate))
    workers = server.workers
    with site.client() as client:
        certificate.path.write_text("nothing\n")
        server.signal(signal.SIGHUP)
        server.wait_for_log(f"error.*reload refused.*{certificate.path}")
        assert server.workers == workers
        assert answer_one(site, client)
    with site.client() as client:
        assert answer_one(site, client)


def test_reload_turns_tls_on_and_off(localhost, context, tmp_path):
    config = tmp_path / "forebay.conf"
    host = f"127.81.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"
    with socket.create_server((host, 0)) as free:
        port = free.getsockname()[1]
    server = Server("--config", config, *localhost.options, bind=())
    at = server.options.index("--bind")
    unix = server.options[at + 1]
    del server.options[at:at + 2]  # what is on the command line can't change
    config.write_text(f"bind = http://{host}:{port}\nbind = {unix}\n")
    with server:
        site = Site(server)
        for scheme, client in (("https", lambda: TlsClient((host, port), context)),
                               ("http", server.client)):
            config.write_text(f"bind = {scheme}://{host}:{port}\nbind = {unix}\n")
            reload(server)
            with client() as connected:
                connected.get("/")
                message = site.message()
                assert message["meta"]["wsgi.url_scheme"] == scheme
                site.reply(message)
                assert connected.response().status == 200


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_keys_are_read_before_privileges_are_dropped(serve, localhost):
    directory = pathlib.Path(tempfile.mkdtemp(prefix="forebay-test-"))
    try:
        directory.chmod(0o755)
        (directory / "private").mkdir(0o700)
        certificate = Certificate(directory / "private", "a", "localhost")
        certificate.key.chmod(0o600)
        server = serve(*certificate.options, "--user", "nobody", bind=SECURE,
                       environment={"FOREBAY_DIR": str(directory)})
        server.directory, own = directory, server.directory
        site = SecureSite(server, client_context(certificate))
        for again in (True, False):
            with site.client() as client:
                assert answer_one(site, client)
            if again:
                reload(server)
        server.directory = own
    finally:
        shutil.rmtree(directory)


# ----------------------------------------------------------------------------------------------
# What can't be served
# ----------------------------------------------------------------------------------------------


def start_in_vain(directory, *options, bind="https://127.0.0.1:0"):
    """What it says; that is one line, and exit status 1."""
    result = run_forebay(directory, "serve", "--layer", "test", "--bind", bind, *options)
    assert result.returncode == 1
    text = result.stderr.decode()
    assert text.startswith("forebay: ") and text.count("\n") == 1, text
    return text


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Good and bad files by name."""
    directory = tmp_path_factory.mktemp("files")
    certificate = Certificate(directory, "good", "localhost")
    Certificate(directory, "other", "localhost")
    (directory / "text").write_text("nothing\n")
    (directory / "cut").write_text(certificate.path.read_text()[:200])
    openssl("pkey", "-in", certificate.key, "-aes256", "-passout", "pass:secret",
            "-out", directory / "encrypted")
    openssl("genrsa", "-out", directory / "rsa", "2048")
    return directory


@pytest.mark.parametrize("certificate, key, said", [
    ("missing", "good.key", "cannot read the certificate {0}/missing: No such file or directory"),
    ("", "good.key", "cannot read the certificate {0}/: Is a directory"),
    ("text", "good.key", "{0}/text holds no certificate"),
    ("good.key", "good.key", "{0}/good.key holds no certificate"),
    ("cut", "good.key", "certificate {0}/cut"),
    ("good.crt", "missing", "cannot read the key {0}/missing: No such file or directory"),
    ("good.crt", "text", "{0}/text holds no private key"),
    ("good.crt", "good.crt", "{0}/good.crt holds no private key"),
    ("good.crt", None, "{0}/good.crt holds no private key"),
    ("good.crt", "other.key", "{0}/other.key doesn't belong to the certificate {0}/good.crt"),
    ("good.crt", "rsa", "{0}/rsa doesn't belong to the certificate {0}/good.crt"),
    ("good.crt", "encrypted", "{0}/encrypted is encrypted"),
])
def test_bad_files_are_refused_by_name(tmp_path, files, certificate, key, said):
    options = ["--tls-certificate", f"{files}/{certificate}"]
    if key:
        options += ["--tls-key", files / key]
    assert said.format(files) in start_in_vain(tmp_path, *options)


def test_options_that_dont_fit_together_are_refused(tmp_path, localhost):
    assert "needs --tls-certificate" in start_in_vain(tmp_path)
    assert "one --tls-key for each" in start_in_vain(
        tmp_path, *localhost.options, "--tls-key", localhost.key)
    assert "'NONSENSE' selects no cipher" in start_in_vain(
        tmp_path, *localhost.options, "--tls-ciphers", "NONSENSE")


def test_an_address_is_plain_or_secure(tmp_path, localhost):
    assert "cannot bind" in start_in_vain(
        tmp_path, *localhost.options, "--bind", "http://127.0.0.1:1",
        bind="https://127.0.0.1:1")


def test_certificate_and_key_in_one_file(serve, localhost, context, tmp_path):
    both = tmp_path / "both.pem"
    both.write_text(localhost.key.read_text() + localhost.path.read_text())
    server = serve("--tls-certificate", both, bind=SECURE)
    with SecureSite(server, context).client() as client:
        assert client.der == localhost.der


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["rsa first", "ecdsa first"])
def test_two_certificates_for_the_same_names(serve, tmp_path, order):
    """Which one a client gets depends on what it can check."""
    both = [Certificate(tmp_path, "rsa", "twin.test", rsa=True),
            Certificate(tmp_path, "ecdsa", "twin.test")]
    options = [option for place in order for option in both[place].options]
    server = serve(*options, bind=SECURE)
    for certificate, kind in zip(both, ("RSA", "ECDSA")):
        context = client_context(*both, version="TLSv1_2")
        context.set_ciphers(f"ECDHE-{kind}-AES128-GCM-SHA256")
        with TlsClient(server.address, context, name="twin.test") as client:
            assert client.der == certificate.der


def test_expired_certificate_is_served_with_a_warning(serve, tmp_path):
    certificate = Certificate(tmp_path, "old", "localhost")
    certificate.expire()
    server = serve(*certificate.options, bind=SECURE)
    server.wait_for_log(f"warning.*{certificate.path} has expired")
    with TlsClient(server.address, client_context(check=False)) as client:
        assert client.der == certificate.der


def test_certificates_that_arent_used_are_warned_of(serve, localhost):
    serve(*localhost.options).wait_for_log("warning.*no --bind begins with https://")
