# SPDX-License-Identifier: MIT
"""--status-bind: /healthz, /metrics and /status, whoever is alive, whoever answers, whatever things are called."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess

import pytest

import browser
from certificates import Certificate
from conftest import DEMO, SANITIZED, TIMEOUT, Server, frozen, run_forebay, shared
from forebay_client import COUNTER, GAUGE, HISTOGRAM, Outcome
from http_raw import Client
from test_browser import chromium, shot  # noqa: F401: fixtures
from test_metrics import connect_to_each
from tls_client import TlsClient, client_context
from websocket_raw import WebSocket

PATHS = ("/healthz", "/metrics", "/status")


@pytest.fixture
def watch(serve):
    """Starts a server that tells its status at `.status`."""
    def start(*options, **keywords):
        server = serve("--status-bind", "127.0.0.1:0", *options, **keywords)
        server.status = address_of(server)
        return server
    return start


def address_of(server):
    server.wait_for_log("status on http")
    host, port = re.findall(r"status on https?://([^:\s]+):(\d+)", server.log)[-1]
    return host, int(port)


def ask(address, target="/status", *fields, method="GET", body=None):
    with Client(address, TIMEOUT) as client:
        client.get(target, *fields, method=method, body=body)
        return client.response(head=method == "HEAD")


def status(server):
    response = ask(server.status)
    assert response.status == 200
    return json.loads(response.body)


# ----------------------------------------------------------------------------------------------
# The text format, read as strictly as Prometheus does
# ----------------------------------------------------------------------------------------------

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
SERIES = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (\S+)")
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}


def parse(text):
    """The value of each series by its name. Families have to stand together, with HELP and TYPE once, before them."""
    values, helps, types, family = {}, {}, {}, None
    for line in text.split("\n")[:-1]:
        if line.startswith("# HELP "):
            family, _, text_of_it = line[7:].partition(" ")
            assert family not in helps and family not in types, line
            assert re.fullmatch(r"(?:[^\\]|\\[\\n])+", text_of_it), line
            helps[family] = text_of_it
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            assert name not in types and kind in SUFFIXES, line
            assert name == family or name not in helps, line
            types[name], family = kind, name
        else:
            match = SERIES.fullmatch(line)
            assert match, line
            assert match[1] in [family + suffix for suffix in SUFFIXES[types[family]]], line
            name = line.rpartition(" ")[0]
            assert name not in values, line
            values[name] = float(match[3])
    assert text.endswith("\n")
    return values, types, helps


def scrape(server_or_address):
    address = getattr(server_or_address, "status", server_or_address)
    response = ask(address, "/metrics")
    assert response.status == 200
    assert response.get("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
    return parse(response.body.decode())[0]


def test_metrics_are_what_prometheus_reads(watch):
    server = watch(workers=2, app=DEMO)
    server.wait_for_attachments()
    with server.client() as client:
        client.get("/hello")
        assert client.response().status == 200
    text = ask(server.status, "/metrics").body.decode()
    values, types, helps = parse(text)
    assert set(types) == set(helps)
    for family, kind in types.items():
        assert family.endswith("_total") == (kind == "counter"), family
        assert family.startswith("forebay_")
    assert values['forebay_build_info{version="0.1.0"}'] == 1
    assert values['forebay_http_requests_total{code="200"}'] == 1
    assert values['forebay_messages_total{channel="http.request"}'] == 1
    assert values['forebay_messages_received_total{channel="http.request"}'] == 1
    assert values['forebay_channel_listeners{channel="http.request"}'] == 1
    assert values["forebay_processes"] == 4
    assert values['forebay_blocks{size="512"}'] > values['forebay_blocks_used{size="512"}'] >= 0
    assert [name for name in values if name.startswith("forebay_process_cpu_seconds_total{role=\"worker 2\"")]
    assert not [name for name in values if "replies to" in name], "an inbox is no channel of its own"
    promtool = shutil.which("promtool")
    if promtool:
        result = subprocess.run([promtool, "check", "metrics"], input=text.encode(),
                                capture_output=True, timeout=TIMEOUT, check=False)
        assert result.returncode == 0 and not result.stderr, result


def test_metrics_by_prometheus_own_parser(watch):
    parser = pytest.importorskip("prometheus_client.parser")
    server = watch()
    families = list(parser.text_string_to_metric_families(
        ask(server.status, "/metrics").body.decode()))
    assert len(families) > 30 and all(family.documentation for family in families)


def test_sums_of_all_whoever_answers(watch):
    server = watch(workers=4, app=DEMO)
    clients = connect_to_each(server, 2)
    for client in clients:
        client.get("/hello")
        assert client.response().status == 200
    answered = set()
    for pid in server.workers:
        # Only one worker runs, so it is the one that answers.
        with frozen(*(other for other in server.workers if other != pid)):
            values = scrape(server)
            answered.add(status(server)["answered_by"])
        assert values['forebay_http_requests_total{code="200"}'] == 16
        assert values["forebay_http_connections"] == 8
        assert values["forebay_connections_total"] == 8
    assert answered == set(server.workers)
    for client in clients:
        client.close()
    server.wait_for(lambda: scrape(server)["forebay_http_connections"] == 0, "no connections")
    assert scrape(server)['forebay_http_requests_total{code="200"}'] == 16, "status requests don't count"


def test_a_killed_worker_takes_nothing_back(watch):
    server = watch(workers=2, app=DEMO)
    clients = connect_to_each(server)
    before = scrape(server)
    victim = server.workers[0]
    os.kill(victim, signal.SIGKILL)
    server.wait_for(lambda: victim not in server.workers and len(server.workers) == 2, "a new one")
    server.wait_for(lambda: scrape(server)["forebay_http_connections"] == 1, "the gauge to fall")
    after = scrape(server)
    for name, value in before.items():
        if "_total" in name and "process_cpu" not in name:
            assert after[name] >= value, name
    for client in clients:
        client.close()


def test_metrics_of_processes_that_use_the_layer(watch):
    server = watch()
    layer = server.layer()
    layer.metric('jobs_total{queue="a\\"b\\\\c\\nd"}', COUNTER, "Jobs \\ done").add(3)
    layer.metric('jobs_total{queue="other"}', COUNTER).add(1.5)
    layer.metric("temperature_celsius", GAUGE, "Ä").set(-0.25)
    layer.metric('wait_seconds_bucket{le="1"}', HISTOGRAM).add(2)
    layer.metric('wait_seconds_bucket{le="+Inf"}', HISTOGRAM).add(4)
    layer.metric("wait_seconds_sum", HISTOGRAM).add(9)
    layer.metric("wait_seconds_count", HISTOGRAM).add(4)
    # A family that the server makes itself comes once.
    layer.metric('forebay_messages_pending{channel="mine"}', GAUGE).set(7)
    values, types, helps = parse(ask(server.status, "/metrics").body.decode())
    assert values['jobs_total{queue="a\\"b\\\\c\\nd"}'] == 3
    assert values['jobs_total{queue="other"}'] == 1.5
    assert helps["jobs_total"] == "Jobs \\\\ done" and helps["temperature_celsius"] == "Ä"
    assert values["temperature_celsius"] == -0.25
    assert types["wait_seconds"] == "histogram" and values['wait_seconds_bucket{le="+Inf"}'] == 4
    assert 'forebay_messages_pending{channel="mine"}' not in values
    assert status(server)["metrics"]['jobs_total{queue="other"}'] == 1.5


# ----------------------------------------------------------------------------------------------
# Names that mean harm
# ----------------------------------------------------------------------------------------------

HOSTILE = ['"} 1\\n', "</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "a\\", '&"\'{}']


def test_names_are_quoted(watch):
    server = watch()
    layer = server.layer()
    for name in HOSTILE:
        assert layer.send(name, {}) == Outcome.OK
    values = scrape(server)
    shown = status(server)
    for name in HOSTILE:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        assert values[f'forebay_messages_total{{channel="{quoted}"}}'] == 1
        assert name in [channel["name"] for channel in shown["channels"]]
    (other,) = [process for process in shown["processes"] if process["role"] == "test"]
    assert other["pid"] == os.getpid()


def test_a_role_is_quoted(watch):
    server = watch()
    layer = server.layer(role='"}<b>\\')
    values = scrape(server)
    assert [name for name in values
            if name.startswith('forebay_process_resident_memory_bytes{role="\\"}<b>\\\\",slot=')]
    assert '"}<b>\\' in [process["role"] for process in status(server)["processes"]]
    layer.listen("x")


def test_the_number_of_series_is_bounded(watch):
    server = watch("--layer-channels", 1500, "--layer-reply-channels", 128)
    layer = server.layer()
    for number in range(1200):
        assert layer.send(f"job.{number}", {}) == Outcome.OK
    values = scrape(server)
    series = [name for name in values if name.startswith("forebay_messages_pending{")]
    assert len(series) == 1000
    assert values["forebay_layer_messages_pending"] >= 1200
    shown = status(server)
    assert len(shown["channels"]) == 1000 and shown["channels_not_listed"] >= 200


# ----------------------------------------------------------------------------------------------
# /healthz
# ----------------------------------------------------------------------------------------------


def test_healthz(watch):
    server = watch(workers=2)
    response = ask(server.status, "/healthz")
    assert (response.status, response.body) == (200, b"ok\n")
    assert response.get("Cache-Control") == "no-store"


def test_all_is_told_when_the_layer_is_full_and_nobody_receives(watch):
    server = watch("--capacity", "http.request=2", "--capacity", "http.disconnect=1")
    clients = [server.client() for _ in range(2)]
    for number, client in enumerate(clients, 1):
        client.get("/")
        server.wait_for(lambda n=number: scrape(server).get('forebay_messages_pending{channel="http.request"}') == n,
                        "the request")
        response = ask(server.status, "/healthz")
        assert response.status == 503 and not response.get("Retry-After")
        assert response.body == (b"requests wait, and no consumer receives them\n", b"http.request is full\n")[number - 1]
    assert ask(server.address, "/").status == 503
    values = scrape(server)
    assert values['forebay_channel_full_total{channel="http.request"}'] == 1
    assert values['forebay_http_requests_refused_total{code="503"}'] == 1
    assert values["forebay_http_requests_waiting"] == 2
    # What is of the layer as a whole may be that of a page before.
    server.wait_for(lambda: scrape(server)['forebay_messages_dropped_total{reason="full"}'] >= 1, "the refusal")
    (channel,) = [each for each in status(server)["channels"] if each["name"] == "http.request"]
    assert (channel["pending"], channel["capacity"], channel["listeners"]) == (2, 2, 0)
    layer = server.layer("http.request")
    for client in clients:
        layer.send(layer.receive()["reply_channel"], {"status": 200})
        assert client.response().status == 200
        client.close()
    assert ask(server.status, "/healthz").status == 200


def test_healthz_tells_of_consumers_that_hang(watch):
    """They listen, as far as anybody can see."""
    server = watch("--response-timeout", "500ms", "--expiry", "1h")
    layer = server.layer("http.request")
    with server.client() as client:
        client.get("/")
        server.wait_for(lambda: ask(server.status, "/healthz").status == 503, "the bad news")
        assert b"have waited" in ask(server.status, "/healthz").body
        assert layer.receive()["path"] == "/"
        assert ask(server.status, "/healthz").status == 200


def test_healthz_during_a_graceful_stop(watch):
    server = watch(workers=2)
    layer = server.layer("http.request")
    kept = Client(server.status, TIMEOUT)
    kept.get("/healthz")
    assert kept.response().status == 200
    with server.client() as client:
        client.get("/slow")
        message = layer.receive()
        server.signal(signal.SIGTERM)
        # The other worker ends at once.
        server.wait_for(lambda: len(server.workers) == 1, "the worker that has a client")
        server.wait_for(lambda: ask(server.status, "/healthz").status == 503, "the bad news")
        response = ask(server.status, "/healthz")
        assert response.body == b"shutting down\n" and response.closes
        assert status(server)["stopping"] is True
        assert scrape(server)["forebay_http_requests_waiting"] == 1
        layer.send(message["reply_channel"], {"status": 200})
        assert client.response().status == 200
    # Who asks for the status doesn't keep the server.
    assert server.wait() == 0
    with pytest.raises(ConnectionError):
        ask(server.status, "/healthz")
    kept.close()


def test_those_who_ask_do_not_keep_the_server(watch):
    server = watch()
    layer = server.layer("http.request")
    askers = [Client(server.status, TIMEOUT) for _ in range(3)]
    askers[0].get("/healthz")
    assert askers[0].response().status == 200
    askers[1].send(b"GET /healthz HTT")
    askers[2].get("/healthz", "Content-Length: 5")
    assert askers[2].response().status == 200
    with server.client() as client:
        client.get("/slow")
        message = layer.receive()
        server.signal(signal.SIGTERM)
        server.wait_for(lambda: ask(server.status, "/healthz").status == 503, "the bad news")
        layer.send(message["reply_channel"], {"status": 200})
        assert client.response().status == 200
    assert askers[0].is_ended()
    assert askers[1].response().status == 408
    assert server.wait() == 0
    for asker in askers:
        asker.close()


# ----------------------------------------------------------------------------------------------
# HTTP
# ----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def open_server():
    with Server("--status-bind", "127.0.0.1:0", app=DEMO) as server:
        server.status = address_of(server)
        yield server


module_share = shared(open_server)


@pytest.fixture
def module_server(module_share, request):
    with module_share.lend(request) as server:
        yield server


@pytest.mark.parametrize("target", [*PATHS, "/healthz?verbose=1", "http://test/healthz"])
def test_get_and_head(module_server, target):
    got = ask(module_server.status, target)
    head = ask(module_server.status, target, method="HEAD")
    assert got.status == head.status == 200
    assert int(got.get("Content-Length")) == len(got.body) > 0 and head.body == b""
    assert got.get("Content-Type") == head.get("Content-Type") and head.get("Content-Length")
    for response in (got, head):
        assert response.get("X-Content-Type-Options") == "nosniff"
        assert response.get("Content-Security-Policy").startswith("default-src 'none'")
        assert not response.closes


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
@pytest.mark.parametrize("path", PATHS)
def test_other_methods(module_server, path, method):
    response = ask(module_server.status, path, method=method)
    assert response.status == 405 and response.get("Allow") == "GET, HEAD"


@pytest.mark.parametrize("target", ["/", "/status/", "/Status", "/metrics/x", "//status", "/%73tatus", "/healthz/..",
                                    "/hello"])
def test_other_paths(module_server, target):
    for method in ("GET", "POST"):
        assert ask(module_server.status, target, method=method).status == 404


@pytest.mark.parametrize("path", PATHS)
def test_the_clients_address_has_none_of_it(module_server, path):
    with module_server.client() as client:
        client.get(path)
        assert client.response().status == 404


def test_one_connection_asks_again_and_again(module_server):
    with Client(module_server.status, TIMEOUT) as client:
        client.send(b"".join(b"GET %s HTTP/1.1\r\nHost: test\r\n\r\n" % path.encode() for path in PATHS * 3))
        for _ in range(9):
            response = client.response()
            assert response.status == 200 and not response.closes
        client.send(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert client.response().closes and client.is_ended()


@pytest.mark.parametrize("octets, expected", [
    (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
    (b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    (b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    (b"GET /healthz HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    (b"GET /healthz HTTP/1.1\nHost: a\n\n", 400),
    (b"BREW /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
])
def test_requests_are_judged_like_all_others(module_server, octets, expected):
    with Client(module_server.status, TIMEOUT) as client:
        client.send_quietly(octets + b"GET /status HTTP/1.1\r\nHost: canary\r\n\r\n")
        assert client.response().status == expected
        assert client.is_ended(), "what is behind it was answered"


@pytest.mark.parametrize("fields, body", [
    (b"Content-Length: 38", b"GET /status HTTP/1.1\r\nHost: canary\r\n\r\n"),
    (b"Transfer-Encoding: chunked", b"26\r\nGET /status HTTP/1.1\r\nHost: canary\r\n\r\n\r\n0\r\n\r\n"),
])
@pytest.mark.parametrize("method, expected", [(b"GET", 200), (b"POST", 405)])
def test_a_body_is_never_taken_for_a_request(module_server, method, expected, fields, body):
    with Client(module_server.status, TIMEOUT) as client:
        client.send(method + b" /healthz HTTP/1.1\r\nHost: test\r\n" + fields + b"\r\n\r\n" + body)
        response = client.response()
        assert response.status == expected and response.closes
        assert client.is_ended()


def test_an_upgrade_is_ignored(module_server):
    response = ask(module_server.status, "/healthz", "Upgrade: websocket", "Connection: Upgrade",
                   "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")
    assert response.status == 200


def test_requests_are_in_the_access_log(watch, tmp_path):
    log = tmp_path / "access"
    server = watch("--access-log", log, "--access-log-format", "json")
    assert ask(server.status, "/healthz?x").status == 200
    assert ask(server.status, "/nothing").status == 404
    server.wait_for(lambda: log.read_text().count("\n") == 2, "two lines")
    first, second = map(json.loads, log.read_text().splitlines())
    assert (first["target"], first["status"], first["bytes"]) == ("/healthz?x", 200, 3)
    assert second["status"] == 404


def test_clients_do_not_keep_those_out_who_ask(watch):
    server = watch("--max-connections", 1)
    layer = server.layer("http.request")
    with server.client() as client:
        client.get("/")
        message = layer.receive()
        waiting = server.client()  # in the backlog
        assert scrape(server)["forebay_http_connections"] == 1
        layer.send(message["reply_channel"], {"status": 200})
        assert client.response().status == 200
    waiting.get("/")
    layer.send(layer.receive()["reply_channel"], {"status": 200})
    assert waiting.response().status == 200
    waiting.close()


@pytest.mark.parametrize("octets", [b"", b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n", b"GET /he"],
                         ids=["silent", "answered", "incomplete"])
def test_those_who_keep_a_connection_do_not_keep_others_out(watch, octets):
    server = watch("--idle-timeout", "1h", "--head-timeout", "1h")
    idle = [socket.create_connection(server.status) for _ in range(40)]
    for connection in idle:
        connection.sendall(octets)
    assert ask(server.status, "/healthz").status == 200
    for connection in idle:
        connection.close()


def test_a_client_that_reads_slowly_gets_all(watch):
    server = watch()
    layer = server.layer()
    for number in range(500):
        assert layer.send(f"{'long.' * 30}{number}", {}) == Outcome.OK
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.settimeout(TIMEOUT)
        slow.connect(server.status)
        slow.sendall(b"GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        # While it waits others are answered.
        assert ask(server.status, "/healthz").status in (200, 503)
        octets = b""
        while piece := slow.recv(2048):
            octets += piece
    assert len(parse(octets.partition(b"\r\n\r\n")[2].decode())[0]) > 3500


# ----------------------------------------------------------------------------------------------
# Addresses
# ----------------------------------------------------------------------------------------------


def test_a_unix_socket_and_several_addresses(serve, tmp_path):
    path = tmp_path / "status"
    server = serve("--status-bind", f"unix:{path}", "--status-bind", "127.0.0.1:0")
    assert ask(path, "/healthz").status == 200
    assert ask(address_of(server), "/healthz").status == 200
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert not path.exists()


def test_there_is_none_by_default(serve):
    server = serve()
    assert "status on" not in server.log


def test_tls(serve, tmp_path):
    certificate = Certificate(tmp_path, "localhost", "localhost")
    server = serve(*certificate.options, "--status-bind", "https://127.0.0.1:0")
    with TlsClient(address_of(server), client_context(certificate)) as client:
        client.get("/healthz")
        assert client.response().status == 200


def test_the_same_address_twice_is_refused(serve, tmp_path):
    path = tmp_path / "both"
    result = run_forebay(tmp_path, "serve", "--bind", f"unix:{path}", "--status-bind", f"unix:{path}",
                         "--layer-size", "16M")
    assert result.returncode == 1
    assert f"cannot bind unix:{path} of --status-bind: unix:{path} of --bind is the same" in result.stderr.decode()


def test_a_reload_keeps_adds_and_drops_it(serve, tmp_path):
    config = tmp_path / "config"
    config.write_text("status-bind = 127.0.0.1:0\n")
    server = serve("--config", config)
    address = address_of(server)

    def reload(text):
        former = server.workers
        config.write_text(text)
        server.signal(signal.SIGHUP)
        server.wait_for(lambda: server.workers and not set(former) & set(server.workers), "new workers")

    def told_to_come_again():
        """By a worker that retires, on a connection that was open before; unless we are too slow to ask it then."""
        with Client(address, TIMEOUT) as kept:
            former = server.workers
            kept.get("/healthz")  # so that it is the one's which is there now
            closes = kept.response().closes
            assert not closes
            server.signal(signal.SIGHUP)
            while not closes:
                try:
                    kept.get("/healthz")
                    response = kept.response()
                except (AssertionError, ConnectionError):
                    break  # ended, since nothing was asked on it for a moment
                assert response.body == b"ok\n"
                closes = response.closes
            assert not closes or kept.is_ended()
        server.wait_for(lambda: server.workers and not set(former) & set(server.workers), "new workers")
        return closes

    server.wait_for(told_to_come_again, "the old worker to say that it retires")
    path = tmp_path / "status"
    reload(f"status-bind = 127.0.0.1:0\nstatus-bind = unix:{path}\n")
    assert ask(address, "/healthz").body == b"ok\n", "no worker that retires says that all ends"
    assert ask(path, "/healthz").status == 200
    reload(f"status-bind = unix:{path}\n")
    with pytest.raises(ConnectionError):
        ask(address, "/healthz")
    assert ask(path, "/healthz").status == 200


# ----------------------------------------------------------------------------------------------
# /status
# ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("accept, page", [
    (None, False),
    ("*/*", False),
    ("application/json", False),
    ("text/html", True),
    ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
    ("text/html;q=0.5, application/json", False),
    ("application/json;q=0.2, text/*", True),
    ("TEXT/HTML ; level=1 ;q=0.9,application/json;q=0.8", True),
    ("text/html;q=0", False),
    ("text/html;q=0.8,application/*;q=0.9", False),
    (",, ;q=, text", False),
    ("text/html;q=x", False),
])
def test_who_wants_the_page(module_server, accept, page):
    response = ask(module_server.status, "/status", *([f"Accept: {accept}"] if accept else []))
    assert response.get("Vary") == "Accept"
    if page:
        assert response.get("Content-Type") == "text/html; charset=utf-8"
        assert b"<!doctype html>" in response.body
    else:
        assert response.get("Content-Type") == "application/json"
        assert json.loads(response.body)["version"] == "0.1.0"


def test_the_page_needs_nothing_else(module_server):
    response = ask(module_server.status, "/status", "Accept: text/html")
    policy = response.get("Content-Security-Policy")
    assert "unsafe" not in policy and "frame-ancestors 'none'" in policy
    addresses = re.findall(rb"(?:src|href|action)=\"([^\"]*)", response.body)
    assert all(address.startswith(b"data:") for address in addresses)
    assert not re.search(rb"\bon\w+=|\bstyle=", response.body), "the policy would forbid it"
    outside = set(re.findall(rb"https?://[^'\" )]+", response.body))
    assert outside <= {b"http://www.w3.org/2000/svg"}, "a namespace isn't fetched"


def test_status_shows_each_workers_connections(watch):
    server = watch(workers=2, app=DEMO)
    clients = connect_to_each(server, 3)
    with WebSocket(server.address, TIMEOUT) as websocket:
        websocket.open(path=b"/ws/echo")
        server.wait_for(lambda: scrape(server)["forebay_websocket_connections"] == 1, "a WebSocket")
        shown = status(server)
    workers = [process for process in shown["processes"] if process["role"].startswith("worker")]
    assert {process["pid"] for process in workers} == set(server.workers)
    assert [process["gauges"]["forebay_http_connections"] for process in workers] == [3, 3]
    assert sum(process["gauges"]["forebay_websocket_connections"] for process in workers) == 1
    assert all(process["cpu_seconds"] >= 0 and process["resident_bytes"] > 0 for process in workers)
    assert shown["layer"]["channels"] >= 1 and shown["stopping"] is False
    for client in clients:
        client.close()


needs_browser = pytest.mark.skipif(not browser.PROGRAM or SANITIZED,
                                   reason="Chromium is not installed, or not the plain build")


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_live(chromium, watch, shot, scheme):  # noqa: F811
    server = watch(workers=2, app=DEMO, app_processes=2)
    layer = server.layer(role="<i>test</i>")
    for name in HOSTILE:
        layer.send(name, {})
    clients = connect_to_each(server, 2)

    def row(name):
        return (f"[...document.querySelectorAll('#channels tr')].find((line) => "
                f"line.firstChild.textContent === {json.dumps(name)})")

    async def look(page):
        await page.call("Emulation.setEmulatedMedia",
                        features=[{"name": "prefers-color-scheme", "value": scheme}])
        await page.call("Page.navigate", url="http://%s:%d/status" % server.status)
        await page.wait("document.getElementById('state')?.textContent === 'live'")
        assert await page.evaluate("document.getElementById('connections').textContent") == "4"
        # Names are shown as they are, and nothing of them runs.
        for name in HOSTILE:
            await page.wait(row(name))
        assert await page.evaluate("document.querySelector('img, td i, td script') === null")
        await page.wait("[...document.querySelectorAll('#processes td')]"
                        ".some((cell) => cell.textContent === '<i>test</i>')")
        back = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert back == {"light": "rgb(246, 247, 249)", "dark": "rgb(15, 20, 27)"}[scheme]
        for _ in range(20):
            for client in clients:
                client.get("/hello")
                assert client.response().status == 200
            layer.send("live", {})
        # It asks again by itself.
        await page.wait(f"{row('live')}?.children[2].textContent === '20'")
        await page.wait("document.getElementById('requests-line').getAttribute('d').split('L').length > 4")
        await page.screenshot(shot)

    chromium.run(look)
    for client in clients:
        client.close()


@needs_browser
def test_the_page_says_when_nobody_answers(chromium, watch, shot):  # noqa: F811
    server = watch()

    async def look(page):
        await page.call("Page.navigate", url="http://%s:%d/status" % server.status)
        await page.wait("document.getElementById('state')?.textContent === 'live'")
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        await page.wait("document.getElementById('state').className === 'bad'")
        await page.screenshot(shot)

    chromium.run(look)
