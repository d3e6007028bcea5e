# SPDX-License-Identifier: MIT
"""WebSockets from the handshake to the close, with raw frames and with a real client."""

import asyncio
import contextlib
import json
import os
import re
import resource
import signal
import threading
import zlib

import pytest

from certificates import Certificate
from conftest import DEMO, SANITIZED, TIMEOUT, Server, frozen, shared
from forebay_client import Outcome
from tls_client import TlsClient, client_context
from websocket_raw import (BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, WebSocket, close_frame,
                           frame, request)

CHANNELS = ("websocket.connect", "websocket.receive", "websocket.disconnect")


class SecureWebSocket(WebSocket, TlsClient):
    pass


class Site:
    """A server whose consumer is the test itself."""

    def __init__(self, server):
        self.server = server
        self.layer = self.server.layer(*CHANNELS)
        self.connected = set()  # reply channels whose disconnect hasn't come
        self.waiting = []  # events that came before one of another channel was asked for

    def client(self):
        return WebSocket(self.server.address, TIMEOUT)

    def event(self, channel, timeout=TIMEOUT):
        """The next event of CHANNEL. Between channels there is no order but that of `order`."""
        for message in self.waiting:
            if message["channel"] == "websocket." + channel:
                self.waiting.remove(message)
                return message
        message = self.layer.receive(timeout)
        assert message, f"no {channel} came\n{self.server.log}"
        self.count(message)
        if message["channel"] == "websocket." + channel:
            return message
        self.waiting.append(message)
        return self.event(channel, timeout)

    def count(self, message):
        """There is one disconnect for each connect."""
        if message["channel"] == "websocket.connect":
            self.connected.add(message["reply_channel"])
        elif message["channel"] == "websocket.disconnect":
            self.connected.remove(message["reply_channel"])

    def settle(self):
        """Waits for the end of every connection that was opened."""
        self.waiting.clear()
        while self.connected:
            message = self.layer.receive(TIMEOUT)
            assert message, f"no disconnect came for {self.connected}"
            self.count(message)

    def open(self, client, *fields, **keywords):
        """Opens a WebSocket. Returns its reply channel."""
        client.open(*fields, **keywords)
        return self.event("connect")["reply_channel"]

    def send(self, reply_channel, content=None, **keys):
        return self.layer.send(reply_channel, keys, content)

    def expect_silence(self):
        """No other event came: the next one is that of a new connection."""
        with self.client() as client:
            name = self.open(client)
            client.send(close_frame(1000))
            assert self.event("disconnect")["reply_channel"] == name
            client.closed_with()
        assert not self.waiting


@contextlib.contextmanager
def open_site(*options):
    with Server(*options) as server:
        yield Site(server)


@contextlib.contextmanager
def lend(module_site, request):
    with module_site.lend(request) as site:
        yield site
        if not request.node.failed:
            site.settle()


module_site = shared(open_site)


@pytest.fixture
def site(module_site, request):
    with lend(module_site, request) as site:
        yield site


@pytest.fixture
def make_site(serve):
    return lambda *options, **keywords: Site(serve(*options, **keywords))


# --- Handshake -----------------------------------------------------------------------------------

def test_connect_has_all_that_a_request_has_but_post_and_method(site):
    with site.client() as client:
        client.open(b"Cookie: a=1; b=2", b"Origin: http://test", path=b"/chat/%C3%A9?x=1&x=2")
        message = site.event("connect")
        assert message["path"] == "/chat/é"
        assert message["get"] == {"x": ["1", "2"]}
        assert message["cookies"] == {"a": "1", "b": "2"}
        assert message["order"] == 0
        assert message["meta"]["HTTP_ORIGIN"] == "http://test"
        assert message["meta"]["QUERY_STRING"] == "x=1&x=2"
        assert message["meta"]["REMOTE_ADDR"] == "127.0.0.1"
        assert message["reply_channel"].startswith("websocket.send!")
        assert not {"post", "method", "body"} & set(message)


