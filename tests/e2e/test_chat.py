# SPDX-License-Identifier: MIT
"""The demo's chat: clients of several workers, and several consumers that serve them."""

import json
import os
import signal

import pytest

from conftest import DEMO, TIMEOUT, is_alive, wait_until
from websocket_raw import BINARY, TEXT, WebSocket, close_frame, frame


@pytest.fixture
def server(serve):
    # Accepted by the consumer that has them join: who is accepted is in the group.
    return serve("--websocket-accept", "wait", workers=2, app=DEMO, app_processes=3)


def join(server, query=b""):
    client = WebSocket(server.address, TIMEOUT)
    client.open(path=b"/ws/chat" + query)
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


@pytest.fixture
def server_with_history(serve):
    return serve("--websocket-accept", "wait", "--group-history", "demo.chat=3", workers=2, app=DEMO,
                 app_processes=2)


def position(client):
    """What the client is to say next time, and whether it has got everything since the last."""
    told = json.loads(client.message())
    return told["since"], told["complete"]


def test_who_asks_gets_what_was_said_before(server_with_history):
    first = join(server_with_history)
    for n in range(5):
        first.send(frame(TEXT, f"said {n}"))
        assert first.message() == f"said {n}"
    leave(first)
    # The group has ended with its last member, and its history hasn't.
    second = join(server_with_history, b"?since=")
    assert [second.message() for _ in range(3)] == ["said 2", "said 3", "said 4"]
    position(second)
    second.send(frame(TEXT, "more"))
    assert second.message() == "more"
    # Who doesn't ask hears only what is said from now on.
    third = join(server_with_history)
    second.send(frame(TEXT, "the end"))
    assert third.message() == second.message() == "the end"
    leave(second)
    leave(third)


def test_who_comes_back_gets_what_was_said_meanwhile(server_with_history):
    first, second = join(server_with_history), join(server_with_history, b"?since=")
    assert position(second)[0] == ""  # nothing has been said yet
    leave(second)
    first.send(frame(TEXT, "zero"))
    assert first.message() == "zero"
    second = join(server_with_history, b"?since=")
    assert second.message() == "zero"
    since, _ = position(second)
    first.send(frame(TEXT, "one"))
    assert first.message() == second.message() == "one"
    leave(second)
    second = join(server_with_history, b"?since=" + since.encode())
    assert second.message() == "one"  # it came after the position that was known
    since, complete = position(second)
    assert complete
    leave(second)
    for text in ("two", "three"):
        first.send(frame(TEXT, text))
        assert first.message() == text
    second = join(server_with_history, b"?since=" + since.encode())
    assert [second.message(), second.message()] == ["two", "three"]
    since, complete = position(second)
    assert complete
    leave(second)
    for n in range(4):  # one more than are kept
        first.send(frame(TEXT, str(n)))
        assert first.message() == str(n)
    second = join(server_with_history, b"?since=" + since.encode())
    assert [second.message() for _ in range(3)] == ["1", "2", "3"]
    assert position(second)[1] is False
    leave(second)
    for nonsense in (b"?since=x", b"?since=1:", b"?since=0:99999999999999999999"):
        second = join(server_with_history, nonsense)
        assert [second.message() for _ in range(3)] == ["1", "2", "3"]
        assert position(second)[1] is False
        leave(second)
    leave(first)
