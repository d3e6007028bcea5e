# SPDX-License-Identifier: MIT
"""Messages of WebSockets that are larger than one message of the layer."""

import hashlib

import pytest

from conftest import DEMO, TIMEOUT, Server, shared, wait_until
from websocket_raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, WebSocket, close_frame, frame

SIZE = 3 << 20


def noise(length):
    """Octets without a pattern, the same each time."""
    return hashlib.shake_128(b"forebay").digest(length)


module_server = shared(lambda: Server("--websocket-max-message", "4M"))


@pytest.fixture
def server(module_server, request):
    with module_server.lend(request) as server:
        yield server


@pytest.fixture
def layer(server):
    """Nobody needs to hear of disconnects, but for the test that is about them."""
    channels = "websocket.connect", "websocket.receive"
    layer = server.layer(*channels)
    yield layer
    for channel in channels:
        layer.ignore(channel)
        layer.flush(channel)


def opened(server, layer):
    client = WebSocket(server.address, TIMEOUT)
    client.open()
    return client, expect(layer, "websocket.connect")["reply_channel"]


def expect(layer, channel):
    message = layer.receive(TIMEOUT)
    assert message and message["channel"] == channel, message
    return message


def parts_of(layer, channel):
    """The contents of the channel's messages, and what came on others meanwhile."""
    layer.listen(channel)
    parts, others = [], []
    while True:
        message = layer.receive(TIMEOUT)
        if message["channel"] != channel:
            others.append(message)
            continue
        parts.append(message["content"])
        if not message.get("more_content"):
            return parts, others


@pytest.mark.parametrize("content", ["é" * (SIZE // 2), "x" + "€" * (SIZE // 3), noise(SIZE)],
                         ids=["2 octets", "3 octets", "binary"])
def test_a_large_message_comes_through_a_channel_of_its_own(server, layer, content):
    client, name = opened(server, layer)
    with client:
        octets = content.encode() if isinstance(content, str) else content
        opcode = TEXT if isinstance(content, str) else BINARY
        client.send(frame(TEXT, "before") + frame(opcode, octets[:SIZE // 2 + 1], fin=False)
                    + frame(CONTINUATION, octets[SIZE // 2 + 1:]) + frame(TEXT, "after"))
        assert expect(layer, "websocket.receive")["content"] == "before"
        message = expect(layer, "websocket.receive")
        assert "content" not in message
        assert message["reply_channel"] == name
        assert (message["order"], message["length"]) == (2, len(octets))
        assert message["binary"] == (opcode == BINARY)
        parts, others = parts_of(layer, message["content_channel"])
        assert type(content)().join(parts) == content
        assert len(parts) > 10
        after = others[0] if others else expect(layer, "websocket.receive")
        assert (after["content"], after["order"]) == ("after", 3)


def test_the_channel_ends_when_it_was_read(server, layer):
    client, _ = opened(server, layer)
    with client:
        client.send(frame(BINARY, noise(SIZE)))
        channel = expect(layer, "websocket.receive")["content_channel"]
        parts_of(layer, channel)
        assert expect(layer, channel)["closed"] is True


def test_a_client_that_leaves_in_the_middle(serve):
    # Who isn't read because there is no room isn't seen to leave before that is over.
    server = serve("--websocket-max-message", "4M", "--websocket-full-timeout", "300ms")
    layer = server.layer("websocket.connect", "websocket.receive")
    client, name = opened(server, layer)
    client.send_quietly(frame(BINARY, noise(SIZE)))
    message = expect(layer, "websocket.receive")
    client.reset()
    leaving = server.layer("websocket.disconnect")
    while (last := expect(leaving, "websocket.disconnect"))["reply_channel"] != name:
        pass
    assert last["order"] == 2
    layer.listen(message["content_channel"])
    octets = b""
    while not (part := expect(layer, message["content_channel"])).get("closed"):
        octets += part["content"]
    assert len(octets) < SIZE and noise(SIZE).startswith(octets)


def test_above_the_limit_is_1009_and_what_fits_one_message_stays_one(server, layer):
    client, _ = opened(server, layer)
    with client:
        client.send(frame(TEXT, "x" * 1000000))
        assert len(expect(layer, "websocket.receive")["content"]) == 1000000
        client.send(frame(TEXT, length=(4 << 20) + 1, size=8))
        assert client.closed_with() == 1009


# --- To the client -------------------------------------------------------------------------------

def test_parts_become_frames_of_one_message(server, layer):
    client, name = opened(server, layer)
    with client:
        layer.send(name, {"more_content": True}, "one ")
        layer.send(name, {"more_content": True, "continues": True}, "")
        layer.send(name, {"continues": True}, "two")
        layer.send(name, {}, "whole")
        got = [client.read_frame() for _ in range(4)]
        assert [(f.fin, f.opcode, f.payload) for f in got] == [
            (0, TEXT, b"one "), (0, CONTINUATION, b""), (1, CONTINUATION, b"two"),
            (1, TEXT, b"whole")]


def test_between_parts_pings_are_answered_and_a_close_is_sent(server, layer):
    client, name = opened(server, layer)
    with client:
        layer.send(name, {"more_content": True}, b"part")
        got = client.read_frame()
        assert (got.fin, got.opcode) == (0, BINARY)
        client.send(frame(PING, b"!"))
        assert client.read_frame().opcode == PONG
        layer.send(name, {"close": True, "code": 4000})
        assert client.read_frame().code == 4000
        client.send(close_frame(4000))
        assert client.is_ended()


@pytest.mark.parametrize("keys,content", [
    ({}, "of somebody else"), ({"more_content": True}, "of somebody else"),
    ({"continues": True}, b"binary")])
def test_nothing_comes_between_parts(server, layer, keys, content):
    client, name = opened(server, layer)
    with client:
        layer.send(name, {"more_content": True}, "one ")
        layer.send(name, keys, content)
        layer.send(name, {"continues": True}, "two")
        assert client.read_frame().payload == b"one "
        got = client.read_frame()
        assert (got.fin, got.opcode, got.payload) == (1, CONTINUATION, b"two")


def test_a_part_that_continues_nothing_is_malformed(server, layer):
    client, name = opened(server, layer)
    with client:
        layer.send(name, {"continues": True}, "lost")
        layer.send(name, {}, "seen")
        assert client.message() == "seen"


def test_a_last_part_that_does_not_come(serve):
    server = serve("--response-timeout", "100ms")
    layer = server.layer("websocket.connect")
    client, name = opened(server, layer)
    with client:
        layer.send(name, {"more_content": True}, "one ")
        assert client.read_frame().payload == b"one "
        assert client.read_frame().code == 1011


def test_the_demo_sends_it_back_of_any_size(serve):
    # The demo gives up when there is no room for a second, and may then have none to say so.
    server = serve("--websocket-max-message", "20M", "--response-timeout", "5s", app=DEMO, app_processes=2)
    content = noise(16 << 20)

    def came_back():
        with WebSocket(server.address, TIMEOUT) as client:
            client.open(path=b"/ws/echo")
            client.send(frame(BINARY, content))
            got = client.read_frame()
            assert (got.fin, got.opcode) == (0, BINARY)
            octets = [got.payload]
            while not got.fin:
                got = client.read_frame()
                octets.append(got.payload)
            if got.opcode == CLOSE and got.code == 1011:
                return False  # we were so slow that it has lost patience
            assert b"".join(octets) == content
            client.send(frame(TEXT, "still there"))
            assert client.message() == "still there"
            return True

    wait_until(came_back, "all of it")
