# SPDX-License-Identifier: MIT
"""Processes that stop, die, hang and are replaced, mostly under load; pid file, daemon and logs."""

import array
import contextlib
import fcntl
import json
import os
import re
import shlex
import signal
import socket
import termios
import time

import pytest

from conftest import DEMO, TIMEOUT, Site, frozen, is_alive, process_state, run_forebay, wait_until
from forebay_client import Outcome
from load import Load
from websocket_raw import WebSocket, request


def octets_to_read(connection):
    count = array.array("i", [0])
    fcntl.ioctl(connection, termios.FIONREAD, count)
    return count[0]


def wait_for_progress(server, load, requests=200):
    """Until the clients got that many more answers."""
    goal = load.answered + requests
    server.wait_for(lambda: load.answered >= goal, f"{requests} more answers")


# ----------------------------------------------------------------------------------------------
# Stopping
# ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_graceful_stop_finishes_the_request_in_flight(serve, number):
    server = serve(workers=2)
    layer = server.layer("http.request")
    client = server.client()
    client.get("/slow")
    message = layer.receive()
    server.signal(number)
    server.wait_for_log("stopping")

    def refused():
        try:
            server.client().close()
            return False
        except ConnectionError:
            return True

    wait_until(refused, "refusal of new connections")
    assert layer.send(message["reply_channel"], {"status": 200}, "finished") == Outcome.OK
    response = client.response()
    assert response.body == b"finished" and response.closes
    assert client.is_ended()
    assert server.wait() == 0
    assert "stopped" in server.log


def test_graceful_stop_closes_idle_connections(serve):
    server = serve()
    layer = server.layer("http.request")
    fresh, used = server.client(), server.client()
    used.get("/")
    layer.send(layer.receive()["reply_channel"], {"status": 200})
    assert used.response().status == 200
    server.signal(signal.SIGTERM)
    assert fresh.is_ended() and used.is_ended()
    assert server.wait() == 0


def test_graceful_stop_finishes_a_stream(serve):
    server = serve()
    layer = server.layer("http.request")
    client = server.client()
    client.get("/")
    channel = layer.receive()["reply_channel"]
    layer.send(channel, {"status": 200, "more_content": True}, "one")
    client.read_head()
    assert client.read_chunk() == b"one"
    server.signal(signal.SIGTERM)
    server.wait_for_log("stopping")
    layer.send(channel, {}, "two")
    assert (client.read_chunk(), client.read_chunk()) == (b"two", b"")
    assert client.is_ended()
    assert server.wait() == 0


def test_second_interrupt_stops_at_once(serve):
    server = serve(workers=2, app="sleep 1000")
    layer = server.layer("http.request")
    client = server.client()
    client.get("/")
    message = layer.receive()
    server.signal(signal.SIGINT)
    server.wait_for_log("stopping")
    server.signal(signal.SIGINT)
    assert server.wait() == 0
    client.close()
    assert layer.send(message["reply_channel"], {"status": 200}) == Outcome.GONE


def test_stop_is_not_held_up_by_a_consumer_that_hangs(serve):
    server = serve("--shutdown-timeout", "500ms")
    layer = server.layer("http.request")
    client = server.client()
    client.get("/")
    message = layer.receive()
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert layer.send(message["reply_channel"], {"status": 200}) == Outcome.GONE
    client.close()


def test_stop_under_load_loses_nothing(serve):
    server = serve(workers=2, app=DEMO)
    with Load(server.address, 8) as load:
        wait_for_progress(server, load)
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
    # What was answered was whole; a connection that waited to be accepted may be reset.
    assert set(load.statuses) <= {200}


# ----------------------------------------------------------------------------------------------
# Reload
# ----------------------------------------------------------------------------------------------


def test_reload_under_load_loses_no_request(serve):
    server = serve(workers=2, app=DEMO)
    with Load(server.address, 8) as load:
        for _ in range(3):
            wait_for_progress(server, load)
            before = server.workers
            server.signal(signal.SIGHUP)
            server.wait_for(
                lambda: len(server.workers) == 2 and not set(server.workers) & set(before),
                "new workers")
        wait_for_progress(server, load)
    assert load.failures == []
    assert set(load.statuses) == {200}