BAD_HANDSHAKES = [
    ("no key", request(without=(b"Sec-WebSocket-Key",)), 400),
    ("two keys", request(b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), 400),
    *[(f"key {key!r}", request(b"Sec-WebSocket-Key: " + key, without=(b"Sec-WebSocket-Key",)), 400)
      for key in (b"", b"x", b"dGhlIHNhbXBsZSBub25jZQ=", b"dGhlIHNhbXBsZSBub25jZR==",
                  b"dGhlIHNhbXBsZSBub25j ZQ==", b"dGhlIHNhbXBsZSBub25jZQ===",
                  b"dGhlIHNhbXBsZSBub25jZ\xe9==")],
    ("no version", request(without=(b"Sec-WebSocket-Version",)), 400),
    ("two versions", request(b"Sec-WebSocket-Version: 13"), 400),
    *[(f"version {version!r}",
       request(b"Sec-WebSocket-Version: " + version, without=(b"Sec-WebSocket-Version",)), 426)
      for version in (b"8", b"12", b"14", b"0", b"113", b"13, 8", b"")],
    ("no Upgrade", request(without=(b"Upgrade",)), 400),
    ("Upgrade to something else", request(b"Upgrade: h2c", without=(b"Upgrade",)), 400),
    ("no upgrade in Connection", request(without=(b"Connection",)), 400),
    ("Connection says something else", request(b"Connection: close", without=(b"Connection",)), 400),
    ("POST", request(line=b"POST /ws HTTP/1.1"), 400),
    ("HEAD", request(line=b"HEAD /ws HTTP/1.1"), 400),
    ("HTTP/1.0", request(line=b"GET /ws HTTP/1.0"), 400),
    ("a body", request(b"Content-Length: 5") + b"hello", 400),
    ("a chunked body", request(b"Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
    ("no Host", request(without=(b"Host",)), 400),
    ("a bad path", request(line=b"GET /%zz HTTP/1.1"), 400),
]


@pytest.mark.parametrize("octets,status", [pytest.param(*rest, id=name)
                                           for name, *rest in BAD_HANDSHAKES])
def test_bad_handshakes_are_refused_and_nobody_hears_of_them(site, octets, status):
    with site.client() as client:
        client.send(octets + request())
        response = client.response(head=octets.startswith(b"HEAD"))
        assert response.status == status
        assert "close" in response.get("Connection")
        if status == 426:
            assert response.get("Sec-WebSocket-Version") == "13"
            assert response.get("Upgrade") == "websocket"
        assert client.is_ended()
    site.expect_silence()


def test_tokens_of_upgrade_and_connection_are_found_among_others_in_any_case(site):
    with site.client() as client:
        client.send(request(b"Upgrade: h2c, WebSocket", b"connection: keep-alive, UPGRADE",
                            without=(b"Upgrade", b"Connection")))
        client.finish_open()
        site.event("connect")


def test_frames_that_come_with_the_handshake_are_not_lost(site):
    with site.client() as client:
        client.open(early=frame(TEXT, "first") + frame(PING, b"!") + frame(TEXT, "second")[:4])
        site.event("connect")
        assert site.event("receive")["content"] == "first"
        got = client.read_frame()
        assert (got.opcode, got.payload) == (PONG, b"!")
        client.send(frame(TEXT, "second")[4:])
        assert site.event("receive")["content"] == "second"


def test_a_websocket_on_a_connection_that_served_http_before(site):
    layer = site.server.layer("http.request")
    with site.client() as client:
        client.get("/")
        layer.send(layer.receive(TIMEOUT)["reply_channel"], {"status": 200}, "hello")
        assert client.response().body == b"hello"
        name = site.open(client)
        site.send(name, "hello")
        assert client.message() == "hello"
    layer.ignore("http.request")


@pytest.mark.parametrize("origin,status", [
    (b"https://good.example", 101), (b"http://good.example", 403), (b"https://evil.example", 403),
    (b"https://good.example.evil", 403), (b"null", 403), (None, 403), (b"http://test", 101),
    (b"https://test:80", 403), (b"http://test.evil", 403)])
def test_only_origins_on_the_list_may_connect(make_site, origin, status):
    site = make_site("--websocket-origin", "https://good.example", "--websocket-origin", "same")
    with site.client() as client:
        client.send(request(*([b"Origin: " + origin] if origin else [])))
        if status == 101:
            client.finish_open()
            site.event("connect")
        else:
            assert client.response().status == 403
            assert client.is_ended()


def test_no_room_for_websocket_connect_is_a_503(make_site):
    site = make_site("--capacity", "websocket.connect=1")
    site.layer.ignore("websocket.connect")
    with site.client() as first, site.client() as second:
        first.open()
        second.send(request())
        response = second.response()
        assert response.status == 503 and response.get("Retry-After")
        site.layer.listen("websocket.connect")
        name = site.event("connect")["reply_channel"]
        first.close()
        assert site.event("disconnect")["reply_channel"] == name


# --- The consumer decides ------------------------------------------------------------------------

module_waiting_site = shared(lambda: open_site("--websocket-accept", "wait"))


@pytest.fixture
def waiting_site(module_waiting_site, request):
    with lend(module_waiting_site, request) as site:
        yield site


def ask(site, client, *fields, early=b""):
    client.send(request(*fields) + early)
    return site.event("connect")["reply_channel"]


def test_accepted_by_the_consumer_with_subprotocol_and_headers(waiting_site):
    with waiting_site.client() as client:
        name = ask(waiting_site, client, b"Sec-WebSocket-Protocol: a, chat.v2",
                   b"Sec-WebSocket-Protocol: z", early=frame(TEXT, "early"))
        waiting_site.send(name, accept=True, subprotocol="chat.v2",
                          headers={"X-Answer": "42", "Upgrade": "x", "Sec-WebSocket-Accept": "y"})
        response = client.finish_open()
        assert response.get("Sec-WebSocket-Protocol") == "chat.v2"
        assert response.get("X-Answer") == "42"
        assert waiting_site.event("receive")["content"] == "early"
        client.send(close_frame(1000))
        assert waiting_site.event("disconnect")["code"] == 1000


def test_accepted_by_sending_something(waiting_site):
    with waiting_site.client() as client:
        name = ask(waiting_site, client)
        waiting_site.send(name, "welcome")
        client.finish_open()
        assert client.message() == "welcome"
        client.close()
        assert waiting_site.event("disconnect")["code"] == 1006


@pytest.mark.parametrize("keys", [{"accept": False}, {"close": True}])
def test_refused_by_the_consumer(waiting_site, keys):
    with waiting_site.client() as client:
        name = ask(waiting_site, client)
        waiting_site.send(name, **keys)
        assert client.response().status == 403
        assert client.is_ended()
        message = waiting_site.event("disconnect")
        assert (message["reply_channel"], message["code"]) == (name, 1006)


def test_answered_by_the_consumer_like_any_request(waiting_site):
    with waiting_site.client() as client:
        name = ask(waiting_site, client)
        waiting_site.send(name, "log in ", status=401, more_content=True,
                          headers={"WWW-Authenticate": "Basic"})
        waiting_site.send(name, "first")
        response = client.response()
        assert (response.status, response.body) == (401, b"log in first")
        assert response.get("WWW-Authenticate") == "Basic"
        assert waiting_site.event("disconnect")["reply_channel"] == name


def test_a_subprotocol_that_the_client_did_not_offer_is_a_500(waiting_site):
    with waiting_site.client() as client:
        name = ask(waiting_site, client, b"Sec-WebSocket-Protocol: chat.v2")
        waiting_site.send(name, accept=True, subprotocol="chat")
        assert client.response().status == 500
        assert waiting_site.event("disconnect")["reply_channel"] == name


@pytest.mark.parametrize("headers", [{"X": "a\r\nb"}, {"X Y": "a"}, {"X": "\x00"}, {"X": 1}])
def test_a_header_that_is_none_is_a_500(waiting_site, headers):
    with waiting_site.client() as client:
        name = ask(waiting_site, client)
        waiting_site.send(name, accept=True, headers=headers)
        assert client.response().status == 500
        assert waiting_site.event("disconnect")["reply_channel"] == name


@pytest.mark.parametrize("keys", [{"accept": 1}, {"accept": True, "receive_channel": "a!b"},
                                  {"close": True, "code": 1005}, {"accept": False, "reason": "x" * 124}])
def test_a_malformed_verdict_is_a_500(waiting_site, keys):
    """At once, as a malformed response of HTTP is: the client doesn't have to wait for its time to be up."""
    with waiting_site.client() as client:
        name = ask(waiting_site, client)
        waiting_site.send(name, **keys)
        assert client.response().status == 500
        assert waiting_site.event("disconnect")["reply_channel"] == name


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("accept", [True, False])
def test_receive_channel_before_the_verdict_and_with_it(waiting_site, accept, at_once):
    own = waiting_site.server.layer("my.own")
    with waiting_site.client() as client:
        name = ask(waiting_site, client)
        if not at_once:
            waiting_site.send(name, receive_channel="my.own")
        waiting_site.send(name, accept=accept, **({"receive_channel": "my.own"} if at_once else {}))
        if accept:
            client.finish_open()
            client.send(frame(TEXT, "hello") + close_frame(1000))
            assert own.receive(TIMEOUT)["content"] == "hello"
        else:
            assert client.response().status == 403
        assert own.receive(TIMEOUT)["code"] == (1000 if accept else 1006)
    own.ignore("my.own")
    waiting_site.connected.remove(name)


def test_a_client_that_leaves_before_the_verdict(waiting_site):
    with waiting_site.client() as client:
        name = ask(waiting_site, client)
        client.reset()
    assert waiting_site.event("disconnect")["reply_channel"] == name
    assert waiting_site.send(name, accept=True) == Outcome.GONE


def test_no_verdict_in_time_is_a_504(make_site):
    site = make_site("--websocket-accept", "wait", "--response-timeout", "100ms")
    with site.client() as client:
        name = ask(site, client)
        assert client.response().status == 504
        assert site.event("disconnect")["reply_channel"] == name


# --- From the client -----------------------------------------------------------------------------

@pytest.mark.parametrize("content", ["", "héllo", b"", b"\0\xff", "x" * 125, "x" * 126, b"y" * 65535,
                                     b"y" * 65536, "€" * 100000, b"z" * 700000],
                         ids=lambda content: f"{type(content).__name__}-{len(content)}")
def test_messages_both_ways(site, content):
    with site.client() as client:
        name = site.open(client)
        client.send(frame(TEXT if isinstance(content, str) else BINARY, content))
        message = site.event("receive")
        assert message["content"] == content
        assert (message["reply_channel"], message["order"]) == (name, 1)
        site.send(name, content)
        assert client.message() == content


def test_fragments_make_one_message_and_control_frames_may_come_between(site):
    with site.client() as client:
        site.open(client)
        euro = "€".encode()
        client.send(frame(TEXT, euro[:1], fin=False) + frame(PING, b"1")
                    + frame(CONTINUATION, b"", fin=False) + frame(CONTINUATION, euro[1:], fin=False)
                    + frame(PONG) + frame(CONTINUATION, b""))
        assert site.event("receive")["content"] == "€"
        assert client.read_frame().payload == b"1"


def test_every_ping_is_answered_in_order(site):
    with site.client() as client:
        site.open(client)
        payloads = [bytes([i]) * (i * 25 % 126) for i in range(10)]
        client.send(b"".join(frame(PING, payload) for payload in payloads))
        for payload in payloads:
            got = client.read_frame()
            assert (got.opcode, got.payload) == (PONG, payload)


def test_cut_at_every_octet(site):
    octets = (frame(TEXT, "a€b", fin=False) + frame(PING, b"ping") + frame(CONTINUATION, "c")
              + frame(BINARY, b"x" * 200) + close_frame(3000, b"bye"))
    for cut in range(1, len(octets)):
        with site.client() as client:
            site.open(client)
            client.send(octets[:cut])
            client.send(octets[cut:])
            assert site.event("receive")["content"] == "a€bc"
            assert site.event("receive")["content"] == b"x" * 200
            message = site.event("disconnect")
            assert (message["code"], message["reason"], message["order"]) == (3000, "bye", 3)
            assert client.read_frame().payload == b"ping"
            assert client.closed_with() == 3000


OPENING = frame(TEXT, "a", fin=False)
VIOLATIONS = [
    ("unmasked", frame(TEXT, "x", mask=None), 1002),
    ("unmasked, empty", frame(TEXT, mask=None), 1002),
    ("unmasked ping", frame(PING, mask=None), 1002),
    *[(f"RSV {rsv}", frame(TEXT, "x", rsv=rsv), 1002) for rsv in (1, 2, 4, 7)],
    ("RSV in a ping", frame(PING, rsv=4), 1002),
    ("RSV in a continuation", OPENING + frame(CONTINUATION, rsv=4), 1002),
    *[(f"opcode {opcode}", frame(opcode), 1002) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)],
    ("long ping", frame(PING, b"x" * 126), 1002),
    ("long close", frame(CLOSE, b"\x03\xe8" + b"x" * 124), 1002),
    ("ping with a 16-bit length", frame(PING, b"x", size=2), 1002),
    ("fragmented ping", frame(PING, fin=False), 1002),
    ("fragmented close", frame(CLOSE, fin=False), 1002),
    ("stray continuation", frame(CONTINUATION, "x"), 1002),
    ("stray continuation after a message", frame(TEXT, "x") + frame(CONTINUATION, "x"), 1002),
    ("new text in a message", OPENING + frame(TEXT, "x"), 1002),
    ("new binary in a message", OPENING + frame(BINARY, "x"), 1002),
    ("length with the top bit", frame(BINARY, length=1 << 63, size=8), 1002),
    ("length 125 in 16 bits", frame(BINARY, b"x" * 125, size=2), 1002),
    ("length 65535 in 64 bits", frame(BINARY, b"x" * 65535, size=8), 1002),
    *[(f"bad UTF-8 {bad!r}", frame(TEXT, bad), 1007)
      for bad in (b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82")],
    ("UTF-8 cut at the end of fragments", frame(TEXT, b"\xe2", fin=False)
     + frame(CONTINUATION, b"\x82"), 1007),
    ("bad UTF-8 at once, in a message that goes on", frame(TEXT, b"\xed\xa0", fin=False), 1007),
    ("bad UTF-8 at once, in a frame that goes on", frame(TEXT, b"\xff", length=1000, size=2), 1007),
    ("bad UTF-8 in a close reason", close_frame(1000, b"\xff"), 1007),
    ("too large", frame(BINARY, length=(1 << 20) + 1, size=8), 1009),
    ("too large in fragments", frame(BINARY, b"x" * 65536, fin=False)
     + frame(CONTINUATION, length=1 << 20, size=8), 1009),
    ("too large when encoded", frame(BINARY, b"x" * 800000), 1009),
    ("too many fragments", frame(TEXT, fin=False) + frame(CONTINUATION, fin=False) * 131072, 1009),
    ("half a close code", frame(CLOSE, b"\x03"), 1002),
    *[(f"close code {code}", close_frame(code), 1002)
      for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535)],
]


@pytest.mark.parametrize("octets,code", [pytest.param(*rest, id=name)
                                         for name, *rest in VIOLATIONS])
def test_violations(site, octets, code):
    with site.client() as client:
        name = site.open(client)
        client.send_quietly(octets + frame(TEXT, "never seen"))
        message = site.event("disconnect")
        for other in site.waiting:
            assert (other["channel"], other["content"]) == ("websocket.receive", "x"), other
        assert (message["reply_channel"], message["code"]) == (name, code)
        assert client.closed_with() == code
        assert site.send(name, "late") == Outcome.GONE


@pytest.mark.parametrize("octets,code", [pytest.param(*rest, id=name)
                                         for name, *rest in VIOLATIONS if len(rest[0]) < 300])
def test_violations_octet_by_octet(site, octets, code):
    with site.client() as client:
        site.open(client)
        for i in range(len(octets)):
            client.send_quietly(octets[i:i + 1])
        assert client.closed_with() == code


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013,
                                  1014, 3000, 3999, 4000, 4999, None])
