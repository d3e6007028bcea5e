# SPDX-License-Identifier: MIT
"""scripts/bench layer: messages between processes, through the channel layer and other queues.

Each measurement is a run of build-bench/tests/bench/bench_layer: processes pinned to a processor
each, every message filled from the sender's memory, read in full by the receiver and checked
(count, order, sum). See the notes that the report ends with for what is compared with what.
"""

import collections
import contextlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

import report

PROGRAM = report.ROOT / "build-bench/tests/bench/bench_layer"
FOREBAY = report.ROOT / "build-bench/server/forebay"
FANOUT_CHANNELS = report.ROOT / "tests/bench/fanout_channels.py"

SIZES = {128: "128 B", 1024: "1 KiB", 65536: "64 KiB"}
ONE_WAY = ["forebay", "forebay-corked", "forebay-spin", "shm", "ck-spsc", "ck-mpmc", "boost",
           "boost-spin", "zeromq", "redis-pipelined", "redis", "mq", "mq-spin", "pipe", "pipe-spin"]
MACHINE = ["handover", "memcpy"]
SPINNING = ["line", "shm", "forebay-spin", "ck-spsc", "ck-mpmc", "boost-spin", "mq-spin",
            "pipe-spin"]
SLEEPING = ["futex", "forebay", "forebay-epoll", "pipe", "mq", "boost", "zeromq", "redis"]
CROWDS = ["forebay", "forebay-spin", "shm", "ck-mpmc", "boost", "zeromq", "redis-pipelined",
          "redis", "mq", "pipe"]
SHAPES = [(1, 1), (2, 2), (4, 1)]
CHANNELS = [1, 1000, 10000, 100000]
COSTS = {
    "channels": ("one channel in use, that many exist", CHANNELS),
    "spread": ("sending to that many, all in turn", CHANNELS),
    "listened": ("receiving from that many, one at a time busy", [1, 10, 100, 1000]),
    "queued": ("that many messages wait in the channel", [0, 100, 1000, 8000]),
}
WATCHED = [128]
WATCHED_SECONDS = 3  # at least: as many looks
OWNERS = [1, 2]
MEMBERS = [10, 1000, 100000]
CHANNELS_REDIS_MEMBERS = 1000  # at most: of more, it takes minutes to join

# By the beginning of a transport's name.
PACKAGES = {"ck": "libck-dev", "boost": "libboost-dev and g++", "zeromq": "libzmq3-dev",
            "redis": "libhiredis-dev"}

WATCHED_TITLE = (f"While `forebay top` looks at the layer once a second (rounds of at least "
                 f"{WATCHED_SECONDS} s):")

NOTES = """\
What is compared with what:
- forebay: `forebay_send()` and `forebay_receive()` with the message in its content, both sleeping
  when they must wait; -corked: wake-ups gathered; -spin: both try without pause; -epoll: waits for
  `forebay_fd()`. shm is the layer below: a block and a ring, without JSON, names and sleeping.
- ck-spsc and ck-mpmc: ck_ring with buffers in shared memory, spinning; a process that dies in the
  wrong place stops the others, which Forebay's can't. boost: Boost.Interprocess `message_queue`.
  zeromq: PUSH and PULL over ipc. redis: lists over a Unix socket, no persistence; RPUSH and BLPOP
  one by one, or (-pipelined) 64 at a time. Redis and ZeroMQ do what Forebay doesn't (other machines;
  persistence), and pay for it here.
- forebay, shm and ck hand out the message where it lies in shared memory; from the others it comes as
  a copy. The receiver adds up every word of it there.
- What the machine gives. line: a word on a cache line, there and back. futex: the same with a wake-up.
  handover: as many buffers as a queue holds, in turn, with a flag each. memcpy: one process
  copies a message into a buffer, always the same, and out of it; no other core is involved.
- A queue holds 128 messages; a POSIX message queue 10 where the kernel's limits allow no more;
  ZeroMQ 64 on each side and what the socket holds; Redis senders wait while the list is longer, which
  they look at once a batch. A pipe has the octets of 128 messages, or 1 MiB if it may not have more.
- channels-redis: `group_send()` of the channel layer for Django Channels, in Python, to as many channels, each
  received from by a coroutine; the ratio is that of the layers with all that belongs to them."""


# One measurement: what bench_layer is told.
Key = collections.namedtuple("Key", "benchmark name size shape count",
                             defaults=(8, (1, 1), 0))


LINE = Key("roundtrip", "line")


