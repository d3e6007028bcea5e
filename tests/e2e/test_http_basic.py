# SPDX-License-Identifier: MIT
"""HTTP as the specification has it: requests become messages, messages become answers."""

import hashlib
import http.client
import json
import subprocess
import threading

import django
import pytest
from django.conf import settings
from django.http import QueryDict, parse_cookie

from conftest import TIMEOUT, wait_until
from forebay_client import Outcome
from http_raw import Client

if not settings.configured:
    settings.configure(DATA_UPLOAD_MAX_NUMBER_FIELDS=1000)
django.setup()

KEYS = {"get", "post", "cookies", "meta", "path", "method", "reply_channel"}
BOUNDARY = "1f0a5e"


def as_lists(query):
    return {key: query.getlist(key) for key in query}


# ----------------------------------------------------------------------------------------------
# Requests
# ----------------------------------------------------------------------------------------------


def test_request_has_exactly_the_specified_keys(site):
    message, _ = site.exchange(
        b"GET /a%20b/%C3%A9?x=1&y=&x=2 HTTP/1.1\r\nHost: example.org:81\r\nUser-Agent: raw\r\n"
        b"Cookie: a=b; c=\"d\"\r\nX-Under_score: no\r\nX-Latin: \xe9\r\nAccept: a\r\nAccept: b\r\n\r\n")
    assert set(message) - {"channel"} == KEYS
    assert message["get"] == {"x": ["1", "2"], "y": [""]}
    assert message["post"] == {}
    assert message["cookies"] == {"a": "b", "c": "d"}
    assert message["path"] == "/a b/\u00e9"
    assert message["method"] == "GET"
    assert message["reply_channel"].startswith("http.response!")
    assert len(message["reply_channel"]) <= 200 and message["reply_channel"].isprintable()
    meta = message["meta"]
    assert all(isinstance(value, str) for value in meta.values())
    expected = {
        "REQUEST_METHOD": "GET", "QUERY_STRING": "x=1&y=&x=2", "REMOTE_ADDR": "127.0.0.1",
        "REQUEST_URI": "/a%20b/%C3%A9?x=1&y=&x=2", "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_PORT": str(site.server.address[1]), "wsgi.url_scheme": "http",
        "HTTP_HOST": "example.org:81", "HTTP_USER_AGENT": "raw", "HTTP_X_LATIN": "\u00e9",
        "HTTP_ACCEPT": "a,b", "HTTP_COOKIE": 'a=b; c="d"',
    }
    assert {key: meta.get(key) for key in expected} == expected
    assert meta["SERVER_NAME"]
    assert not [key for key in meta if "UNDER" in key], "a name with _ would collide with one with -"


