# SPDX-License-Identifier: MIT
"""scripts/bench layer: messages between processes, through the channel layer and other queues.

Each measurement is a run of build-bench/tests/bench/bench_layer: processes pinned to a processor
each, every message filled from the sender's memory, read in full by the receiver and checked
(count, order, sum). See the notes that the report ends with for what is compared with what.
"""

import collections
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

SIZES = {128: "128 B", 1024: "1 KiB", 65536: "64 KiB"}
ONE_WAY = ["forebay", "forebay-corked", "forebay-spin", "shm", "ck-spsc", "ck-mpmc", "boost",
           "boost-spin", "zeromq", "redis-pipelined", "redis", "mq", "mq-spin", "pipe", "pipe-spin"]
LIMITS = ["handover", "memcpy"]
SPINNING = ["line", "shm", "forebay-spin", "ck-spsc", "ck-mpmc", "boost-spin", "mq-spin",
            "pipe-spin"]
SLEEPING = ["futex", "forebay", "forebay-epoll", "pipe", "mq", "boost", "zeromq", "redis"]
CROWDS = ["forebay", "forebay-spin", "shm", "ck-mpmc", "boost", "zeromq", "redis-pipelined",
          "redis", "mq", "pipe"]
SHAPES = [(2, 2), (4, 1)]
CHANNELS = [1, 1000, 10000, 100000]
COSTS = {
    "channels": ("one channel in use, that many exist", CHANNELS),
    "spread": ("sending to all of that many in turn", CHANNELS),
    "listened": ("receiving from that many, one at a time busy", [1, 10, 100, 1000]),
    "queued": ("that many messages wait in the channel", [0, 100, 1000, 8000]),
}

# By the beginning of a transport's name.
PACKAGES = {"ck": "libck-dev", "boost": "libboost-dev and g++", "zeromq": "libzmq3-dev",
            "redis": "libhiredis-dev"}

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
- The machine's limits. line: a word on a cache line, there and back. futex: the same with a wake-up.
  handover: buffers in turn, with a flag each, and as few as stay in the cache. memcpy: one process
  copies a message into a buffer, always the same, and out of it; no other core is involved.
- A queue holds 128 messages; a POSIX message queue 10 where the kernel's limits allow no more;
  ZeroMQ 64 on each side and what the socket holds; Redis senders wait while the list is longer, which
  they look at once a batch. A pipe has the octets of 128 messages, or 1 MiB if it may not have more."""


class Jobs:
    """Measurements by key, a round at a time."""

    def __init__(self, arguments, built, directory):
        self.arguments = arguments
        self.directory = directory
        self.built = built
        self.commands = {}
        self.results = collections.defaultdict(list)
        self.excuses = {}

    def add(self, benchmark, name, size=8, shape=(1, 1), count=0):
        key = (benchmark, name, size, shape, count)
        command = [PROGRAM, benchmark, "--size", size, "--seconds", self.arguments.seconds,
                   "--count", count, "--producers", shape[0], "--consumers", shape[1],
                   "--directory", self.directory]
        if benchmark in ("oneway", "roundtrip"):
            command += ["--transport", name]
            if name not in self.built:
                package = PACKAGES.get(name.split("-")[0], "?")
                self.excuses[key] = f"{package} not installed"
            elif name.startswith("redis") and not shutil.which("redis-server"):
                self.excuses[key] = "redis-server not installed"
        # Where processes share a processor, first come first served would starve some.
        if self.arguments.realtime and sum(shape) <= 2:
            command += ["--realtime"]
        self.commands[key] = [str(word) for word in command]

    def run_round(self, number):
        for done, (key, command) in enumerate(self.commands.items()):
            if sys.stderr.isatty():
                print(f"\rround {number}: {done + 1} of {len(self.commands)} ", end="",
                      file=sys.stderr, flush=True)
            if key in self.excuses:
                continue
            try:
                result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True,
                                        text=True, check=False, timeout=120)
            except subprocess.TimeoutExpired:
                self.excuse(key, "took more than 2 minutes")
                continue
            if result.returncode != 0:
                self.excuse(key, (result.stderr.strip().splitlines() or ["failed"])[0])
                continue
            self.results[key].append(json.loads(result.stdout))
        print(f"\rround {number} of {self.arguments.rounds} is done", file=sys.stderr)

    def excuse(self, key, reason):
        self.excuses[key] = reason
        print(f"{key[1]} {key[0]} {key[2]}: {reason}", file=sys.stderr)

    def median(self, figure, benchmark, name, size=8, shape=(1, 1), count=0):
        """The median of one figure, or None if it wasn't measured."""
        key = (benchmark, name, size, shape, count)
        values = [result[figure] for result in self.results[key]]
        return statistics.median(values) if values and key not in self.excuses else None


def ratio(value, base):
    return f"{value / base:.2f}" if value and base else "-"


def rate(value):
    return f"{value:,.0f}" if value else "-"


def nanoseconds(value):
    return f"{value:,.0f} ns" if value else "-"


def one_way_table(jobs):
    rows = [["messages/s"]]
    for size in SIZES.values():
        rows[0] += [size, "to forebay"]
    for name in ONE_WAY + LIMITS:
        row = [name]
        for size in SIZES:
            base = jobs.median("rate", "oneway", "forebay", size)
            value = (jobs.median("rate", "memory", "memcpy", size, (1, 1), 1) if name == "memcpy"
                     else jobs.median("rate", "oneway", name, size))
            row += [rate(value), ratio(value, base)]
        rows.append(row)
    return report.table(rows)


def round_trip_table(jobs, names):
    base = jobs.median("p50", "roundtrip", names[0])
    rows = [["there and back", "p50", f"to {names[0]}", "p99"]]
    for name in names:
        value = jobs.median("p50", "roundtrip", name)
        rows.append([name, nanoseconds(value), ratio(value, base),
                     nanoseconds(jobs.median("p99", "roundtrip", name))])
    return report.table(rows)


