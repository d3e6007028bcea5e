# SPDX-License-Identifier: MIT
"""What each section of the Autobahn test suite asks of a WebSocket server, without the suite.

Sections 3 and 4, and the bad frames of 5 and 7, are in test_websocket.py.
"""

import contextlib
import random
import struct

import pytest

from conftest import TIMEOUT, Server, shared
from forebay_client import Outcome
from websocket_raw import (BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, WebSocket, close_frame,
                           frame)

CHANNELS = ("websocket.connect", "websocket.receive", "websocket.disconnect")


@contextlib.contextmanager
def open_layer():
    with Server() as server:
        layer = server.layer(*CHANNELS)
        layer.address = server.address
        yield layer


module_layer = shared(open_layer)


@pytest.fixture
def layer(module_layer, request):
    with module_layer.lend(request) as layer:
        yield layer


class Echo:
    """A client, and the consumer that has nobody but it to answer."""

    def __init__(self, layer):
        self.layer = layer
        self.waiting = []  # between channels there is no order
        self.ended = False  # its disconnect was received
        self.client = WebSocket(layer.address, TIMEOUT)
        self.client.open()
        self.name = self.event("connect")["reply_channel"]

    def event(self, channel):
        for message in self.waiting:
            if message["channel"] == "websocket." + channel:
                self.waiting.remove(message)
                return message
        message = self.layer.receive(TIMEOUT)
        assert message, f"no {channel} came"
        self.ended |= message["channel"] == "websocket.disconnect"
        self.waiting.append(message)
        return self.event(channel)

    def close(self):
        """Ends the connection if it hasn't ended, and leaves no event of it to the next one."""
        self.client.close()
        if not self.ended:
            self.event("disconnect")

    def consume(self, count=1):
        """Sends back the next COUNT messages."""
        for _ in range(count):
            message = self.event("receive")
            assert self.layer.send(self.name, {}, message["content"]) == 0

    def exchange(self, octets, opcode, payload):
        """OCTETS are one message, which comes back."""
        self.client.send(octets)
        self.consume()
        got = self.client.read_frame()
        assert (got.fin, got.rsv, got.opcode) == (1, 0, opcode)
        assert got.payload == payload

    def is_alive(self):
        self.client.send(frame(PING, b"alive"))
        got = self.client.read_frame()
        assert (got.opcode, got.payload) == (PONG, b"alive")

    def end(self):
        self.client.send(close_frame(1000))
        assert self.event("disconnect")["code"] == 1000
        assert self.client.closed_with() == 1000

    def fails_with(self, code):
        assert self.client.closed_with() == code
        assert self.event("disconnect")["code"] == code


@pytest.fixture
def connect(layer, request):
    """Makes one connection after the other; the one before ends with it."""
    made = []

    def close():
        if made:
            made.pop().close()

    def make():
        close()
        made.append(Echo(layer))
        return made[-1]

    yield make
    if not request.node.failed:
        close()


@pytest.fixture
def echo(connect):
    return connect()


def in_pieces(client, octets, size):
    for at in range(0, len(octets), size):
        client.send(octets[at:at + size])


# --- 1: framing ----------------------------------------------------------------------------------

LENGTHS = [0, 1, 125, 126, 127, 128, 65535, 65536]


@pytest.mark.parametrize("opcode", [TEXT, BINARY], ids=["text", "binary"])
@pytest.mark.parametrize("length", LENGTHS)
def test_every_form_of_length(echo, opcode, length):
    payload = (b"*" if opcode == TEXT else b"\xfe") * length
    echo.exchange(frame(opcode, payload), opcode, payload)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 997])
def test_frames_in_pieces(echo, size):
    for length in (0, 125, 126, 300):
        payload = bytes(range(256))[:length % 256] * 2
        octets = frame(BINARY, payload)
        in_pieces(echo.client, octets, size)
        echo.consume()
        assert echo.client.read_frame().payload == payload


