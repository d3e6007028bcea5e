# SPDX-License-Identifier: MIT
"""The subcommands of `forebay`, as a user at a shell meets them."""

import json
import os
import re
import signal
import subprocess
import threading

import pytest

from conftest import FOREBAY, TIMEOUT, run_forebay
from forebay_client import GAUGE, ROOT, Layer, decode_printed


@pytest.fixture
def layer(tmp_path):
    with Layer(tmp_path, name="default", must_exist=False, size=8 << 20) as made:
        made.directory = tmp_path
        yield made


def forebay(layer, *arguments, **options):
    return run_forebay(layer.directory, *arguments, **options)


def test_version(tmp_path):
    header = (ROOT / "channel" / "forebay.h").read_text()
    version = header.partition('FOREBAY_VERSION "')[2].partition('"')[0]
    assert run_forebay(tmp_path, "--version").stdout == f"forebay {version}\n".encode()


@pytest.mark.parametrize("subcommand", [None, "serve", "send", "receive", "tail", "stat", "top", "group", "flush", "check"])
def test_help(tmp_path, subcommand):
    result = run_forebay(tmp_path, *([subcommand] if subcommand else []), "--help")
    assert result.returncode == 0 and result.stdout.startswith(b"Usage: forebay")
    assert not result.stderr
    assert max(map(len, result.stdout.decode().splitlines())) <= 100


def test_help_names_every_subcommand(tmp_path):
    text = run_forebay(tmp_path, "--help").stdout.decode()
    for subcommand in ("serve", "send", "receive", "tail", "stat", "top", "group", "flush", "check"):
        assert f"\n  {subcommand} " in text


@pytest.mark.parametrize("arguments", [
    [], ["no-such"], ["send"], ["receive"], ["group", "no-such"], ["group", "add", "g"], ["send", "a", "{}", "more"], ["receive", "--count", "x", "a"],
    ["stat", "--no-such"]], ids=" ".join)
def test_wrong_usage(tmp_path, arguments):
    result = run_forebay(tmp_path, *arguments)
    assert result.returncode == 2 and result.stderr and not result.stdout


# What each way of using a subcommand takes, besides --layer and --help; anything else would be without effect.
TAKES = {
    ("send", "x", "{}"): {"timeout", "after"},
    ("send", "--after=1", "x", "{}"): {"after"},
    ("receive", "x"): {"count", "follow", "timeout", "with-channel", "gaps", "peek"},
    ("receive", "--peek", "x"): {"peek", "count", "with-channel", "gaps"},
    ("receive", "--follow", "x"): {"follow", "timeout", "with-channel", "gaps"},
    ("tail", "x"): {"count", "timeout", "with-channel", "gaps"},
    ("stat",): {"json"},
    ("stat", "x"): {"json"},
    ("top",): {"interval", "count", "sort", "batch"},
    ("top", "--batch"): {"interval", "count", "sort", "batch"},
    ("group", "add", "g", "x"): set(),
    ("group", "discard", "g", "x"): set(),
    ("group", "list"): {"json"},
    ("group", "list", "g"): {"json"},
    ("group", "send", "g", "{}"): set(),
    ("group", "history", "g"): {"since"},
    ("flush",): set(),
    ("flush", "x"): set(),
    ("check",): {"repair", "json"},
}
VALUES = {"layer": "x", "timeout": "1", "after": "1", "count": "1", "since": "0123456789abcdef:1", "interval": "1",
          "sort": "rate"}


def options_in_help(directory, subcommand):
    """Their names, with their letters."""
    text = run_forebay(directory, subcommand, "--help").stdout.decode()
    return {name: letter for letter, name in re.findall(r"^  -(\w), --([\w-]+)", text, re.MULTILINE)}


def test_every_option_without_effect_is_refused(tmp_path):
    """A layer can't be there, so what is understood fails all the same, but not with the status of wrong usage."""
    directory = tmp_path / "file"
    directory.write_text("")
    helps = {subcommand: options_in_help(tmp_path, subcommand) for subcommand, *_ in TAKES}
    letters = {name: letter for options in helps.values() for name, letter in options.items() if name != "help"}
    assert set(VALUES) <= set(letters)
    for subcommand, options in helps.items():
        taken = [takes for (first, *_), takes in TAKES.items() if first == subcommand]
        assert set(options) == set().union(*taken) | {"layer", "help"}, subcommand
    for words, takes in TAKES.items():
        for name, letter in letters.items():
            value = [VALUES[name]] if name in VALUES else []
            for option in (f"--{name}", f"-{letter}"):
                result = run_forebay(directory, words[0], option, *value, *words[1:])
                said = result.stderr.decode()
                if name in takes or name == "layer":
                    assert result.returncode in (1, 3) and "--help" not in said, (words, option, said)
                else:
                    assert result.returncode == 2 and not result.stdout, (words, option, said)
                    assert " takes no --" in said and f"--{name}" in said, (words, option, said)