def test_reload_takes_a_changed_file_in(serve, tmp_path):
    config = tmp_path / "forebay.conf"
    config.write_text("app-processes = 1\nretry-after = 3\n")
    server = serve("--config", config, app=None)
    (former,) = server.workers
    config.write_text(f"app = {DEMO}\nlayer-channels = 99\n")
    server.signal(signal.SIGHUP)
    server.wait_for(lambda: len(server.apps) == 1, "the application")
    server.wait_for(lambda: former not in server.workers, "the end of the old worker, which won't wait for us for long")
    server.wait_for_log("app has changed")
    server.wait_for_log("layer-channels has changed, which takes effect at a restart only")
    with server.client() as client:
        client.get("/hello")
        assert client.response().body == b"Hello, world!"


def test_reload_of_a_wrong_file_changes_nothing(serve, tmp_path):
    config = tmp_path / "forebay.conf"
    config.write_text("retry-after = 3\n")
    server = serve("--config", config)
    before = server.workers
    config.write_text("no-such-option = 1\n")
    server.signal(signal.SIGHUP)
    server.wait_for_log("reload refused.*no-such-option")
    assert server.workers == before


# ----------------------------------------------------------------------------------------------
# The share of each worker
# ----------------------------------------------------------------------------------------------


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def burst(server, count):
    """COUNT connections that wait when the workers look; returns how many each of them gets."""
    idle = {pid: descriptors(pid) for pid in server.workers}
    with frozen(*server.workers):
        clients = [server.client() for _ in range(count)]
        for client in clients:
            client.get("/hello")
    for client in clients:
        assert client.response().status == 200
    shares = [descriptors(pid) - idle[pid] for pid in server.workers]
    for client in clients:
        client.close()
    server.wait_for(lambda: all(descriptors(pid) == idle[pid] for pid in idle), "their end")
    return shares


def test_a_burst_of_connections_is_shared(serve):
    server = serve(workers=2, app=DEMO)
    server.wait_for_attachments()
    # On one processor, who is first has all the time in the world.
    for pid in server.workers:
        os.sched_setaffinity(pid, {min(os.sched_getaffinity(0))})
    in_a_row, shares = 0, []
    while in_a_row < 6:  # one may be by chance
        # On a busy machine, the other one may come too late, even as often as not.
        assert len(shares) < 1000, shares
        shares.append(burst(server, 256))
        assert sum(shares[-1]) == 256
        in_a_row = in_a_row + 1 if min(shares[-1]) >= 112 else 0


def test_who_is_stopped_keeps_no_client_from_being_served(serve):
    server = serve(workers=2, app=DEMO)
    server.wait_for_attachments()
    with frozen(server.workers[0]), contextlib.ExitStack() as stack:
        for _ in range(100):
            client = stack.enter_context(server.client())
            client.get("/hello")
            assert client.response().status == 200


# ----------------------------------------------------------------------------------------------
# Death
# ----------------------------------------------------------------------------------------------


def test_killed_worker_is_replaced_and_the_others_go_on(serve):
    server = serve(workers=2, app=DEMO)
    clients = 8
    with Load(server.address, clients) as load:
        wait_for_progress(server, load)
        victim = server.workers[0]
        os.kill(victim, signal.SIGKILL)
        wait_for_progress(server, load)
        server.wait_for(lambda: len(server.workers) == 2 and victim not in server.workers,
                        "a new worker")
        wait_for_progress(server, load)
    assert set(load.statuses) == {200}
    assert len(load.failures) <= clients, "only the connections of the dead worker may break"
    server.wait_for_log(rf"worker \d.*{victim}")


def test_reply_to_a_killed_worker_is_gone(serve):
    server = serve()
    layer = server.layer("http.request")
    client = server.client()
    client.get("/")
    message = layer.receive()
    (victim,) = server.workers
    os.kill(victim, signal.SIGKILL)
    server.wait_for(lambda: server.workers not in ([], [victim]), "a new worker")
    wait_until(lambda: layer.send(message["reply_channel"], {"status": 200}, timeout=0)
               == Outcome.GONE, "GONE")
    client.close()
    with server.client() as client:
        client.get("/again")
        layer.send(layer.receive()["reply_channel"], {"status": 200}, "again")
        assert client.response().body == b"again"


