# SPDX-License-Identifier: MIT
"""Clients that don't read: they slow down what they have asked for, and nothing else."""

import contextlib
import json
import os
import socket
import time
import zlib

import pytest

from certificates import Certificate
from conftest import TIMEOUT
from forebay_client import Outcome
from tls_client import TlsClient, client_context
from websocket_raw import PING, WebSocket

CHUNK = 60000
SLOW = 12  # that could hold 9 to 16 of the largest blocks each; the layer has 64


def used_large_blocks(server):
    stat = json.loads(server.forebay("stat", "--json", "--layer", "test").stdout)
    return stat["blocks"][-1]["used"]


def part_of(client, number, length=CHUNK):
    """Content that says whose it is, and which."""
    return (f"{client:04}.{number:08} " * (length // 14 + 1))[:length]


def fill(layer, name, client, length, number=0, **keys):
    """Sends parts from NUMBER on until the window is full, and stays so for a moment, or the client was cut. Returns
    the number of the next one."""
    deadline = time.monotonic() + TIMEOUT
    while True:
        outcome = layer.send(name, keys, part_of(client, number, length), 0.2)
        if outcome == Outcome.OK:
            number += 1
        elif outcome in (Outcome.TIMEOUT, Outcome.FULL, Outcome.GONE):
            return number
        else:
            assert outcome == Outcome.NO_MEMORY and time.monotonic() < deadline, outcome


def exchange(server, layer, client):
    """What another client gets meanwhile."""
    client.get("/quick")
    name = layer.receive()["reply_channel"]

    def sent():
        """On a busy machine, the worker may not have come to relieve the layer yet."""
        outcome = layer.send(name, {"more_content": True}, "q" * CHUNK, TIMEOUT)
        assert outcome in (Outcome.OK, Outcome.NO_MEMORY), outcome
        return outcome == Outcome.OK

    for number in range(20):
        server.wait_for(sent, "memory")
        if number == 0:
            assert client.read_head().status == 200
        assert len(client.read_chunk()) == CHUNK


def exchange_quickly(server, layer, client):
    exchange(server, layer, client)
    server.wait_for(lambda: used_large_blocks(server) <= 32, "the memory")


def expect_all(layer, client, name, number, count, length):
    assert client.read_head().status == 200
    for part in range(count):
        assert client.read_chunk() == part_of(number, part, length).encode()
    assert layer.send(name, {}, "the end", TIMEOUT) == Outcome.OK
    assert client.read_chunk() == b"the end"
    assert client.read_chunk() == b""


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("length", [CHUNK, 900000])
def test_they_do_not_keep_the_memory_of_the_layer(serve, tmp_path, length, secure):
    options = ["--slow-memory", "256M"]
    if secure:
        certificate = Certificate(tmp_path, "localhost", "localhost")
        context = client_context(certificate)
        server = serve(*options, *certificate.options, bind=["https://127.0.0.1:0"])
    else:
        server = serve(*options)

    def connect():
        return TlsClient(server.address, context, timeout=TIMEOUT) if secure else server.client()

    layer = server.layer("http.request")
    slow = []
    for number in range(SLOW):
        client = connect()
        client.get("/slow")
        name = layer.receive()["reply_channel"]
        slow.append((client, name, number, fill(layer, name, number, length, more_content=True)))
    with connect() as quick:
        exchange_quickly(server, layer, quick)
    for client, name, number, count in slow:
        expect_all(layer, client, name, number, count, length)
        client.close()
    server.wait_for(lambda: used_large_blocks(server) == 0, "all memory")


def test_nor_do_websockets(serve):
    server = serve("--slow-memory", "256M")
    layer = server.layer("websocket.connect", "http.request")
    slow = []
    for number in range(SLOW):
        client = WebSocket(server.address, TIMEOUT)
        client.open()
        slow.append((client, number, fill(layer, layer.receive()["reply_channel"], number, CHUNK)))
    with server.client() as quick:
        exchange_quickly(server, layer, quick)
    for client, number, count in slow:
        for part in range(count):
            assert client.message() == part_of(number, part)
        client.close()


def test_a_compressed_message_is_in_the_memory_of_the_worker_only(serve):
    server = serve("--websocket-deflate")
    layer = server.layer("websocket.connect")
    with WebSocket(server.address, TIMEOUT) as client:
        client.open(b"Sec-WebSocket-Extensions: permessage-deflate")
        name = layer.receive()["reply_channel"]
        content = os.urandom(CHUNK // 2).hex()  # compressed it is half as long
        count = 0
        while layer.send(name, {}, content, 0.2) == Outcome.OK:
            count += 1
        server.wait_for(lambda: used_large_blocks(server) == 0, "the memory")
        for _ in range(count):
            frame = client.read_frame()
            assert frame.rsv == 4
            inflater = zlib.decompressobj(wbits=-15)
            assert inflater.decompress(frame.payload + b"\0\0\xff\xff") == content.encode()
        assert layer.send(name, {}, "more") == Outcome.OK
        assert client.message() == "more"


def test_who_takes_nothing_is_cut_when_there_is_no_memory_for_it(serve):
    """Those who come later don't have to wait until its time is up, which is an hour here."""
    server = serve("--slow-memory", "300K")
    layer = server.layer("http.request")
    names = []
    with contextlib.ExitStack() as stack:
        for number in range(SLOW):
            client = stack.enter_context(server.client())
            client.get("/slow")
            names.append(layer.receive()["reply_channel"])
            # As long as there is no memory, it tries again.
            fill(layer, names[-1], number, CHUNK, more_content=True)
        server.wait_for_log("cut that took nothing")
        assert layer.send(names[0], {"more_content": True}, "more", 0) == Outcome.GONE

        def exchanged():
            """Unless we ourselves take nothing for so long that we are cut."""
            with server.client() as quick, contextlib.suppress(AssertionError, ConnectionError):
                exchange(server, layer, quick)
                return True
            return False

        server.wait_for(exchanged, "an exchange")


def test_a_workers_own_memory_is_bounded(serve):
    """What finds no place there stays in the layer, and comes all the same, in its order."""
    for _ in range(5):
        server = serve("--slow-memory", "300K")
        with contextlib.suppress(AssertionError, ConnectionError):
            fill_the_workers_own_memory(server)
            return
        # For seconds nothing was read: then clients are cut, rightly.
        assert "cut that took nothing" in server.log
    raise AssertionError("too slow again and again")


def fill_the_workers_own_memory(server):
    layer = server.layer("http.request")
    slow = []
    for number in range(3):
        client = server.client()
        client.get("/slow")
        name = layer.receive()["reply_channel"]
        slow.append([client, name, number, 0])

    def filled():
        """Not when their sockets can take more, which a worker that is late may be about to find."""
        for one in slow:
            _, name, number, count = one
            one[3] = fill(layer, name, number, CHUNK, count, more_content=True)
        return used_large_blocks(server) >= 3 * 9 - 300 * 1024 // CHUNK

    server.wait_for(filled, "the worker's own memory and all windows to be full")
    for client, name, number, count in slow:
        expect_all(layer, client, name, number, count, CHUNK)
        client.close()


def fill_and_wait(layer, name, **keys):
    """Sends parts until there has been no room for a second. False if the channel has ended before."""
    number = 0
    while (outcome := layer.send(name, {**keys, "continues": number > 0 and "more_content" in keys}, part_of(0, number), 1)) == Outcome.OK:
        number += 1
    assert outcome in (Outcome.TIMEOUT, Outcome.GONE)
    return number if outcome == Outcome.TIMEOUT else False


@pytest.mark.parametrize("half_closed", [False, True])
def test_a_consumer_that_finds_no_room_is_not_late(serve, half_closed):
    """Its time, of which that second has ten times as much, doesn't run while the client has something to take."""
    server = serve("--response-timeout", "100ms", "--write-timeout", "1h")
    layer = server.layer("http.request")

    def filled():
        with server.client(server.socket_path) as client:
            client.get("/slow")
            if half_closed:
                client.socket.shutdown(socket.SHUT_WR)
            count = fill_and_wait(layer, layer.receive()["reply_channel"], more_content=True)
            if count is False:
                return False  # we were too slow for the first part
            client.read_head()
            assert [client.read_chunk() for _ in range(count)] == [part_of(0, i).encode() for i in range(count)]
            return True

    server.wait_for(filled, "a full window")


def test_nor_is_one_that_has_yet_to_take_the_body(serve):
    """A consumer that answers while the body comes may wait for room before it receives more of that."""
    server = serve("--response-timeout", "100ms", "--write-timeout", "1h", "--capacity", "http.request.body?*=1")
    layer = server.layer("http.request")

    def filled():
        with server.client(server.socket_path) as client:
            # More than finds room in the layer, but no more than that and the socket can hold.
            client.send(b"POST /slow HTTP/1.1\r\nHost: test\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 200000)
            count = fill_and_wait(layer, layer.receive()["reply_channel"], more_content=True)
            if count is False:
                return False  # we were too slow for the first part
            client.read_head()
            assert [client.read_chunk() for _ in range(count)] == [part_of(0, i).encode() for i in range(count)]
            return True

    server.wait_for(filled, "a full window")


@pytest.mark.parametrize("options, keys", [
    (("--websocket-ping-interval", "100ms", "--websocket-pong-timeout", "100ms"), {}),
    (("--response-timeout", "100ms"), {"more_content": True}),
], ids=["pings", "parts"])
def test_a_websocket_that_has_something_to_take_has_the_write_timeout(serve, options, keys):
    """Neither is it asked whether it is alive, for the answer couldn't come, nor its consumer for the next part."""
    server = serve("--write-timeout", "1h", *options)
    layer = server.layer("websocket.connect")

    def filled():
        with WebSocket(server.socket_path, TIMEOUT) as client:
            client.open()
            count = fill_and_wait(layer, layer.receive()["reply_channel"], **keys)
            if count is False:
                return False  # we were too slow for the first messages
            for number in range(count):
                while (frame := client.read_frame()).opcode == PING:
                    pass  # we were slow before the first message
                assert frame.payload == part_of(0, number).encode()
            return True

    server.wait_for(filled, "a full window")