def test_a_close_is_answered_with_the_same_code(site, code):
    with site.client() as client:
        name = site.open(client)
        client.send(close_frame(code, b"" if code is None else "bis später".encode()))
        message = site.event("disconnect")
        assert message["reply_channel"] == name
        assert message["code"] == (code or 1005)
        assert message["reason"] == ("bis später" if code else "")
        assert client.closed_with() == code


def test_nothing_behind_a_close_is_seen(site):
    with site.client() as client:
        site.open(client)
        client.send(close_frame(1000) + frame(TEXT, "x") + frame(PING) + close_frame(1001))
        assert site.event("disconnect")["code"] == 1000
        assert client.closed_with() == 1000
    site.expect_silence()


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_connection_that_ends_without_a_close_is_1006(site, how):
    with site.client() as client:
        name = site.open(client)
        client.send(frame(TEXT, "half")[:7])
        getattr(client, how)()
    message = site.event("disconnect")
    assert (message["reply_channel"], message["code"], message["order"]) == (name, 1006, 1)


# --- To the client -------------------------------------------------------------------------------

def test_content_goes_before_the_close(site):
    with site.client() as client:
        name = site.open(client)
        site.send(name, "last words", close=True, code=4001, reason="enough")
        assert client.message() == "last words"
        got = client.read_frame()
        assert (got.code, got.reason) == (4001, "enough")
        client.send(frame(TEXT, "not seen any more") + close_frame(4001))
        message = site.event("disconnect")
        assert (message["code"], message["reason"]) == (4001, "enough")
        assert client.is_ended()
        assert site.send(name, "late") == Outcome.GONE
    site.expect_silence()


