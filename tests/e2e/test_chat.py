# SPDX-License-Identifier: MIT
"""The demo's chat: clients of several workers, and several consumers that serve them."""

import os
import signal

import pytest

from conftest import DEMO, TIMEOUT, is_alive, wait_until
from websocket_raw import BINARY, TEXT, WebSocket, close_frame, frame


@pytest.fixture
def server(serve):
    # Accepted by the consumer that has them join: who is accepted is in the group.
    return serve("--websocket-accept", "wait", workers=2, app=DEMO, app_processes=3)


def join(server):
    client = WebSocket(server.address, TIMEOUT)
    client.open(path=b"/ws/chat")
    return client


def leave(client):
    client.send(close_frame(1000))
    while client.read_frame().opcode != 8:
        pass
    client.close()


def test_what_one_says_all_get(server):
    clients = [join(server) for _ in range(12)]
    for i, client in enumerate(clients):
        client.send(frame(TEXT, f"<b>{i}</b> & é"))
        for other in clients:
            assert other.message() == f"<b>{i}</b> & é"
    clients[0].send(frame(BINARY, b"\0\xff"))
    for client in clients:
        assert client.message() == b"\0\xff"
        client.close()


def test_who_leaves_hears_no_more_and_the_others_go_on(server):
    clients = [join(server) for _ in range(6)]
    leave(clients.pop())
    clients.pop().reset()
    for text in ("still", "here"):
        clients[0].send(frame(TEXT, text))
        for client in clients:
            assert client.message() == text
    for client in clients:
        client.close()
    groups = server.forebay("group", "list", "--layer", "test", "demo.chat").stdout
    wait_until(lambda: not server.forebay("group", "list", "--layer", "test",
                                          "demo.chat").stdout.strip(), f"an empty group: {groups}")


def test_the_chat_outlives_its_consumers(server):
    clients = [join(server) for _ in range(8)]
    before = server.apps
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    server.wait_for(lambda: len(set(server.apps) - set(before)) == 3, "new consumers")
    clients[3].send(frame(TEXT, "as if nothing had been"))
    for client in clients:
        assert client.message() == "as if nothing had been"
        client.close()


def test_a_worker_that_dies_takes_its_clients_out_of_the_chat(server):
    clients = [join(server) for _ in range(20)]
    victim = max(server.workers, key=lambda pid: len(os.listdir(f"/proc/{pid}/fd")))
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: not is_alive(victim), "its end")
    left = []
    for client in clients:
        # A connection of the dead worker has ended; one of the other's answers.
        client.send_quietly(frame(9, b"?"))
        try:
            assert client.read_frame().payload == b"?"
            left.append(client)
        except (AssertionError, ConnectionResetError):
            client.close()
    assert len(left) < len(clients)
    left.append(join(server))
    left[0].send(frame(TEXT, "who is left?"))
    for client in left:
        assert client.message() == "who is left?"
        client.close()


def test_who_joins_gets_the_last_messages(serve):
    server = serve("--websocket-accept", "wait", "--group-history", "demo.chat=3", workers=2, app=DEMO,
                   app_processes=2)
    first = join(server)
    for n in range(5):
        first.send(frame(TEXT, f"said {n}"))
        assert first.message() == f"said {n}"
    leave(first)
    # The group has ended with its last member, and its history hasn't.
    second = join(server)
    assert [second.message() for _ in range(3)] == ["said 2", "said 3", "said 4"]
    second.send(frame(TEXT, "more"))
    assert second.message() == "more"
    leave(second)