class Jobs:
    """Measurements in groups. What is compared is measured side by side: A B C A B C ..., because
    machines, virtual ones above all, are not the same from one minute to the next."""

    def __init__(self, arguments, built, directory):
        self.arguments = arguments
        self.built = built
        self.directory = directory
        self.groups = []
        self.results = collections.defaultdict(list)  # a dictionary, or None, for each round
        self.distances = []  # round trips of a cache line
        self.excuses = {}

    def add_group(self, keys):
        keys = list(keys)
        self.groups.append(keys)
        for key in keys:
            if key.name == "channels-redis":
                if not shutil.which("redis-server"):
                    self.excuses[key] = "redis-server not installed"
                continue
            if key.benchmark not in ("oneway", "roundtrip"):
                continue
            if key.name not in self.built:
                package = PACKAGES.get(key.name.split("-")[0], "?")
                self.excuses[key] = f"{package} not installed"
            elif key.name.startswith("redis") and not shutil.which("redis-server"):
                self.excuses[key] = "redis-server not installed"

    def command(self, key):
        # Long enough for several sends to 100,000 members, or for several looks.
        least = {"fanout": 0.5, "singly": 0.5, "alone": WATCHED_SECONDS, "watched": WATCHED_SECONDS}
        seconds = max(self.arguments.seconds, least.get(key.benchmark, 0))
        benchmark = "oneway" if key.benchmark in ("alone", "watched") else key.benchmark
        command = ["--size", key.size, "--count", key.count, "--seconds", seconds,
                   "--directory", self.directory, "--consumers", key.shape[1]]
        if key.name == "channels-redis":
            return ["/usr/bin/python3", str(FANOUT_CHANNELS), *map(str, command)]
        command = [PROGRAM, benchmark, *command, "--producers", key.shape[0]]
        if benchmark in ("oneway", "roundtrip"):
            command += ["--transport", key.name]
        # Where processes share a processor, first come first served would starve some.
        if self.arguments.realtime and sum(key.shape) <= 2:
            command += ["--realtime"]
        return [str(word) for word in command]

    def measure(self, key):
        try:
            with self.watched() if key.benchmark == "watched" else contextlib.nullcontext():
                result = subprocess.run(self.command(key), stdin=subprocess.DEVNULL, timeout=120,
                                        capture_output=True, text=True, check=False)
        except subprocess.TimeoutExpired:
            self.excuses[key] = "took more than 2 minutes"
            return None
        if result.returncode != 0:
            self.excuses[key] = (result.stderr.strip().splitlines() or ["failed"])[-1]
            return None
        return json.loads(result.stdout)

    @contextlib.contextmanager
    def watched(self):
        """Meanwhile `forebay top` looks at the layer, as soon as there is one."""
        script = ('until [ -e "$FOREBAY_DIR/forebay.bench/segment" ]; do sleep 0.01; done; '
                  'exec "$0" top --batch --layer bench')
        top = subprocess.Popen(
            ["sh", "-c", script, FOREBAY], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            env={**os.environ, "FOREBAY_DIR": self.directory})
        try:
            yield
            if top.poll() is not None:
                sys.exit("forebay top has ended by itself")
        finally:
            top.kill()
            top.wait()

    def run(self):
        total = sum(map(len, self.groups)) * self.arguments.rounds
        done = 0
        for keys in self.groups:
            for _ in range(self.arguments.rounds):
                self.distances.append(self.measure(LINE))
                for key in keys:
                    self.results[key].append(
                        None if key in self.excuses else self.measure(key))
                    done += 1
                    if sys.stderr.isatty():
                        print(f"\r{done} of {total} ", end="", file=sys.stderr, flush=True)
        for key, reason in self.excuses.items():
            print(f"{key.name} {key.benchmark} {key.size}: {reason}", file=sys.stderr)

    def median(self, figure, key):
        """The median of a figure, or None if it wasn't measured in every round."""
        if key in self.excuses or not self.results[key]:
            return None
        return statistics.median(result[figure] for result in self.results[key])

    def ratio(self, figure, key, base, places=2):
        """The median of the rounds' own ratios to BASE, as text."""
        if self.median(figure, key) is None or self.median(figure, base) is None:
            return "-"
        pairs = zip(self.results[key], self.results[base])
        return f"{statistics.median(a[figure] / b[figure] for a, b in pairs):.{places}f}"


def one_way(name, size):
    return Key("memory", name, size, count=1) if name == "memcpy" else Key("oneway", name, size)


def rate(value):
    return f"{value:,.0f}" if value else "-"


def nanoseconds(value):
    return f"{value:,.0f} ns" if value else "-"