def test_a_close_without_a_code_is_1000(site):
    with site.client() as client:
        name = site.open(client)
        site.send(name, close=True)
        assert client.read_frame().code == 1000
        client.send(close_frame(1000))
        assert client.is_ended()
        assert site.event("disconnect")["code"] == 1000


def test_a_close_that_the_client_does_not_answer(make_site):
    site = make_site("--websocket-close-timeout", "100ms")
    with site.client() as client:
        name = site.open(client)
        site.send(name, close=True)
        assert client.closed_with() == 1000


def test_order_is_kept(site):
    with site.client() as client:
        name = site.open(client)
        client.send(b"".join(frame(TEXT, str(i)) for i in range(500)))
        for i in range(500):
            message = site.event("receive")
            assert (message["content"], message["order"]) == (str(i), i + 1)
            site.send(name, message["content"])
        for i in range(500):
            assert client.message() == str(i)


@pytest.mark.parametrize("keys", [{"close": 1}, {"code": 1005, "close": True}, {"code": "1000"},
                                  {"reason": 1}, {"reason": "x" * 124}, {"receive_channel": 3},
                                  {"receive_channel": "no\tgood"}, {"binary": "yes"},
                                  {"code": 999}])
def test_malformed_messages_are_dropped_and_logged(site, keys):
    with site.client() as client:
        name = site.open(client)
        assert site.send(name, "not sent", **keys) == 0
        site.send(name, "sent")
        assert client.message() == "sent"
    site.event("disconnect")
    site.server.wait_for_log("malformed message on websocket.send!")


def test_content_in_the_envelope_is_content_too(site):
    with site.client() as client:
        name = site.open(client)
        site.layer.send(name, b'{"content": "written by hand"}')
        assert client.message() == "written by hand"


def test_receive_channel_moves_what_follows(site):
    own = site.server.layer("my.own")
    with site.client() as client:
        name = site.open(client)
        site.send(name, "moved", receive_channel="my.own")
        assert client.message() == "moved"
        client.send(frame(TEXT, "hello"))
        message = own.receive(TIMEOUT)
        assert (message["content"], message["order"]) == ("hello", 1)
        client.send(close_frame(1000))
        message = own.receive(TIMEOUT)
        assert (message["reply_channel"], message["code"], message["order"]) == (name, 1000, 2)
    site.connected.remove(name)