def test_a_frame_cut_in_two_at_every_octet(echo):
    payload = "Grüße €".encode() * 12
    octets = frame(TEXT, payload)
    assert len(octets) > 128
    for at in range(1, len(octets)):
        echo.client.send(octets[:at])
        echo.exchange(octets[at:], TEXT, payload)


def test_any_masking_key(echo):
    for mask in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\xff\0\x80", b"\x81\x89\x88\0"):
        for length in (1, 3, 4, 5, 125, 130):
            payload = bytes(range(length))
            echo.exchange(frame(BINARY, payload, mask=mask), BINARY, payload)


# --- 2: pings and pongs --------------------------------------------------------------------------

@pytest.mark.parametrize("payload", [b"", b"Hello, world!", bytes(range(0, 256, 3)), b"\xfe" * 125],
                         ids=len)
@pytest.mark.parametrize("size", [1, 1000])
def test_a_ping_is_answered_with_its_payload(echo, payload, size):
    in_pieces(echo.client, frame(PING, payload), size)
    got = echo.client.read_frame()
    assert (got.fin, got.opcode, got.payload) == (1, PONG, payload)


def test_pongs_nobody_asked_for_are_ignored(echo):
    echo.client.send(frame(PONG) + frame(PONG, b"payload") + frame(PONG, b"\xff" * 125)
                     + frame(PING, b"now"))
    got = echo.client.read_frame()
    assert (got.opcode, got.payload) == (PONG, b"now")


@pytest.mark.parametrize("size", [1, 5, 10000])
def test_ten_pings_are_ten_pongs(echo, size):
    in_pieces(echo.client, b"".join(frame(PING, b"%d" % i) for i in range(10)), size)
    assert [echo.client.read_frame().payload for _ in range(10)] == [b"%d" % i for i in range(10)]


# --- 5: fragmentation ----------------------------------------------------------------------------

@pytest.mark.parametrize("size", [1, 10000])
def test_control_frames_between_fragments(echo, size):
    in_pieces(echo.client, b"".join((
        frame(TEXT, "fra", fin=False), frame(PING, b"1"), frame(CONTINUATION, "gm", fin=False),
        frame(PONG, b"x"), frame(PING, b"2"), frame(CONTINUATION, "", fin=False),
        frame(CONTINUATION, "ent"))), size)
    assert echo.client.read_frame().payload == b"1"
    assert echo.client.read_frame().payload == b"2"
    echo.consume()
    assert echo.client.message() == "fragment"


def test_every_cut_of_a_text_into_fragments(echo):
    payload = "κόσμε 🌊".encode()
    for at in range(len(payload) + 1):
        for middle in range(at, len(payload) + 1):
            octets = (frame(TEXT, payload[:at], fin=False)
                      + frame(CONTINUATION, payload[at:middle], fin=False)
                      + frame(CONTINUATION, payload[middle:]))
            echo.exchange(octets, TEXT, payload)


def test_what_came_before_a_violation_is_answered_before_the_close(connect):
    # A consumer has some time for that, which is enough if the machine isn't too busy.
    for _ in range(100):
        echo = connect()
        echo.client.send(frame(TEXT, "one") + frame(TEXT, "two") + frame(CONTINUATION, "three"))
        outcomes = [echo.layer.send(echo.name, {}, echo.event("receive")["content"]) for _ in range(2)]
        if outcomes == [Outcome.OK, Outcome.OK] and (got := echo.client.read_frame()).opcode == TEXT:
            break
    assert got.payload == b"one"
    assert echo.client.message() == "two"
    assert echo.client.closed_with() == 1002


def test_a_violation_is_answered_although_the_consumer_does_not(connect):
    echo = connect()
    echo.client.send(frame(TEXT, "one") + frame(CONTINUATION, "two"))
    assert echo.event("receive")["content"] == "one"
    echo.fails_with(1002)
    assert echo.layer.send(echo.name, {}, "late") == Outcome.GONE