def one_way_table(jobs):
    rows = [["messages/s"]]
    for size in SIZES.values():
        rows[0] += [size, "to forebay"]
    for name in ONE_WAY + MACHINE:
        row = [name]
        for size in SIZES:
            key = one_way(name, size)
            row += [rate(jobs.median("rate", key)),
                    jobs.ratio("rate", key, one_way("forebay", size))]
        rows.append(row)
    return report.table(rows)


def round_trip_table(jobs, names):
    base = Key("roundtrip", names[0])
    rows = [["there and back", "p50", f"to {names[0]}", "p99"]]
    for name in names:
        key = Key("roundtrip", name)
        rows.append([name, nanoseconds(jobs.median("p50", key)), jobs.ratio("p50", key, base),
                     nanoseconds(jobs.median("p99", key))])
    return report.table(rows)


def crowd_table(jobs):
    rows = [["messages/s, 128 B"]]
    for producers, consumers in SHAPES:
        rows[0] += [f"{producers} to {consumers}", "to forebay"]
    for name in CROWDS:
        row = [name]
        for shape in SHAPES:
            key = Key("oneway", name, 128, shape)
            row += [rate(jobs.median("rate", key)),
                    jobs.ratio("rate", key, Key("oneway", "forebay", 128, shape))]
        rows.append(row)
    return report.table(rows)


def fanout_key(benchmark, members, owners, name="forebay"):
    return Key(benchmark, name, 128, (1, owners), members)


def fanout_keys(members, owners):
    """At once, by a send to each, and as channels_redis does it."""
    keys = [fanout_key(name, members, owners) for name in ("fanout", "singly")]
    if members <= CHANNELS_REDIS_MEMBERS:
        keys.append(fanout_key("fanout", members, owners, "channels-redis"))
    return keys


def fanout_table(jobs):
    rows = [["deliveries/s, 128 B", "members", "group", "a send each", "group to that",
             "channels-redis", "group to that"]]
    for owners in OWNERS:
        for members in MEMBERS:
            group, *others = fanout_keys(members, owners)
            row = [f"{owners} owning process{'es' if owners > 1 else ''}", f"{members:,}",
                   rate(jobs.median("rate", group))]
            for other in others:
                row += [rate(jobs.median("rate", other)), jobs.ratio("rate", group, other)]
            rows.append(row + ["-"] * (len(rows[0]) - len(row)))
    return report.table(rows)


def watched_keys(size):
    return [Key(benchmark, "forebay", size) for benchmark in ("alone", "watched")]


def watched_table(jobs):
    rows = [["messages/s, one way", "alone", "looked at", "to alone"]]
    for size in WATCHED:
        alone, watched = watched_keys(size)
        rows.append([SIZES[size], rate(jobs.median("rate", alone)),
                     rate(jobs.median("rate", watched)), jobs.ratio("rate", watched, alone, 3)])
    return report.table(rows)


def cost_keys(benchmark):
    return [Key(benchmark, "forebay", 128, count=count) for count in COSTS[benchmark][1]]


def cost_table(jobs):
    rows = [["cost of a message (to the first)", "", "", "", ""]]
    for benchmark, (title, counts) in COSTS.items():
        row = [title]
        keys = cost_keys(benchmark)
        for key, count in zip(keys, counts):
            cost = jobs.median("rate", key)
            # A cost is the inverse of a rate, so the ratio is turned around.
            row.append(f"{count:,}: {nanoseconds(1e9 / cost if cost else None)} "
                       f"({jobs.ratio('rate', keys[0], key)})")
        rows.append(row)
    return report.table(rows)


def summary(jobs):
    """The ratios that matter most, the right way up."""
    lines = []
    for size, title in SIZES.items():
        def times(name, other, size=size):
            return f"{jobs.ratio('rate', one_way(name, size), one_way(other, size))} x {other}"

        others = [name for name in ONE_WAY if not name.startswith(("forebay", "shm"))]
        best = max(others, key=lambda name: jobs.median("rate", one_way(name, size)) or 0)
        lines.append(f"- {title}: forebay is {times('forebay', best)} (the fastest of the others), "
                     + ", ".join(times("forebay", other)
                                 for other in ["ck-spsc", "redis-pipelined", *MACHINE]
                                 if other != best)
                     + f"; shm is {times('shm', 'ck-spsc')}")
    return "\n".join(lines)


def excuses(jobs):
    """Why there is a dash in a table: one line a reason."""
    reasons = collections.defaultdict(dict)  # the keys of each in the order in which they came
    for key, reason in jobs.excuses.items():
        what = key.name if key.benchmark in ("oneway", "roundtrip") else key.benchmark
        what += f" {SIZES[key.size]}" if key.size in SIZES else ""
        what += " {} to {}".format(*key.shape) if key.shape != (1, 1) else ""
        what += f" {key.count:,}" if key.count else ""
        reasons[reason][what] = True
    return "".join(f"\nNot measured: {', '.join(names)}: {reason}."
                   for reason, names in reasons.items())