# --- Groups --------------------------------------------------------------------------------------

def group(site, *arguments, **options):
    result = site.server.forebay("group", *arguments, "--layer", "test", **options)
    assert result.returncode == 0, result.stderr
    return result.stdout.decode()


def test_a_message_to_a_group_reaches_each_member_once(make_site):
    site = make_site(workers=2)
    clients = [site.client() for _ in range(20)]
    names = [site.open(client) for client in clients]
    for name in names[:-1]:
        group(site, "add", "room", name)
    group(site, "send", "room", '{"content": "to all"}')
    for client, name in zip(clients, names):
        site.send(name, "to you")
        if client is not clients[-1]:
            assert client.message() == "to all"
        assert client.message() == "to you"
    group(site, "send", "room", '{"content": "bye", "close": true, "code": 4000}')
    for client in clients[:-1]:
        assert client.message() == "bye"
        assert client.read_frame().code == 4000
    assert {site.event("disconnect")["reply_channel"] for _ in names[:-1]} == set(names[:-1])
    for client in clients:
        client.close()
    site.settle()


def test_a_member_that_does_not_read_is_skipped_and_the_others_are_not(make_site):
    site = make_site()
    content = "x" * 200000
    with site.client() as slow, site.client() as quick:
        names = [site.open(slow), site.open(quick)]
        for name in names:
            group(site, "add", "room", name)
        for i in range(60):
            group(site, "send", "room", "-", input=f'{{"content": "{i} {content}"}}'.encode())
            assert quick.message() == f"{i} {content}"
        # What waits for the slow one is bounded, so it can't have been given all of it.
        site.send(names[0], "end")
        seen = []
        while (message := slow.message()) != "end":
            seen.append(int(message.split()[0]))
        assert seen == sorted(set(seen)) and len(seen) < 60, seen


def test_what_a_member_gets_in_one_turn_is_bounded_too(make_site):
    """Behind an answer, all of a turn is written together: what the socket takes of it is only known then."""
    site = make_site()
    content = "x" * 60000
    with WebSocket(site.server.socket_path, TIMEOUT) as client:  # which takes some 200 KB
        name = site.open(client)
        group(site, "add", "room", name)
        with frozen(*site.server.workers):
            site.send(name, "answer")
            for _ in range(30):
                group(site, "send", "room", "-", input=f'{{"content": "{content}"}}'.encode())
            site.send(name, "end")
        # Two turns of the loop later it is all written or dropped.
        with site.client() as other:
            site.open(other)
            other.send(frame(PING, "turn"))
            assert other.read_frame().payload == b"turn"
        assert client.message() == "answer"
        count = 0
        while (message := client.message()) != "end":
            assert message == content
            count += 1
        assert count == (1 << 20) // (len(content) + 4)


# --- Room ----------------------------------------------------------------------------------------

def test_no_room_stops_the_reading_and_nothing_is_lost(make_site):
    site = make_site("--capacity", "websocket.receive=4")
    count = 300
    with site.client() as client:
        site.open(client)
        client.send(b"".join(frame(TEXT, str(i)) for i in range(count)) + close_frame(1000))
        for i in range(count):
            assert site.event("receive")["content"] == str(i)
        assert site.event("disconnect")["order"] == count + 1
        assert client.closed_with() == 1000


def test_no_room_for_too_long_is_1013(make_site):
    site = make_site("--capacity", "websocket.receive=1", "--websocket-full-timeout", "100ms")
    site.layer.ignore("websocket.receive")
    with site.client() as client:
        name = site.open(client)
        client.send(frame(TEXT, "waits") + frame(TEXT, "is dropped"))
        assert client.closed_with() == 1013
        message = site.event("disconnect")
        assert (message["reply_channel"], message["code"]) == (name, 1013)
    site.server.wait_for_log("was dropped: no room")


@pytest.fixture
def site_with_room_for_one(make_site):
    site = make_site("--capacity", "websocket.receive=1", "--capacity", "mine*=1",
                     "--websocket-full-timeout", "1h", "--expiry", "1h")
    site.layer.ignore("websocket.receive")
    return site


def wait_for_blocked(site, count):
    """Until so many messages had to wait for room."""
    blocked = rf"(?m)^ *{count} +forebay_websocket_messages_blocked_total"
    site.server.wait_for(
        lambda: re.search(blocked, site.server.forebay("stat", "--layer", "test").stdout.decode()),
        "a message that waits")


def test_a_message_that_waits_is_refused_once(site_with_room_for_one):
    site = site_with_room_for_one

    def refused():
        stat = site.server.forebay("stat", "--json", "--layer", "test").stdout
        return json.loads(stat)["counters"]["full"]

    with site.client() as client, site.client() as other:
        site.open(client)
        site.open(other)
        client.send(frame(TEXT, "fits") + frame(TEXT, "waits"))
        wait_for_blocked(site, 1)
        for _ in range(20):  # turns of the loop, in each of which it is tried again
            other.send(frame(PING, "turn"))
            assert other.read_frame().payload == b"turn"
        assert refused() == 1
        site.layer.listen("websocket.receive")
        assert [site.event("receive")["content"] for _ in range(2)] == ["fits", "waits"]
        assert refused() == 1


def test_why_a_message_that_waited_is_dropped(site_with_room_for_one):
    """The channel that the consumer has chosen ends: that isn't for want of room."""
    site = site_with_room_for_one
    own = site.server.layer()
    with site.client() as client:
        name = site.open(client)
        stream = own.stream_open("mine")
        site.send(name, "moved", receive_channel=stream)
        assert client.message() == "moved"
        client.send(frame(TEXT, "fits") + frame(TEXT, "waits"))
        wait_for_blocked(site, 1)
        own.stream_close(stream)
        assert client.closed_with() == 1011
    message = site.event("disconnect")
    assert (message["reply_channel"], message["code"]) == (name, 1011)
    site.server.wait_for_log("WebSocket closed with 1011 to 127.0.0.1: the receiver is gone")
    assert "no room" not in site.server.log


