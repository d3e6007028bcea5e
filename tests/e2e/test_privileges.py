# SPDX-License-Identifier: MIT
"""--user: started by root, workers and applications are somebody else, and everything still works."""

import os
import pathlib
import pwd
import shutil
import signal
import tempfile

import pytest

from conftest import BUILD, DEMO, wait_until

NOBODY = "nobody"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def owner(path):
    return pwd.getpwuid(os.stat(path).st_uid).pw_name


@pytest.fixture
def directory():
    """A directory that anybody may enter; those of pytest are for their owner only."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="forebay-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def server(serve, directory):
    # The build directory may be out of the user's reach.
    for file in [DEMO, *(BUILD / "channel").glob("libforebay.so*")]:
        if file.is_file():
            shutil.copy(file, directory)
    return serve("--user", NOBODY, "--access-log", directory / "access", app=directory / DEMO.name,
                 environment={"FOREBAY_DIR": str(directory), "LD_LIBRARY_PATH": str(directory)})


def test_children_are_the_user_and_the_master_is_root(server):
    assert owner(f"/proc/{server.pid}") == "root"
    for pid in server.workers + server.apps:
        wait_until(lambda: owner(f"/proc/{pid}") == NOBODY, "another user")


def test_requests_pass_through_a_layer_that_is_the_users(server, directory):
    assert owner(directory / "forebay.test") == NOBODY
    client = server.client()
    client.get("/hello")
    assert client.response().body == b"Hello, world!"


def test_logs_are_the_users_also_after_a_rotation(server, directory):
    assert owner(directory / "access") == NOBODY
    (directory / "access").rename(directory / "access.1")
    server.signal(signal.SIGUSR1)
    server.wait_for_log("logs reopened")
    assert owner(directory / "access") == NOBODY

    def logged():
        with server.client() as client:
            client.get("/hello")
            client.response()
        return (directory / "access").read_text()

    wait_until(logged, "a line in the new file")
