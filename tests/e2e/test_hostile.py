# SPDX-License-Identifier: MIT
"""A process that scribbles over the segment of a running server: messages may be lost and requests refused,
but no process crashes, hangs or stays behind, and a new layer serves as before."""

import mmap
import os
import random
import shutil
import signal
import struct
import threading

import pytest

from conftest import DEMO, SANITIZED, is_alive, wait_until

REQUEST = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"
REQUESTS = 25
WORDS = 25  # scribbled with each request

# Words that make sense somewhere: states of blocks, channels and processes, links, slots, lengths.
PLAUSIBLE = [
    lambda rng: 0,
    lambda rng: 1,
    lambda rng: rng.getrandbits(64),
    lambda rng: 2**64 - 1 - rng.getrandbits(4),
    lambda rng: 3 << 62 | rng.randrange(4096) << 50 | rng.randrange(4),  # HELD
    lambda rng: rng.randrange(8) << 50 | rng.randrange(4),  # a uid
    lambda rng: 2 << 62 | rng.randrange(1056) << 42 | rng.randrange(1 << 14),  # SENT
    lambda rng: 1 << 62 | rng.randrange(8) << 32 | rng.randrange(4096),  # PART
    lambda rng: rng.randrange(4) << 32 | rng.randrange(1056) << 11 | rng.randrange(4),  # a link
    lambda rng: rng.randrange(1, 4) << 32 | rng.randrange(4096),  # a slot of a ring
    lambda rng: rng.randrange(1 << 16) << 32 | rng.randrange(1 << 16),  # lengths
]


class Scribbler:
    """Overwrites words of the segment, most of them where there are words already."""

    def __init__(self, directory, seed):
        file = os.open(directory / "forebay.test" / "segment", os.O_RDWR | os.O_CLOEXEC)
        self.size = os.fstat(file).st_size
        self.map = mmap.mmap(file, self.size)
        os.close(file)
        self.random = random.Random(seed)

    def used_words(self):
        """Offsets of words that aren't zero."""
        octets = self.map[:]
        zeros = bytes(512)
        found = []
        for start in range(0, self.size, 512):
            if octets[start:start + 512] != zeros:
                found += [start + at for at in range(0, 512, 8)
                          if octets[start + at:start + at + 8] != zeros[:8]]
        return found

    def scribble(self, words):
        used = self.used_words()
        for _ in range(words):
            offset = (self.random.choice(used) if used and self.random.random() < 0.8
                      else self.random.randrange(self.size // 8) * 8)
            value = self.random.choice(PLAUSIBLE)(self.random)
            if self.random.random() < 0.3:  # what stands elsewhere
                other = self.random.choice(used)
                value = struct.unpack("<Q", self.map[other:other + 8])[0]
            self.map[offset:offset + 8] = struct.pack("<Q", value)

    def close(self):
        self.map.close()


def try_request(server):
    """The status of one request; None if the connection ended without one. Either comes in bounded time."""
    with server.client(server.socket_path) as client:
        try:
            client.send(REQUEST)
            return client.response().status
        except (AssertionError, ConnectionError):
            return None


@pytest.mark.parametrize("seed", range(2 if SANITIZED else 4))
def test_scribbling_over_the_segment_crashes_and_hangs_nobody(serve, seed):
    # As small as a layer can be, so that most words that are scribbled over mean something.
    server = serve("--layer-size", "4M", "--layer-channels", "16", "--layer-reply-channels", "256",
                   "--response-timeout", "50ms", app=DEMO, workers=2, app_processes=2)
    family = server.workers + server.apps
    wait_until(lambda: try_request(server) == 200, "the first answer")
    scribbler = Scribbler(server.directory, seed)
    statuses = set()
    for number in range(REQUESTS):
        # While the request is under way.
        thread = threading.Thread(target=scribbler.scribble, args=(WORDS,))
        thread.start()
        statuses.add(try_request(server))
        thread.join()
        if number % 10 == 9:
            assert server.forebay("stat").returncode in (0, 1)
    scribbler.close()
    assert statuses <= {200, 500, 502, 503, 504, None}
    # Nobody was replaced, so nobody has crashed; and all are told to stop, and do.
    assert server.workers + server.apps == family, server.log
    server.signal(signal.SIGTERM)
    assert server.wait() == 0, server.log
    wait_until(lambda: not any(map(is_alive, family)), "the end of all processes")
    # A layer that was scribbled over is replaced by removing it.
    shutil.rmtree(server.directory / "forebay.test")
    server.start()
    wait_until(lambda: try_request(server) == 200, "an answer through a new layer")
