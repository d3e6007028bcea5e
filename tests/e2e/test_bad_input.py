# SPDX-License-Identifier: MIT
"""Bad input, as raw octets, and the answer it gets. A request behind a framing error is never served."""

import contextlib
import json

import pytest

from conftest import Site, frozen
from forebay_client import Outcome

CANARY = b"GET /canary HTTP/1.1\r\nHost: canary\r\n\r\n"
HOST = b"Host: a\r\n"
POST = b"POST / HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
FORM = POST + b"Content-Type: application/x-www-form-urlencoded\r\n"


def head(*fields, line=b"GET / HTTP/1.1", host=HOST):
    return line + b"\r\n" + host + b"".join(field + b"\r\n" for field in fields) + b"\r\n"


def post(*fields, body=b""):
    return head(*fields, line=b"POST / HTTP/1.1") + body


def multipart(body, content_type=b"multipart/form-data; boundary=XX"):
    return post(b"Content-Type: " + content_type, b"Content-Length: %d" % len(body), body=body)


def part(disposition=b'form-data; name="a"', *fields, data=b"1"):
    return (b"--XX\r\nContent-Disposition: " + disposition + b"\r\n"
            + b"".join(field + b"\r\n" for field in fields) + b"\r\n" + data + b"\r\n")


# name, octets, statuses that are right. All are followed by a canary, and the connection is closed.
FRAMING = [
    # Content-Length
    ("differing lengths", post(b"Content-Length: 5", b"Content-Length: 6", body=b"hello"), 400),
    *((f"length {value!r}", post(b"Content-Length: " + value, body=b"hello"), 400) for value in (
        b"5, 6", b"+5", b"-5", b"0x5", b"5_0", b"", b"9223372036854775808",
        b"18446744073709551621", b"5 5", b"5;", b"\"5\"", b"5, 5", b"5.0", b"5e0")),
    ("the same length twice", post(b"Content-Length: 5", b"Content-Length: 5", body=b"hello"), 400),
    ("length and transfer coding",
     post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), 400),
    ("transfer coding and length",
     post(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n"), 400),
    # Transfer-Encoding
    ("transfer coding on 1.0", head(b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.0")
     + b"0\r\n\r\n", 400),
    *((f"coding {value!r}", post(b"Transfer-Encoding: " + value, body=b"0\r\n\r\n"), 400)
      for value in (b"identity", b"chunked, identity", b"xchunked", b'"chunked"', b"",
                    b"chunked, chunked", b"\x0bchunked", b"chunked;", b"chun ked", b"'chunked'")),
    ("coding gzip, chunked", post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), 501),
    ("coding on two lines", post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked",
                                 body=b"0\r\n\r\n"), 400),
    ("coding on two lines, the last not chunked",
     post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=b"0\r\n\r\n"), 400),
    # Chunks
    *((f"chunk size {value!r}", CHUNKED + value + b"\r\nhello\r\n0\r\n\r\n", 400)
      for value in (b"0x5", b"+5", b" 5", b"", b"00000000000000005", b"5 5", b"-5", b"g", b"5_0")),
    ("chunk size above 2^63", CHUNKED + b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n", (400, 413)),
    ("no CRLF after chunk data", CHUNKED + b"5\r\nhello0\r\n\r\n", 400),
    ("junk after chunk data", CHUNKED + b"5\r\nhelloXX\r\n0\r\n\r\n", 400),
    ("bare LF after chunk size", CHUNKED + b"5\nhello\r\n0\r\n\r\n", 400),
    ("bare LF after chunk data", CHUNKED + b"5\r\nhello\n0\r\n\r\n", 400),
    ("bare CR after chunk size", CHUNKED + b"5\rhello\r\n0\r\n\r\n", 400),
    ("LF in a chunk extension", CHUNKED + b"5;a\nb\r\nhello\r\n0\r\n\r\n", 400),
    ("NUL in a chunk extension", CHUNKED + b"5;a\0b\r\nhello\r\n0\r\n\r\n", 400),
    ("bare LF after the last chunk", CHUNKED + b"0\n\n", 400),
    ("bad trailer", CHUNKED + b"0\r\nbad trailer: x\r\n\r\n", 400),
    ("flood of extensions", CHUNKED + (b"1;" + b"x" * 4000 + b"\r\na\r\n") * 100 + b"0\r\n\r\n",
     (400, 413, 431)),
    ("one long extension", CHUNKED + b"1;" + b"x" * 300_000 + b"\r\na\r\n0\r\n\r\n",
     (400, 413, 431)),
    ("flood of trailers", CHUNKED + b"0\r\n" + b"X-Trailer: yyyyyyyyyyyyy\r\n" * 10_000 + b"\r\n",
     (400, 413, 431)),
    ("flood of one-byte chunks", CHUNKED + b"1\r\na\r\n" * 100_000 + b"0\r\n\r\n",
     (400, 413, 431)),
    # Fields
    ("space before the colon", head(b"X-A : b"), 400),
    ("TAB before the colon", head(b"X-A\t: b"), 400),
    ("space before the colon of Content-Length", post(b"Content-Length : 5", body=b"hello"), 400),
    *((f"octet {octet!r} in a name", head(b"X" + octet + b"A: b"), 400)
      for octet in (b"\0", b"\x01", b" ", b"(", b"\x7f", b"\x80", b"\xff", b"\"", b"/", b"@", b"{")),
    ("no colon", head(b"Nonsense"), 400),
    ("empty name", head(b": b"), 400),
    ("space before the first field", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    ("folded line", head(b"X-A: b\r\n c"), 400),
    ("folded line, TAB", head(b"X-A: b\r\n\tc"), 400),
    ("folded Transfer-Encoding", post(b"Transfer-Encoding:\r\n chunked", body=b"0\r\n\r\n"), 400),
    *((f"octet {octet!r} in a value", head(b"X-A: b" + octet + b"c"), 400)
      for octet in (b"\0", b"\r", b"\n", b"\x01", b"\x7f")),
    ("bare LF at the end of a line", b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
    ("bare LF at the end of the head", b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
    ("CR and another octet at the end", b"GET / HTTP/1.1\r\nHost: a\r\n\rX", 400),
    # Host
    ("no Host", head(host=b""), 400),
    ("Host twice", head(b"Host: a"), 400),
    ("two different Hosts", head(b"Host: b"), 400),
    *((f"Host {value!r}", head(host=b"Host: " + value + b"\r\n"), 400)
      for value in (b"", b"a b", b"a/b", b"a@b", b"a:b", b"[::1", b"a:99999999", b"a\\b", b"<a>")),
    # Request line
    ("asterisk without OPTIONS", head(line=b"GET * HTTP/1.1"), 400),
    ("authority-form without CONNECT", head(line=b"GET a:80 HTTP/1.1"), 400),
    ("CONNECT", head(line=b"CONNECT a:80 HTTP/1.1"), (405, 501)),
    ("no leading slash", head(line=b"GET x HTTP/1.1"), 400),
    ("fragment", head(line=b"GET /a#b HTTP/1.1"), 400),
    ("space in the target", head(line=b"GET /a b HTTP/1.1"), 400),
    ("two spaces", head(line=b"GET  / HTTP/1.1"), 400),
    ("TAB as separator", head(line=b"GET\t/\tHTTP/1.1"), 400),
    ("space at the end", head(line=b"GET / HTTP/1.1 "), 400),
    ("high octet in the target", head(line=b"GET /\xff HTTP/1.1"), 400),
    ("control octet in the target", head(line=b"GET /\x01 HTTP/1.1"), 400),
    ("bad method", head(line=b"G@T / HTTP/1.1"), 400),
    # Versions
    *((f"version {version!r}", head(line=b"GET / " + version), (400, 505))
      for version in (b"HTTP/2.0", b"HTTP/3.0", b"HTTP/9.9", b"HTTP/1.10", b"http/1.1",
                      b"HAAA/1.1", b"HTTP/1", b"HTTP/1.", b"HTTP/01.1", b"HTTP/0.9", b"HTTP/1.1x")),
    # Not HTTP/1
    ("HTTP/0.9", b"GET /\r\n", (None, 400, 505)),
    ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (None, 400, 505)),
    ("TLS hello", bytes.fromhex("16030100a5010000a10303") + bytes(160), (None, 400)),
    ("binary", bytes(range(256)), (None, 400)),
    ("zeros", bytes(100), (None, 400)),
    # Sizes
    ("target too long", head(line=b"GET /" + b"a" * 8000 + b" HTTP/1.1"), 414),
    ("target far too long", head(line=b"GET /" + b"a" * 100_000 + b" HTTP/1.1"), 414),
    ("head too large", head(b"X-A: " + b"a" * 60_000), 431),
    ("too many fields", head(*[b"X-%d: y" % i for i in range(1000)]), 431),
    # Expect
    ("unknown Expect", post(b"Expect: 200-ok", b"Content-Length: 5", body=b"hello"), 417),
]

# These are refused too, but the connection may be kept: no canary is sent.
REFUSED = [
    *((f"path {path!r}", head(line=b"GET " + path + b" HTTP/1.1"), 400) for path in (
        b"/%zz", b"/%4", b"/%", b"/%00", b"/a%00b", b"/..", b"/../x", b"/a/../../x", b"/%2e%2e/x",
        b"/a/%2E./../x")),
    ("WebSocket upgrade with a body", post(
        b"Upgrade: websocket", b"Connection: upgrade", b"Content-Length: 5",
        b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        body=b"hello"), 400),
    ("form with too many fields", FORM + b"Content-Length: 7999\r\n\r\n" + b"a=1&" * 1999 + b"b=2",
     413),
    ("query with too many fields", head(line=b"GET /?" + b"a&" * 1500 + b" HTTP/1.1"), (400, 413)),
    ("multipart without boundary", multipart(part() + b"--XX--\r\n", b"multipart/form-data"), 400),
    ("multipart with an empty boundary",
     multipart(part() + b"--XX--\r\n", b"multipart/form-data; boundary="), 400),
    ("multipart with an over-long boundary", multipart(
        b"--" + b"X" * 300 + b"--\r\n", b"multipart/form-data; boundary=" + b"X" * 300), 400),
    ("multipart without an end", multipart(part()), 400),
    ("multipart cut in a part", multipart(part()[:-3]), 400),
    ("multipart with a huge part head",
     multipart(part(b'form-data; name="a"', b"X-A: " + b"x" * 100_000) + b"--XX--\r\n"), 400),
    ("multipart, nested", multipart(part(
        b'form-data; name="a"', b"Content-Type: multipart/mixed; boundary=YY",
        data=b"--YY\r\n\r\nx\r\n--YY--") + b"--XX--\r\n"), 400),
    ("multipart with NUL in a file name",
     multipart(part(b'form-data; name="a"; filename="b\0c"') + b"--XX--\r\n"), 400),
    ("multipart with too many parts", multipart(part() * 1500 + b"--XX--\r\n"), (400, 413)),
]

# name, octets, what must be in the message
ACCEPTED = [
    ("TAB as optional white space", head(b"X-A:\tb\t"), {"HTTP_X_A": "b"}),
    ("absolute-form wins over Host", head(line=b"GET http://other:81/p?q HTTP/1.1"),
     {"HTTP_HOST": "other:81", "path": "/p", "QUERY_STRING": "q"}),
    ("OPTIONS asterisk", head(line=b"OPTIONS * HTTP/1.1"), {"REQUEST_URI": "*"}),
    ("longest target", head(line=b"GET /" + b"a" * 7999 + b" HTTP/1.1"), {"path": "/" + "a" * 7999}),
    ("empty lines before the request", b"\r\n" + head(), {"path": "/"}),
    ("dot segments within the root", head(line=b"GET /a/../b HTTP/1.1"),
     {"REQUEST_URI": "/a/../b"}),
    ("decoded once", head(line=b"GET /%2561 HTTP/1.1"),
     {"path": "/%61", "REQUEST_URI": "/%2561"}),
    ("Upgrade on 1.0", head(b"Upgrade: websocket", b"Connection: upgrade", line=b"GET / HTTP/1.0"),
     {"SERVER_PROTOCOL": "HTTP/1.0"}),
    ("unknown Upgrade", head(b"Upgrade: h2c", b"Connection: upgrade"), {"path": "/"}),
    ("trailers are dropped",
     CHUNKED + b"5\r\nhello\r\n0\r\nContent-Length: 9\r\nTransfer-Encoding: gzip\r\nHost: b\r\n\r\n",
     {"HTTP_HOST": "a", "body": b"hello"}),
    ("longest chunk size", CHUNKED + b"0000000000000005\r\nhello\r\n0\r\n\r\n", {"body": b"hello"}),
    ("bad escapes in a form", FORM + b"Content-Length: 9\r\n\r\na=%zz&b=%", {
        "post": {"a": ["%zz"], "b": ["%"]}}),
    ("file name without directories", multipart(
        part(b'form-data; name="a"; filename="../../etc/passwd"') + b"--XX--\r\n"),
     {"files": [{"filename": "passwd"}]}),
    ("any cookie", head(b"Cookie: =; ;;a; \"; b=\xff; b=2"), {"path": "/"}),
]


def ids(rows):
    return [row[0] for row in rows]


def expect_refusal(site, client, octets, statuses):
    """Sends OCTETS in any case to their end, and reads the one answer that may come."""
    client.send_quietly(octets)
    if None in statuses and client.is_ended():
        return None
    response = client.response()
    assert response.status in statuses, f"{response}\n{site.server.log[-2000:]}"
    return response


def as_set(statuses):
    return statuses if isinstance(statuses, tuple) else (statuses,)


@pytest.mark.parametrize("name, octets, statuses", FRAMING, ids=ids(FRAMING))
def test_framing_error_closes_and_hides_what_follows(site, name, octets, statuses):
    with site.client() as client:
        response = expect_refusal(site, client, octets + CANARY, as_set(statuses))
        if response:
            assert response.closes
            assert client.is_ended(), "something came behind the refusal"
    site.expect_nothing_dispatched()


@pytest.mark.parametrize("name, octets, statuses", FRAMING[::7], ids=ids(FRAMING[::7]))
def test_framing_error_octet_by_octet(site, name, octets, statuses):
    """How the input was cut makes no difference."""
    if len(octets) > 1000:
        pytest.skip("too long to send this way")
    with site.client() as client:
        for position in range(len(octets)):
            client.send_quietly(octets[position:position + 1])
        response = expect_refusal(site, client, CANARY, as_set(statuses))
        assert not response or response.closes and client.is_ended()
    site.expect_nothing_dispatched()


@pytest.mark.parametrize("name, octets, statuses", REFUSED, ids=ids(REFUSED))
def test_refused(site, name, octets, statuses):
    with site.client() as client:
        response = expect_refusal(site, client, octets, as_set(statuses))
        if response.closes:
            assert client.is_ended()
        else:
            client.get("/next")
            message = site.message()
            assert message["path"] == "/next"
            site.reply(message)
            assert client.response().status == 200
    site.expect_nothing_dispatched()


@pytest.mark.parametrize("name, octets, expected", ACCEPTED, ids=ids(ACCEPTED))
def test_accepted(site, name, octets, expected):
    message, response = site.exchange(octets, "fine")
    assert (response.status, response.body) == (200, b"fine")
    for key, value in expected.items():
        if key == "files":
            assert [file["filename"] for file in message["files"]] == [
                file["filename"] for file in value]
        else:
            assert (message[key] if key in message else message["meta"].get(key)) == value


def test_second_request_behind_connection_close_is_ignored(site):
    with site.client() as client:
        client.send(head(b"Connection: close") + CANARY)
        site.reply(site.message(), "x")
        assert client.response().closes and client.is_ended()
    site.expect_nothing_dispatched()


def test_no_100_on_http_1_0(site):
    with site.client() as client:
        client.send(b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab")
        site.reply(site.message(), "x")
        assert client.response().status == 200


def test_upgrade_to_something_unknown_is_served_as_http(site):
    _, response = site.exchange(head(b"Upgrade: foo/2", b"Connection: Upgrade"), "plain")
    assert response.status == 200 and response.get("Upgrade") is None


def test_body_above_the_limit(serve):
    site = Site(serve("--max-body", "1000"))
    with site.client() as client:
        response = expect_refusal(
            site, client, post(b"Content-Length: 1001", body=b"x" * 1001) + CANARY, (413,))
        assert response.closes and client.is_ended()
    with site.client() as client:
        response = expect_refusal(
            site, client, CHUNKED + b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n" + CANARY, (413,))
        assert response.closes and client.is_ended()
    with site.client() as client:  # refused before the body is sent
        client.send(post(b"Content-Length: 1001", b"Expect: 100-continue"))
        assert client.response().status == 413
    site.expect_nothing_dispatched()


@contextlib.contextmanager
def sent_at_once(site, octets):
    """A client whose OCTETS are there as soon as its connection is, however slow we are."""
    with contextlib.ExitStack() as stack:
        with frozen(*site.server.workers):
            client = stack.enter_context(site.client())
            client.send(octets)
        yield client


@pytest.mark.parametrize("octets", [b"", b"GET / HT", head()[:-2]], ids=["none", "line", "head"])
def test_slow_head(serve, octets):
    site = Site(serve("--head-timeout", "100ms", "--idle-timeout", "100ms"))
    with sent_at_once(site, octets) as client:
        if octets:
            response = client.response()
            assert response.status == 408 and response.closes
        assert client.is_ended()
    assert not site.layer.receive(0)


def test_slow_body(serve):
    site = Site(serve("--body-timeout", "100ms"))
    with site.client() as client:
        client.send(post(b"Content-Length: 10", body=b"abc"))
        response = client.response()
        assert response.status == 408 and response.closes and client.is_ended()
    site.expect_nothing_dispatched()


def test_idle_connection_is_closed(serve):
    site = Site(serve("--idle-timeout", "100ms"))
    with sent_at_once(site, head()) as client:
        site.reply(site.message(), "x")
        assert client.response().status == 200
        assert client.is_ended()


# ----------------------------------------------------------------------------------------------
# From a consumer
# ----------------------------------------------------------------------------------------------

BAD_ANSWERS = [
    *((f"{what} {octet!r}", keys) for octet in ("\r", "\n", "\0", "\r\nX-Injected: 1")
      for what, keys in (
          ("header value with", {"headers": {"X-A": f"b{octet}c"}}),
          ("header name with", {"headers": {f"X{octet}A": "b"}}),
          ("cookie with", {"cookies": [f"a=b{octet}c"]}),
          ("content_type with", {"content_type": f"text/plain{octet}"}))),
    ("header name with a space", {"headers": {"X A": "b"}}),
    ("header name empty", {"headers": {"": "b"}}),
    ("header name with a colon", {"headers": {"X:": "b"}}),
    *((f"status {status!r}", {"status": status})
      for status in (0, 99, 101, 600, 1000, -200, "200", 200.5, True, None, [200], 2**40)),
    ("headers a list", {"headers": ["a"]}),
    ("headers a string", {"headers": "a: b"}),
    ("header no string", {"headers": {"a": 1}}),
    ("cookies an object", {"cookies": {"a": "b"}}),
    ("cookie no string", {"cookies": [1]}),
    ("content_type no string", {"content_type": 1}),
    ("more_content no boolean", {"more_content": "yes"}),
]


@pytest.mark.parametrize("name, keys", BAD_ANSWERS, ids=ids(BAD_ANSWERS))
def test_malformed_answer_is_500(site, name, keys):
    answer = {"status": 200, **keys}
    with site.client() as client:
        client.get("/")
        reply_channel = site.message()["reply_channel"]
        assert site.layer.send(reply_channel, answer, "content") == Outcome.OK
        response = client.response()
        assert response.status == 500, response
        assert not response.all("X-Injected") and b"content" not in response.body
    assert site.layer.send(reply_channel, {"status": 200}) == Outcome.GONE
    site.expect_nothing_dispatched()


@pytest.mark.parametrize("name, value", [
    ("Transfer-Encoding", "gzip"), ("Content-Length", "99"), ("Content-Length", "x"),
    ("Connection", "upgrade"), ("Keep-Alive", "9"), ("Trailer", "X"), ("Upgrade", "x")])
def test_what_an_answer_says_about_the_connection_is_dropped(site, name, value):
    with site.client() as client:
        for _ in range(2):  # the second shows that the first was framed right
            client.get("/")
            site.reply(site.message(), "content", headers={name: value, "X-Kept": "1"})
            response = client.response()
            assert response.body == b"content" and response.get("X-Kept") == "1"
            assert value not in response.all(name)


def test_answer_without_a_status_is_200(site):
    with site.client() as client:
        client.get("/")
        assert site.layer.send(site.message()["reply_channel"], {}, "x") == Outcome.OK
        assert client.response().status == 200


@pytest.mark.parametrize("keys", [
    {"status": 200}, {"headers": {"X-A": "b"}}, {"cookies": ["a=b"]}, {"content_type": "a/b"}],
    ids=lambda keys: next(iter(keys)))
def test_head_in_a_later_part_ends_the_connection(site, keys):
    with site.client() as client:
        client.get("/")
        reply_channel = site.message()["reply_channel"]
        assert site.layer.send(reply_channel, {"status": 200, "more_content": True}, "a") == 0
        client.read_head()
        assert client.read_chunk() == b"a"
        assert site.layer.send(reply_channel, {**keys, "more_content": True}, "b") == 0
        assert client.is_ended(), "the client must see that the answer is incomplete"


def test_content_beyond_the_length_announced_ends_the_connection(site):
    with site.client() as client:
        client.get("/")
        reply_channel = site.message()["reply_channel"]
        assert site.layer.send(reply_channel, {"status": 200, "headers": {"Content-Length": "3"},
                                               "more_content": True}, "abc") == 0
        assert client.read_head().status == 200
        assert client.read(3) == b"abc"
        assert site.layer.send(reply_channel, {}, "defgh") == Outcome.OK
        assert not client.buffer and client.is_ended()


def test_answer_after_the_end_is_gone(site):
    with site.client() as client:
        client.get("/")
        message = site.message()
        site.reply(message, "whole")
        assert client.response().body == b"whole"
        assert site.layer.send(message["reply_channel"], {}, "more") == Outcome.GONE


def test_late_answer_never_reaches_the_next_request(site):
    with site.client() as client:
        channels = []
        for number in range(50):
            client.get(f"/{number}")
            message = site.message()
            channels.append(message["reply_channel"])
            for channel in channels[:-1]:
                assert site.layer.send(channel, {"status": 200}, "stale") == Outcome.GONE
            site.reply(message, str(number))
            assert client.response().body == str(number).encode()
        assert len(set(channels)) == 50


@pytest.mark.parametrize("name", [
    "http.response!", "http.response!zzz", "http.response!0000000000000000",
    "http.response!ffffffffffffffff", "http.response!" + "0" * 100, "other!0123456789abcdef"])
def test_reply_channels_that_were_never_made(site, name):
    assert site.layer.send(name, {"status": 200}, "x", 0) in (Outcome.GONE, Outcome.BAD_NAME)
    site.expect_nothing_dispatched()


def nested(depth):
    return b'{"a":' * depth + b"1" + b"}" * depth


@pytest.mark.parametrize("text, outcome", [
    (b"", Outcome.BAD_MESSAGE), (b"nonsense", Outcome.BAD_MESSAGE), (b"[]", Outcome.BAD_MESSAGE),
    (b'"a"', Outcome.BAD_MESSAGE), (b"{} {}", Outcome.BAD_MESSAGE), (b"{", Outcome.BAD_MESSAGE),
    (nested(64), Outcome.OK), (nested(65), Outcome.BAD_MESSAGE),
    (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", Outcome.BAD_MESSAGE),
    (b'{"a":"\xc0\xaf"}', Outcome.BAD_MESSAGE), (b'{"a":"\xed\xa0\x80"}', Outcome.BAD_MESSAGE),
    (b'{"a":"\xf4\x90\x80\x80"}', Outcome.BAD_MESSAGE), (b'{"a":"\\ud800"}', Outcome.BAD_MESSAGE),
    (json.dumps({"content": "x" * (1 << 20)}).encode(), Outcome.TOO_LARGE),
    (json.dumps({"a": "x" * (1 << 20)}).encode(), Outcome.TOO_LARGE),
    (json.dumps({"content": "x" * ((1 << 20) - 100)}).encode(), Outcome.OK),
], ids=lambda value: repr(value[:30]) if isinstance(value, bytes) else value.name)
def test_what_send_refuses(site, text, outcome):
    assert site.layer.send("test.bad", text, timeout=0) == outcome
    site.layer.flush("test.bad")


@pytest.mark.parametrize("name", ["", "x" * 201, "a b", "a\tb", "a\u00e9", "a\x7f"])
def test_bad_channel_names(site, name):
    outcome = site.layer.send(name, {"a": 1}, timeout=0)
    # A space is printable ASCII.
    assert outcome == (Outcome.OK if name == "a b" else Outcome.BAD_NAME)
