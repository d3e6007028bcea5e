# SPDX-License-Identifier: MIT
"""A raw HTTP/1.1 client: sends the octets it is told, and reads answers strictly."""

import re
import socket

TIMEOUT = 120.0  # seconds; bounds a hang, never a measure


class Response:
    """One answer as it came."""

    def __init__(self, version, status, reason, fields):
        self.version, self.status, self.reason, self.fields = version, status, reason, fields
        self.body = b""
        self.chunks = []

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name):
        values = self.all(name)
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else None

    @property
    def closes(self):
        return (self.get("Connection") or "").lower() == "close"

    def __repr__(self):
        return f"<{self.status} {self.reason} {self.fields} {self.body[:200]!r}>"


class Client:
    """A connection. ADDRESS is (host, port) or the path of a unix socket."""

    def __init__(self, address, timeout=TIMEOUT):
        if isinstance(address, tuple):
            self.socket = socket.create_connection(address, timeout)
            # Where nobody listens, TCP may connect a socket to itself: once in as many tries as there are ports.
            if self.socket.getsockname() == self.socket.getpeername():
                self.socket.close()
                raise ConnectionRefusedError(f"nobody listens at {address}")
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout)
            self.socket.connect(str(address))
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Closes with a RST instead of a FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def send(self, octets):
        self.socket.sendall(octets)

    def send_quietly(self, octets):
        """Sends what the server may refuse in the middle, by closing the connection."""
        try:
            self.socket.sendall(octets)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def get(self, target="/", *fields, method="GET", body=None):
        """Sends a well-formed request."""
        lines = [f"{method} {target} HTTP/1.1", "Host: test", *fields]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b""))

    def _fill(self):
        octets = self.socket.recv(65536)
        self.buffer += octets
        return bool(octets)

    def read(self, count):
        while len(self.buffer) < count:
            assert self._fill(), f"the connection ended after {self.buffer[:500]!r}"
        octets, self.buffer = self.buffer[:count], self.buffer[count:]
        return octets

    def read_until(self, delimiter):
        while delimiter not in self.buffer:
            assert self._fill(), f"the connection ended after {self.buffer[:500]!r}"
        octets, _, self.buffer = self.buffer.partition(delimiter)
        return octets

    def read_line(self):
        line = self.read_until(b"\r\n")
        assert b"\n" not in line and b"\r" not in line
        return line

    def read_to_end(self):
        while self._fill():
            pass
        octets, self.buffer = self.buffer, b""
        return octets

    def is_ended(self):
        """Waits for the server to end the connection; False if it sends something instead."""
        try:
            return not self.buffer and not self._fill()
        except ConnectionResetError:
            return True

    def read_head(self):
        line = self.read_line().decode("latin-1")
        match = re.fullmatch(r"(HTTP/1\.[01]) (\d{3}) (.*)", line)
        assert match, f"no status line: {line!r}"
        fields = []
        while field := self.read_line().decode("latin-1"):
            name, colon, value = field.partition(":")
            assert colon and re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name), field
            fields.append((name, value.strip(" \t")))
        return Response(match[1], int(match[2]), match[3], fields)

    def read_chunk(self):
        """The next chunk; empty for the last one, whose trailer is read too."""
        line = self.read_line()
        assert re.fullmatch(rb"[0-9a-fA-F]{1,16}", line), line
        octets = self.read(int(line, 16))
        assert self.read(2) == b"\r\n"
        return octets

    def read_body(self, response):
        length, coding = response.get("Content-Length"), response.get("Transfer-Encoding")
        assert not (length and coding), "both Content-Length and Transfer-Encoding"
        if length is not None:
            assert re.fullmatch(r"\d+", length), length
            response.body = self.read(int(length))
        elif coding is not None:
            assert coding == "chunked" and response.version == "HTTP/1.1"
            while chunk := self.read_chunk():
                response.chunks.append(chunk)
            response.body = b"".join(response.chunks)
        else:
            assert response.closes or response.version == "HTTP/1.0", "no framing"
            response.body = self.read_to_end()

    def response(self, head=False):
        """The next answer with its body; HEAD when it is one to a HEAD request."""
        response = self.read_head()
        if not head and response.status >= 200 and response.status not in (204, 304):
            self.read_body(response)
        return response
