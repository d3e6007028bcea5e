# SPDX-License-Identifier: MIT
"""Groups: from the command line, and what the server does with a message to one."""

import json

import pytest

from conftest import run_forebay
from forebay_client import Layer


@pytest.fixture
def layer(tmp_path):
    with Layer(tmp_path, name="default", must_exist=False, size=8 << 20) as made:
        made.directory = tmp_path
        yield made


def group(layer, *arguments, **options):
    return run_forebay(layer.directory, "group", *arguments, **options)


def test_members_come_and_go(layer):
    for channel in ("b", "a", "b"):
        assert group(layer, "add", "room", channel).returncode == 0
    assert group(layer, "list", "room").stdout.split() in ([b"a", b"b"], [b"b", b"a"])
    assert sorted(json.loads(group(layer, "list", "--json", "room").stdout)) == ["a", "b"]
    assert group(layer, "list").stdout.split() == [b"2", b"room"]
    assert json.loads(group(layer, "list", "-j").stdout) == [{"name": "room", "size": 2}]
    assert group(layer, "discard", "room", "b").returncode == 0
    assert group(layer, "discard", "room", "b").returncode == 0
    assert group(layer, "list", "room").stdout == b"a\n"
    assert group(layer, "discard", "room", "a").returncode == 0
    assert group(layer, "list").stdout == b""
    assert group(layer, "list", "--json", "room").stdout == b"[]\n"


def test_a_reply_channel_is_listed_by_its_name_until_it_is_closed(layer):
    name = layer.reply_open("some.socket")
    assert group(layer, "add", "room", name).returncode == 0
    assert group(layer, "list", "room").stdout.decode() == name + "\n"
    layer.reply_close(name)
    assert group(layer, "list", "room").stdout == b""
    result = group(layer, "add", "room", name)
    assert result.returncode == 1 and b"has ended" in result.stderr


def test_send_reaches_every_member_once(layer):
    layer.listen("plain")
    for channel in ("plain", "other", layer.reply_open(), layer.reply_open()):
        assert group(layer, "add", "room", channel).returncode == 0
    result = group(layer, "send", "room", json.dumps({"a": 1, "content": "x"}))
    assert (result.returncode, result.stdout) == (0, b"4 members reached\n")
    messages = sorted((layer.receive(), layer.receive()), key=lambda each: each["channel"])
    assert messages == [{"a": 1, "channel": "plain", "content": "x"},
                        {"a": 1, "channel": "room", "content": "x"}]
    assert layer.receive(0) is None
    result = group(layer, "send", "room", input=b'{"b": 2}')
    assert result.stdout == b"4 members reached\n"
    assert group(layer, "send", "nobody", "{}").stdout == b"0 members reached\n"


def test_the_layers_statistics_count_groups(layer):
    group(layer, "add", "room", "a")
    stat = json.loads(run_forebay(layer.directory, "stat", "--json").stdout)
    assert stat["groups"] == 1 and stat["group_cells"] > 0
    assert stat["groups_max"] >= 1 and stat["group_cells_max"] > stat["group_cells"]
    assert b" 1 of " in run_forebay(layer.directory, "stat").stdout.splitlines()[0]


@pytest.mark.parametrize("arguments", [
    [], ["no-such"], ["add"], ["add", "room"], ["add", "room", "a", "b"], ["discard", "room"],
    ["list", "a", "b"], ["send"], ["list", "--timeout", "1"]], ids=" ".join)
def test_wrong_usage(layer, arguments):
    result = group(layer, *arguments)
    assert result.returncode == 2 and b"--help" in result.stderr and not result.stdout


@pytest.mark.parametrize("arguments, complaint", [
    (["add", "room", "\u00e9"], "'\u00e9' is not a channel's name"), (["add", "", "a"], "'' is not a group's name"),
    (["add", "a!b", "\u00e9"], "'a!b' is not a group's name"), (["add", "room", "a!b"], "'a!b' is not a channel's name"),
    (["discard", "room", "a\tb"], "'a\tb' is not a channel's name"), (["list", "\u00e9"], "'\u00e9' is not a group's name"),
    (["send", "room", "[]"], "not a message"), (["send", "room", "{"], "not a message"),
    (["send", "\u00e9", "{}"], "'\u00e9' is not a group's name"),
    (["history", "\u00e9"], "'\u00e9' is not a group's name")], ids=repr)
def test_what_is_refused(layer, arguments, complaint):
    result = group(layer, *arguments)
    assert result.returncode == 1 and result.stderr.decode().startswith(f"forebay group: {complaint}")


def test_without_a_layer(tmp_path):
    result = run_forebay(tmp_path, "group", "list")
    assert result.returncode == 1 and b"no such layer" in result.stderr


def test_a_message_to_a_group_is_no_response(site):
    """It is dropped and logged, and the request is answered as if it hadn't been."""
    with site.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        reply = site.message()["reply_channel"]
        assert site.server.forebay("group", "add", "-l", "test", "room", reply).returncode == 0
        sent = site.server.forebay("group", "send", "-l", "test", "room", '{"text": "x"}')
        assert sent.stdout == b"1 member reached\n"
        site.server.wait_for_log("a message to the group room is none for an HTTP client")
        site.layer.send(reply, {"status": 200}, "fine")
        assert client.response().body == b"fine"
    site.server.wait_for(
        lambda: not site.server.forebay("group", "list", "-l", "test", "room").stdout,
        "the end of the reply channel")


def test_history_is_printed_and_gone_on_with(serve):
    server = serve("--group-history", "room=3/64K/1h")
    forebay = lambda *arguments: server.forebay("group", *arguments[:1], "--layer", "test", *arguments[1:])
    for n in range(4):
        assert forebay("send", "room", json.dumps({"n": n})).returncode == 0
    result = forebay("history", "room")
    assert result.returncode == 0
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["message"]["n"] for line in lines] == [1, 2, 3]
    assert [line["offset"] - lines[0]["offset"] for line in lines] == [0, 1, 2]
    since = f"{lines[1]['epoch']}:{lines[1]['offset']}"
    result = forebay("history", "--since", since, "room")
    assert result.returncode == 0 and json.loads(result.stdout)["message"] == {"n": 3}
    for n in range(4, 8):
        forebay("send", "room", json.dumps({"n": n}))
    result = forebay("history", "--since", since, "room")
    assert result.returncode == 3 and len(result.stdout.splitlines()) == 3
    assert forebay("history", "--since", "0123456789abcdef:1", "room").returncode == 3
    assert forebay("history", "--since", "x", "room").returncode == 2
    assert forebay("history", "other").stdout == b""