def test_a_client_that_breaks_off_while_there_is_no_room_for_its_message(make_site):
    site = make_site("--capacity", "websocket.receive=1", "--websocket-full-timeout", "1h", "--expiry", "1h")
    site.layer.ignore("websocket.receive")
    with site.client() as client:
        name = site.open(client)
        client.send(frame(TEXT, "waits") + frame(TEXT, "is dropped"))
        wait_for_blocked(site, 1)
        client.reset()
    message = site.event("disconnect")
    assert (message["reply_channel"], message["code"]) == (name, 1006)


def test_a_client_that_leaves_while_there_is_no_room_for_its_message(make_site):
    """What came before its end comes through, over a unix socket too, as from a proxy."""
    site = make_site("--capacity", "websocket.receive=1", "--websocket-full-timeout", "1h", "--expiry", "1h")
    site.layer.ignore("websocket.receive")
    texts = ["waits", "waits too", "is the last"]
    with WebSocket(site.server.socket_path, TIMEOUT) as client, site.client() as other:
        name = site.open(client)
        client.send(b"".join(frame(TEXT, text) for text in texts) + close_frame(1000))
        wait_for_blocked(site, 1)
        client.close()
        # When it has been noticed that another is gone, this one has been looked at as well.
        gone = site.open(other)
        other.send(frame(TEXT, "is dropped"))
        wait_for_blocked(site, 2)
        other.reset()
    message = site.event("disconnect")
    assert (message["reply_channel"], message["code"]) == (gone, 1006)
    site.layer.listen("websocket.receive")
    for text in texts:
        message = site.event("receive")
        assert (message["reply_channel"], message["content"]) == (name, text)
    message = site.event("disconnect")
    assert (message["reply_channel"], message["code"]) == (name, 1000)


def test_no_room_for_a_disconnect_only_delays_it(make_site):
    site = make_site("--capacity", "websocket.disconnect=2")
    site.layer.ignore("websocket.disconnect")
    clients = [site.client() for _ in range(20)]
    names = [site.open(client) for client in clients]
    for client in clients:
        client.send(close_frame(1000))
        client.closed_with()
        client.close()
    site.layer.listen("websocket.disconnect")
    assert sorted(site.event("disconnect")["reply_channel"] for _ in names) == sorted(names)
    assert site.layer.receive(0.2) is None


def test_a_reader_that_does_not_read_stops_its_sender_and_nobody_else(site):
    with site.client() as slow, site.client() as other:
        name, other_name = site.open(slow), site.open(other)
        sent = 0
        while site.layer.send(name, {}, b"x" * 60000, timeout=0.2) == Outcome.OK:
            sent += 1
            site.send(other_name, "quick")
            assert other.message() == "quick"
            assert sent < 1000, "no bound"
        for _ in range(sent):
            assert slow.message() == b"x" * 60000
        assert site.layer.send(name, {}, "more") == Outcome.OK
        assert slow.message() == "more"


@pytest.mark.parametrize("how,code", [("1008", 1008), ("1013", 1013), ("drop", 1006)])
def test_a_reader_that_does_not_read_for_too_long(make_site, how, code):
    site = make_site("--websocket-slow-timeout", "100ms", "--websocket-slow", how)
    with site.client() as client:
        name = site.open(client)
        while site.layer.send(name, {}, b"x" * 60000) == Outcome.OK:
            pass  # until it is gone
        message = site.event("disconnect")
        assert (message["reply_channel"], message["code"]) == (name, code)


def test_pongs_that_are_not_read_stop_the_reading(site):
    """A client that only sends pings gets no more memory than any other."""
    with site.client() as client:
        site.open(client)
        client.socket.settimeout(0.5)
        sent, pings = 0, frame(PING, b"x" * 125) * 1000
        try:
            for _ in range(1000):
                client.socket.sendall(pings)
                sent += len(pings)
        except TimeoutError:
            pass
        assert sent < 1000 * len(pings), "the server reads on and on"


# --- Time ----------------------------------------------------------------------------------------

def answer_pings(client, stopping):
    with contextlib.suppress(AssertionError, OSError):  # cut
        while not stopping.is_set():
            assert client.read_frame().opcode == PING
            client.send(frame(PONG))


def test_a_silent_client_is_pinged_and_cut_if_it_stays_silent(make_site):
    # We ourselves answer too late when the machine is that busy, and then try with more time.
    for timeout in (1, 5, 30):
        site = make_site("--websocket-ping-interval", "100ms", "--websocket-pong-timeout", timeout)
        with site.client() as client, site.client() as dead:
            name, dead_name = site.open(client), site.open(dead)
            stopping = threading.Event()
            answering = threading.Thread(target=answer_pings, args=(client, stopping))
            answering.start()
            message = site.event("disconnect")
            stopping.set()
            answering.join()
            assert message["code"] == 1006 and message["reason"] == "ping timed out"
            if message["reply_channel"] == dead_name:
                return
            assert message["reply_channel"] == name
    raise AssertionError("who answers is cut")


@pytest.mark.parametrize("option,code", [("idle-timeout", 1000), ("lifetime", 1001)])
def test_limits_of_time(make_site, option, code):
    site = make_site("--websocket-" + option, "100ms")
    with site.client() as client:
        name = site.open(client)
        assert client.read_frame().code == code
        client.send(close_frame(code))
        assert client.is_ended()
        message = site.event("disconnect")
        assert (message["reply_channel"], message["code"]) == (name, code)


# --- Processes -----------------------------------------------------------------------------------

def test_a_stop_says_1001_to_clients_and_consumers(make_site):
    site = make_site()
    with site.client() as client:
        name = site.open(client)
        site.server.signal(signal.SIGTERM)
        assert client.read_frame().code == 1001
        client.send(close_frame(1001))
        assert client.is_ended()
        message = site.event("disconnect")
        assert (message["reply_channel"], message["code"]) == (name, 1001)
        assert site.server.wait() == 0


