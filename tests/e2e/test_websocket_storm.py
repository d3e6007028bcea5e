# SPDX-License-Identifier: MIT
"""WebSockets by the thousand, cut off in any state, and processes killed under them."""

import collections
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading

import pytest

from conftest import SANITIZED, TIMEOUT, is_alive, wait_until
from forebay_client import ROOT, Layer
from websocket_raw import BINARY, CONTINUATION, PING, TEXT, WebSocket, close_frame, frame, request

CHANNELS = ("websocket.connect", "websocket.receive", "websocket.disconnect")


class Ledger(threading.Thread):
    """A consumer of connects and disconnects: which connection was told of how often."""

    def __init__(self, server, *also):
        super().__init__()
        self.directory, self.channels = server.directory, CHANNELS[::2] + also
        self.connects, self.disconnects = collections.Counter(), collections.Counter()
        self.paths = set()
        self.stopping = threading.Event()
        self.attached = threading.Event()

    def run(self):
        with Layer(self.directory) as layer:
            layer.listen(*self.channels)
            self.attached.set()
            while not self.stopping.is_set():
                message = layer.receive(0.1)
                if not message:
                    continue
                if message["channel"] == "websocket.connect":
                    self.connects[message["reply_channel"]] += 1
                    self.paths.add(message["path"])
                elif message["channel"] == "websocket.disconnect":
                    self.disconnects[message["reply_channel"]] += 1
                else:
                    layer.send(message["reply_channel"], {}, message["content"], timeout=0)

    def __enter__(self):
        self.start()
        assert self.attached.wait(TIMEOUT)
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.join(TIMEOUT)

    def is_balanced(self):
        return len(self.connects) > 0 and self.connects.keys() == self.disconnects.keys()

    def check(self):
        """Waits until every connection has ended for the consumers; none did twice."""
        wait_until(self.is_balanced, "a disconnect for every connect")
        assert set(self.connects.values()) == {1}
        assert set(self.disconnects.values()) == {1}


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident(pid):
    """KiB."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^RssAnon:\s+(\d+) kB", status, re.M).group(1))


def used_blocks(server):
    done = server.forebay("stat", "--layer", "test", "--json")
    assert done.returncode == 0, done.stderr
    return sum(block["used"] for block in json.loads(done.stdout)["blocks"])


# What a client does before it is gone. The second of each pair says whether it gets as far as to be accepted.
WAYS = [
    (b"", False),
    (request()[:1], False),
    (request()[:-2], False),
    (request(line=b"GET /%zz HTTP/1.1"), False),
    (request(), True),
    (request() + frame(TEXT, "x")[:3], True),
    (request() + frame(TEXT, "x" * 70000)[:40000], True),
    (request() + frame(BINARY, "part", fin=False) + frame(CONTINUATION, "part", fin=False), True),
    (request() + frame(TEXT, "hello") * 3, True),
    (request() + frame(PING, "hello") * 30, True),
    (request() + frame(TEXT, b"\xff"), True),
    (request() + frame(3), True),
    (request() + close_frame(1000), True),
]


def storm(server, count, rounds):
    """COUNT clients of every way, all there at the same time; half of them leave with a reset."""
    for number in range(rounds):
        clients = []
        for i in range(count):
            octets, accepted = WAYS[i % len(WAYS)]
            client = WebSocket(server.address, TIMEOUT)
            client.send(octets)
            clients.append((client, accepted))
        for i, (client, accepted) in enumerate(clients):
            if accepted and i % 3 == number % 3:  # others don't even read the answer
                client.finish_open()
            if i % 2:
                client.reset()
            else:
                client.close()


def weather(server, ledger, count, rounds):
    """A storm, and the calm after it: one worker takes its clients in turn, so the last one comes behind all others."""
    storm(server, count, rounds)
    last = f"/last/{len(ledger.paths)}"
    with WebSocket(server.address, TIMEOUT) as client:
        client.open(path=last.encode())
        wait_until(lambda: last in ledger.paths, "the last client")
    ledger.check()


def test_a_storm_leaves_nothing_behind(serve):
    count, rounds = 13 * (4 if SANITIZED else 12), 2 if SANITIZED else 6
    # Room for the connections of two rounds: what is leaked is missed soon.
    server = serve("--layer-reply-channels", 2 * count + 64)
    worker, = server.workers
    accepted = sum(accepted for _, accepted in WAYS) * count // len(WAYS)
    with Ledger(server, "websocket.receive") as ledger:
        weather(server, ledger, count, 1)
        open_before = descriptors(worker)
        grown = []
        # Each storm may meet more clients at once than those before it, and take memory to keep. Of what is
        # leaked, be it a session a client, each storm would take at least as much again.
        while not grown or (not SANITIZED and grown[-1] > 200 and len(grown) < 10):
            before = resident(worker)
            weather(server, ledger, count, rounds)
            grown.append(resident(worker) - before)
        offered = accepted * (1 + rounds * len(grown)) + 1 + len(grown)
        # A client that is gone before its request is looked at may not be heard of at all.
        assert offered // 3 <= len(ledger.connects) <= offered
        wait_until(lambda: descriptors(worker) <= open_before, "the end of all descriptors")
        wait_until(lambda: used_blocks(server) == 0, "the end of all messages")
    assert SANITIZED or grown[-1] <= 200, f"KiB more after each storm: {grown}"
    assert server.workers == [worker]


def test_clients_that_come_and_go_as_fast_as_they_can(serve):
    """Several at a time, against more than one worker, with frames in flight when they leave."""
    server = serve("--layer-reply-channels", 256, workers=2)

    def run(seed):
        for i in range(10 if SANITIZED else 60):
            with WebSocket(server.address, TIMEOUT) as client:
                client.open(early=frame(TEXT, str(i)) * (1 + (i + seed) % 4))
                assert client.message() == str(i)
                if (i + seed) % 3:
                    client.reset()

    with Ledger(server, "websocket.receive") as ledger:
        threads = [threading.Thread(target=run, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(2 * TIMEOUT)
        # A balance may also be had while the events of the last connection still wait.
        wait_until(lambda: len(ledger.connects) >= 8 * (10 if SANITIZED else 60), "all connections")
        ledger.check()
        assert len(ledger.connects) == 8 * (10 if SANITIZED else 60)


# --- Kills ---------------------------------------------------------------------------------------

ECHO = """
import sys
from forebay_client import Layer
with Layer(sys.argv[1]) as layer:
    layer.listen("websocket.receive")
    print("ready", flush=True)
    while True:
        if message := layer.receive(1):
            layer.send(message["reply_channel"], {}, message["content"], timeout=0)