@pytest.mark.parametrize("arguments, complaint", [
    (["--no-such"], "no such option: --no-such"), (["--no-such=1"], "no such option: --no-such=1"),
    (["-z"], "no such option: -z"), (["--json", "-zj"], "no such option: -z"), (["-jz"], "no such option: -z"),
    (["--json=1"], "--json takes no value"), (["x", "--layer"], "--layer needs a value"),
    (["-jn1"], "stat takes no --count")], ids=repr)
def test_the_option_that_is_wrong_is_named(tmp_path, arguments, complaint):
    result = run_forebay(tmp_path, "stat", *arguments)
    assert result.returncode == 2
    assert result.stderr.decode() == f"forebay stat: {complaint}\nSee: forebay stat --help\n"


@pytest.mark.parametrize("arguments, complaint", [
    (["receive", "-n0", "x"], "--count: '0' must be a number, 1 or more"),
    (["tail", "--count=x", "x"], "--count: 'x' must be a number, 1 or more"),
    (["receive", "-t", "soon", "x"], "--timeout: 'soon' must be a time"),
    (["send", "--after", "25d", "x", "{}"], "--after: '25d' must be a time"),
    (["top", "-i1y"], "--interval: '1y' must be a time"),
    (["top", "--sort=x"], "no such order: x")], ids=repr)
def test_what_is_wrong_with_a_value_is_said(tmp_path, arguments, complaint):
    result = run_forebay(tmp_path, *arguments)
    first, last = result.stderr.decode().splitlines()
    assert result.returncode == 2
    assert first.startswith(f"forebay {arguments[0]}: {complaint}")
    assert last == f"See: forebay {arguments[0]} --help"


def test_who_makes_the_layer_says_so(tmp_path):
    """A mistyped name would be seen by nobody else."""
    for said in (b"forebay send: there was no layer typo, so it was made\n", b""):
        result = run_forebay(tmp_path, "send", "--layer", "typo", "jobs", "{}")
        assert result.returncode == 0 and result.stderr == said


def test_send_and_receive(layer):
    sent = {"a": [1, -2.5, None, True], "b": {"c": "\u00e9\u0000"}, "content": "text \u20ac"}
    assert forebay(layer, "send", "jobs", json.dumps(sent)).returncode == 0
    result = forebay(layer, "receive", "jobs")
    assert result.returncode == 0 and json.loads(result.stdout) == sent


def test_send_from_standard_input(layer):
    for arguments in (["jobs"], ["jobs", "-"]):
        assert forebay(layer, "send", *arguments, input=b'{"a": 1}\n').returncode == 0
    assert forebay(layer, "receive", "--count", "2", "jobs").stdout == (
        forebay_line({"a": 1}) * 2)


def forebay_line(message):
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def test_binary_content_is_base64(layer):
    octets = bytes(range(256))
    layer.send("jobs", {"a": 1}, octets)
    printed = forebay(layer, "receive", "jobs").stdout
    assert decode_printed(json.loads(printed))["content"] == octets
    assert forebay(layer, "send", "back", input=printed).returncode == 0
    layer.listen("back")
    assert layer.receive()["content"] == octets


def test_receive_waits_for_a_message(layer):
    waiting = subprocess.Popen(
        [FOREBAY, "receive", "--with-channel", "one", "two"], stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL, env={**os.environ, "FOREBAY_DIR": str(layer.directory)})
    try:
        layer.send("two", {"b": 2})
        output, _ = waiting.communicate(timeout=TIMEOUT)
    finally:
        waiting.kill()
        waiting.wait()
    assert json.loads(output) == {"channel": "two", "message": {"b": 2}}