def expect_going_away(site, client, name):
    assert client.read_frame().code == 1001
    client.send(close_frame(1001))
    assert client.is_ended()
    message = site.event("disconnect")
    assert (message["reply_channel"], message["code"]) == (name, 1001)


def test_a_handshake_during_a_reload_is_no_failure(make_site):
    """It ends as those that came a moment earlier do, and the next one is the new worker's."""
    site = make_site()
    with site.client() as early, site.client() as late:
        name = site.open(early)
        late.send(request()[:-2])
        site.server.signal(signal.SIGHUP)
        expect_going_away(site, early, name)
        late.send(b"\r\n")
        late.finish_open()
        expect_going_away(site, late, site.event("connect")["reply_channel"])
    site.expect_silence()


def test_a_verdict_during_a_stop(make_site):
    site = make_site("--websocket-accept", "wait")
    with site.client() as early, site.client() as late:
        name = ask(site, early)
        site.send(name, accept=True)
        early.finish_open()
        other = ask(site, late)
        site.server.signal(signal.SIGTERM)
        expect_going_away(site, early, name)
        site.send(other, "goodbye", accept=True)
        late.finish_open()
        assert late.message() == "goodbye"
        expect_going_away(site, late, other)
        assert site.server.wait() == 0


def test_a_worker_that_is_killed_leaves_one_disconnect_for_each(make_site):
    site = make_site(workers=2)
    clients = [site.client() for _ in range(40)]
    names = [site.open(client) for client in clients]
    for worker in site.server.workers:
        os.kill(worker, signal.SIGKILL)
    messages = [site.event("disconnect") for _ in names]
    assert sorted(message["reply_channel"] for message in messages) == sorted(names)
    assert {message["code"] for message in messages} == {1006}
    for client in clients:
        assert client.is_ended()
        client.close()
    site.server.wait_for(lambda: len(site.server.workers) == 2, "new workers")
    site.expect_silence()


