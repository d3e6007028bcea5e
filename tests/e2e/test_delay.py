# SPDX-License-Identifier: MIT
"""Messages that are sent now and delivered later, whoever runs then."""

import json

import pytest

from conftest import run_forebay, wait_until
from forebay_client import Layer


@pytest.fixture
def layer(tmp_path):
    with Layer(tmp_path, name="default", must_exist=False, size=8 << 20,
               capacities="asgi.delay=2") as made:
        made.directory = tmp_path
        yield made


def pending(directory, channel, *options):
    result = run_forebay(directory, "stat", "--json", *options)
    assert result.returncode == 0, result.stderr
    return {each["name"]: each["pending"] for each in json.loads(result.stdout)["channels"]
            }.get(channel, 0)


@pytest.mark.parametrize("arguments", [
    ["asgi.delay", '{"channel": "x", "delay": 100, "content": {"n": 1, "content": "text"}}'],
    ["--after", "0.1", "x", '{"n": 1, "content": "text"}'],
    ["--after=100ms", "x", '{"n": 1, "content": "text"}']])
def test_the_receiver_alone_is_enough(tmp_path, arguments):
    assert run_forebay(tmp_path, "send", *arguments).returncode == 0
    received = run_forebay(tmp_path, "receive", "x")
    assert json.loads(received.stdout) == {"n": 1, "content": "text"}


def test_an_idle_server_is_enough(serve):
    server = serve(workers=2)
    assert server.forebay("send", "-l", "test", "-a", "50ms", "x", '{"n": 1}').returncode == 0
    # Whoever looks is attached, too, but too short a time to keep house.
    wait_until(lambda: pending(server.directory, "x", "-l", "test") == 1, "the delivery")
    assert pending(server.directory, "asgi.delay", "-l", "test") == 0


def test_how_many_wait_is_shown_and_they_are_flushed(layer):
    for _ in range(2):
        assert run_forebay(layer.directory, "send", "-a", "1h", "x", "{}").returncode == 0
    assert pending(layer.directory, "asgi.delay") == 2
    shown = run_forebay(layer.directory, "receive", "--peek", "-c", "asgi.delay")
    assert shown.stdout == b'{"channel": "x", "message": {}}\n' * 2
    refused = run_forebay(layer.directory, "send", "-a", "1h", "x", "{}")
    assert refused.returncode == 1 and b"asgi.delay is full" in refused.stderr
    refused = run_forebay(layer.directory, "send", "-t", "0.01", "asgi.delay",
                          '{"channel": "x", "delay": 3600000, "content": {}}')
    assert refused.returncode == 3
    flushed = run_forebay(layer.directory, "flush", "asgi.delay")
    assert flushed.stdout == b"2 messages dropped\n"
    assert pending(layer.directory, "asgi.delay") == 0


@pytest.mark.parametrize("message, complaint", [
    ('{"channel": "x", "delay": 0, "content": {}}', b"`delay`"),
    ('{"channel": "x", "delay": 1, "content": "text"}', b"`content`"),
    ('{"channel": "!", "delay": 1, "content": {}}', b"`channel`"),
    ('{"channel": "asgi.delay", "delay": 1, "content": {}}', b"`channel`")])
def test_what_is_wrong_is_said(layer, message, complaint):
    result = run_forebay(layer.directory, "send", "asgi.delay", message)
    assert result.returncode == 1 and complaint in result.stderr
    assert pending(layer.directory, "asgi.delay") == 0


@pytest.mark.parametrize("time", ["", "x", "-1", "1w", "25d", "nan", "inf", "1 s"])
def test_what_is_no_time(layer, time):
    result = run_forebay(layer.directory, "send", "--after", time, "x", "{}")
    assert result.returncode == 2 and b"must be a time" in result.stderr


def test_nobody_receives_what_waits(layer):
    result = run_forebay(layer.directory, "receive", "-t", "0", "asgi.delay")
    assert result.returncode == 1 and b"asgi.delay: messages wait there" in result.stderr
