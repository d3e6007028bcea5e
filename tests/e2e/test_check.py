# SPDX-License-Identifier: MIT
"""`forebay check`: what an operator sees of a layer that is sound, used, damaged or refused."""

import json
import os
import re
import signal
import struct
import subprocess

import pytest

from conftest import DEMO, FOREBAY, run_forebay, wait_until
from forebay_client import Layer
from load import Load
from test_layer_files import needs_mount, run_on_tmpfs

SOUND, UNSOUND, USAGE, UNCHECKED = 0, 1, 2, 3


@pytest.fixture
def layer(tmp_path):
    """A layer with a message that nobody is attached to."""
    with Layer(tmp_path, name="default", must_exist=False, size=8 << 20) as made:
        made.send("jobs", {"a": 1})
    return tmp_path / "forebay.default"


def check(layer, *options):
    return run_forebay(layer.parent, "check", *options)


def findings(layer, *options):
    result = check(layer, "--json", *options)
    report = json.loads(result.stdout)
    assert result.returncode == (UNSOUND if report["left"] else SOUND)
    return {finding["kind"] for finding in report["findings"]}


def leave_a_dead_process(layer):
    """One that was killed while it waited for messages."""
    environment = {**os.environ, "FOREBAY_DIR": str(layer.parent)}
    receiver = subprocess.Popen([FOREBAY, "receive", "never"], env=environment)
    try:
        wait_until(lambda: b"never" in run_forebay(layer.parent, "stat").stdout, "the receiver")
    finally:
        receiver.send_signal(signal.SIGKILL)
        receiver.wait()


def test_a_sound_layer(layer):
    for options in ([], ["--repair"]):
        result = check(layer, *options)
        assert result.returncode == SOUND and not result.stderr
        assert b"1 message waiting" in result.stdout and b"nothing is wrong" in result.stdout
    report = json.loads(check(layer, "--json").stdout)
    assert report["findings"] == [] and report["messages"] == 1 and report["left"] == 0
    assert run_forebay(layer.parent, "receive", "jobs").stdout == b'{"a":1}\n', "it is untouched"


def test_a_layer_in_use(serve):
    server = serve(workers=2, app=DEMO)

    def attached():
        stat = json.loads(server.forebay("stat", "--json", "--layer", "test").stdout)
        return sum(process["role"] != "cli" for process in stat["processes"])

    server.wait_for(lambda: attached() == 4, "master, workers and consumer")
    with Load(server.address, 8) as load:
        for options in (["--json"], ["--json", "--repair"]) * 3:
            goal = load.answered + 50
            result = server.forebay("check", "--layer", "test", *options)
            report = json.loads(result.stdout)
            assert result.returncode == SOUND and report["findings"] == [], result
            assert report["processes"]["alive"] >= 4
            server.wait_for(lambda: load.answered >= goal, "more answers")
    assert load.failures == [] and set(load.statuses) == {200}


def test_a_dead_process_is_found_and_given_back(layer):
    leave_a_dead_process(layer)
    result = check(layer)
    assert result.returncode == UNSOUND
    (line,) = [line for line in result.stdout.decode().splitlines() if line.startswith("dead-process: ")]
    assert re.search(r": slot \d+, process \d+: ", line) and "--repair gives that back" in line
    assert findings(layer) == {"dead-process"}, "a look changes nothing"
    assert check(layer, "--repair").returncode == SOUND
    assert findings(layer) == set()


def test_a_scribbled_name_is_mended(layer):
    """Its channel is in a list where nobody looks for it."""
    octets = (layer / "segment").read_bytes()
    with open(layer / "segment", "r+b") as file:
        file.seek(octets.index(b"jobs\0"))
        file.write(b"Jobs")
    assert findings(layer) & {"bad-name", "bad-hash"}
    assert check(layer, "--repair").returncode == SOUND
    assert run_forebay(layer.parent, "send", "jobs", "{}").returncode == 0


@pytest.mark.parametrize("rule, scribble, kind", [
    (b"jobs=7", b"jobs=x", "bad-patterns"),
    (b"chat.*=5", b"chat.*=x", "bad-histories"),
])
def test_rules_that_can_not_be_read_are_told_and_left(tmp_path, rule, scribble, kind):
    options = {"size": 8 << 20, "capacities": b"jobs=7", "group_histories": b"chat.*=5"}
    with Layer(tmp_path, name="default", must_exist=False, **options):
        pass
    layer = tmp_path / "forebay.default"
    assert findings(layer) == set()
    octets = (layer / "segment").read_bytes()
    with open(layer / "segment", "r+b") as file:
        file.seek(octets.index(rule))
        file.write(scribble)
    assert findings(layer) == findings(layer, "--repair") == {kind}


@pytest.mark.parametrize("options", [[], ["--repair"], ["--json"]], ids=str)
def test_what_can_not_be_checked(layer, options):
    def refused(*words):
        result = check(layer, *options)
        assert result.returncode == UNCHECKED and not result.stdout
        (line,) = result.stderr.decode().splitlines()
        for word in (str(layer), *words):
            assert word in line, line

    with open(layer / "segment", "r+b") as file:
        file.seek(8)
        file.write(struct.pack("<I", 99))
    refused("another version", "rm -r")
    os.truncate(layer / "segment", 100)
    refused("truncated", "rm -r")
    (layer / "segment").unlink()
    refused("no segment")
    layer.rmdir()
    refused("no such layer")


def test_a_layer_that_attaching_is_refused_to_is_looked_at(layer):
    (layer / "segment").chmod(0o666)
    result = check(layer)
    assert result.returncode == UNSOUND
    assert b"no-access: " in result.stdout and b"mode 0666" in result.stdout
    assert b"1 message waiting" in result.stdout
    result = check(layer, "--repair")
    assert result.returncode == UNSOUND and b"can't repair, only look" in result.stderr
    (layer / "segment").chmod(0o600)
    assert findings(layer) == set()


def test_files_that_do_not_belong(layer):
    (layer / "core").write_text("")
    os.mkfifo(layer / "new-bell.7", 0o600)
    os.mkfifo(layer / "bell.8", 0o600)
    (layer / "bell.8").chmod(0o622)
    assert findings(layer) == {"stranger", "leftover", "bad-fifo"}
    assert findings(layer, "--repair") == {"stranger", "leftover", "bad-fifo"}
    assert findings(layer) == {"stranger"}, "what isn't ours is left"
    assert not (layer / "new-bell.7").exists()
    assert (layer / "bell.8").stat().st_mode & 0o777 == 0o600


@needs_mount
def test_on_a_read_only_file_system(tmp_path):
    script = ("forebay send jobs '{}' && mount -o remount,ro none \"$FOREBAY_DIR\" && "
              "forebay check && ! forebay send jobs '{}' && ! forebay check --repair")
    result = run_on_tmpfs(tmp_path, "size=64m", script)
    assert result.returncode == 0, result
    assert b"nothing is wrong" in result.stdout
    made, send, repair = result.stderr.decode().splitlines()
    assert "so it was made" in made
    assert "Read-only file system" in send and "FOREBAY_DIR" in send
    assert "can't repair, only look" in repair


@pytest.mark.parametrize("arguments", [["more"], ["--no-such"], ["--timeout", "1"]], ids=" ".join)
def test_wrong_usage(tmp_path, arguments):
    result = run_forebay(tmp_path, "check", *arguments)
    assert result.returncode == USAGE and result.stderr and not result.stdout