def test_receive_times_out(layer):
    for timeout in ("0.05", "50ms", "50MS"):
        result = forebay(layer, "receive", "--timeout", timeout, "nothing")
        assert result.returncode == 3 and not result.stdout


@pytest.mark.parametrize("timeout", ["", "-", "--1", "1x", "1 s", "25d", "0x10", "1e1", "inf"])
def test_what_is_no_timeout(layer, timeout):
    result = forebay(layer, "receive", f"--timeout={timeout}", "nothing")
    assert result.returncode == 2 and b"must be a time" in result.stderr


def test_layers_are_apart(layer):
    assert forebay(layer, "send", "--layer", "other", "jobs", '{"a": 1}').returncode == 0
    assert forebay(layer, "receive", "--timeout", "0", "jobs").returncode == 3
    assert forebay(layer, "receive", "--layer", "other", "jobs").returncode == 0


@pytest.mark.parametrize("text", [
    "", "nonsense", "[1]", '{"a": }', '{"a":' * 65 + "1" + "}" * 65, '{"content": "!", "binary": true}',
    '{"content": "AAEC", "binary": 1}'])
def test_send_refuses_what_is_no_message(layer, text):
    result = forebay(layer, "send", "jobs", input=text.encode())
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1


def test_send_refuses_what_is_too_large(layer):
    result = forebay(layer, "send", "jobs", input=b'{"content": "%s"}' % (b"x" * (1 << 20)))
    assert result.returncode == 1 and b"too large" in result.stderr


@pytest.mark.parametrize("name", ["", "a\tb", "\u00e9", "x" * 201])
def test_send_refuses_bad_names(layer, name):
    result = forebay(layer, "send", name, "{}")
    assert result.returncode == 1 and b"not a channel's name" in result.stderr


@pytest.mark.parametrize("arguments", [
    ["flush"], ["receive"], ["receive", "--peek"], ["tail"]], ids=" ".join)
@pytest.mark.parametrize("name", ["a\tb", "a!0000000000000001"])
def test_what_cannot_be_received_from_is_named(layer, arguments, name):
    result = forebay(layer, *arguments, name)
    assert result.returncode == 1
    assert name.encode() in result.stderr and b"it isn't the name of a plain channel or a stream" in result.stderr


def test_send_says_when_a_channel_is_full(layer):
    while layer.send("jobs", {}, timeout=0) == 0:
        pass
    result = forebay(layer, "send", "jobs", "{}")
    assert result.returncode == 1 and b"full" in result.stderr
    assert forebay(layer, "send", "--timeout", "0.05", "jobs", "{}").returncode == 3


def test_flush(layer):
    for _ in range(3):
        layer.send("jobs", {})
    layer.send("more", {})
    assert forebay(layer, "flush", "jobs").stdout == b"3 messages dropped\n"
    assert forebay(layer, "flush").stdout == b"1 message dropped\n"
    assert forebay(layer, "receive", "--timeout", "0", "jobs", "more").returncode == 3


def test_stat(layer):
    layer.listen("jobs")
    for _ in range(3):
        layer.send("jobs", {})
    layer.receive()
    stat = json.loads(forebay(layer, "stat", "--json").stdout)
    (jobs,) = [channel for channel in stat["channels"] if channel["name"] == "jobs"]
    assert (jobs["sent"], jobs["received"], jobs["pending"], jobs["listeners"]) == (3, 1, 2, 1)
    assert jobs["oldest_ms"] >= 0
    assert stat["counters"]["sent"] >= 3
    assert [process["role"] for process in stat["processes"]] == ["test"], "it attaches itself"
    text = forebay(layer, "stat").stdout.decode()
    assert "jobs" in text and "pending" in text


STATISTICS = {"messages_count", "messages_count_per_second", "messages_pending", "messages_max_age",
              "channel_full_count", "channel_full_count_per_second"}


def test_stat_has_the_statistics_of_channels(layer):
    capacity = 0
    while layer.send("jobs", {}, timeout=0) == 0:
        capacity += 1
    layer.send("more", {})
    assert forebay(layer, "flush", "more").returncode == 0
    stat = json.loads(forebay(layer, "stat", "--json").stdout)
    channels = {channel["name"]: channel for channel in stat["channels"]}
    for found in (stat, *channels.values()):
        assert STATISTICS <= set(found)
        assert all(found[key] >= 0 for key in STATISTICS)
    assert (stat["messages_count"], stat["messages_pending"], stat["channel_full_count"]) == (
        capacity + 1, capacity, 1)
    jobs = channels["jobs"]
    assert (jobs["messages_count"], jobs["messages_pending"], jobs["channel_full_count"]) == (
        capacity, capacity, 1)
    assert jobs["messages_max_age"] >= 0
    assert channels["more"]["messages_max_age"] == 0
    assert channels["more"]["dropped"] == {
        "expired": 0, "flushed": 1, "displaced": 0, "gone": 0, "bad": 0, "lost": 0}
    assert channels["more"]["received"] == 0


