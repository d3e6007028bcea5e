# SPDX-License-Identifier: MIT
"""What the server counts: each thing once, in a sum over all workers that no death makes smaller."""

import json
import os
import signal

from certificates import Certificate
from conftest import DEMO, TIMEOUT, frozen
from forebay_client import Outcome
from http_raw import Client
from tls_client import TlsClient, client_context
from websocket_raw import WebSocket, frame


def metrics(server):
    """The value of each series, by its name."""
    stat = json.loads(server.forebay("stat", "--layer", "test", "--json").stdout)
    return {metric["name"]: metric["value"] for metric in stat["metrics"]}


def value(server, name, **labels):
    """Of the series NAME; 0 if there is none yet."""
    text = ",".join(f'{key}="{label}"' for key, label in sorted(labels.items()))
    return metrics(server).get(f"{name}{{{text}}}" if text else name, 0)


def wait_for_value(server, wanted, name, **labels):
    server.wait_for(lambda: value(server, name, **labels) == wanted, f"{name} to be {wanted}")


def connect_to_each(server, count=1):
    """Clients of which COUNT are in each of the workers, which take connections as they come."""
    clients = []
    # A stopped worker accepts nothing, so the other one must.
    for pid in server.workers:
        with frozen(*(other for other in server.workers if other != pid)):
            for _ in range(count):
                client = server.client()
                client.get("/hello")
                assert client.response().status == 200
                clients.append(client)
    return clients


def test_sums_are_exact_over_all_workers(serve):
    server = serve(workers=4, app=DEMO)
    clients = connect_to_each(server, 2)
    for _ in range(10):
        for client in clients:
            client.get("/hello")
            assert client.response().status == 200
    clients[0].get("/no-such-page")
    assert clients[0].response().status == 404
    assert value(server, "forebay_http_requests_total", code=200) == 88
    assert value(server, "forebay_http_requests_total", code=404) == 1
    assert value(server, "forebay_connections_total") == 8
    assert value(server, "forebay_http_connections") == 8
    assert value(server, "forebay_http_requests_refused_total", code=404) == 0, "the consumer's"
    assert value(server, "forebay_http_response_bytes_total") >= 88 * len(b"Hello, world!")
    head = len(b"GET /hello HTTP/1.1\r\nHost: test\r\n\r\n")
    assert value(server, "forebay_http_request_bytes_total") == (
        88 * head + len(b"GET /no-such-page HTTP/1.1\r\nHost: test\r\n\r\n"))
    for client in clients:
        client.close()
    wait_for_value(server, 0, "forebay_http_connections")
    assert value(server, "forebay_connections_total") == 8


def test_each_process_has_its_share(serve):
    server = serve(workers=2, app=DEMO)
    clients = connect_to_each(server)
    names = [metric["name"] for metric in
             json.loads(server.forebay("stat", "--layer", "test", "--json").stdout)["metrics"]]
    assert len(names) == len(set(names)), "workers share their series"
    for client in clients:
        client.close()


def test_a_killed_worker_takes_nothing_back(serve):
    server = serve(workers=4, app=DEMO)
    clients = connect_to_each(server)
    before = metrics(server)
    assert before['forebay_http_requests_total{code="200"}'] == 4
    victim = server.workers[0]
    os.kill(victim, signal.SIGKILL)
    server.wait_for(lambda: victim not in server.workers and len(server.workers) == 4,
                    "another worker")
    wait_for_value(server, 3, "forebay_http_connections")
    after = metrics(server)
    for name, count in before.items():
        if name not in ("forebay_http_connections", "forebay_http_requests_waiting"):
            assert after[name] >= count, name
    assert after['forebay_restarts_total{process="worker"}'] == 1
    assert after['forebay_restarts_total{process="app"}'] == 0
    # The next one counts in the same series, from where the dead one was.
    with server.client() as client:
        client.get("/hello")
        assert client.response().status == 200
    assert value(server, "forebay_http_requests_total", code=200) == 5
    for client in clients:
        client.close()
    wait_for_value(server, 0, "forebay_http_connections")


def test_a_reload_takes_nothing_back(serve):
    server = serve(app=DEMO)
    with server.client() as client:
        client.get("/hello")
        assert client.response().status == 200
    former = server.workers
    server.signal(signal.SIGHUP)
    server.wait_for(lambda: server.workers and not set(former) & set(server.workers), "new workers")
    assert value(server, "forebay_http_requests_total", code=200) == 1
    assert value(server, "forebay_restarts_total", process="worker") == 0


def test_requests_that_wait_and_that_are_left(serve):
    server = serve()
    layer = server.layer("http.request", "http.disconnect")
    with server.client() as client:
        client.get("/")
        message = layer.receive()
        wait_for_value(server, 1, "forebay_http_requests_waiting")
    assert layer.receive()["reply_channel"] == message["reply_channel"]
    wait_for_value(server, 1, "forebay_http_requests_aborted_total")
    wait_for_value(server, 0, "forebay_http_requests_waiting")
    wait_for_value(server, 1, "forebay_http_disconnects_total")
    assert not [name for name in metrics(server) if name.startswith("forebay_http_requests_total")]


