# SPDX-License-Identifier: MIT
"""What README.md tells a newcomer, after `meson install` into a /usr/local of the test's own."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import pytest

from conftest import BUILD, SANITIZED, TIMEOUT
from forebay_client import ROOT

README = (ROOT / "README.md").read_text()

# As root only: the loader's cache is root's.
OWN_MACHINE = 'mount --bind "$1/local" /usr/local && mount --bind "$1/etc" /etc'


def can_mount():
    return os.geteuid() == 0 and shutil.which("meson") and subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "none", tempfile.gettempdir()],
        capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(
    SANITIZED or not can_mount(), reason="needs root, mounts, and a library without sanitizers")


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """Runs a shell script where Forebay is installed in /usr/local."""
    directory = tmp_path_factory.mktemp("machine")
    (directory / "local").mkdir()
    (directory / "layers").mkdir()
    shutil.copytree("/etc", directory / "etc", symlinks=True)

    def run(script):
        """In the directory $1."""
        return subprocess.run(
            ["unshare", "--mount", "sh", "-c", f"set -e; {OWN_MACHINE}; cd $1; {script}", "sh",
             directory], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT, check=False,
            env={"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                 "FOREBAY_DIR": str(directory / "layers")})

    result = run(f"meson install -C {BUILD} --no-rebuild")
    assert result.returncode == 0, result.stdout
    run.directory = directory
    yield run
    shutil.rmtree(directory, ignore_errors=True)


def fenced(language):
    """The first block of README.md in that language."""
    return re.search(rf"^```{language}\n(.*?)^```$", README, re.M | re.S)[1]


def command(start):
    """The line of README.md that begins so, as it would be pasted."""
    return re.search(rf"^    ({re.escape(start)}.*)$", README, re.M)[1]


# The next test begins when the server of this one has ended.
STOP = "kill $(cat pid); while [ -e pid ]; do sleep 0.1; done"


def answer_of(machine, build, serve):
    """What README's consumer, made by BUILD, answers behind the server that SERVE starts; then both are stopped."""
    result = machine(f"""
        {build}
        {serve} --bind unix:$1/socket --workers 1 --layer-size 8M --pid-file pid --daemon --log-file log
        trap '{STOP}' EXIT
        curl -sSm 100 --unix-socket $1/socket http://localhost/over/the/weir || cat log
        until forebay stat --json http.request | grep -q '"listeners": 2'; do sleep 0.1; done""")
    log = pathlib.Path(machine.directory, "log").read_text()
    # Not killed by the signal: who is, takes along what it has in hand.
    for number in (1, 2):
        assert re.search(rf" app {number} \(process \d+\) exited with status 0$", log, re.M), log
    os.unlink(machine.directory / "log")
    return result.stdout


def test_the_consumer_in_c(machine):
    (machine.directory / "path.c").write_text(fenced("c"))
    build = command("cc path.c") + " -Wall -Werror"
    assert answer_of(machine, build, command("forebay serve --app ./path")) == "/over/the/weir"


def test_the_consumer_in_python(machine):
    (machine.directory / "path.py").write_text(fenced("python"))
    assert answer_of(machine, ":", command("forebay serve --app 'python3 path.py'")) == "/over/the/weir"


def test_a_request_answered_by_hand(machine):
    answer = command("forebay send 'http.response!")
    printed = re.search("http.response![0-9a-f]{16}", answer)[0]
    result = machine(f"""
        forebay serve --bind unix:$1/socket --workers 1 --layer-size 8M --pid-file pid --daemon --log-file log
        trap '{STOP}' EXIT
        curl -sSm 100 --unix-socket $1/socket http://localhost/hi > answer &
        curl=$!
        forebay receive http.request > request
        reply=$(sed -n 's/.*"reply_channel":"\\([^"]*\\)".*/\\1/p' request)
        {answer.replace(printed, "'$reply'")}
        wait $curl
        cat answer""")
    assert result.stdout == "Hello", result.stdout


def test_the_init_script_finds_the_program(machine):
    defaults = pathlib.Path(machine.directory, "etc/default/forebay")
    defaults.parent.mkdir(exist_ok=True)
    defaults.write_text("FOREBAY_PIDFILE=$PWD/pid FOREBAY_LOGFILE=$PWD/log\n"
                        f"FOREBAY_OPTIONS='--bind unix:{machine.directory}/socket --workers 1 "
                        "--layer-size 8M'\n")
    script = "/usr/local/share/doc/forebay/examples/forebay.init"
    result = machine(f"{script} start && {script} stop")
    assert result.stdout == "forebay: started\nforebay: stopped\n", result.stdout


def test_the_unit_names_no_directory():
    """systemd looks for it where both packages and `meson install` put it."""
    unit = (ROOT / "scripts" / "forebay.service").read_text()
    assert re.search(r"^ExecStart=forebay serve ", unit, re.M)


def test_links_of_the_readme_lead_to_what_is_installed(machine):
    documents = machine.directory / "local" / "share" / "doc" / "forebay"
    links = re.findall(r"\]\(([^):#]+)(?:#[^)]*)?\)", (documents / "README.md").read_text())
    assert "channel/README.md" in links
    assert [link for link in links if not (documents / link).is_file()] == []


def test_manual_pages(machine):
    result = machine("ls /usr/local/share/man/man1/forebay.1 /usr/local/share/man/man3/forebay.3 "
                     "/usr/local/share/man/man3/forebay_send.3")
    assert result.returncode == 0, result.stdout
