# SPDX-License-Identifier: MIT
"""`forebay top`, on a terminal and as a batch."""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pyte
import pytest

from conftest import DEMO, FOREBAY, TIMEOUT, run_forebay, wait_until
from forebay_client import Layer


class Terminal:
    """`forebay top` on a pseudo-terminal whose screen can be read."""

    # No sequence of this terminal is unknown to pyte.
    def __init__(self, directory, *arguments, width=80, height=24, term="linux"):
        self.screen = pyte.Screen(width, height)
        self.stream = pyte.ByteStream(self.screen)
        self.shown = []  # each line that there was, as soon as something else was drawn
        self.fd, self.far_fd = pty.openpty()
        self.set_size(width, height)
        self.before = termios.tcgetattr(self.far_fd)
        self.process = subprocess.Popen(
            [FOREBAY, "top", *map(str, arguments)], stdin=self.far_fd, stdout=self.far_fd,
            stderr=subprocess.PIPE, start_new_session=True,
            env={**os.environ, "FOREBAY_DIR": str(directory), "TERM": term})

    def set_size(self, width, height):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def resize(self, width, height):
        self.screen.resize(height, width)
        self.set_size(width, height)
        self.process.send_signal(signal.SIGWINCH)

    def read(self, wait=0.05):
        while select.select([self.fd], [], [], wait)[0]:
            # Between two control sequences, a piece of a line is drawn.
            for piece in re.split(rb"(?=\x1b)", os.read(self.fd, 65536)):
                self.screen.dirty.clear()
                self.stream.feed(piece)
                self.shown += [self._line(number) for number in self.screen.dirty]
            wait = 0

    def _line(self, number):
        return "".join(self.screen.buffer[number][column].data for column in range(self.screen.columns))

    @property
    def lines(self):
        self.read()
        return [line.rstrip() for line in self.screen.display]

    def type(self, keys):
        os.write(self.fd, keys.encode())

    def wait_for(self, pattern):
        """Waits until a line matches, and returns the match."""
        def search():
            matches = [re.search(pattern, line) for line in self.lines]
            return next(filter(None, matches), None)
        try:
            return wait_until(search, pattern)
        except AssertionError:
            raise AssertionError("\n".join([pattern, *self.lines])) from None

    def wait_for_notice(self, pattern):
        """Waits until a line matches, or has done so for a moment."""
        def search():
            self.read()
            return any(re.search(pattern, line) for line in self.shown)
        wait_until(search, pattern)

    def wait(self):
        """The exit status. What is written meanwhile is read, or it would wait for that."""
        def ended():
            self.read(0.01)
            return self.process.poll() is not None
        wait_until(ended, "the end of top")
        return self.process.returncode

    @property
    def is_restored(self):
        self.read()
        return termios.tcgetattr(self.far_fd) == self.before

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stderr.close()
        os.close(self.fd)
        os.close(self.far_fd)


@pytest.fixture
def layer(tmp_path):
    with Layer(tmp_path, name="default", must_exist=False, size=8 << 20) as made:
        made.directory = tmp_path
        yield made


@pytest.fixture
def top():
    with contextlib.ExitStack() as stack:
        def start(directory, *arguments, **options):
            terminal = Terminal(directory, *arguments, **options)
            stack.callback(terminal.close)
            return terminal
        yield start


def batch(directory, *arguments, **options):
    return run_forebay(directory, "top", "--batch", *arguments, **options)


def frames(text):
    return re.split(r"(?m)^(?=forebay top - )", text.decode())[1:]


# ---------------------------------------------------------------------------------------------
# Batch
# ---------------------------------------------------------------------------------------------

def test_batch_shows_what_there_is(layer):
    for _ in range(3):
        layer.send("jobs", {})
    layer.send("gone", {})
    run_forebay(layer.directory, "flush", "gone")
    run_forebay(layer.directory, "group", "add", "people", "jobs")
    result = batch(layer.directory, "--count", 2, "--interval", 0.1)
    assert result.returncode == 0 and not result.stderr
    first, second = frames(result.stdout)
    for frame in (first, second):
        assert re.search(r"^ +\d+\.\d +3/100 .* 0  jobs$", frame, re.M), frame
        assert re.search(rf"^ *{os.getpid()} alive .*  test$", frame, re.M), frame
        assert re.search(r"^ +1  people$", frame, re.M), frame
        assert re.search(r"^Dropped   flushed 1$", frame, re.M), frame
        assert re.search(r"^Messages .* 3 waiting, .* 4 in all$", frame, re.M), frame
        assert "\x1b" not in frame
    assert "cli" not in first, "it isn't attached itself"


def test_batch_ends_by_itself_after_count(layer):
    assert len(frames(batch(layer.directory, "-n", 1, "-i", 0.1).stdout)) == 1
    assert len(frames(batch(layer.directory, "-n", 4, "-i", 0.1).stdout)) == 4