def crowd_table(jobs):
    rows = [["messages/s, 128 B"]]
    for producers, consumers in [(1, 1), *SHAPES]:
        rows[0] += [f"{producers} to {consumers}", "to forebay"]
    for name in CROWDS:
        row = [name]
        for shape in [(1, 1), *SHAPES]:
            value = jobs.median("rate", "oneway", name, 128, shape)
            row += [rate(value), ratio(value, jobs.median("rate", "oneway", "forebay", 128, shape))]
        rows.append(row)
    return report.table(rows)


def cost_tables(jobs):
    tables = []
    for benchmark, (title, counts) in COSTS.items():
        costs = []
        for count in counts:
            value = jobs.median("rate", benchmark, "forebay", 128, (1, 1), count)
            costs.append(1e9 / value if value else None)
        tables.append([title, *(f"{count:,}: {nanoseconds(cost)} ({ratio(cost, costs[0])})"
                                for count, cost in zip(counts, costs))])
    heads = ["ns a message (to the first)", "", "", "", ""]
    return report.table([heads, *tables])


def summary(jobs):
    """The ratios that the project watches."""
    def one_way(name, size):
        return jobs.median("rate", "oneway", name, size)

    lines = []
    for size, title in SIZES.items():
        best = max(((one_way(name, size) or 0, name) for name in ONE_WAY
                    if not name.startswith(("forebay", "shm"))), default=(0, "-"))
        forebay = max((one_way(name, size) or 0, name) for name in ONE_WAY
                      if name.startswith("forebay"))
        line = (f"- {title}: {forebay[1]} is {ratio(forebay[0], best[0])} x {best[1]}, the best of "
                f"the others; forebay {ratio(one_way('forebay', size), one_way('ck-spsc', size))}, "
                f"shm {ratio(one_way('shm', size), one_way('ck-spsc', size))} x ck-spsc; forebay "
                f"{ratio(one_way('forebay', size), one_way('redis-pipelined', size))} x "
                "redis-pipelined")
        memory = jobs.median("rate", "memory", "memcpy", size, (1, 1), 1)
        lines.append(f"{line}, {ratio(one_way('forebay', size), one_way('handover', size))} x "
                     f"handover, {ratio(one_way('forebay', size), memory)} x memcpy")
    return "\n".join(lines)


def excuses(jobs):
    """Why there is a dash in a table: one line a reason."""
    reasons = collections.defaultdict(list)
    for (_, name, size, shape, _), reason in jobs.excuses.items():
        what = name + (f" {SIZES[size]}" if size in SIZES else "")
        what += f" {shape[0]} to {shape[1]}" if shape != (1, 1) else ""
        if what not in reasons[reason]:
            reasons[reason].append(what)
    return "".join(f"\nNot measured: {', '.join(names)}: {reason}."
                   for reason, names in reasons.items())


def text_of(jobs, arguments):
    processors = len(os.sched_getaffinity(0))
    crowded = [f"{p} to {c}" for p, c in SHAPES if p + c > processors]
    crowd_note = (f" {' and '.join(crowded)}: more processes than the {processors} processors."
                  if crowded else "")
    parts = [
        f"Medians of {arguments.rounds} alternating rounds of {arguments.seconds:g} s each"
        + ("; SCHED_FIFO for all but several to several." if arguments.realtime else "."),
        "One way, one sender to one receiver, each on a processor of its own:",
        one_way_table(jobs), summary(jobs),
        "Round trips of 8 octets, spinning:", round_trip_table(jobs, SPINNING),
        "Round trips of 8 octets, sleeping:", round_trip_table(jobs, SLEEPING),
        "Several senders and receivers." + crowd_note, crowd_table(jobs),
        "What a message of 128 B costs one process, send and receive (spread: send):",
        cost_tables(jobs), NOTES + excuses(jobs)]
    return "\n\n".join(parts)


def add_arguments(parser):
    parser.add_argument("--rounds", type=int, help="of every measurement (5)")
    parser.add_argument("--seconds", type=float, help="of one measurement (0.5)")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 0.1 s, for a first look")
    parser.add_argument("--realtime", action="store_true",
                        help="SCHED_FIFO where no two processes share a processor (as root)")


def check_arguments(parser, arguments):
    arguments.rounds = arguments.rounds or (2 if arguments.quick else 5)
    arguments.seconds = arguments.seconds or (0.1 if arguments.quick else 0.5)
    if arguments.rounds < 1 or not 0.01 <= arguments.seconds <= 60:
        parser.error("--rounds must be at least 1, --seconds from 0.01 to 60")


def add_jobs(jobs):
    for size in SIZES:
        for name in [*ONE_WAY, "handover"]:
            jobs.add("oneway", name, size)
        jobs.add("memory", "memcpy", size, count=1)
    for name in dict.fromkeys(SPINNING + SLEEPING):
        jobs.add("roundtrip", name)
    for shape in SHAPES:
        for name in CROWDS:
            jobs.add("oneway", name, 128, shape)
    for benchmark, (_, counts) in COSTS.items():
        for count in counts:
            jobs.add(benchmark, "forebay", 128, count=count)


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
            add_jobs(jobs)
            for number in range(1, arguments.rounds + 1):
                jobs.run_round(number)
        finally:
            # Boost's queues are beside it, named after it, if a run was interrupted.
            for left in pathlib.Path("/dev/shm").glob(os.path.basename(directory) + ".*"):
                left.unlink()
    figures = [dict(zip(("benchmark", "name", "size", "shape", "count"), key), results=results)
               for key, results in jobs.results.items()]
    return text_of(jobs, arguments), figures
