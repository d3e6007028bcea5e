# SPDX-License-Identifier: MIT
"""A server that was killed, and the next one, which takes its layer and its consumers over."""

import json
import os
import re
import shutil
import signal
import socket
import threading

from conftest import is_alive, process_state, wait_until
from forebay_client import Outcome


def restart(server, *options):
    """Starts the server once more, with OPTIONS added, and with a new log."""
    server.process.wait()
    server.log_path.write_text("")
    server.options += [str(option) for option in options]
    server.start()


def kill_all(server):
    """As a machine that is out of memory does: nobody gets to clean up."""
    workers = server.workers
    server.signal(signal.SIGSTOP)  # it must not replace them
    wait_until(lambda: process_state(server.pid) == "T", "the stop")
    for pid in [*workers, server.pid]:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(map(is_alive, workers)), "the workers' end")


def is_refused(path):
    """Whether nobody listens there any more."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except ConnectionRefusedError:
            return True
        return False


def exchange(server, layer, content):
    with server.client() as client:
        client.get("/" + content)
        message = layer.receive()
        assert message["path"] == "/" + content
        assert layer.send(message["reply_channel"], {"status": 200}, content) == Outcome.OK
        assert client.response().body == content.encode()


def used_blocks(server):
    stat = json.loads(server.forebay("stat", "--json", "--layer", "test").stdout)
    return sum(blocks["used"] for blocks in stat["blocks"])


def waiting_requests(server):
    stat = json.loads(server.forebay("stat", "--json", "--layer", "test", "http.request").stdout)
    return sum(channel["pending"] for channel in stat["channels"])


def test_consumer_goes_on_with_the_next_server(serve):
    server = serve(workers=2)
    layer = server.layer("http.request")
    exchange(server, layer, "before")
    client = server.client()
    client.get("/in-flight")
    in_flight = layer.receive()
    waiting = server.client()
    waiting.get("/waiting")
    server.wait_for(lambda: waiting_requests(server) == 1, "the message")
    kill_all(server)
    client.close()
    waiting.close()
    restart(server)
    server.wait_for_log("layer test was there and is used as it is")
    assert not re.search(" (warning|error) ", server.log), server.log
    # What waited is still the consumer's; its client is gone, and so is that of what it had received.
    message = layer.receive()
    assert message["path"] == "/waiting"
    for late in (message, in_flight):
        assert layer.send(late["reply_channel"], {"status": 200}, timeout=0) == Outcome.GONE
    exchange(server, layer, "after")
    server.wait_for(lambda: used_blocks(server) == 0, "all memory back")


def test_two_kills_in_a_row(serve):
    server = serve()
    layer = server.layer("http.request")
    for content in ("one", "two", "three"):
        exchange(server, layer, content)
        kill_all(server)
        restart(server)
    exchange(server, layer, "four")


def test_workers_of_a_killed_master_finish_and_end(serve):
    server = serve(workers=2)
    layer = server.layer("http.request")
    old = server.workers
    client = server.client()
    client.get("/slow")
    slow = layer.receive()
    os.kill(server.pid, signal.SIGKILL)
    wait_until(lambda: is_refused(server.socket_path), "the old workers to give up their addresses")
    restart(server)
    # New requests are the new server's only; the old one's last is answered, then it is gone.
    for number in range(5):
        exchange(server, layer, str(number))
    assert layer.send(slow["reply_channel"], {"status": 200}, "finished") == Outcome.OK
    response = client.response()
    assert response.body == b"finished" and response.closes
    assert client.is_ended()
    wait_until(lambda: not any(map(is_alive, old)), "the old workers' end")
    exchange(server, layer, "after")


def test_an_address_that_is_given_up_meanwhile(serve, tmp_path):
    """By the workers of a server that was killed a moment ago: here, by who sees the next one's first try."""

    def start(path):
        with socket.socket(socket.AF_UNIX) as holder:
            holder.bind(str(path))
            holder.listen()

            def give_up():
                holder.accept()[0].close()
                holder.close()

            thread = threading.Thread(target=give_up)
            thread.start()
            try:
                return serve("--bind", f"unix:{path}")
            except AssertionError as error:
                # On a busy machine, it may have given up before we did.
                assert f"cannot bind unix:{path}: Address already in use" in str(error)
                return None
            finally:
                thread.join()

    server = next(filter(None, (start(tmp_path / str(number)) for number in range(10))))
    exchange(server, server.layer("http.request"), "there")


def test_other_options_while_a_consumer_is_attached(serve):
    server = serve()
    layer = server.layer("http.request")
    kill_all(server)
    restart(server, "--layer-channels", 99, "--expiry", 7)
    (line,) = [line for line in server.log.splitlines() if " warning " in line]
    for text in ("layer test stays as it was made", "channels, not 99", "expiry 60 s, not 7",
                 "forebay stat"):
        assert text in line, line
    exchange(server, layer, "still")


def test_a_consumer_that_comes_before_the_server(serve):
    """It makes the layer, as the server would have made it."""
    server = serve()
    kill_all(server)
    server.process.wait()
    shutil.rmtree(server.directory / "forebay.test")
    layer = server.layer("http.request", must_exist=False, size=16 << 20)
    restart(server)
    exchange(server, layer, "first")
    assert " warning " not in server.log


def test_other_options_while_nobody_is_attached(serve):
    server = serve()
    server.forebay("send", "--layer", "test", "jobs", "{}")
    kill_all(server)
    restart(server, "--layer-size", "20M", "--capacity", "jobs=7")
    server.wait_for_log("layer test is made anew")
    stat = json.loads(server.forebay("stat", "--json", "--layer", "test").stdout)
    assert 18 << 20 < stat["size"] < 21 << 20
    exchange(server, server.layer("http.request"), "new")


def test_same_options_keep_what_waits(serve):
    server = serve()
    server.forebay("send", "--layer", "test", "jobs", '{"a":1}')
    kill_all(server)
    restart(server)
    assert server.forebay("receive", "--layer", "test", "jobs").stdout == b'{"a":1}\n'