@pytest.mark.parametrize("method", [
    "GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "PURGE"])
def test_methods(site, method):
    message, response = site.exchange(f"{method} /m HTTP/1.1\r\nHost: a\r\n\r\n".encode(), "fine")
    assert (message["method"], response.status, response.body) == (method, 200, b"fine")


QUERIES = [
    "", "a", "a=", "=b", "a=b&a=c&a=", "a=b&&c=d", "a=b;c=d", "a+b=c+d", "a%20b=%2B", "a=%zz&b=%4",
    "a=%C3%A9", "a=%FF", "a=%ED%A0%80", "a=b=c", "%61=%62", "a=%00", "a[]=1&a[]=2", "a=%F0%9F%98%80",
    "&", "=", "a=%u00e9", "a=%c3%28", "x=1&X=2",
]


@pytest.mark.parametrize("query", QUERIES)
def test_query_as_django_reads_it(site, query):
    message, _ = site.exchange(f"GET /?{query} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert message["get"] == as_lists(QueryDict(query))


@pytest.mark.parametrize("query", QUERIES)
def test_form_as_django_reads_it(site, query):
    message, _ = site.exchange(
        b"POST /?q=1 HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(query), query.encode()))
    assert message["post"] == as_lists(QueryDict(query))
    assert message["get"] == {"q": ["1"]}
    assert "body" not in message and "body_channel" not in message


@pytest.mark.parametrize("cookie", [
    "a=b", "a=b; c=d", "a=b;c=d", "a", "=b", "a=", "a=b=c", 'a="b c"', r'a="b\"c"', r'a="\303\251"',
    "a=1; a=2", "a=b; ; c=d", " a = b ", 'a="b; c=d', "a=b, c=d", "a=%20", ";", "$Version=1; a=b",
    "a=b;\tc=d", "a:b=c", "caf\u00e9=\u00e9",
])
def test_cookies_as_django_reads_them(site, cookie):
    message, _ = site.exchange(
        b"GET / HTTP/1.1\r\nHost: a\r\nCookie: " + cookie.encode("latin-1") + b"\r\n\r\n")
    # Header values are latin-1 in META, and Django decodes that of Cookie as UTF-8 again.
    received = cookie.encode("latin-1").strip(b" \t").decode("utf-8", "replace")
    assert message["cookies"] == parse_cookie(received)


def test_multipart_text_fields(site):
    body = "".join(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in [("a", "1"), ("a", "2"), ("\u00e9", "line\r\nline"), ("empty", "")])
    body = (body + f"--{BOUNDARY}--\r\n").encode()
    message, _ = site.exchange(
        f"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    assert message["post"] == {"a": ["1", "2"], "\u00e9": ["line\r\nline"], "empty": [""]}


def test_multipart_file_comes_as_body_and_position(site):
    data = bytes(range(256))
    body = (f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="t"\r\n\r\ntext\r\n'
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="f"; filename="C:\\x\\y.bin"\r\n'
            "Content-Type: image/png\r\n\r\n").encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()
    message, _ = site.exchange(
        f"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    assert message["post"] == {"t": ["text"]}
    assert message["body"] == body
    (file,) = message["files"]
    assert (file["name"], file["filename"], file["content_type"]) == ("f", "y.bin", "image/png")
    assert body[file["offset"]:file["offset"] + file["length"]] == data


def test_other_bodies_come_raw(site):
    body = b"\0\xff\r\n{"
    message, _ = site.exchange(
        b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Type: application/octet-stream\r\n"
        b"Content-Length: 5\r\n\r\n" + body)
    assert message["body"] == body and message["post"] == {}
    assert message["meta"]["CONTENT_TYPE"] == "application/octet-stream"
    assert message["meta"]["CONTENT_LENGTH"] == "5"
    assert "HTTP_CONTENT_TYPE" not in message["meta"]
    assert "HTTP_CONTENT_LENGTH" not in message["meta"]


@pytest.mark.parametrize("cut", ["whole", "every octet"])
def test_chunked_request(site, cut):
    octets = (b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
              b"5;x=\"y\"\r\nhello\r\n0a\r\n, chunked!\r\n000\r\nContent-Length: 3\r\nX: y\r\n\r\n")
    with site.client() as client:
        if cut == "whole":
            client.send(octets)
        else:
            for position in range(len(octets)):
                client.send(octets[position:position + 1])
        message = site.message()
        assert message["body"] == b"hello, chunked!"
        assert not {"HTTP_X", "HTTP_CONTENT_LENGTH"} & set(message["meta"]), "a trailer got in"
        assert message["meta"].get("CONTENT_LENGTH") in (None, "", "15")
        site.reply(message, "ok")
        assert client.response().body == b"ok"
        client.get("/next")
        message = site.message()
        assert message["path"] == "/next"
        site.reply(message)
        assert client.response().status == 200


def test_expect_continue(site):
    with site.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        assert client.response().status == 100
        client.send(b"body")
        message = site.message()
        assert message["body"] == b"body"
        site.reply(message, "done")
        assert client.response().body == b"done"


def test_expect_with_the_body_already_there(site):
    with site.client() as client:
        client.send(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\nbody")
        site.reply(site.message(), "done")
        response = client.response()
        if response.status == 100:  # both are right, by RFC 9110, 10.1.1
            response = client.response()
        assert (response.status, response.body) == (200, b"done")


def test_pipelining_keeps_the_order(site):
    count = 20
    with site.client() as client:
        client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % i for i in range(count)))
        for _ in range(count):
            message = site.message()
            site.reply(message, message["path"])
        assert [client.response().body for _ in range(count)] == [
            b"/%d" % i for i in range(count)]


def test_keep_alive_and_close(site):
    with site.client() as client:
        for fields in ([], [], ["Connection: close"]):
            client.get("/", *fields)
            site.reply(site.message(), "x")
            response = client.response()
            assert response.closes == bool(fields)
        assert client.is_ended()


@pytest.mark.parametrize("fields, kept", [(b"", False), (b"Connection: keep-alive\r\n", True)])
def test_http_1_0(site, fields, kept):
    with site.client() as client:
        client.send(b"GET / HTTP/1.0\r\n" + fields + b"\r\n")
        message = site.message()
        assert message["meta"]["SERVER_PROTOCOL"] == "HTTP/1.0"
        site.reply(message, "old")
        response = client.response()
        assert response.body == b"old" and response.get("Transfer-Encoding") is None
        if not kept or response.get("Connection") != "keep-alive":
            assert client.is_ended()
        else:
            client.send(b"GET / HTTP/1.0\r\n\r\n")
            site.reply(site.message(), "again")
            assert client.response().body == b"again"


def test_unix_socket(site):
    with site.client(site.server.socket_path) as client:
        client.get("/unix")
        message = site.message()
        assert message["meta"]["REMOTE_ADDR"] == ""
        site.reply(message, "local")
        assert client.response().body == b"local"


def test_ipv6(serve):
    try:
        server = serve(bind=("127.0.0.1:0", "[::1]:0"))
    except AssertionError as error:
        if "::1" in str(error):
            pytest.skip("no IPv6 here")
        raise
    layer = server.layer("http.request")
    address = next(address for address in server.addresses if address[0] == "::1")
    with server.client(address) as client:
        client.get("/six")
        message = layer.receive()
        assert message["meta"]["REMOTE_ADDR"] == "::1"
        assert message["meta"]["SERVER_PORT"] == str(address[1])
        layer.send(message["reply_channel"], {"status": 200}, "six")
        assert client.response().body == b"six"


# ----------------------------------------------------------------------------------------------
# Answers
# ----------------------------------------------------------------------------------------------


def test_answer_carries_all_keys(site):
    _, response = site.exchange(
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "caf\u00e9", status=201,
        content_type="text/html; charset=utf-8", headers={"X-One": "1", "Location": "/x"},
        cookies=["a=b; Path=/", "c=d; HttpOnly"])
    assert (response.status, response.reason) == (201, "Created")
    assert response.get("Content-Type") == "text/html; charset=utf-8"
    assert response.get("X-One") == "1" and response.get("Location") == "/x"
    assert response.all("Set-Cookie") == ["a=b; Path=/", "c=d; HttpOnly"]
    assert response.get("Content-Length") == "5" and response.body == "caf\u00e9".encode()


def test_binary_answer(site):
    data = bytes(range(256))
    _, response = site.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", data)
    assert response.body == data


@pytest.mark.parametrize("status", [200, 204, 301, 304, 404, 418, 500, 599])
def test_status(site, status):
    with site.client() as client:
        for _ in range(2):  # the second shows that the first was framed right
            client.get("/")
            site.reply(site.message(), "" if status in (204, 304) else "x", status=status)
            response = client.response()
            assert response.status == status
            assert response.get("Transfer-Encoding") is None
            if status == 204:
                assert response.get("Content-Length") is None


def test_head_has_no_body(site):
    with site.client() as client:
        client.get("/h", method="HEAD")
        message = site.message()
        assert message["method"] == "HEAD"
        site.reply(message, "twelve bytes")
        response = client.response(head=True)
        assert response.get("Content-Length") == "12"
        client.get("/next")
        site.reply(site.message(), "next")
        assert client.response().body == b"next"


def test_streamed_answer_arrives_part_by_part(site):
    with site.client() as client:
        client.get("/")
        reply_channel = site.message()["reply_channel"]
        assert site.layer.send(
            reply_channel, {"status": 200, "more_content": True}, "first") == Outcome.OK
        response = client.read_head()
        assert response.get("Transfer-Encoding") == "chunked"
        assert response.get("Content-Length") is None
        assert client.read_chunk() == b"first"
        assert site.layer.send(reply_channel, {"more_content": True}, b"\0second") == Outcome.OK
        assert client.read_chunk() == b"\0second"
        # An empty part must not look like the end.
        assert site.layer.send(reply_channel, {"more_content": True}, "") == Outcome.OK
        assert site.layer.send(reply_channel, {}, "last") == Outcome.OK
        assert client.read_chunk() == b"last"
        assert client.read_chunk() == b""
        client.get("/next")
        site.reply(site.message())
        assert client.response().status == 200


def test_streamed_answer_with_a_known_length(site):
    with site.client() as client:
        client.get("/")
        reply_channel = site.message()["reply_channel"]
        site.layer.send(reply_channel, {"status": 200, "headers": {"Content-Length": "6"},
                                        "more_content": True}, "abc")
        site.layer.send(reply_channel, {}, "def")
        response = client.response()
        assert response.get("Content-Length") == "6" and response.get("Transfer-Encoding") is None
        assert response.body == b"abcdef"


def test_streamed_answer_to_http_1_0(site):
    with site.client() as client:
        client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        reply_channel = site.message()["reply_channel"]
        site.layer.send(reply_channel, {"status": 200, "more_content": True}, "a")
        site.layer.send(reply_channel, {}, "b")
        response = client.response()
        assert response.get("Transfer-Encoding") is None and response.body == b"ab"


def test_large_streamed_answer_waits_for_its_reader(site):
    """32 MB through a window of a few messages, to a client that starts late."""
    part, count = bytes(range(256)) * 1024, 128
    with site.client() as client:
        client.get("/")
        reply_channel = site.message()["reply_channel"]
        full = False
        sent = 0
        while not full:
            outcome = site.layer.send(
                reply_channel, {"status": 200, "more_content": True} if sent == 0
                else {"more_content": True}, part, timeout=0.5)
            full = outcome in (Outcome.TIMEOUT, Outcome.NO_MEMORY)  # the window, or all there is
            assert full or outcome == Outcome.OK
            sent += not full
            assert sent < count - 1, "the sender never saw that nobody reads"
        digest = hashlib.sha256()

        def read():
            client.read_head()
            while chunk := client.read_chunk():
                digest.update(chunk)

        reader = threading.Thread(target=read)
        reader.start()
        while sent < count:
            last = sent == count - 1
            assert site.layer.send(reply_channel, {"more_content": not last}, part,
                                   timeout=TIMEOUT) == Outcome.OK
            sent += 1
        reader.join(TIMEOUT)
        assert digest.digest() == hashlib.sha256(part * count).digest()


# ----------------------------------------------------------------------------------------------
# Bodies larger than a message
# ----------------------------------------------------------------------------------------------


def receive_body(layer, message):
    """The parts that come on a request's body_channel, up to the last."""
    channel = message["body_channel"]
    layer.listen(channel)
    parts = []
    while True:
        part = layer.receive(TIMEOUT)
        assert part and part["channel"] == channel, part
        parts.append(part)
        if not part.get("more_content"):
            break
    layer.ignore(channel)
    return parts


@pytest.mark.parametrize("chunked", [False, True], ids=["Content-Length", "chunked"])
def test_large_body_streams_through_its_channel(site, chunked):
    body = bytes(range(256)) * 4096 * 6
    with site.client() as client:
        def send():
            head = b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Type: application/octet-stream\r\n"
            if not chunked:
                client.send(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
                return
            client.send(head + b"Transfer-Encoding: chunked\r\n\r\n")
            for start in range(0, len(body), 50000):
                piece = body[start:start + 50000]
                client.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            client.send(b"0\r\n\r\n")

        sender = threading.Thread(target=send)
        sender.start()
        message = site.message()
        assert "body" not in message and message["post"] == {}
        parts = receive_body(site.layer, message)
        sender.join(TIMEOUT)
        assert not any(part.get("closed") for part in parts)
        octets = b"".join(part.get("content", b"") for part in parts)
        assert hashlib.sha256(octets).digest() == hashlib.sha256(body).digest()
        site.reply(message, "taken")
        assert client.response().body == b"taken"


def test_client_that_leaves_in_a_body_closes_its_channel(site):
    with site.client() as client:
        client.send(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 600000)
        message = site.message()
        client.close()
        parts = receive_body(site.layer, message)
        assert parts[-1].get("closed") is True
        assert len(b"".join(part.get("content", b"") for part in parts)) <= 600000


def test_client_that_leaves_in_a_small_body_is_not_dispatched(site):
    with site.client() as client:
        client.send(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")
    site.expect_nothing_dispatched()


# ----------------------------------------------------------------------------------------------
# Clients that go, consumers that don't answer
# ----------------------------------------------------------------------------------------------


def test_disconnect_is_announced_and_the_reply_channel_gone(serve):
    server = serve()
    layer = server.layer("http.request", "http.disconnect")
    client = server.client()
    client.get("/")
    request = layer.receive()
    client.close()
    disconnect = layer.receive()
    assert disconnect["channel"] == "http.disconnect"
    assert disconnect.get("reply_channel", request["reply_channel"]) == request["reply_channel"]
    assert set(disconnect) <= {"channel", "reply_channel"}
    assert layer.send(request["reply_channel"], {"status": 200}, "late") == Outcome.GONE


def test_a_crowd_that_leaves_at_once(serve):
    """The consumer, busy with something else meanwhile, is told of each."""
    server = serve()
    layer = server.layer("http.request", "http.disconnect")
    clients = [server.client() for _ in range(200)]
    for client in clients:
        client.get("/")
    requests = {layer.receive()["reply_channel"] for _ in clients}
    for client in clients:
        client.close()

    def counted():
        stat = json.loads(server.forebay("stat", "--json", "--layer", "test", "http.disconnect").stdout)
        return sum(channel["sent"] + channel["full"] for channel in stat["channels"]) == len(clients)

    wait_until(counted, "the disconnects")
    assert {layer.receive()["reply_channel"] for _ in clients} == requests


def test_no_disconnect_after_a_complete_answer(serve):
    server = serve()
    layer = server.layer("http.request", "http.disconnect")
    with server.client() as client:
        client.get("/")
        request = layer.receive()
        layer.send(request["reply_channel"], {"status": 200}, "x")
        client.response()
    with server.client() as client:
        client.get("/next")
        message = layer.receive()
        assert (message["channel"], message.get("path")) == ("http.request", "/next")
        assert layer.send(request["reply_channel"], {}, "more") == Outcome.GONE
        layer.send(message["reply_channel"], {"status": 200})
        assert client.response().status == 200


@pytest.mark.parametrize("status", [503, 504])
def test_consumer_that_does_not_answer(serve, status):
    server = serve("--response-timeout", "100ms", "--timeout-status", status)
    layer = server.layer("http.request")
    with server.client() as client:
        client.get("/")
        message = layer.receive()
        response = client.response()
        assert response.status == status
        assert layer.send(message["reply_channel"], {"status": 200}, "late") == Outcome.GONE

        def answered():
            if response.closes:
                return True
            client.get("/next")  # for which we may be too late as well
            layer.send(layer.receive()["reply_channel"], {"status": 200}, "in time")
            return client.response().body == b"in time"

        wait_until(answered, "an answer in time")


def test_stream_that_stalls_is_cut(serve):
    server = serve("--response-timeout", "100ms")
    layer = server.layer("http.request")

    def begun(client):
        """Whether our part came in time."""
        client.get("/")
        channel = layer.receive()["reply_channel"]
        layer.send(channel, {"status": 200, "more_content": True}, "part")
        return channel if client.read_head().status == 200 else None

    def cut():
        with server.client() as client:
            if not (channel := begun(client)):
                return False
            assert client.read_chunk() == b"part"
            assert client.is_ended(), "the client must be able to tell that the answer is incomplete"
            assert layer.send(channel, {}, "late") == Outcome.GONE
            return True

    wait_until(cut, "a stream that has begun")


def test_a_request_has_its_time_as_a_whole(serve):
    server = serve("--request-timeout", "100ms")
    server.layer("http.request")
    with server.client() as client:
        client.get("/")
        assert client.response().status == 504
    with server.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhalf")
        assert client.response().status == 408
    with server.client() as client:
        client.send(b"GET /")
        assert client.response().status == 408


def test_the_time_of_a_request_is_over_when_its_response_was_not_taken(serve):
    server = serve("--request-timeout", "500ms", "--write-timeout", "1h")
    layer = server.layer("http.request")

    def connections():
        metrics = json.loads(server.forebay("stat", "--json", "--layer", "test").stdout)["metrics"]
        return sum(metric["value"] for metric in metrics if metric["name"] == "forebay_http_connections")

    def cut():
        with server.client(server.socket_path) as client:  # whose buffers are smaller than this response
            client.get("/")
            if layer.send(layer.receive()["reply_channel"], {}, "x" * 1000000) != Outcome.OK:
                return False  # we were too slow
            server.wait_for(lambda: connections() == 0, "the end")
            return len(client.read_to_end()) < 1000000

    server.wait_for(cut, "a response in time")


def test_an_upload_that_finds_no_room_costs_others_nothing(serve):
    """Its piece isn't copied into the layer, to be refused, on each turn of the loop."""
    server = serve()
    layer = server.layer("http.request")

    def refused():
        return json.loads(server.forebay("stat", "--json", "--layer", "test").stdout)["counters"]["full"]

    with server.client() as slow, server.client() as quick:
        slow.send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 2000000)
        message = layer.receive()
        server.wait_for(lambda: refused() == 1, "the full channel")
        for _ in range(100):
            quick.get("/")
            assert layer.send(layer.receive()["reply_channel"], {}, "quick") == Outcome.OK
            assert quick.response().body == b"quick"
        assert refused() == 1
        layer.listen(message["body_channel"])
        for _ in range(24):  # more than fit
            assert layer.receive()["content"]


def test_full_channel_is_503_with_retry_after(serve):
    server = serve("--capacity", "http.request=2", "--retry-after", "7")
    clients = [server.client() for _ in range(3)]
    answers = []
    layer = server.layer()
    for client in clients[:2]:
        client.get("/queued")
    # Which of them are queued is known when the third is refused: try until that has come about.
    while not answers:
        with server.client() as client:
            client.get("/refused")
            client.socket.settimeout(1)
            try:
                answers.append(client.response())
            except TimeoutError:
                pass
    assert answers[0].status == 503 and answers[0].get("Retry-After") == "7"
    layer.listen("http.request")
    layer.flush("http.request")
    clients[2].get("/room")
    while (message := layer.receive())["path"] != "/room":
        layer.send(message["reply_channel"], {"status": 200})
    layer.send(message["reply_channel"], {"status": 200}, "room")
    assert clients[2].response().body == b"room"
    for client in clients:
        client.close()


# ----------------------------------------------------------------------------------------------
# Real clients and the demo consumer
# ----------------------------------------------------------------------------------------------


def curl(*arguments, **options):
    return subprocess.run(["curl", "--silent", "--show-error", "--max-time", str(int(TIMEOUT)),
                           *arguments], capture_output=True, check=True, **options).stdout


def test_curl_hello(demo):
    head, _, body = curl("--include", demo.url("/hello")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n") and body == b"Hello, world!"
    assert b"text/plain" in head


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_curl_hello_by_any_method(demo, method):
    assert curl("--request", method, "--data", "x=y", demo.url("/hello")) == b"Hello, world!"


def test_curl_head(demo):
    assert b"200 OK" in curl("--head", demo.url("/hello"))


def test_curl_http_1_0(demo):
    assert curl("--http1.0", demo.url("/hello")) == b"Hello, world!"


def test_curl_unix_socket(demo):
    assert curl("--unix-socket", str(demo.socket_path), "http://a/hello") == b"Hello, world!"


def test_curl_echo_gives_the_message(demo):
    message = json.loads(curl("--data", "a=1&a=2", "--cookie", "k=v", demo.url("/echo?q=%C3%A9")))
    assert message["method"] == "POST" and message["path"] == "/echo"
    assert message["get"] == {"q": ["\u00e9"]} and message["post"] == {"a": ["1", "2"]}
    assert message["cookies"] == {"k": "v"}


def test_curl_multipart_echo(demo):
    message = json.loads(curl("--form", "a=1", "--form", "b=x y", demo.url("/echo")))
    assert message["post"] == {"a": ["1"], "b": ["x y"]}


@pytest.mark.parametrize("size", [0, 1, 1000, 300_000, 20_000_000])
def test_curl_upload(demo, size):
    data = bytes(size)
    answer = curl("--header", "Content-Type: application/octet-stream", "--data-binary", "@-",
                  demo.url("/upload"), input=data).decode()
    assert str(size) in answer and hashlib.sha256(data).hexdigest() in answer


def test_curl_chunked_upload(demo):
    data = b"0123456789abcdef" * 100_000
    answer = curl("--header", "Transfer-Encoding: chunked", "--upload-file", "-",
                  demo.url("/upload"), input=data).decode()
    assert hashlib.sha256(data).hexdigest() in answer


def test_curl_stream(demo):
    head, _, body = curl("--include", "--no-buffer", demo.url("/stream")).partition(b"\r\n\r\n")
    assert b"chunked" in head.lower() and body


def test_page_shows_the_request(demo):
    page = curl("--header", "X-Shown: it is", demo.url("/")).decode()
    assert "<html" in page.lower() and "X_SHOWN" in page


def test_unknown_path(demo):
    assert b" 404 " in curl("--include", demo.url("/nowhere")).splitlines()[0]


def test_python_client_keeps_its_connection(demo):
    connection = http.client.HTTPConnection(*demo.address, timeout=TIMEOUT)
    ports = set()
    for number in range(50):
        connection.request("POST", "/hello", body=b"x" * number)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"Hello, world!")
        ports.add(connection.sock.getsockname())
    connection.close()
    assert len(ports) == 1


def test_many_clients_at_once(demo):
    clients = [Client(demo.address, TIMEOUT) for _ in range(200)]
    for client in clients:
        client.get("/hello")
    assert [client.response().body for client in clients] == [b"Hello, world!"] * len(clients)
    for client in clients:
        client.close()


def test_a_consumer_ends_the_connection(site):
    with site.client() as client:
        client.get("/last")
        client.get("/behind")
        site.reply(site.message(), "bye", headers={"Connection": "close"})
        response = client.response()
        assert response.closes and response.body == b"bye"
        assert client.is_ended()
    site.expect_nothing_dispatched()