def test_killed_applications_are_replaced_during_load(serve):
    # So long that a machine which is just slow loses nothing.
    server = serve("--response-timeout", "5s", workers=2, app=DEMO, app_processes=2)
    clients, kills = 8, 3
    with Load(server.address, clients) as load:
        for _ in range(kills):
            wait_for_progress(server, load)
            victim = server.apps[0]
            os.kill(victim, signal.SIGKILL)
            server.wait_for(lambda: victim not in server.apps and len(server.apps) == 2,
                            "a new application")
        wait_for_progress(server, load)
    assert load.failures == [], "no client loses its connection"
    assert set(load.statuses) <= {200, 504}
    assert load.statuses.get(504, 0) <= kills * clients, "only what the dead had received is lost"
    server.wait_for_log(rf"app \d.*{victim}")


def test_connections_outlive_the_application(serve):
    server = serve(app=DEMO)
    with server.client() as client:
        for _ in range(3):
            client.get("/hello")
            assert client.response().body == b"Hello, world!"
            (victim,) = server.apps
            os.kill(victim, signal.SIGKILL)
            server.wait_for(lambda: server.apps not in ([], [victim]), "a new application")


def test_application_that_keeps_dying_is_not_started_in_a_tight_loop(serve):
    server = serve("--app", "false", workers=1)
    server.wait_for_log("app 1", 3)
    assert len(re.findall("app 1", server.log)) < 100
    site = Site(server)
    site.expect_nothing_dispatched()  # and it serves others


# ----------------------------------------------------------------------------------------------
# Processes that are stopped
# ----------------------------------------------------------------------------------------------


def test_stopped_worker_does_not_block_the_rest(serve):
    server = serve(workers=2, app=DEMO)
    with frozen(server.workers[0]), Load(server.address, 4) as load:
        wait_for_progress(server, load)
    assert load.failures == [] and set(load.statuses) == {200}


def test_what_came_while_a_worker_was_stopped_is_not_late(serve):
    server = serve("--response-timeout", "500ms")
    (worker,) = server.workers
    layer = server.layer("http.request")

    def answered():
        with server.client() as client:
            client.get("/")
            channel = layer.receive()["reply_channel"]
            with frozen(worker):
                outcome = layer.send(channel, {"status": 200}, "in time")
                time.sleep(1)  # its time is over by then
            if outcome == Outcome.GONE:
                return False  # we were too slow
            assert client.response().body == b"in time"
            return True

    server.wait_for(answered, "an answer in time")


def test_what_came_while_a_worker_was_stopped_is_not_in_the_way_of_others(serve):
    """However much it is: here, messages to a group, which all members in this worker get."""
    server = serve("--layer-size", "64M")
    (worker,) = server.workers
    layer = server.layer("websocket.connect")
    count, length = 200, 2 + len("message")  # few enough to find room in a socket

    def served(members):
        """Whether a request was answered before all that had come was dealt with."""
        with server.client() as client:
            wait_until(lambda: process_state(worker) == "S", "the worker to have nothing to do")
            with frozen(worker):
                assert {layer.group_send("room", content="message") for _ in range(count)} == {len(members)}
                time.sleep(0.2)  # somebody's time may be over by then
            first, *_, last = members
            octets = first.read(1)
            client.send(b"GET / HTTP/1.1\r\n\r\n")  # a bad one, so that no consumer is needed
            assert client.response().status == 400
            before = octets_to_read(last.socket) < count * length
            first.buffer = octets + first.buffer
            for member in members:
                member.read(count * length)
            return before

    with contextlib.ExitStack() as stack:
        members = []
        for _ in range(600):
            members.append(stack.enter_context(WebSocket(server.socket_path, TIMEOUT)))
            members[-1].send(request())
            name = layer.receive()["reply_channel"]
            assert layer.send(name, {"accept": True}) == Outcome.OK
            members[-1].finish_open()
            layer.group_add("room", name)
        server.wait_for(lambda: served(members), "an answer while there is much to do")


def test_a_client_is_not_late_because_its_worker_was_stopped(serve):
    server = serve("--head-timeout", "500ms", app=DEMO)
    (worker,) = server.workers

    def answered():
        with server.client() as client, server.client() as other:
            client.send(b"GET /hello HTTP/1.1\r\nHost: localhost\r\n")
            other.get("/hello")
            assert other.response().status == 200  # so the other one was accepted before
            with frozen(worker):
                other.get("/hello")
                time.sleep(1)
            assert other.response().status == 200  # it has looked at the time since
            client.send_quietly(b"\r\n")
            return client.response().status == 200  # or we were too slow

    assert any(answered() for _ in range(3))


