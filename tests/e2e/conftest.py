# SPDX-License-Identifier: MIT
"""Starts the real binary for a test, and at the end asserts that it stopped cleanly."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

from forebay_client import ROOT, Layer
from http_raw import Client

BUILD = pathlib.Path(os.environ.get("FOREBAY_BUILD") or ROOT / "build").absolute()
FOREBAY = BUILD / "server" / "forebay"
DEMO = BUILD / "channel" / "examples" / "forebay-demo"

SANITIZED = "-asan" in BUILD.name or "-tsan" in BUILD.name
TIMEOUT = 60.0 if SANITIZED else 30.0  # seconds; bounds a hang, never a measure

REPORT = re.compile(r"ERROR: \w+Sanitizer|WARNING: \w+Sanitizer|runtime error:|CHECK\(")


def wait_until(condition, what="the condition", timeout=TIMEOUT):
    """Polls CONDITION until it is true, and returns its value."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} has not come true"
        time.sleep(0.01)
    return value


def process_state(pid):
    """One letter as ps shows it; None if there is no such process."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None


def is_alive(pid):
    return process_state(pid) not in (None, "Z", "X")


def children(pid):
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] not in "ZX":
            found.append(int(entry.parent.name))
    return sorted(found)


def runs_forebay(pid):
    try:
        return os.path.samefile(f"/proc/{pid}/exe", FOREBAY)
    except OSError:
        return False


class Server:
    """A `forebay serve` with a layer directory, a log and addresses of its own."""

    def __init__(self, *options, workers=1, app=None, app_processes=1, bind=("127.0.0.1:0",),
                 environment=None, wrapper=()):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="forebay-test-"))
        self.log_path = self.directory / "log"
        self.socket_path = self.directory / "socket"
        self.options = ["--layer", "test", "--layer-size", "16M", "--workers", str(workers)]
        for address in (*bind, f"unix:{self.socket_path}"):
            self.options += ["--bind", address]
        if app:
            self.options += ["--app", str(app), "--app-processes", str(app_processes)]
        self.options += [str(option) for option in options]
        self.environment = {**os.environ, "FOREBAY_DIR": str(self.directory),
                            **(environment or {})}
        self.wrapper = wrapper  # a command that runs the one behind it in its own process
        self.workers_wanted = workers
        self.apps_wanted = app_processes if app else 0
        self.layers = []
        self.process = None

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*self.wrapper, FOREBAY, "serve", *self.options], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, env=self.environment, cwd=self.directory)
        self.wait_for(lambda: "listening on unix:" in self.log, "listening")
        self.wait_for(lambda: len(self.workers) == self.workers_wanted, "the workers")
        self.wait_for(lambda: len(self.apps) == self.apps_wanted, "the applications")
        return self

    @property
    def log(self):
        return self.log_path.read_text(errors="backslashreplace")

    @property
    def pid(self):
        return self.process.pid

    @property
    def address(self):
        """The first TCP address."""
        return self.addresses[0]

    @property
    def addresses(self):
        return [(host.strip("[]"), int(port)) for host, port in
                re.findall(r"listening on https?://(\[[^]]+\]|[^\s:/]+):(\d+)", self.log)]

    @property
    def workers(self):
        return [pid for pid in children(self.pid) if runs_forebay(pid)]

    @property
    def apps(self):
        return [pid for pid in children(self.pid) if not runs_forebay(pid)]

    def wait_for(self, condition, what):
        def check():
            assert self.process.poll() is None, f"the server ended:\n{self.log}"
            return condition()
        return wait_until(check, what)

    def wait_for_log(self, pattern, count=1):
        return self.wait_for(lambda: len(re.findall(pattern, self.log)) >= count,
                             f"{pattern} in the log")

    def client(self, address=None):
        return Client(address or self.address, TIMEOUT)

    def layer(self, *channels, **options):
        layer = Layer(self.directory, **options)
        self.layers.append(layer)
        layer.listen(*channels)
        return layer

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self):
        """The exit status, once the server has ended."""
        return self.process.wait(TIMEOUT)

    def forebay(self, *arguments, **options):
        """Runs another subcommand in this server's directory."""
        return run_forebay(self.directory, *arguments, **options)

    def url(self, path):
        host, port = self.address
        return f"http://{host}:{port}{path}"

    def stop(self):
        """Stops it, if that hasn't happened; asserts a clean end; removes all files."""
        if self.process is None:
            return
        family = []
        try:
            for layer in self.layers:
                layer.close()
            family = children(self.pid)
            if self.process.poll() is None:
                self.signal(signal.SIGTERM)
            status = self.wait()
            log = self.log
            assert not REPORT.search(log), log
            assert status == 0, f"exit status {status}\n{log}"
            assert not [pid for pid in family if is_alive(pid)], f"processes left\n{log}"
        finally:
            for pid in [self.pid, *family]:
                if self.process.poll() is None or (pid != self.pid and is_alive(pid)
                                                   and runs_forebay(pid)):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait()
            self.process = None
            shutil.rmtree(self.directory, ignore_errors=True)


def run_forebay(directory, *arguments, timeout=TIMEOUT, **options):
    return subprocess.run(
        [FOREBAY, *map(str, arguments)], capture_output=True, timeout=timeout, check=False,
        env={**os.environ, "FOREBAY_DIR": str(directory)},
        **({"stdin": subprocess.DEVNULL} if "input" not in options else {}), **options)


@pytest.fixture
def serve():
    """Starts servers with the options given; all are stopped at the end."""
    servers = []

    def start(*options, **keywords):
        servers.append(Server(*options, **keywords))
        return servers[-1].start()

    yield start
    for server in servers:
        server.stop()


class Site:
    """A server whose consumer is the test itself."""

    def __init__(self, server):
        self.server = server
        self.layer = server.layer("http.request")
        self.sentinels = 0

    def client(self, address=None):
        return self.server.client(address)

    def message(self, channel="http.request"):
        message = self.layer.receive(TIMEOUT)
        assert message, f"no message came\n{self.server.log}"
        assert message["channel"] == channel, message
        return message

    def reply(self, message, content="", **keys):
        """A whole answer."""
        keys.setdefault("status", 200)
        assert self.layer.send(message["reply_channel"], keys, content) == 0

    def exchange(self, octets, content="", **keys):
        """Sends a request, answers it; returns the message and the answer the client gets."""
        with self.client() as client:
            client.send(octets)
            message = self.message()
            self.reply(message, content, **keys)
            return message, client.response(head=octets.startswith(b"HEAD "))

    def expect_nothing_dispatched(self):
        """Messages are first in, first out: if a new request comes first, none came before."""
        self.sentinels += 1
        target = f"/sentinel/{self.sentinels}"
        with self.client() as client:
            client.get(target)
            message = self.message()
            assert message["path"] == target, f"this was dispatched: {message}"
            self.reply(message)
            assert client.response().status == 200


@pytest.fixture(scope="module")
def module_site():
    server = Server().start()
    yield Site(server)
    server.stop()


@pytest.fixture
def site(module_site):
    """The module's server, with no message left over from another test."""
    yield module_site
    while leftover := module_site.layer.receive(0):
        module_site.layer.send(leftover["reply_channel"], {"status": 503}, "", 0)


@pytest.fixture(scope="module")
def demo():
    """The module's server with the demo consumer."""
    server = Server(app=DEMO).start()
    yield server
    server.stop()
