# SPDX-License-Identifier: MIT
"""A layer's directory and files that are wrong: each refused in a sentence, by every subcommand."""

import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from conftest import FOREBAY, SANITIZED, TIMEOUT, run_forebay
from forebay_client import Layer

COMMANDS = {
    "serve": ["serve", "--bind", "127.0.0.1:0", "--layer-size", "8M"],
    "send": ["send", "jobs", "{}"],
    "receive": ["receive", "--timeout", "0", "jobs"],
    "stat": ["stat"],
}

every_command = pytest.mark.parametrize("command", COMMANDS)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """A small layer that nobody is attached to; copied for each test."""
    directory = tmp_path_factory.mktemp("pristine")
    Layer(directory, name="default", must_exist=False, size=8 << 20).close()
    return directory / "forebay.default"


@pytest.fixture
def layer(pristine, tmp_path):
    shutil.copytree(pristine, tmp_path / "forebay.default")
    (tmp_path / "forebay.default").chmod(0o700)
    return tmp_path / "forebay.default"


def assert_sentence(result, path, *words):
    """It failed, and said so in one line with file, reason and remedy."""
    assert result.returncode == 1, result
    (line,) = result.stderr.decode().splitlines()
    assert str(path) in line, line
    for word in words:
        assert word in line, line


def patch(path, offset, octets):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(octets)


@every_command
def test_a_good_layer_is_taken(layer, command):
    if command != "serve":
        run_forebay(layer.parent, *COMMANDS["send"])
        assert run_forebay(layer.parent, *COMMANDS[command]).returncode == 0


@every_command
@pytest.mark.parametrize("damage, words", [
    (lambda layer: patch(layer / "segment", 8, b"\x63"), ["another version", "rm -r"]),
    (lambda layer: patch(layer / "segment", 0, b"nonsense"), ["not a forebay segment", "rm -r"]),
    (lambda layer: os.truncate(layer / "segment", 1 << 20), ["truncated", "rm -r"]),
    (lambda layer: os.truncate(layer / "segment", 10), ["truncated", "rm -r"]),
    (lambda layer: os.truncate(layer / "segment", 0), ["truncated", "rm -r"]),
    (lambda layer: (layer / "segment").chmod(0o644), ["mode 0644", "chmod"]),
    (lambda layer: (layer / "segment").chmod(0o660), ["mode 0660", "chmod"]),
    (lambda layer: os.link(layer / "segment", layer.parent / "link"), ["2 names", "rm -r"]),
    (lambda layer: (layer / "segment").rename(layer.parent / "moved")
     and (layer / "segment").symlink_to(layer.parent / "moved"), ["not a regular file", "rm -r"]),
    (lambda layer: (layer / "segment").unlink() or os.mkfifo(layer / "segment"),
     ["not a regular file", "rm -r"]),
    (lambda layer: layer.chmod(0o777), ["mode 0777", "chmod o="]),
    (lambda layer: layer.rename(layer.parent / "moved") and layer.symlink_to(layer.parent / "moved"),
     ["symbolic link", "--layer"]),
    (lambda layer: shutil.rmtree(layer) or layer.write_text(""), ["a file of user", "--layer"]),
    (lambda layer: shutil.rmtree(layer) or os.mkfifo(layer), ["a FIFO of user", "--layer"]),
], ids=["version", "foreign", "truncated", "short", "empty", "readable", "group", "linked", "symlink",
        "fifo", "open", "symlinked", "file-as-directory", "fifo-as-directory"])
def test_what_is_wrong_is_refused_in_a_sentence(layer, command, damage, words):
    damage(layer)
    assert_sentence(run_forebay(layer.parent, *COMMANDS[command]), layer, *words)


@every_command
def test_missing_parent(tmp_path, command):
    path = tmp_path / "nowhere"
    assert_sentence(run_forebay(path, *COMMANDS[command]), path, "FOREBAY_DIR")
    assert not path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("command", ["serve"])
def test_another_users_directory(layer, command):
    """Made first by somebody else, in a directory that anybody may write to."""
    os.chown(layer, 65534, 65534)
    assert_sentence(run_forebay(layer.parent, *COMMANDS[command]), layer, "user 65534's")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be other users")