def test_stopped_application_does_not_block_the_rest(serve):
    server = serve(workers=1, app=DEMO, app_processes=2)
    with frozen(server.apps[0]), Load(server.address, 4) as load:
        wait_for_progress(server, load)
    assert load.failures == [] and set(load.statuses) == {200}


def test_stopped_consumer_fills_its_channel_only(serve):
    server = serve("--capacity", "http.request=5", "--response-timeout", "500ms", app=DEMO)
    with frozen(*server.apps):
        clients = [server.client() for _ in range(20)]
        for client in clients:
            client.get("/hello")
        statuses = sorted(client.response().status for client in clients)
        assert set(statuses) == {503, 504} and statuses.count(504) <= 6
        for client in clients:
            client.close()

    def answered():
        with server.client() as client:
            client.get("/hello")
            return client.response().status == 200

    wait_until(answered, "an answer after the stop")


# ----------------------------------------------------------------------------------------------
# Start, pid file, daemon
# ----------------------------------------------------------------------------------------------


def test_daemon_with_pid_file(tmp_path):
    pid_file, log = tmp_path / "pid", tmp_path / "log"
    options = ["serve", "--daemon", "--pid-file", pid_file, "--log-file", log, "--layer", "daemon",
               "--layer-size", "8M", "--workers", "1", "--bind", "127.0.0.1:0"]
    assert run_forebay(tmp_path, *options).returncode == 0
    pid = int(pid_file.read_text())
    try:
        (port,) = re.findall(r"listening on http://127\.0\.0\.1:(\d+)", log.read_text())
        socket.create_connection(("127.0.0.1", int(port)), TIMEOUT).close()
        again = run_forebay(tmp_path, *options)
        assert again.returncode != 0
        assert b"already running" in again.stderr and str(pid).encode() in again.stderr
        assert is_alive(pid) and int(pid_file.read_text()) == pid
    finally:
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not is_alive(pid), "the end of the daemon")
    assert not pid_file.exists()
    assert "stopped" in log.read_text()


def test_pid_file_of_a_dead_process_does_not_matter(serve, tmp_path):
    (tmp_path / "pid").write_text("1\n")
    server = serve("--pid-file", tmp_path / "pid")
    assert int((tmp_path / "pid").read_text()) == server.pid


@pytest.mark.parametrize("options, text", [
    (["--bind", "127.0.0.1:http-no"], b"port"),
    (["--bind", "nonsense"], b"nonsense"),
    (["--workers", "0"], b"workers"),
    (["--workers", "many"], b"workers"),
    (["--no-such"], b"no-such"),
    (["--layer", "a/b"], b"layer"),
    (["--layer-size", "1"], b"layer-size"),
    (["--config", "/nonexistent/file"], b"/nonexistent/file"),
    (["--log-file", "/nonexistent/log"], b"/nonexistent/log"),
    (["--access-log", "/nonexistent/log"], b"/nonexistent/log"),
    (["--user", "no-such-user"], b"no-such-user"),
    (["--timeout-status", "200"], b"timeout-status"),
    (["--capacity", "a"], b"capacity"),
    (["--capacity", "a=1/newest"], b"drop-oldest"),
    (["--group-history", "a=0"], b"group-history"),
    (["--capacity", "websocket.send!*=8/drop-oldest"], b"reply channels"),
    (["extra"], b"extra"),
], ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "")
def test_bad_options_are_refused_in_a_sentence(tmp_path, options, text):
    bind = [] if "--bind" in options else ["--bind", "127.0.0.1:0"]
    result = run_forebay(tmp_path, "serve", *bind, *options)
    assert result.returncode != 0 and text in result.stderr, result
    assert len(result.stderr.splitlines()) <= 2