@pytest.mark.parametrize("patterns, names", [
    (["jobs"], {"jobs"}), (["j*"], {"jobs", "jokes"}), (["[a-k]o*", "x.y"], {"jobs", "jokes", "x.y"}),
    (["nothing"], set()), (["a[b"], {"a[b"}), (["*"], {"jobs", "jokes", "x.y", "a[b"})])
def test_stat_of_some_channels(layer, patterns, names):
    for name in ("jobs", "jokes", "x.y", "a[b"):
        layer.send(name, {})
    stat = json.loads(forebay(layer, "stat", "--json", *patterns).stdout)
    assert {channel["name"] for channel in stat["channels"]} == names
    assert stat["messages_count"] == 4
    head, *lines = forebay(layer, "stat", *patterns).stdout.decode().splitlines()
    assert "pending" in head and {line.split()[-1] for line in lines} == names


def test_stat_shows_metrics(layer):
    with Layer(layer.directory, name="default") as consumer:
        consumer.metric('jobs_total{queue="ä \\\\ <b>"}', text="Jobs done").add(2.5)
        consumer.metric("jobs_waiting", GAUGE).set(float("inf"))
        stat = json.loads(forebay(layer, "stat", "--json").stdout)
    by_name = {metric["name"]: metric for metric in stat["metrics"]}
    assert by_name['jobs_total{queue="ä \\\\ <b>"}'] == {
        "name": 'jobs_total{queue="ä \\\\ <b>"}', "help": "Jobs done", "kind": "counter", "value": 2.5}
    assert by_name["jobs_waiting"]["kind"] == "gauge" and by_name["jobs_waiting"]["value"] is None
    assert stat["metrics_max"] >= 64
    lines = [line.split() for line in forebay(layer, "stat").stdout.decode().splitlines()]
    assert ["0", "jobs_waiting"] in lines, "its process has ended"


def test_stat_of_no_layer(tmp_path):
    result = run_forebay(tmp_path, "stat")
    assert result.returncode == 1 and result.stderr
    assert not list(tmp_path.iterdir()), "looking makes nothing"


def test_shell_consumer_answers_a_request(serve):
    server = serve()
    with server.client() as client:
        client.get("/shell")
        request = json.loads(server.forebay("receive", "--layer", "test", "http.request").stdout)
        assert request["path"] == "/shell"
        assert server.forebay("send", "--layer", "test", request["reply_channel"],
                              '{"status": 200, "content": "from a shell"}').returncode == 0
        assert client.response().body == b"from a shell"
        late = server.forebay("send", "--layer", "test", request["reply_channel"], "{}")
        assert late.returncode == 1 and b"ended" in late.stderr


def test_peek_leaves_what_it_prints(layer):
    sent = [{"n": 1, "content": "a"}, {"n": 2}]
    for message in sent:
        assert forebay(layer, "send", "jobs", json.dumps(message)).returncode == 0
    for _ in range(2):
        result = forebay(layer, "receive", "--peek", "--with-channel", "jobs", "nothing")
        assert result.returncode == 0
        assert [json.loads(line) for line in result.stdout.splitlines()] == [
            {"channel": "jobs", "message": message} for message in sent]
    stat = json.loads(forebay(layer, "stat", "--json").stdout)
    assert [channel["name"] for channel in stat["channels"]] == ["jobs"]
    assert json.loads(forebay(layer, "receive", "jobs").stdout) == sent[0]
    assert json.loads(forebay(layer, "receive", "--peek", "jobs").stdout) == sent[1]
    assert forebay(layer, "receive", "--peek", "a!0000000000000001").returncode == 1
    assert forebay(layer, "receive", "--peek", "--layer", "none", "jobs").returncode == 1