"""


class Echo:
    """A consumer of messages alone, in a process that can be killed."""

    def __init__(self, server):
        self.process = subprocess.Popen(
            [sys.executable, "-B", "-c", ECHO, str(server.directory)], stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL, cwd=ROOT / "tests/e2e")
        assert self.process.stdout.readline() == b"ready\n"

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Crowd:
    """Clients that talk, and come again when they are cut off."""

    def __init__(self, server, count):
        self.address = server.address
        self.stopping = threading.Event()
        self.answered = 0
        self.failures = []
        self.threads = [threading.Thread(target=self.run) for _ in range(count)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(2 * TIMEOUT)

    def run(self):
        while not self.stopping.is_set():
            try:
                with WebSocket(self.address, 5) as client:
                    client.open()
                    self.talk(client)
            except (OSError, AssertionError) as error:
                # Reset, ended in the middle, or no answer, since the consumer was killed with the message.
                if not isinstance(error, OSError) and "connection ended" not in str(error):
                    self.failures.append(error)

    def talk(self, client):
        for i in range(20):
            if self.stopping.is_set():
                return
            client.send(frame(TEXT, str(i)))
            assert client.message() == str(i)
            self.answered += 1
        client.send(close_frame(1000))


@pytest.mark.parametrize("whom", ["workers", "consumers"])
def test_kills_under_load(serve, whom):
    server = serve(workers=2)
    kills = 3 if SANITIZED else 6
    with Ledger(server) as ledger:
        consumers = [Echo(server), Echo(server)]
        with Crowd(server, 6) as crowd:
            for i in range(kills):
                answered = crowd.answered
                wait_until(lambda: crowd.answered >= answered + 50, "answers")
                if whom == "consumers":
                    consumers[i % 2].kill()
                    consumers[i % 2] = Echo(server)
                    continue
                victim = server.workers[i % 2]
                os.kill(victim, signal.SIGKILL)
                server.wait_for(lambda: not is_alive(victim) and len(server.workers) == 2,
                                "another worker")
        ledger.check()
        for consumer in consumers:
            consumer.kill()
        assert not crowd.failures