def test_port_in_use_is_refused(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = run_forebay(tmp_path, "serve", "--bind", address, "--layer", "x")
    assert result.returncode != 0 and address.encode() in result.stderr


def test_socket_of_a_dead_server_is_replaced(serve, tmp_path):
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    server = serve(bind=("127.0.0.1:0", f"unix:{path}"))
    layer = server.layer("http.request")
    with server.client(path) as client:
        client.get("/")
        layer.send(layer.receive()["reply_channel"], {"status": 200})
        assert client.response().status == 200
    server.stop()
    assert not path.exists()


# ----------------------------------------------------------------------------------------------
# Logs
# ----------------------------------------------------------------------------------------------


def test_log_lines(serve):
    server = serve()
    for line in server.log.splitlines():
        assert re.fullmatch(
            r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d{4} (error|warning|info|debug) "
            r"(master|worker \d+|app \d+): .+", line), line


def test_log_as_json(serve):
    server = serve("--log-format", "json")
    for line in server.log.splitlines():
        event = json.loads(line)
        assert {"time", "level", "role", "pid", "message"} <= set(event)


def test_malformed_answer_is_logged_with_its_channel(serve):
    server = serve()
    layer = server.layer("http.request")
    with server.client() as client:
        client.get("/")
        channel = layer.receive()["reply_channel"]
        layer.send(channel, {"status": 200, "headers": {"a": "b\r\nc: d"}})
        assert client.response().status == 500
    server.wait_for_log(re.escape(channel))
    lines = [line for line in server.log.splitlines() if channel in line]
    assert len(lines) == 1 and " warning " in lines[0]


def ask_for_log(server):
    """Three requests: answered, refused, and one that tries to forge a line."""
    layer = server.layer("http.request")
    with server.client() as client:
        client.get("/a?b=c", "Referer: r", "User-Agent: u\"\\")
        layer.send(layer.receive()["reply_channel"], {"status": 201}, "12345")
        client.response()
        client.get("/%0a", "User-Agent: \xe9")
        layer.send(layer.receive()["reply_channel"], {"status": 404}, "")
        client.response()
    with server.client() as client:
        client.send(b"NONSENSE\r\n\r\n")
        assert client.response().status == 400


def test_access_log_combined(serve, tmp_path):
    path = tmp_path / "access"
    server = serve("--access-log", path)
    ask_for_log(server)
    wait_until(lambda: path.exists() and path.read_bytes().count(b"\n") >= 3, "three lines")
    first, second, third = path.read_text().splitlines()
    match = re.fullmatch(
        r'127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "GET /a\?b=c HTTP/1\.1" '
        r'201 5 "r" "(.*)" (\d+\.\d+) (\d+\.\d+)', first)
    assert match and match[1] == r"u\x22\x5C", first
    assert float(match[2]) >= float(match[3]) > 0, "the consumer's time is part of the request's"
    assert r"\xE9" in second and " 404 0 " in second
    assert " 400 " in third


def test_access_log_json(serve, tmp_path):
    path = tmp_path / "access"
    server = serve("--access-log", path, "--access-log-format", "json")
    ask_for_log(server)
    wait_until(lambda: path.exists() and path.read_bytes().count(b"\n") >= 3, "three lines")
    first, second, _ = map(json.loads, path.read_text().splitlines())
    assert first["method"] == "GET" and first["status"] == 201 and first["bytes"] == 5
    assert "u\"\\" in first.values() and "\u00e9" in second.values()


def test_logs_are_reopened(serve, tmp_path):
    log, access = tmp_path / "log", tmp_path / "access"
    server = serve("--access-log", access)
    ask_for_log(server)
    wait_until(lambda: access.exists() and access.read_bytes().count(b"\n") >= 3, "three lines")
    access.rename(tmp_path / "access.1")
    server.signal(signal.SIGUSR1)
    wait_until(access.exists, "the new file")
    server.wait_for_log("logs reopened")
    assert not log.exists()


def test_scripted_application_finds_its_layer(serve):
    """--app is a shell command; the layer is in its environment."""
    command = f"sh -c {shlex.quote('echo layer=$FOREBAY_LAYER >&2; exec sleep 1000')}"
    server = serve(app=command)
    server.wait_for_log("layer=test")


# ----------------------------------------------------------------------------------------------
# Starting in vain
# ----------------------------------------------------------------------------------------------


def test_an_address_in_use_is_all_that_is_said(tmp_path):
    """And nothing is made: a layer would keep its memory."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        result = run_forebay(tmp_path, "serve", "--bind", address)
    assert result.returncode == 1
    assert result.stderr.decode() == f"forebay: cannot bind {address}: Address already in use\n"
    assert not list(tmp_path.iterdir())


def test_an_address_is_free_again_if_there_can_be_no_layer(tmp_path):
    (tmp_path / "forebay.default").write_text("")
    socket_path = tmp_path / "socket"
    result = run_forebay(tmp_path, "serve", "--bind", f"unix:{socket_path}")
    assert result.returncode == 1 and b"cannot open the layer default" in result.stderr
    assert not socket_path.exists()