def test_sockets_outlive_the_application(make_site):
    count = 200 if SANITIZED else 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 200 if hard == resource.RLIM_INFINITY else min(count + 200, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    site = make_site(app=DEMO, app_processes=2)
    for channel in CHANNELS:
        site.layer.ignore(channel)
    clients = [site.client() for _ in range(count)]
    for client in clients:
        client.open(path=b"/ws/echo")
        client.send(frame(TEXT, "before"))
        assert client.message() == "before"
    before = site.server.apps
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    for i, client in enumerate(clients):
        client.send(frame(TEXT, f"meanwhile {i}"))
    site.server.wait_for(lambda: len(set(site.server.apps) - set(before)) == 2, "new consumers")
    answered = 0
    for i, client in enumerate(clients):
        client.send(frame(TEXT, f"after {i}"))
        got = client.message()
        # What a consumer had in its hands when it was killed is lost: at most once.
        if got == f"meanwhile {i}":
            answered += 1
            got = client.message()
        assert got == f"after {i}"
        client.close()
    assert answered >= count - 2 * 1


def test_what_descriptors_do_not_suffice_for_waits_in_the_backlog(make_site):
    # Root may raise its own limit, so that is taken from it.
    wrapper = ["prlimit", "--nofile=200:200"]
    if os.geteuid() == 0:
        wrapper = ["setpriv", "--bounding-set", "-sys_resource"] + wrapper
    site = make_site(wrapper=wrapper)
    pattern = r"limit of 200 open files is enough for (\d+) connections"
    site.server.wait_for_log(pattern)
    enough = int(re.search(pattern, site.server.log)[1])
    clients = [site.client() for _ in range(enough + 5)]
    for client in clients[:enough]:
        site.open(client)
    for client in clients[enough:]:
        client.send(request())
    assert not site.layer.receive(0.2)
    for client in clients[:5]:
        client.close()
        site.event("disconnect")
    for client in clients[enough:]:
        client.finish_open()
        site.event("connect")
    for client in clients[5:]:
        client.close()
    site.settle()


# --- Compression ---------------------------------------------------------------------------------

module_deflating_site = shared(lambda: open_site("--websocket-deflate"))


@pytest.fixture
def deflating_site(module_deflating_site, request):
    with lend(module_deflating_site, request) as site:
        yield site


def deflated(content, final=False):
    octets = content.encode() if isinstance(content, str) else content
    deflater = zlib.compressobj(wbits=-15)
    if final:
        return deflater.compress(octets) + deflater.flush() + b"\0"
    return (deflater.compress(octets) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]


def inflated(octets, bits=15):
    inflater = zlib.decompressobj(wbits=-bits)
    return inflater.decompress(octets + b"\0\0\xff\xff")


NO_CONTEXT = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


@pytest.mark.parametrize("offers,answer", [
    (["permessage-deflate"], NO_CONTEXT),
    (["permessage-deflate; client_max_window_bits"], NO_CONTEXT),
    (["PERMESSAGE-DEFLATE ;client_max_window_bits = 10 ; server_no_context_takeover"], NO_CONTEXT),
    (["permessage-deflate; server_max_window_bits=9"], NO_CONTEXT + "; server_max_window_bits=9"),
    (['permessage-deflate; server_max_window_bits="12"'],
     NO_CONTEXT + "; server_max_window_bits=12"),
    (["permessage-deflate; server_max_window_bits=8, permessage-deflate"], NO_CONTEXT),
    (["x-webkit-deflate-frame, permessage-deflate"], NO_CONTEXT),
    (["permessage-deflate; unknown, permessage-deflate; server_max_window_bits=15"],
     NO_CONTEXT + "; server_max_window_bits=15"),
    *[([f"permessage-deflate; {bad}"], None) for bad in (
        "unknown", "server_max_window_bits", "server_max_window_bits=7",
        "server_max_window_bits=16", "server_max_window_bits=09", "server_max_window_bits=8",
        "client_max_window_bits=0", "server_no_context_takeover=1", 'server_max_window_bits="9',
        "client_no_context_takeover; client_no_context_takeover",
        "server_max_window_bits=9; server_max_window_bits=9", "=", ";", "a b")],
    (["x-webkit-deflate-frame"], None), ([""], None), ([","], None),
    (["x; a=b; c", "permessage-deflate"], NO_CONTEXT)])
def test_negotiation(deflating_site, offers, answer):
    with deflating_site.client() as client:
        response = client.open(*[b"Sec-WebSocket-Extensions: " + offer.encode()
                                 for offer in offers])
        deflating_site.event("connect")
        assert response.get("Sec-WebSocket-Extensions") == answer


@pytest.mark.parametrize("bits", [9, 15])
@pytest.mark.parametrize("content", ["", "short", "é" * 5000, b"\0" * 700000, os.urandom(1000)],
                         ids=lambda content: f"{type(content).__name__}-{len(content)}")
def test_compressed_both_ways(deflating_site, content, bits):
    site = deflating_site
    with site.client() as client:
        name = site.open(client, b"Sec-WebSocket-Extensions: permessage-deflate; "
                                 b"server_max_window_bits=%d" % bits)
        opcode = TEXT if isinstance(content, str) else BINARY
        for octets in (deflated(content), deflated(content, final=True)):
            client.send(frame(opcode, octets[:3], fin=False, rsv=4) + frame(PING)
                        + frame(CONTINUATION, octets[3:]))
            assert site.event("receive")["content"] == content
            assert client.read_frame().opcode == PONG
        client.send(frame(opcode, content))
        assert site.event("receive")["content"] == content
        for _ in range(2):
            site.send(name, content)
            got = client.read_frame()
            assert (got.opcode, got.fin) == (opcode, 1)
            payload = inflated(got.payload, bits) if got.rsv else got.payload
            assert payload == (content.encode() if isinstance(content, str) else content)
            assert bool(got.rsv) == (len(set(content)) < 3 and len(content) > 100)


@pytest.mark.parametrize("octets,code", [
    (frame(BINARY, deflated(b"\0" * (1 << 20) + b"x"), rsv=4), 1009),
    (frame(BINARY, deflated(b"\0" * (64 << 20)), rsv=4), 1009),
    (frame(TEXT, b"\xff\xff\xff", rsv=4), 1007),
    (frame(TEXT, deflated(b"\xff"), rsv=4), 1007),
    (frame(TEXT, "a", fin=False, rsv=4) + frame(CONTINUATION, rsv=4), 1002),
    (frame(PING, rsv=4), 1002), (frame(TEXT, rsv=2), 1002)],
    ids=["too large", "bomb", "no deflate", "no UTF-8", "RSV1 in a continuation", "in a ping",
         "RSV2"])
def test_bad_compression(deflating_site, octets, code):
    with deflating_site.client() as client:
        deflating_site.open(client, b"Sec-WebSocket-Extensions: permessage-deflate")
        client.send_quietly(octets)
        assert client.closed_with() == code
        assert deflating_site.event("disconnect")["code"] == code


def resident(pid):
    """Octets of the process's own memory."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(r"RssAnon:\s+(\d+) kB", status.read())[1]) << 10


@pytest.mark.skipif(SANITIZED, reason="a sanitizer keeps what is freed")
def test_what_a_large_compressed_message_needed_is_not_kept(make_site):
    site = make_site("--websocket-deflate", "--websocket-max-message", "32M")
    worker, = site.server.workers
    with site.client() as client:
        site.open(client, b"Sec-WebSocket-Extensions: permessage-deflate")
        before = resident(worker)
        client.send(frame(BINARY, deflated(b"\0" * (33 << 20)), rsv=4))
        assert client.closed_with() == 1009
    site.server.wait_for(lambda: resident(worker) < before + (8 << 20), "the memory")


def test_no_room_for_a_compressed_message(make_site):
    site = make_site("--websocket-deflate", "--capacity", "websocket.receive=2")
    with site.client() as client:
        site.open(client, b"Sec-WebSocket-Extensions: permessage-deflate")
        client.send(b"".join(frame(TEXT, deflated(f"é{i}"), rsv=4) for i in range(50)))
        for i in range(50):
            assert site.event("receive")["content"] == f"é{i}"


# --- TLS -----------------------------------------------------------------------------------------

def test_over_tls(make_site, tmp_path):
    certificate = Certificate(tmp_path, "localhost", "localhost")
    site = make_site(*certificate.options, bind=("https://127.0.0.1:0",))
    context = client_context(certificate)
    with SecureWebSocket(site.server.address, context, timeout=TIMEOUT) as client:
        name = site.open(client, early=frame(TEXT, "early"))
        assert site.event("receive")["content"] == "early"
        for content in ("hello", b"x" * 700000):
            client.send(frame(TEXT if isinstance(content, str) else BINARY, content))
            assert site.event("receive")["content"] == content
            site.send(name, content)
            assert client.message() == content
        client.send(frame(PING, b"!") + close_frame(1000))
        assert client.read_frame().payload == b"!"
        assert site.event("disconnect")["code"] == 1000
        assert client.closed_with() == 1000


# --- A real client -------------------------------------------------------------------------------

def test_python_websockets(make_site):
    websockets = pytest.importorskip("websockets")
    site = make_site("--websocket-deflate", app=DEMO)
    for channel in CHANNELS:
        site.layer.ignore(channel)
    host, port = site.server.address
    connect = lambda path, **options: websockets.connect(
        f"ws://{host}:{port}{path}", open_timeout=TIMEOUT, close_timeout=TIMEOUT, ping_interval=None, **options)

    async def talk():
        async with connect("/ws/echo", max_size=None) as socket:
            for content in ("hello", "", b"", b"\0\1\2", "x" * 70000, b"y" * 300000, "é" * 1000):
                await socket.send(content)
                assert await socket.recv() == content
            await socket.send(["frag", "ment", "ed"])
            assert await socket.recv() == "fragmented"
            await (await socket.ping(b"are you there"))
        assert socket.close_code == 1000
        with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
            async with connect("/ws/other") as socket:
                await socket.recv()
        assert closed.value.code == 4404

    asyncio.run(asyncio.wait_for(talk(), TIMEOUT))