def test_what_the_server_answers_by_itself(serve):
    server = serve("--max-target", 16)
    for octets, status in [(b"GET / HTTP/1.1\r\n\r\n", 400),
                           (b"GET /" + b"x" * 20 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414)]:
        with server.client() as client:
            client.send(octets)
            assert client.response().status == status
        assert value(server, "forebay_http_requests_refused_total", code=status) == 1
        assert value(server, "forebay_http_requests_total", code=status) == 1


def test_a_status_without_a_name_is_counted_by_its_class(serve):
    server = serve()
    layer = server.layer("http.request")
    with server.client() as client:
        for status in (299, 298, 418):
            client.get("/")
            layer.send(layer.receive()["reply_channel"], {"status": status})
            assert client.response().status == status
    assert value(server, "forebay_http_requests_total", code="2xx") == 2


def test_durations_are_a_histogram(serve):
    server = serve(app=DEMO)
    with server.client() as client:
        for _ in range(5):
            client.get("/hello")
            assert client.response().status == 200
    shown = metrics(server)
    family = "forebay_http_request_duration_seconds"
    buckets = [count for name, count in shown.items() if name.startswith(family + "_bucket")]
    assert buckets == sorted(buckets) and buckets[-1] == 5 == shown[family + "_count"]
    assert shown[family + '_bucket{le="+Inf"}'] == 5
    assert 0 < shown[family + "_sum"]


def test_a_malformed_response(serve):
    server = serve()
    layer = server.layer("http.request")
    with server.client() as client:
        client.get("/")
        layer.send(layer.receive()["reply_channel"], {"status": 1000})
        assert client.response().status == 500
    assert value(server, "forebay_http_responses_malformed_total") == 1
    assert value(server, "forebay_http_requests_refused_total", code=500) == 1


# ----------------------------------------------------------------------------------------------
# WebSockets, TLS
# ----------------------------------------------------------------------------------------------


def test_websockets(serve):
    server = serve(app=DEMO)
    with WebSocket(server.address, TIMEOUT) as first, WebSocket(server.address, TIMEOUT) as other:
        for client in (first, other):
            client.open(path=b"/ws/echo")
        wait_for_value(server, 2, "forebay_websocket_connections")
        wait_for_value(server, 0, "forebay_http_connections")
        for _ in range(3):
            first.send(frame(1, b"hello"))
            assert first.message() == "hello"
        assert value(server, "forebay_websocket_messages_total", direction="received") == 3
        assert value(server, "forebay_websocket_messages_total", direction="sent") >= 3
        first.send(frame(8, b"\x0f\xa0"))  # 4000
        assert first.read_frame().code == 4000
        other.send(frame(3))  # an opcode that isn't one
        assert other.read_frame().code == 1002
    wait_for_value(server, 0, "forebay_websocket_connections")
    assert value(server, "forebay_websocket_connections_total") == 2
    assert value(server, "forebay_websocket_closed_total", code="4xxx") == 1
    assert value(server, "forebay_websocket_closed_total", code=1002) == 1
    assert value(server, "forebay_websocket_failed_total") == 1
    assert value(server, "forebay_http_requests_total", code=101) == 2


def test_a_websocket_that_is_refused(serve):
    server = serve("--websocket-accept", "wait")
    layer = server.layer("websocket.connect")
    with WebSocket(server.address, TIMEOUT) as client:
        client.get("/ws", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
                   "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")
        message = layer.receive()
        wait_for_value(server, 1, "forebay_http_requests_waiting")
        assert layer.send(message["reply_channel"], {"accept": False}) == Outcome.OK
        assert client.response().status == 403
    assert value(server, "forebay_websocket_refused_total") == 1
    wait_for_value(server, 0, "forebay_http_requests_waiting")
    assert value(server, "forebay_websocket_connections_total") == 0


def test_tls_handshakes(serve, tmp_path):
    certificate = Certificate(tmp_path, "localhost", "localhost")
    server = serve(*certificate.options, bind=("https://127.0.0.1:0",), app=DEMO)
    with TlsClient(server.address, client_context(certificate)) as client:
        client.get("/hello")
        assert client.response().status == 200
    with Client(server.address, TIMEOUT) as client:
        client.get("/hello")
        assert client.response().status == 400
    assert value(server, "forebay_tls_handshakes_total", result="ok") == 1
    assert value(server, "forebay_tls_handshakes_total", result="failed") == 1
    assert value(server, "forebay_http_requests_total", code=200) == 1


def test_lines_that_nobody_reads_are_counted_and_not_waited_for(serve, tmp_path):
    """The access log is a FIFO without a reader, which is full before the last request."""
    path = tmp_path / "access"
    os.mkfifo(path)
    server = serve("--access-log", path, app=DEMO)
    quotes = '"' * 1000  # four octets each in the log
    with server.client() as client:
        for _ in range(300):
            client.get(f"/hello?{'x' * 4000}", f"Referer: {quotes}", f"User-Agent: {quotes}")
            assert client.response().status == 200
    server.wait_for(lambda: value(server, "forebay_access_log_lines_dropped_total") > 100,
                    "the dropped lines")
    server.wait_for_log("access log: .* lines were lost: nobody reads them")