def test_peek_prints_as_many_as_are_asked_for(layer):
    for channel in "aab":
        assert forebay(layer, "send", channel, "{}").returncode == 0
    for count in (1, 2, 3, 4):
        result = forebay(layer, "receive", "--peek", "--count", str(count), "a", "b")
        assert result.returncode == 0 and result.stdout == b"{}\n" * min(count, 3)


@pytest.mark.parametrize("arguments", [["receive", "jobs"], ["receive", "--peek", "jobs"], ["stat"], ["group", "list"]],
                         ids=" ".join)
def test_closed_standard_descriptors_leave_the_layer_alone(layer, arguments):
    """The first files that such a process opens would get their numbers, the segment's among them."""
    assert forebay(layer, "group", "add", "g", "jobs").returncode == 0
    assert forebay(layer, "send", "jobs", '{"content": "text"}').returncode == 0
    result = subprocess.run(["sh", "-c", 'exec "$0" "$@" <&- >&-', FOREBAY, *arguments], capture_output=True,
                            timeout=TIMEOUT, check=False, env={**os.environ, "FOREBAY_DIR": str(layer.directory)})
    assert result.returncode == 1 and result.stderr.count(b"can't write the output: Bad file descriptor") == 1
    assert forebay(layer, "check").returncode == 0


def test_tail_prints_what_others_receive(layer):
    layer.listen("jobs")
    with subprocess.Popen(
            [FOREBAY, "tail", "--gaps", "--timeout", "60", "--count", "4", "jobs"], stdout=subprocess.PIPE,
            env={**os.environ, "FOREBAY_DIR": str(layer.directory)}) as process:
        # It begins at the end of the channel, whenever that is.
        begun = threading.Event()

        def read_first():
            first.append(json.loads(process.stdout.readline()))
            begun.set()
        first = []
        reader = threading.Thread(target=read_first)
        reader.start()
        n = 0
        while not begun.wait(0.01):
            layer.send("jobs", {"n": n})
            assert layer.receive()["n"] == n
            n += 1
        reader.join()
        for k in range(3):
            layer.send("jobs", {"n": n + k}, content=b"x" * 1000)
            layer.receive()
        rest = [json.loads(line) for line in process.stdout]
        assert process.wait(TIMEOUT) == 0
    # Each number once, or told as missed.
    expected = first[0]["message"]["n"]
    assert first[0]["gap"] == 0
    for line in rest:
        expected += 1 + line["gap"]
        assert line["message"]["n"] == expected
    assert forebay(layer, "tail", "--timeout", "0", "jobs").returncode == 3


def test_receive_says_how_much_it_missed(tmp_path):
    with Layer(tmp_path, name="default", must_exist=False, size=8 << 20,
               capacities=b"ticks=2/drop-oldest,state=3/keep-latest") as layer:
        layer.directory = tmp_path
        with subprocess.Popen(
                [FOREBAY, "receive", "--gaps", "--count", "3", "ticks"], stdout=subprocess.PIPE,
                env={**os.environ, "FOREBAY_DIR": str(tmp_path)}) as process:
            layer.send("ticks", {"n": 0})
            lines = [process.stdout.readline()]
            os.kill(process.pid, signal.SIGSTOP)
            os.waitpid(process.pid, os.WUNTRACED)  # stopped, so that it takes none meanwhile
            for n in range(1, 6):
                layer.send("ticks", {"n": n})
            os.kill(process.pid, signal.SIGCONT)
            lines += [process.stdout.readline(), process.stdout.readline()]
            assert process.wait(TIMEOUT) == 0
        assert [json.loads(line) for line in lines] == [
            {"gap": 0, "message": {"n": 0}}, {"gap": 3, "message": {"n": 4}}, {"gap": 0, "message": {"n": 5}}]
        for n in range(4):
            layer.send("state", {"n": n})
        result = forebay(layer, "receive", "--with-channel", "--gaps", "state")
        assert json.loads(result.stdout) == {"channel": "state", "gap": 0, "message": {"n": 3}}
        stat = json.loads(forebay(layer, "stat", "--json").stdout)
        assert stat["counters"]["displaced"] == 6
        ticks, = [channel for channel in stat["channels"] if channel["name"] == "ticks"]
        assert (ticks["policy"], ticks["dropped"]["displaced"], ticks["full"]) == ("drop-oldest", 3, 0)
        assert b"displaced" in forebay(layer, "stat").stdout
