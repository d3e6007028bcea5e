# SPDX-License-Identifier: MIT
"""Starts the real binary for a test, and at the end asserts that it stopped cleanly."""

import contextlib
import json
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
from http_raw import TIMEOUT, Client

BUILD = pathlib.Path(os.environ.get("FOREBAY_BUILD") or ROOT / "build").absolute()
FOREBAY = BUILD / "server" / "forebay"
DEMO = BUILD / "channel" / "examples" / "forebay-demo"

SANITIZED = "-asan" in BUILD.name or "-tsan" in BUILD.name

# A test that is slow shall get no ping that it doesn't expect, and lose patience with nobody, nor anybody with it, but
# where it says so.
PATIENT = ["--websocket-ping-interval", "0"]
for option in ("head-timeout", "body-timeout", "idle-timeout", "response-timeout", "write-timeout",
               "websocket-full-timeout", "websocket-close-timeout"):
    PATIENT += ["--" + option, "1h"]

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
    for entry in filter(str.isdigit, os.listdir("/proc")):  # any of which may be gone a moment later
        try:
            fields = pathlib.Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] not in "ZX":
            found.append(int(entry))
    return sorted(found)


def runs_forebay(pid):
    try:
        return os.path.samefile(f"/proc/{pid}/exe", FOREBAY)
    except OSError:
        return False


def freeze(*pids):
    """Stops the processes, and waits until none of them can be in the middle of something any more."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: all(process_state(pid) == "T" for pid in pids), "the stop")


@contextlib.contextmanager
def frozen(*pids):
    """The processes are stopped meanwhile."""
    try:
        freeze(*pids)
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def is_of_layer(pid, directory):
    """Whether the process was started with that directory of layers."""
    try:
        return f"FOREBAY_DIR={directory}".encode() in pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


class Server:
    """A `forebay serve` with a layer directory, a log and addresses of its own."""

    def __init__(self, *options, workers=1, app=None, app_processes=1, bind=("127.0.0.1:0",),
                 environment=None, wrapper=()):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="forebay-test-"))
        self.log_path = self.directory / "log"
        self.socket_path = self.directory / "socket"
        self.options = ["--layer", "test", "--layer-size", "16M", "--workers", str(workers), *PATIENT]
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

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.kill()
            raise

    def __exit__(self, *_):
        self.stop()

    def wait_for_attachments(self):
        """Until the layer knows all processes: a worker is there some time before it does anything."""
        def attached():
            shown = json.loads(self.forebay("stat", "--json", "--layer", "test").stdout)
            return sum(process["role"] not in ("cli", "test") for process in shown["processes"])
        wanted = 1 + self.workers_wanted + self.apps_wanted
        self.wait_for(lambda: attached() == wanted, f"{wanted} processes of the layer")

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
        family = children(self.pid)
        try:
            for layer in self.layers:
                layer.close()
            if self.process.poll() is None:
                self.signal(signal.SIGTERM)
            status = self.wait()
            log = self.log
            assert not REPORT.search(log), log
            assert status == 0, f"exit status {status}\n{log}"
            assert not [pid for pid in family if is_alive(pid) and self.owns(pid)], f"processes left\n{log}"
        finally:
            self.kill(family)

    def owns(self, pid):
        """Whether the process is one of its family still: its number may be another's by now."""
        return is_of_layer(pid, self.environment["FOREBAY_DIR"])

    def kill(self, family=()):
        """Ends it and its FAMILY at once, whatever state they are in, and removes all files."""
        if self.process:
            family = {*family, *children(self.pid)}
            self.process.kill()
            self.process.wait()
            for pid in family:
                if self.owns(pid):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
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
    with contextlib.ExitStack() as servers:
        yield lambda *options, **keywords: servers.enter_context(Server(*options, **keywords))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Notes at a test whether it failed, for its fixtures."""
    outcome = yield
    item.failed = getattr(item, "failed", False) or outcome.get_result().failed


class Shared:
    """What the tests of a module share, by MAKE, a context manager. A test that fails may have left it in any state, so
    that the next one gets another."""

    def __init__(self, make):
        self._make = make
        self._stack = contextlib.ExitStack()
        self._value = None

    @contextlib.contextmanager
    def lend(self, request):
        if self._value is None:
            self._value = self._stack.enter_context(self._make())
        try:
            yield self._value
        except BaseException:
            self.drop()
            raise
        if request.node.failed:
            self.drop()

    def drop(self):
        self._value = None
        self._stack.close()


def shared(make):
    """A fixture for a whole module, a Shared."""
    @pytest.fixture(scope="module")
    def fixture():
        share = Shared(make)
        yield share
        share.drop()
    return fixture


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


@contextlib.contextmanager
def open_site():
    with Server() as server:
        yield Site(server)


module_site = shared(open_site)
module_demo = shared(lambda: Server(app=DEMO))


@pytest.fixture
def site(module_site, request):
    """The module's server, with no message left over from another test."""
    with module_site.lend(request) as site:
        yield site
        while not request.node.failed and (leftover := site.layer.receive(0)):
            site.layer.send(leftover["reply_channel"], {"status": 503}, "", 0)


@pytest.fixture
def demo(module_demo, request):
    """The module's server with the demo consumer."""
    with module_demo.lend(request) as server:
        yield server