@pytest.mark.parametrize("order, first", [("waiting", "second"), ("name", "first"), ("full", "third")])
def test_batch_sorts_channels(layer, order, first):
    for name, count in (("first", 1), ("second", 5), ("third", 2)):
        for _ in range(count):
            layer.send(name, {})
    if order == "full":
        while layer.send("third", {}, timeout=0) == 0:
            pass
    (frame,) = frames(batch(layer.directory, "-n", 1, "-i", 0.1, "--sort", order).stdout)
    names = re.findall(r"\d/\d.*  (\w+)$", frame, re.M)
    assert names[0] == first, frame


def test_names_are_printed_as_they_are_and_nothing_else(layer):
    layer.send("a %s 'name' \\x", {})
    (frame,) = frames(batch(layer.directory, "-n", 1, "-i", 0.1).stdout)
    assert frame.rstrip().endswith("  a %s 'name' \\x")


def test_output_that_nobody_reads_ends_it(layer):
    process = subprocess.Popen(
        [FOREBAY, "top", "--batch", "-i", "0.1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "FOREBAY_DIR": str(layer.directory)})
    process.stdout.close()
    try:
        _, complaint = process.communicate(timeout=TIMEOUT)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 1 and b"can't write" in complaint


@pytest.mark.parametrize("arguments", [
    ["--interval", "0"], ["--interval", "0.01"], ["--interval", "-1"], ["--interval", "x"], ["--count", "0"],
    ["--sort", "nothing"], ["channel"], ["--json"]], ids=" ".join)
def test_wrong_usage(layer, arguments):
    result = batch(layer.directory, *arguments)
    assert result.returncode == 2 and result.stderr and not result.stdout


def test_no_such_layer(tmp_path):
    result = batch(tmp_path, "-n", 1)
    assert result.returncode == 1 and b"no such layer" in result.stderr
    assert not list(tmp_path.iterdir()), "looking makes nothing"


def test_without_a_terminal_it_says_how_to_go_on(layer):
    result = run_forebay(layer.directory, "top")
    assert result.returncode == 1 and not result.stdout
    assert len(result.stderr.splitlines()) == 1 and b"--batch" in result.stderr


# ---------------------------------------------------------------------------------------------
# Terminal
# ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("term", ["dumb", "no-such-terminal", ""])
def test_a_terminal_that_cannot_be_drawn_on_is_refused(layer, top, term):
    terminal = top(layer.directory, term=term)
    assert terminal.wait() == 1
    complaint = terminal.process.stderr.read()
    assert b"--batch" in complaint and len(complaint.splitlines()) == 1
    assert terminal.is_restored


def test_the_screen_follows_what_happens(layer, top):
    terminal = top(layer.directory, "--interval", 0.1)
    terminal.wait_for(r"In use +0 of")
    for number in range(3):
        layer.send("jobs", {})
    terminal.wait_for(r"\d +3/100 .* 0  jobs$")
    layer.listen("jobs")
    terminal.wait_for(r"\d +3/100 .* 1  jobs$")
    layer.receive()
    terminal.wait_for(r"\d +2/100 .* 1  jobs$")
    run_forebay(layer.directory, "flush", "jobs")
    terminal.wait_for(r"Dropped +flushed 2")
    terminal.type("q")
    assert terminal.wait() == 0
    assert terminal.is_restored


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_restore_the_terminal(layer, top, number):
    terminal = top(layer.directory)
    terminal.wait_for("CHANNEL")
    assert not terminal.is_restored
    terminal.process.send_signal(number)
    assert terminal.wait() == -number
    assert terminal.is_restored


def test_count_ends_it_on_a_terminal_too(layer, top):
    terminal = top(layer.directory, "--count", 2, "--interval", 0.1)
    assert terminal.wait() == 0
    assert terminal.is_restored


@pytest.mark.parametrize("size", [(80, 24), (20, 5), (1, 1), (300, 90), (10, 40)], ids=str)
def test_it_draws_on_terminals_of_any_size(layer, top, size):
    layer.send("jobs", {})
    terminal = top(layer.directory, "--interval", 0.1, width=size[0], height=size[1])
    terminal.wait_for("^" + "forebay top - default, up"[:size[0]])
    terminal.type("q")
    assert terminal.wait() == 0


def test_resizing(layer, top):
    layer.send("a.channel.with.a.long.name.that.takes.its.room", {})
    terminal = top(layer.directory, "--interval", 60)
    terminal.wait_for(r"  a\.channel\.with")
    terminal.resize(120, 40)
    terminal.wait_for(r"that\.takes\.its\.room$")
    terminal.resize(30, 3)
    terminal.wait_for("^forebay top - default, up 0:0")
    wait_until(lambda: len(terminal.lines) == 3 and not any(len(line) > 30 for line in terminal.lines))
    terminal.resize(80, 24)
    terminal.wait_for(r"  a\.channel\.with")
    terminal.type("q")
    assert terminal.wait() == 0


def channels_of(terminal):
    return re.findall(r"\d/\d.*  (\S+)$", "\n".join(terminal.lines), re.M)


def test_keys(layer, top):
    for number in range(60):
        layer.send(f"channel.{number:02}", {})
    layer.send("channel.30", {})
    terminal = top(layer.directory, "--interval", 5, "--sort", "waiting", height=30)
    terminal.wait_for(r"channel\.30")
    assert channels_of(terminal)[0] == "channel.30"
    terminal.type("n")
    terminal.wait_for("by name")
    wait_until(lambda: channels_of(terminal)[:1] == ["channel.00"])
    shown = int(terminal.wait_for(r"\(1-(\d+) of 60\)")[1])
    assert 5 < shown < 28
    wait_until(lambda: len(channels_of(terminal)) == shown)
    terminal.type("\x1b[B")  # down
    terminal.wait_for(rf"\(2-{shown + 1} of 60\)")
    terminal.type("\x1b[6~")  # a page down
    terminal.wait_for(rf"\({shown + 2}-\d+ of 60\)")
    terminal.type("\x1b[4~")  # the end
    terminal.wait_for(r"-60 of 60\)")
    terminal.type("j")
    terminal.type("\x1b[1~")  # the beginning
    terminal.wait_for(rf"\(1-{shown} of 60\)")
    terminal.type("R")
    wait_until(lambda: channels_of(terminal)[:1] == ["channel.59"])
    terminal.type("\t")
    terminal.wait_for("PROCESS")
    wait_until(lambda: not channels_of(terminal))
    terminal.type("\t")
    wait_until(lambda: len(channels_of(terminal)) > shown)
    terminal.type("\t")
    terminal.wait_for("GROUP")
    terminal.type("\t?")
    terminal.wait_for("leave this")
    terminal.type("x")
    terminal.wait_for("CHANNEL")
    terminal.type("-")
    terminal.wait_for(r"every 10\.0 s")  # intervals that a look on a slow machine doesn't stretch
    terminal.type("--+")
    terminal.wait_for(r"every 30\.0 s")
    terminal.type("p")
    terminal.wait_for("PAUSED")
    layer.send("new", {})
    terminal.type(" n")  # at once, also in a pause
    terminal.type("\x1b[4~")
    terminal.wait_for("  new$")
    terminal.type("pq")
    assert terminal.wait() == 0


def test_a_layer_that_is_replaced_is_followed(tmp_path, top):
    old = Layer(tmp_path, name="default", must_exist=False, size=8 << 20)
    old.send("before", {})
    terminal = top(tmp_path, "--interval", 0.1)
    terminal.wait_for("  before$")
    old.close()
    # It isn't attached, so it doesn't keep anybody from this.
    with Layer(tmp_path, name="default", must_exist=False, replace=True, size=9 << 20) as new:
        new.send("after", {})
        terminal.wait_for("  after$")
        terminal.wait_for_notice("made anew")
        assert "  before" not in "\n".join(terminal.lines)
    directory = tmp_path / "forebay.default"
    for file in directory.iterdir():
        file.unlink()
    directory.rmdir()
    terminal.wait_for("waiting for it to come back")
    with Layer(tmp_path, name="default", must_exist=False, size=8 << 20) as newest:
        newest.send("again", {})
        terminal.wait_for("  again$")
    terminal.type("q")
    assert terminal.wait() == 0


def test_a_server_and_its_workers(serve, top):
    server = serve(workers=2, app=DEMO)
    terminal = top(server.directory, "--layer", "test", "--interval", 0.1, width=100, height=40)
    terminal.wait_for("alive .* master$")
    terminal.wait_for("alive .* worker 2$")
    terminal.wait_for(r"  http\.request$")
    clients = [server.client() for _ in range(5)]

    def connections():
        # HTTP, before WS. A line that is just being drawn may have something else there.
        return sum(int(number) for number in re.findall(
            r"alive .* (\d+) +\S+ +worker \d$", "\n".join(terminal.lines), re.M))
    wait_until(lambda: connections() == 5)
    for client in clients:
        client.close()
    wait_until(lambda: connections() == 0)
    victim = int(terminal.wait_for(r"^ *(\d+) alive .* worker 1$")[1])
    os.kill(victim, signal.SIGKILL)
    terminal.wait_for_notice(rf"process {victim}\) has gone|have gone")
    wait_until(lambda: victim not in server.workers and len(server.workers) == 2)
    successor = int(terminal.wait_for(rf"^ *((?!{victim} )\d+) alive .* worker 1$")[1])
    assert successor in server.workers
    terminal.type("q")
    assert terminal.wait() == 0


def test_the_watched_are_not_disturbed(layer, top):
    """No slot is taken, and nothing is written, however long it looks."""
    terminal = top(layer.directory, "--interval", 0.1)
    terminal.wait_for("CHANNEL")
    before = (layer.directory / "forebay.default" / "segment").read_bytes()
    title = terminal.lines[0]
    deadline = time.monotonic() + TIMEOUT
    while terminal.lines[0] == title and time.monotonic() < deadline:
        pass
    assert terminal.lines[0] != title, "it hasn't looked again"
    assert (layer.directory / "forebay.default" / "segment").read_bytes() == before
    terminal.type("q")
    assert terminal.wait() == 0
