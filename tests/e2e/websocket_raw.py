# SPDX-License-Identifier: MIT
"""A WebSocket client that sends whatever a test wants, well-formed or not, and reads frames."""

import base64
import hashlib
import struct

from http_raw import Client

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
FIELDS = (b"Host: test", b"Upgrade: websocket", b"Connection: Upgrade",
          b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: " + KEY)


def request(*fields, line=b"GET /ws HTTP/1.1", without=(), end=b"\r\n\r\n"):
    """A request for a WebSocket, with FIELDS added and those whose names are in WITHOUT left out."""
    kept = [field for field in FIELDS if field.split(b":")[0] not in without]
    return b"\r\n".join((line, *kept, *fields)) + end


def accept_of(key):
    digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    return base64.b64encode(digest).decode()


def frame(opcode, payload=b"", fin=True, rsv=0, mask=b"\x11\x22\x33\x44", length=None, size=None):
    """A frame. MASK None: unmasked. LENGTH says another one than the payload's, in SIZE octets."""
    if isinstance(payload, str):
        payload = payload.encode()
    length = len(payload) if length is None else length
    if size is None:
        size = 0 if length < 126 else 2 if length < 65536 else 8
    octets = bytes([fin << 7 | rsv << 4 | opcode])
    short = {0: length, 2: 126, 8: 127}[size]
    octets += bytes([short | (0x80 if mask is not None else 0)])
    octets += length.to_bytes(size, "big") if size else b""
    if mask is None:
        return octets + payload
    repeated = (mask * (len(payload) // 4 + 1))[:len(payload)]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
    return octets + mask + masked.to_bytes(len(payload), "big")


def close_frame(code=None, reason=b""):
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason)


class Frame:
    def __init__(self, first, payload):
        self.fin, self.rsv, self.opcode = first >> 7, first >> 4 & 7, first & 15
        self.payload = payload

    @property
    def code(self):
        assert self.opcode == CLOSE, self
        return struct.unpack("!H", self.payload[:2])[0] if self.payload else None

    @property
    def reason(self):
        return self.payload[2:].decode()

    def __repr__(self):
        return f"<frame {self.opcode} fin={self.fin} rsv={self.rsv} {self.payload[:100]!r}>"


class WebSocket(Client):
    """A connection to a WebSocket server. Nothing is sent before a test says so."""

    def open(self, *fields, early=b"", path=b"/ws"):
        """The handshake, with EARLY in the same segment."""
        self.send(request(*fields, line=b"GET " + path + b" HTTP/1.1") + early)
        return self.finish_open()

    def finish_open(self):
        response = self.read_head()
        assert response.status == 101, response
        assert response.get("Upgrade").lower() == "websocket"
        assert response.get("Connection").lower() == "upgrade"
        assert response.get("Sec-WebSocket-Accept") == accept_of(KEY)
        return response

    def read_frame(self):
        first, second = self.read(2)
        assert not second & 0x80, "the server masks"
        length = second
        if length > 125:
            size = 2 if length == 126 else 8
            length = int.from_bytes(self.read(size), "big")
            assert length > (125 if size == 2 else 65535), "not the shortest length"
        return Frame(first, self.read(length))

    def message(self):
        """The next frame, which has to be a whole message."""
        got = self.read_frame()
        assert got.fin and not got.rsv and got.opcode in (TEXT, BINARY), got
        return got.payload.decode() if got.opcode == TEXT else got.payload

    def closed_with(self):
        """The code of the close frame, which has to be the last that comes."""
        code = self.read_frame().code
        assert self.is_ended(), "something follows the close frame"
        return code