@every_command
def test_another_users_layer(command):
    """A user meets a layer that isn't theirs."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="forebay-test-"))
    try:
        directory.chmod(0o1777)
        (directory / "forebay.default").mkdir(0o700)
        shutil.copy(FOREBAY, directory / "forebay")
        for mode, words in ((0o700, ["user 0's"]), (0o770, ["user 0"])):
            (directory / "forebay.default").chmod(mode)
            result = subprocess.run(
                ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                 directory / "forebay", *COMMANDS[command]], capture_output=True, check=False,
                env={**os.environ, "FOREBAY_DIR": str(directory)}, timeout=TIMEOUT)
            assert_sentence(result, directory / "forebay.default", *words)
    finally:
        shutil.rmtree(directory)


# ----------------------------------------------------------------------------------------------
# File systems, each in a mount namespace of its own
# ----------------------------------------------------------------------------------------------

UNSHARE = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]


def can_mount():
    script = f"mount -t tmpfs -o size=1m none {tempfile.gettempdir()}"
    return subprocess.run([*UNSHARE, "sh", "-c", script], capture_output=True,
                          check=False).returncode == 0


needs_mount = pytest.mark.skipif(not can_mount(), reason="mounting isn't allowed here")


def run_on_tmpfs(directory, options, script, *arguments):
    """Runs SCRIPT, which may say "$@", in a mount namespace with a tmpfs over DIRECTORY."""
    mounted = f"mount -t tmpfs -o {options} none {directory} && {script}"
    return subprocess.run(
        [*UNSHARE, "sh", "-c", mounted, "sh", *arguments], capture_output=True, check=False,
        stdin=subprocess.DEVNULL, timeout=TIMEOUT,
        env={**os.environ, "FOREBAY_DIR": str(directory), "PATH":
             f"{FOREBAY.parent}:{os.environ['PATH']}"})


MAKERS = [command for command in COMMANDS if command != "stat"]


@needs_mount
@pytest.mark.parametrize("command", MAKERS)
def test_full_file_system(tmp_path, command):
    result = run_on_tmpfs(tmp_path, "size=2m", 'forebay "$@"; status=$?; ls -A "$FOREBAY_DIR"/*; '
                          'exit $status', *COMMANDS[command])
    assert_sentence(result, tmp_path, "No space left", "--layer-size")
    assert not result.stdout, "nothing is left in the directory"


@needs_mount
@pytest.mark.parametrize("command", MAKERS)
def test_read_only_file_system(tmp_path, command):
    result = run_on_tmpfs(tmp_path, "ro", 'forebay "$@"', *COMMANDS[command])
    assert_sentence(result, tmp_path, "read-only", "FOREBAY_DIR")
    # Where only the layer's directory was made before.
    result = run_on_tmpfs(tmp_path, "mode=0700", 'mkdir -m 0700 "$FOREBAY_DIR/forebay.default" && '
                          'mount -o remount,ro "$FOREBAY_DIR" && forebay "$@"', *COMMANDS[command])
    assert_sentence(result, tmp_path, "Read-only", "FOREBAY_DIR")


@needs_mount
@pytest.mark.parametrize("command", MAKERS)
def test_file_system_without_inodes(tmp_path, command):
    result = run_on_tmpfs(tmp_path, "nr_inodes=1", 'forebay "$@"', *COMMANDS[command])
    assert_sentence(result, tmp_path, "FOREBAY_DIR")


@needs_mount
@pytest.mark.parametrize("command", [*COMMANDS, "check"])
def test_holes_in_a_full_file_system(tmp_path, command):
    """To touch one would end the process with SIGBUS."""
    result = run_on_tmpfs(
        tmp_path, "size=56m,mode=0700", 'forebay send other "{}" 2>/dev/null && '
        'fallocate --punch-hole --offset 5M --length 1M "$FOREBAY_DIR/forebay.default/segment" && '
        '{ cat /dev/zero >"$FOREBAY_DIR/filler" 2>/dev/null; forebay "$@"; }',
        *COMMANDS.get(command, [command]))
    if command == "check":
        assert result.returncode == 3
        result.returncode = 1
    assert_sentence(result, tmp_path, "No space left", "rm -r")


@needs_mount
@pytest.mark.skipif(SANITIZED, reason="sanitizers want /proc for themselves")
@pytest.mark.parametrize("command", COMMANDS)
def test_without_proc(tmp_path, command):
    script = 'forebay send other "{}" 2>/dev/null && umount --lazy /proc && forebay "$@"'
    result = run_on_tmpfs(tmp_path, "size=64m", script, *COMMANDS[command])
    assert_sentence(result, "/proc", "is /proc mounted?", "default")
    if command != "stat":
        result = run_on_tmpfs(tmp_path, "size=64m", 'umount --lazy /proc && forebay "$@"', *COMMANDS[command])
        assert_sentence(result, tmp_path, "is /proc mounted?")


@needs_mount
def test_a_worker_that_has_no_room_for_its_fifo_says_so(tmp_path):
    log = tmp_path.with_name(tmp_path.name + ".log")  # there is no room for it either
    script = ('forebay send jobs "{}" && touch "$FOREBAY_DIR/filler" && '
              '{ timeout 100 forebay serve --workers 1 --bind 127.0.0.1:0 2>"$1" & server=$!; } && '
              'until grep FIFO "$1" || ! kill -0 $server; do sleep 0.1; done; kill $server; wait $server')
    result = run_on_tmpfs(tmp_path, "size=64m,nr_inodes=4", script, log)
    lines = result.stdout.decode().splitlines()
    assert lines and "layer default" in lines[0] and "No space left" in lines[0], log.read_text()


@needs_mount
def test_the_default_layer_fits_into_64_megabytes(tmp_path):
    """What a container's /dev/shm has by default."""
    result = run_on_tmpfs(tmp_path, "size=64m", "forebay send jobs '{\"a\":1}' && "
                          "forebay receive jobs && forebay stat >&2")
    assert result.returncode == 0 and result.stdout == b'{"a":1}\n', result
    result = run_on_tmpfs(tmp_path, "size=64m", 'forebay "$@"', "serve", "--layer-size", "100M",
                          "--bind", "127.0.0.1:0")
    assert_sentence(result, tmp_path, "No space left", "--layer-size")
