# SPDX-License-Identifier: MIT
"""scripts/bench websocket: messages/s, CPU, broadcasts, memory and handshakes beside other servers.

bare     tests/bench/websocket_bare.c: one process, one epoll, a read and a send for each message
forebay  a worker and the demo consumer in a process of its own, --workers and --app-processes of them
uvicorn  a minimal ASGI application, with uvloop; on `websockets` and on `wsproto`
daphne   the same application
uvicorn and daphne get as many processes as Forebay has in all, or --processes-of-others. The client is tests/bench/websocket_load.c.
CPU is the user and system time of all of a system's processes, without the client's; memory is the
growth of the sum of their proportional set sizes, of which what is shared with others is a part.
"""

import collections
import contextlib
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import report
import servers

BUILD = report.ROOT / "build-bench"
LOAD = BUILD / "tests/bench/websocket_load"

APPLICATION = '''
async def application(scope, receive, send):
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})
'''


class LoadFailed(Exception):
    """What the client says."""


def run_load(mode, system, connections, seconds, size=125, path="/ws/echo"):
    done = subprocess.run(
        [LOAD, mode, str(system.port), path, str(connections), str(seconds), str(size)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds + 180,
        check=False)
    if done.returncode:
        raise LoadFailed((done.stderr.strip().splitlines() or ["no output"])[-1])
    return json.loads(done.stdout)


class System(servers.System):
    """A server of WebSockets under measurement, which is to bear so many connections."""

    connections = 0

    def processes_of_others(self):
        return self.arguments.processes_of_others

    def check_room(self, processes):
        if self.connections > processes * (descriptors() - 100):
            raise servers.Unavailable(f"{descriptors()} descriptors in each of {processes} "
                                      f"processes are too few for {self.connections} connections")

    def wait_until_ready(self):
        deadline = time.monotonic() + 20
        reason = "no answer"
        while time.monotonic() < deadline:
            if any(process.poll() is not None for process in self.roots):
                break
            try:
                run_load("echo", self, 1, 0.1)
                return
            except LoadFailed as failed:
                reason = str(failed)
            time.sleep(0.05)
        log = (self.directory / f"{self.name}.log").read_text(errors="replace").strip()
        raise servers.Unavailable("did not start: " + (log.splitlines() or [reason])[-1])

    def write_application(self):
        (self.directory / "bench_application.py").write_text(APPLICATION)
        return "bench_application:application"


class Bare(System):
    name = "bare"

    def start(self):
        self.check_room(1)
        self.spawn(BUILD / "tests/bench/websocket_bare", self.port)


class Forebay(System, servers.Forebay):
    name = "forebay"

    # In a broadcast all have to be in the group before the first message: the consumer's word is awaited.
    accept = "now"

    def start(self):
        # Where a process may not have descriptors for all, there have to be more processes.
        each = (descriptors() - 1024) // 2
        workers = max(self.arguments.workers, -(-self.connections // each))
        self.layer_directory = tempfile.mkdtemp(prefix="forebay-bench-",
                                                dir=servers.memory_directory())
        self.spawn(
            BUILD / "server/forebay", "serve", "--bind", f"127.0.0.1:{self.port}",
            "--workers", workers, "--layer", "bench", "--layer-size", "128M",
            "--layer-reply-channels", "131072", "--max-connections", each,
            "--capacity", "websocket.connect=4096", "--websocket-ping-interval", "0",
            "--websocket-accept", self.accept, "--app", BUILD / "channel/examples/forebay-demo",
            "--app-processes", self.arguments.app_processes, "--log-level", "warning",
            environment={"FOREBAY_DIR": self.layer_directory})


class ForebayChat(Forebay):
    accept = "wait"


class Uvicorn(System):
    implementation = None

    def start(self):
        self.check_room(self.processes_of_others())
        python = servers.python_with("uvicorn", "uvloop", self.implementation)
        self.spawn(python, "-m", "uvicorn", "--host", "127.0.0.1", "--port", self.port,
                   "--workers", self.processes_of_others(), "--loop", "uvloop", "--ws",
                   self.implementation, "--ws-ping-interval", "100000", "--no-access-log",
                   "--log-level", "warning", self.write_application())


class UvicornWebsockets(Uvicorn):
    name = "uvicorn-websockets"
    implementation = "websockets"


class UvicornWsproto(Uvicorn):
    name = "uvicorn-wsproto"
    implementation = "wsproto"


class Daphne(System, servers.Daphne):
    name = "daphne"

    def start(self):
        self.check_room(self.processes_of_others())
        self.start_processes(self.processes_of_others(), self.write_application(),
                             "--ping-interval", "100000")


SYSTEMS = {system.name: system
           for system in (Bare, Forebay, UvicornWebsockets, UvicornWsproto, Daphne)}


# ---------------------------------------------------------------------------------------------
# Measurements: each adds a dictionary of figures to what it has of a system, or says why not
# ---------------------------------------------------------------------------------------------

def measure_load(mode, system, connections, seconds, path="/ws/echo"):
    cpu = system.cpu_seconds()
    figures = run_load(mode, system, connections, seconds, path=path)
    # The warm-up, a fifth of the time more, is in the CPU time but not in the count.
    cpu = (system.cpu_seconds() - cpu) / 1.2
    return {"rate": figures["count"] / figures["seconds"],
            "rounds": figures["rounds"] / figures["seconds"],
            "p50": figures["p50"], "p99": figures["p99"], "errors": figures["errors"],
            "cpu": cpu * 1e6 / max(figures["count"], 1)}


def start_idle(system, connections, address):
    """A client whose connections do nothing, from 127.0.0.ADDRESS on."""
    return subprocess.Popen(
        [LOAD, "idle", str(system.port), "/ws/echo", str(connections), "0", "125", str(address)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def measure_memory(system, connections):
    """KiB that one idle connection takes."""
    before, clients = system.memory(), []
    most = min(20000, descriptors() - 100)  # of one client
    try:
        for begun in range(0, connections, most):
            client = start_idle(system, min(most, connections - begun), 2 + begun // most)
            clients.append(client)
            if client.stdout.readline() != "ready\n":
                raise LoadFailed(client.stderr.read().strip())
        time.sleep(1)  # for what the servers still do with the last of them
        return {"memory": (system.memory() - before) * 1024 / connections}
    finally:
        for client in clients:
            client.communicate()


Job = collections.namedtuple("Job", "kind count")


def measure(job, system, arguments):
    if job.kind == "memory":
        return measure_memory(system, job.count)
    path = "/ws/chat" if job.kind == "broadcast" else "/ws/echo"
    return measure_load(job.kind, system, job.count, arguments.seconds, path)


def jobs_of(arguments):
    jobs = [Job("echo", count) for count in arguments.connections]
    jobs.append(Job("handshake", 64))
    jobs += [Job("broadcast", count) for count in arguments.broadcast]
    return jobs + [Job("memory", count) for count in arguments.idle]


# ---------------------------------------------------------------------------------------------
# The report
# ---------------------------------------------------------------------------------------------

def ratio(results, other, key):
    """The median of the rounds' ratios, as text."""
    pairs = [(one[key], two[key]) for one, two in zip(results, other) if two[key]]
    return f"{statistics.median(one / two for one, two in pairs):.2f}" if pairs else "-"


def row_of(job, name, results, bare):
    def median(key):
        return statistics.median(result[key] for result in results)

    if job.kind == "memory":
        return [name, f"{job.count:,}", f"{median('memory'):.2f} KiB"]
    rates = [result["rate"] for result in results]
    row = [name, f"{job.count:,}", f"{median('rate'):,.0f} ({min(rates):,.0f} - {max(rates):,.0f})",
           ratio(results, bare, "rate"), f"{median('cpu'):.1f} us", ratio(results, bare, "cpu"),
           servers.milliseconds(median("p50")), servers.milliseconds(median("p99"))]
    return row


HEADS = {
    "echo": ["echo", "connections", "messages/s (least - most)", "to bare", "CPU/message",
             "to bare", "p50", "p99"],
    "handshake": ["handshake", "at a time", "handshakes/s (least - most)", "to bare",
                  "CPU/handshake", "to bare", "p50", "p99"],
    "broadcast": ["broadcast", "connections", "deliveries/s (least - most)", "to bare",
                  "CPU/delivery", "to bare", "p50", "p99"],
    "memory": ["memory", "connections", "of one that is idle"],
}


def text_of(figures, arguments):
    tables = []
    for kind, head in HEADS.items():
        rows = [row_of(job, name, results, figures.get((job, "bare"), []))
                for (job, name), results in figures.items() if job.kind == kind and results]
        if rows:
            tables.append(report.table([head] + sorted(
                rows, key=lambda row: (int(row[1].replace(",", "")),
                                       list(SYSTEMS).index(row[0])))))
    return "\n\n".join([
        f"{arguments.workers} worker(s) and {arguments.app_processes} demo consumer(s), "
        f"{arguments.processes_of_others} process(es) of the others, 1 of bare; "
        f"125-octet messages; medians of {arguments.rounds} alternating rounds of "
        f"{arguments.seconds:g} s, of ratios within a round.", *tables])


# ---------------------------------------------------------------------------------------------
# The run
# ---------------------------------------------------------------------------------------------

def numbers(text):
    return [int(number) for number in text.split(",") if number]


def add_arguments(parser):
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each system (5)")
    parser.add_argument("--seconds", type=float, default=3, help="length of a round (3)")
    parser.add_argument("--connections", type=numbers, default=[1, 64, 1000], metavar="N,...",
                        help="of an echo (1,64,1000)")
    parser.add_argument("--broadcast", type=numbers, default=[10000], metavar="N,...",
                        help="connections of a chat (10000)")
    parser.add_argument("--idle", type=numbers, default=[10000, 50000], metavar="N,...",
                        help="connections whose memory is measured (10000,50000)")
    parser.add_argument("--workers", type=int, default=1, help="of Forebay (1)")
    parser.add_argument("--app-processes", type=int, default=1, help="demo consumers (1)")
    parser.add_argument("--processes-of-others", type=int, metavar="N",
                        help="of uvicorn and daphne (as many as Forebay has in all)")
    parser.add_argument("--only", default=",".join(SYSTEMS), metavar="NAME,...",
                        help="systems to measure: " + ", ".join(SYSTEMS))


def check_arguments(parser, arguments):
    arguments.only = arguments.only.split(",")
    for name in arguments.only:
        if name not in SYSTEMS:
            parser.error(f"no system is called {name}")
    if arguments.processes_of_others is None:
        arguments.processes_of_others = arguments.workers + arguments.app_processes
    for name in ("rounds", "seconds", "workers", "app_processes", "processes_of_others"):
        if getattr(arguments, name) <= 0:
            parser.error(f"--{name.replace('_', '-')} must be more than 0")


@contextlib.contextmanager
def running(job, names, arguments, directory):
    """The systems that start; of others it is said why they don't."""
    started = []
    systems = {**SYSTEMS, "forebay": ForebayChat} if job.kind == "broadcast" else SYSTEMS
    try:
        for name in names:
            own = pathlib.Path(directory) / name
            own.mkdir(exist_ok=True)
            system = systems[name](arguments, own)
            system.connections = job.count
            started.append(system)
            try:
                system.start()
                system.wait_until_ready()
            except servers.Unavailable as reason:
                print(f"{name}: skipped: {reason}", file=sys.stderr)
                started.remove(system)
                system.stop()
        yield started
    finally:
        for system in started:
            system.stop()


def run_job(job, systems, arguments, figures):
    # What doesn't change from one round to the next, and takes long, is measured once.
    rounds = 1 if job.kind == "memory" else arguments.rounds
    failed = set()
    for number in range(rounds):
        for system in systems:
            if system.name in failed:
                continue
            try:
                result = measure(job, system, arguments)
            except LoadFailed as reason:
                print(f"{system.name}: {job.kind} {job.count}: {reason}", file=sys.stderr)
                failed.add(system.name)
                continue
            figures.setdefault((job, system.name), []).append(result)
            value = next(iter(result.values()))
            print(f"round {number + 1}: {job.kind} {job.count}: {system.name}: {value:,.1f}",
                  file=sys.stderr)


def raise_limits(connections):
    """For the servers and the client, which inherit it. Only root may get more than the hard limit."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * connections + 4096  # Forebay has two descriptors for each WebSocket
    if most != resource.RLIM_INFINITY and most < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            return
        wanted = most
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def descriptors():
    """That a process may have."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def run(arguments):
    """Measures. Returns the report, and the figures for --json."""
    report.prepare('install_packages "${build_packages[@]}"; '
                   'build "$root/build-bench" -Dbench=true')
    raise_limits(max(job.count for job in jobs_of(arguments)))
    figures = {}
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as directory:
        for job in jobs_of(arguments):
            # In a broadcast the others have no part: they would need a broker for it. For memory, each system
            # is started afresh, so that nothing is measured that an earlier job has left.
            names = arguments.only
            if job.kind == "broadcast":
                names = [name for name in names if name in ("bare", "forebay")]
            groups = [[name] for name in names] if job.kind == "memory" else [names]
            for group in groups:
                with running(job, group, arguments, directory) as systems:
                    run_job(job, systems, arguments, figures)
    if not figures:
        sys.exit("nothing could be measured")
    return text_of(figures, arguments), [
        dict(job._asdict(), system=name, results=results)
        for (job, name), results in figures.items()]
