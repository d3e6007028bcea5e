# SPDX-License-Identifier: MIT
"""scripts/forebay.init, run for real with temporary paths: what LSB promises an administrator."""

import os
import shutil
import signal
import socket
import subprocess

import pytest

from conftest import FOREBAY, TIMEOUT, is_alive, wait_until
from forebay_client import ROOT
from http_raw import Client

pytestmark = pytest.mark.skipif(
    shutil.which("start-stop-daemon") is None, reason="start-stop-daemon is not installed"
)


class Service:
    """The init script with all its paths in one temporary directory."""

    def __init__(self, directory):
        self.directory = directory
        self.pid_file = directory / "forebay.pid"
        self.log = directory / "forebay.log"
        self.config = directory / "forebay.conf"
        self.defaults = directory / "defaults"
        (directory / "layers").mkdir()
        self.config.write_text("bind = 127.0.0.1:0\nworkers = 1\nlayer-size = 8M\n")
        self.defaults.write_text(
            f"FOREBAY_DAEMON={FOREBAY}\n"
            f"FOREBAY_CONFIG={self.config}\n"
            f"FOREBAY_PIDFILE={self.pid_file}\n"
            f"FOREBAY_LOGFILE={self.log}\n"
            f"FOREBAY_DIR={directory / 'layers'}\n"
            "FOREBAY_STOP=60\n"
        )

    def __call__(self, *arguments):
        """Runs an action. Its output must end: the daemon may not hold on to it."""
        return subprocess.run(
            [ROOT / "scripts" / "forebay.init", *arguments],
            env={"PATH": "/nowhere", "FOREBAY_DEFAULTS": str(self.defaults)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT,
        )

    def pid(self):
        return int(self.pid_file.read_text())

    def ports(self):
        """Every port that was announced, oldest first."""
        lines = [line for line in self.log.read_text().splitlines() if "listening on" in line]
        return [int(line.rpartition(":")[2]) for line in lines]

    def accepts(self):
        try:
            Client(("127.0.0.1", self.ports()[-1])).close()
            return True
        except ConnectionRefusedError:
            return False


@pytest.fixture
def service(tmp_path):
    service = Service(tmp_path)
    yield service
    service("stop")


def test_the_server_listens_when_start_returns(service):
    result = service("start")
    assert result.returncode == 0, result.stdout
    assert service.accepts()
    assert is_alive(service.pid())
    result = service("status")
    assert result.returncode == 0
    assert str(service.pid()) in result.stdout


def test_a_second_start_changes_nothing(service):
    assert service("start").returncode == 0
    pid = service.pid()
    assert service("start").returncode == 0
    assert service.pid() == pid


def test_stop_ends_it_and_removes_the_pid_file(service):
    service("start")
    pid = service.pid()
    assert service("stop").returncode == 0
    assert not service.pid_file.exists()
    assert not service.accepts()
    assert not is_alive(pid)
    assert "stopped" in service.log.read_text().splitlines()[-1]


def test_stop_of_what_is_not_running_succeeds(service):
    assert service("stop").returncode == 0


def test_status_is_3_when_it_was_never_started(service):
    assert service("status").returncode == 3


def test_after_a_crash_status_is_1_and_start_works(service):
    service("start")
    dead = service.pid()
    os.kill(dead, signal.SIGKILL)
    wait_until(lambda: service("status").returncode == 1)
    assert service("start").returncode == 0
    assert service.pid() != dead
    assert service("status").returncode == 0


def test_restart_gives_a_new_process(service):
    service("start")
    pid = service.pid()
    assert service("restart").returncode == 0
    assert service.pid() != pid
    assert service.accepts()


def test_restart_starts_what_is_not_running(service):
    assert service("restart").returncode == 0
    assert service("status").returncode == 0


def test_try_restart_leaves_alone_what_is_not_running(service):
    assert service("try-restart").returncode == 0
    assert service("status").returncode == 3


@pytest.mark.parametrize("action", ["reload", "force-reload"])
def test_reload_reads_the_configuration_and_keeps_the_process(service, action):
    service("start")
    pid, port = service.pid(), service.ports()[-1]
    with service.config.open("a") as config:
        config.write("workers = 2\n")
    assert service(action).returncode == 0
    wait_until(lambda: "option workers has changed" in service.log.read_text())
    wait_until(lambda: len(service.ports()) == 2)
    assert service.pid() == pid
    assert service.ports()[-1] == port, "the listening socket must be the same one"
    assert service.accepts()


def test_reload_of_what_is_not_running_is_7(service):
    assert service("reload").returncode == 7


def test_a_bad_configuration_fails_with_its_reason(service):
    service.config.write_text("workers = many\n")
    result = service("start")
    assert result.returncode == 1
    assert f"{service.config}:1: workers: 'many' must be" in result.stdout
    assert service("status").returncode == 3


def test_an_address_in_use_fails_with_its_reason(service):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        service.config.write_text(f"bind = {address}\n")
        result = service("start")
    assert result.returncode == 1
    assert f"cannot bind {address}: Address already in use" in result.stdout
    assert service("status").returncode == 3


def test_a_program_that_is_not_there_is_5(service):
    with service.defaults.open("a") as defaults:
        defaults.write(f"FOREBAY_DAEMON={service.directory / 'missing'}\n")
    assert service("start").returncode == 5


def test_an_unknown_action_is_2_with_the_usage(service):
    result = service("dance")
    assert result.returncode == 2
    assert "Usage:" in result.stdout