# --- 6: UTF-8 ------------------------------------------------------------------------------------

def octets(text):
    return bytes.fromhex(text)


# Of sections 6.5 to 6.23, and of Markus Kuhn's UTF-8 decoder test behind them.
SEQUENCES = [
    # valid: first and last of each length, and what borders on the surrogates
    "", "48656c6c6f2dc2b540c39fc3b6c3a4c3bcc3a0c3a12d5554462d382121", "cebae1bdb9cf83cebcceb5",
    "00", "7f", "c280", "dfbf", "e0a080", "efbfbf", "f0908080", "f48fbfbf", "ed9fbf", "ee8080",
    "efbfbd", "efbfbe", "efbbbf", "f09fbfbe", "f48fbfbe",
    # stray continuation octets
    "80", "bf", "80bf", "80bf80", "80bf80bf", "80bf80bf80", "80bf80bf80bf",
    bytes(range(0x80, 0xc0)).hex(),
    # first octets alone, each followed by a space
    *[f"{first:02x}20" for first in range(0xc0, 0x100)],
    # incomplete sequences, at the end and followed by others
    "c2", "e0a0", "f09080", "f8888080", "fc84808080", "dfe0a0", "efbf", "f7bfbf", "fbbfbfbf",
    "fdbfbfbfbf", "c0e080f08080f8808080fc80808080dfefbff7bfbffbbfbfbffdbfbfbfbf",
    # beyond Unicode
    "f4908080", "f7bfbfbf", "f888808080", "fbbfbfbfbf", "fc8480808080", "fdbfbfbfbfbf",
    "fe", "ff", "fefeffff",
    # too long
    "c0af", "e080af", "f08080af", "f8808080af", "fc80808080af", "c1bf", "e09fbf", "f08fbfbf",
    "f887bfbfbf", "fc83bfbfbfbf", "c080", "e08080", "f0808080", "f880808080", "fc8080808080",
    # surrogates, alone and in pairs
    "eda080", "edadbf", "edae80", "edafbf", "edb080", "edbe80", "edbfbf", "eda080edb080",
    "eda080edbfbf", "edadbfedb080", "edadbfedbfbf", "edae80edb080", "edafbfedbfbf",
    # good before bad, and after it
    "cebae1bdb9cf83cebcceb5eda080656469746564", "cebae1bdb9cf83cebcceb5f4908080656469746564",
    "cebae1bdb9cf83cebcceb5f49080",
]


def is_valid(sequence):
    try:
        sequence.decode()
    except UnicodeDecodeError:
        return False
    return True


# One of these completes any sequence that can be completed.
ENDINGS = [b"", *(first + rest for first in (b"\x80", b"\x90", b"\xa0") for rest in (
    b"", b"\x80", b"\x80\x80"))]


def bad_at(sequence):
    """How many octets it takes to know that SEQUENCE isn't UTF-8; None if all of them leave hope."""
    for length in range(1, len(sequence) + 1):
        if not any(is_valid(sequence[:length] + ending) for ending in ENDINGS):
            return length
    return None


@pytest.mark.parametrize("cut", ["whole", "an octet a fragment", "an octet a segment"])
def test_sequences(connect, cut):
    echo = connect()
    for sequence in map(octets, SEQUENCES):
        if cut == "an octet a fragment":
            data = frame(TEXT, b"", fin=False) + b"".join(
                frame(CONTINUATION, sequence[i:i + 1], fin=False)
                for i in range(len(sequence))) + frame(CONTINUATION)
        else:
            data = frame(TEXT, sequence)
        if is_valid(sequence):
            in_pieces(echo.client, data, 1 if cut == "an octet a segment" else 1 << 20)
            echo.consume()
            assert echo.client.read_frame().payload == sequence
        else:
            echo.client.send_quietly(data)
            echo.fails_with(1007)
            echo = connect()
    echo.end()