def distance(jobs):
    """How far the two processors were from each other, which on a virtual machine changes."""
    trips = [result["p50"] for result in jobs.distances if result]
    return (f"A cache line goes from one processor to the other and back in {min(trips):,.0f} to "
            f"{max(trips):,.0f} ns (p50 of each round).") if trips else ""


def text_of(jobs, arguments):
    processors = len(os.sched_getaffinity(0))
    crowded = [f"{p} to {c}" for p, c in SHAPES if p + c > processors]
    crowd_note = (f" {' and '.join(crowded)}: more processes than the {processors} processors."
                  if crowded else "")
    rounds = (f"Medians of {arguments.rounds} alternating rounds of {arguments.seconds:g} s each, and "
              "of each round's ratios" + ("; SCHED_FIFO for all but several to several. "
                                          if arguments.realtime else ". ") + distance(jobs))
    watched = [WATCHED_TITLE, watched_table(jobs)]
    if arguments.watched:
        return "\n\n".join([rounds, *watched])
    parts = [
        rounds,
        "One way, one sender to one receiver, each on a processor of its own:",
        one_way_table(jobs), summary(jobs),
        "Round trips of 8 octets, spinning:", round_trip_table(jobs, SPINNING),
        "Round trips of 8 octets, sleeping:", round_trip_table(jobs, SLEEPING),
        "Several senders and receivers." + crowd_note, crowd_table(jobs),
        "What a message of 128 B costs one process, send and receive (`all in turn`: send):",
        cost_table(jobs),
        "To the members of a group, which are reply channels: at once, by a send to each, and by channels_redis:",
        fanout_table(jobs), *watched, NOTES + excuses(jobs)]
    return "\n\n".join(parts)


def add_arguments(parser):
    parser.add_argument("--rounds", type=int, help="of every measurement (9)")
    parser.add_argument("--seconds", type=float, help="of one measurement (0.25)")
    parser.add_argument("--quick", action="store_true", help="3 rounds of 0.1 s, for a first look")
    parser.add_argument("--watched", action="store_true",
                        help="measure only what it costs that `forebay top` looks")
    parser.add_argument("--realtime", action="store_true",
                        help="SCHED_FIFO where no two processes share a processor (as root)")


def check_arguments(parser, arguments):
    arguments.rounds = arguments.rounds or (3 if arguments.quick else 9)
    arguments.seconds = arguments.seconds or (0.1 if arguments.quick else 0.25)
    if arguments.rounds < 1 or not 0.01 <= arguments.seconds <= 60:
        parser.error("--rounds must be at least 1, --seconds from 0.01 to 60")


def add_groups(jobs):
    for size in WATCHED:
        jobs.add_group(watched_keys(size))
    if jobs.arguments.watched:
        return
    for size in SIZES:
        jobs.add_group(one_way(name, size) for name in ONE_WAY + MACHINE)
    jobs.add_group(Key("roundtrip", name) for name in SPINNING)
    jobs.add_group(Key("roundtrip", name) for name in SLEEPING)
    for shape in SHAPES[1:]:  # one to one is measured above
        jobs.add_group(Key("oneway", name, 128, shape) for name in CROWDS)
    for owners in OWNERS:
        for members in MEMBERS:
            jobs.add_group(fanout_keys(members, owners))
    for benchmark in COSTS:
        jobs.add_group(cost_keys(benchmark))


def memory_directory():
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def run(arguments):
    """Measures. Returns the report, and the figures for --json."""
    # Some of the packages may not exist everywhere: what is missing is said in the report.
    report.prepare('install_packages "${build_packages[@]}"; '
                   '(install_packages "${bench_packages[@]}") || true; '
                   'build "$root/build-bench" -Dbench=true')
    built = subprocess.run([PROGRAM, "list"], stdin=subprocess.DEVNULL, capture_output=True,
                           text=True, check=True).stdout.split()
    with tempfile.TemporaryDirectory(prefix="forebay-bench-", dir=memory_directory()) as directory:
        try:
            jobs = Jobs(arguments, built, directory)
            add_groups(jobs)
            jobs.run()
        finally:
            # Boost's queues are beside it, named after it, if a run was interrupted.
            for left in pathlib.Path("/dev/shm").glob(os.path.basename(directory) + ".*"):
                left.unlink()
    figures = [dict(key._asdict(), results=results) for key, results in jobs.results.items()]
    return text_of(jobs, arguments), figures
