# SPDX-License-Identifier: MIT
"""Clients that speak TLS: over a socket, or octet by octet."""

import ssl

from http_raw import TIMEOUT, Client


def client_context(*certificates, version=None, check=True):
    """Trusts CERTIFICATES; with VERSION ("TLSv1_2"), speaks nothing else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # on by default: an end is an end
    context.check_hostname = check
    context.verify_mode = ssl.CERT_REQUIRED if check else ssl.CERT_NONE
    for certificate in certificates:
        context.load_verify_locations(certificate.path)
    if version:
        context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    return context


class TlsClient(Client):
    """As Client; an end without close_notify raises ssl.SSLError."""

    def __init__(self, address, context, name="localhost", session=None, timeout=TIMEOUT):
        super().__init__(address, timeout)
        try:
            self.socket = context.wrap_socket(self.socket, server_hostname=name, session=session,
                                              suppress_ragged_eofs=False)
        except Exception:
            self.socket.close()
            raise

    def send_quietly(self, octets):
        try:
            super().send_quietly(octets)
        except ssl.SSLEOFError:
            pass

    @property
    def der(self):
        return self.socket.getpeercert(binary_form=True)


class StepClient(Client):
    """TLS whose octets go to and from the socket by steps of the test's choice."""

    def __init__(self, address, context, name="localhost", step=1, timeout=TIMEOUT):
        super().__init__(address, timeout)
        self.step = step
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.object = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)

    def push(self, octets):
        for at in range(0, len(octets), self.step):
            self.socket.sendall(octets[at:at + self.step])

    def _pump(self, operation, *arguments):
        """Does it, with as much reading and writing as that takes."""
        while True:
            try:
                return operation(*arguments)
            except ssl.SSLWantReadError:
                self.push(self.outgoing.read())
                octets = self.socket.recv(self.step)
                if octets:
                    self.incoming.write(octets)
                else:
                    self.incoming.write_eof()
            finally:
                self.push(self.outgoing.read())

    def handshake(self):
        self._pump(self.object.do_handshake)

    def hello(self):
        """The client's first flight, which isn't sent."""
        try:
            self.object.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return self.outgoing.read()

    def send(self, octets):
        self._pump(self.object.write, octets)

    def send_octets_quietly(self, octets):
        """Past TLS; the server may have ended the connection."""
        super().send_quietly(octets)

    def has_socket_ended(self):
        try:
            return not self.socket.recv(1)
        except ConnectionResetError:
            return True

    def end(self):
        """Ends our side; the other may go on."""
        try:
            self.object.unwrap()
        except ssl.SSLWantReadError:
            pass
        self.push(self.outgoing.read())

    def _fill(self):
        octets = self._pump(self.object.read, 65536)
        self.buffer += octets
        return bool(octets)