@pytest.mark.parametrize("how", ["fragments", "a frame that goes on"])
def test_bad_text_is_refused_as_soon_as_it_is_known_to_be_bad(connect, how):
    for sequence in map(octets, SEQUENCES):
        bad = bad_at(sequence)
        if bad is None:
            continue
        echo = connect()
        if how == "fragments":
            echo.client.send(frame(TEXT, sequence[:bad - 1], fin=False))
            echo.is_alive()
            echo.client.send(frame(CONTINUATION, sequence[bad - 1:bad], fin=False))
        else:
            begun = frame(TEXT, sequence + b"x" * 1000)
            header = len(begun) - len(sequence) - 1000
            echo.client.send(begun[:header + bad])
        echo.fails_with(1007)


def test_binary_and_pings_may_be_anything(echo):
    for sequence in map(octets, SEQUENCES):
        echo.exchange(frame(BINARY, sequence), BINARY, sequence)
        echo.client.send(frame(PING, sequence[:125]))
        assert echo.client.read_frame().payload == sequence[:125]


def test_text_cut_by_the_buffers(echo):
    """Characters that lie across every power of two, where somebody's buffer may end."""
    for shift in range(4):
        payload = b"x" * shift + "🌊".encode() * 20000
        echo.exchange(frame(TEXT, payload), TEXT, payload)


# --- 7: closing ----------------------------------------------------------------------------------

@pytest.mark.parametrize("reason", [b"", b"x", b"x" * 123, "€".encode() * 41], ids=len)
def test_reasons_of_all_lengths(echo, reason):
    echo.client.send(close_frame(1000, reason))
    got = echo.client.read_frame()
    assert (got.code, got.reason) == (1000, reason.decode())
    assert echo.client.is_ended()


@pytest.mark.parametrize("sequence", ["cebae1bdb9cf83cebcceb5eda080656469746564", "ff", "c3"])
def test_a_reason_that_is_not_utf_8(connect, sequence):
    echo = connect()
    echo.client.send(close_frame(1000, octets(sequence)))
    echo.fails_with(1007)


def test_a_close_in_the_middle_of_a_message(connect):
    echo = connect()
    echo.client.send(frame(TEXT, "never ended", fin=False) + close_frame(1000)
                     + frame(CONTINUATION, "late"))
    assert echo.client.closed_with() == 1000
    assert echo.event("disconnect")["code"] == 1000


def test_a_large_message_and_a_close_right_behind_it(connect):
    echo = connect()
    payload = b"\x01" * 262144
    echo.client.send(frame(BINARY, payload) + close_frame(1000))
    assert echo.client.closed_with() == 1000
    assert echo.event("receive")["content"] == payload
    assert echo.event("disconnect")["code"] == 1000


def test_every_close_code_there_could_be(connect):
    """One of each range of RFC 6455, 7.4.2, and the borders between them."""
    good = {*range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4999}
    for code in sorted(good | {0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535}):
        echo = connect()
        echo.client.send(frame(CLOSE, struct.pack("!H", code)))
        echo.fails_with(code if code in good else 1002)


# --- 9 and 10: sizes -----------------------------------------------------------------------------

@pytest.mark.parametrize("opcode", [TEXT, BINARY], ids=["text", "binary"])
@pytest.mark.parametrize("size,piece", [(65536, 65536), (262144, 1024), (700000, 131072),
                                        (700000, 997)])
def test_large_messages_in_frames_and_pieces(echo, opcode, size, piece):
    payload = b"*" * size if opcode == TEXT else random.Random(size).randbytes(size)
    data = frame(opcode, payload[:piece], fin=piece >= size) + b"".join(
        frame(CONTINUATION, payload[at:at + piece], fin=at + piece >= size)
        for at in range(piece, size, piece))
    in_pieces(echo.client, data, piece * 2 + 1)
    echo.consume()
    octets = echo.client.read_frame()
    assert (octets.opcode, octets.payload == payload) == (opcode, True)
