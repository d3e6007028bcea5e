# SPDX-License-Identifier: MIT
"""scripts/bench http: requests/s, latency, CPU and memory beside other servers."""

import contextlib
import http.client
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import report

ROOT = report.ROOT
TICKS = os.sysconf("SC_CLK_TCK")
PACKAGES = ["uvicorn", "uvloop", "httptools", "daphne", "websockets", "wsproto"]

ASGI_APPLICATION = '''
async def application(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-type", b"text/plain"), (b"content-length", b"13")]})
    await send({"type": "http.response.body", "body": b"Hello, world!"})
'''

NGINX_CONFIGURATION = """
daemon off;
worker_processes {workers};
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    default_type text/plain;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{ return 200 "Hello, world!"; }}
    }}
}}
"""


class Unavailable(Exception):
    """Says why a system can't be measured here."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class System:
    """A server under measurement: its processes, and what the rounds gave."""

    path = "/"

    def __init__(self, arguments, directory):
        self.arguments = arguments
        self.directory = directory
        self.port = free_port()
        self.roots = []
        self.results = []

    def spawn(self, *command, environment=None, **options):
        log = open(self.directory / f"{self.name}.log", "ab")
        with log:
            self.roots.append(subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, cwd=self.directory, env={**os.environ, **(environment or {})},
                **options))

    def wait_until_ready(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if any(process.poll() is not None for process in self.roots):
                break
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                connection.request("GET", self.path)
                answer = connection.getresponse()
                if answer.status == 200 and answer.read() == b"Hello, world!":
                    return
            time.sleep(0.05)
        log = (self.directory / f"{self.name}.log").read_text(errors="replace").strip()
        raise Unavailable("did not start: " + (log.splitlines() or ["no output"])[-1])

    def stop(self):
        for process in self.roots:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.roots:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def processes(self):
        """Process ids of the roots and all their descendants."""
        children = {}
        for entry in pathlib.Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                after_name = entry.read_text().rpartition(")")[2].split()
                children.setdefault(int(after_name[1]), []).append(int(entry.parent.name))
        found = [process.pid for process in self.roots]
        for pid in found:
            found.extend(children.get(pid, []))
        return found

    def cpu_seconds(self):
        ticks = 0
        for pid in self.processes():
            with contextlib.suppress(OSError):
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
        return ticks / TICKS

    def memory(self):
        """Proportional set size of all processes, in MiB."""
        kibibytes = 0
        for pid in self.processes():
            with contextlib.suppress(OSError):
                rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
                kibibytes += int(re.search(r"^Pss:\s+(\d+) kB", rollup, re.M).group(1))
        return kibibytes / 1024


def memory_directory():
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


class Forebay(System):
    name = "forebay"
    path = "/hello"

    def start(self):
        self.layer_directory = tempfile.mkdtemp(prefix="forebay-bench-", dir=memory_directory())
        self.spawn(
            ROOT / "build/server/forebay", "serve", "--bind", f"127.0.0.1:{self.port}",
            "--workers", self.arguments.workers, "--layer", "bench",
            "--app", ROOT / "build/channel/examples/forebay-demo",
            "--app-processes", self.arguments.app_processes, "--log-level", "warning",
            environment={"FOREBAY_DIR": self.layer_directory})

    def stop(self):
        super().stop()
        shutil.rmtree(self.layer_directory, ignore_errors=True)


class Nginx(System):
    name = "nginx"

    def start(self):
        nginx = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if not nginx:
            raise Unavailable("not installed; apt-get install nginx")
        configuration = self.directory / "nginx.conf"
        configuration.write_text(NGINX_CONFIGURATION.format(
            workers=self.arguments.workers, directory=self.directory, port=self.port))
        self.spawn(nginx, "-e", self.directory / "error.log", "-p", self.directory,
                   "-c", configuration)


def python_with(*modules):
    """A Python interpreter that has MODULES: the cached venv's, or the system's."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    venv = cache / "forebay-bench"
    candidates = [venv / "bin/python", pathlib.Path("/usr/bin/python3")]
    test = "; ".join(f"import {module}" for module in modules)

    def complete(python):
        return python.exists() and subprocess.run(
            [python, "-c", test], stdin=subprocess.DEVNULL, capture_output=True,
            check=False).returncode == 0

    if not complete(candidates[0]):
        print(f"Installing {', '.join(PACKAGES)} into {venv}", file=sys.stderr)
        for command in (["/usr/bin/python3", "-m", "venv", venv],
                        [candidates[0], "-m", "pip", "install", "--quiet", *PACKAGES]):
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               timeout=300, check=True)
    for python in candidates:
        if complete(python):
            return python
    raise Unavailable("neither PyPI nor Debian's packages gave " + ", ".join(modules))


class Uvicorn(System):
    name = "uvicorn"

    def start(self):
        python = python_with("uvicorn", "uvloop", "httptools")
        (self.directory / "bench_application.py").write_text(ASGI_APPLICATION)
        self.spawn(python, "-m", "uvicorn", "--host", "127.0.0.1", "--port", self.port,
                   "--workers", self.arguments.workers, "--loop", "uvloop", "--http", "httptools",
                   "--no-access-log", "--log-level", "warning", "bench_application:application")


class Daphne(System):
    name = "daphne"

    def start(self):
        (self.directory / "bench_application.py").write_text(ASGI_APPLICATION)
        self.start_processes(self.arguments.workers, "bench_application:application")

    def start_processes(self, count, application, *options):
        python = python_with("daphne")
        # Daphne has no workers of its own: as many processes share one listening socket.
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", self.port))
            listener.listen(1024)
            for _ in range(count):
                self.spawn(python, "-m", "daphne", "--fd", listener.fileno(), "--verbosity", "0",
                           *options, application, pass_fds=[listener.fileno()])


SYSTEMS = {system.name: system for system in (Forebay, Nginx, Uvicorn, Daphne)}


def microseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * {"us": 1, "ms": 1e3, "s": 1e6, "m": 6e7}[unit]


def run_wrk(system, arguments, seconds):
    """One run of wrk: a dictionary of figures."""
    cpu = system.cpu_seconds()
    output = subprocess.run(
        ["wrk", "--threads", str(min(arguments.connections, 2)), "--connections",
         str(arguments.connections), "--duration", f"{seconds}s", "--latency",
         f"http://127.0.0.1:{system.port}{system.path}"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
        timeout=seconds + 60).stdout
    cpu = system.cpu_seconds() - cpu
    requests = int(re.search(r"(\d+) requests in ", output).group(1))
    socket_errors = re.search(r"Socket errors: (.*)", output)
    bad_status = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    return {
        "rate": float(re.search(r"Requests/sec:\s+([\d.]+)", output).group(1)),
        "p50": microseconds(re.search(r"^\s+50%\s+(\S+)", output, re.M).group(1)),
        "p99": microseconds(re.search(r"^\s+99%\s+(\S+)", output, re.M).group(1)),
        "errors": sum(map(int, re.findall(r"\d+", socket_errors.group(1) if socket_errors else "")))
        + int(bad_status.group(1) if bad_status else 0),
        "cpu": cpu * 1e6 / max(requests, 1),
        "memory": system.memory(),
    }


def milliseconds(value):
    return f"{value / 1000:.2f} ms"


def table(systems, arguments):
    """The figures as a Markdown table."""
    def median(system, key):
        return statistics.median(result[key] for result in system.results)

    base = next((system for system in systems if system.name == "nginx"), None)
    rows = [["system", "requests/s (least - most)", "to nginx", "p50", "p99", "errors",
             "CPU/request", "to nginx", "memory"]]
    for system in systems:
        rates = [result["rate"] for result in system.results]
        ratios = [f"{median(system, key) / median(base, key):.2f}"
                  if base and median(base, key) else "-" for key in ("rate", "cpu")]
        rows.append([
            system.name, f"{median(system, 'rate'):,.0f} ({min(rates):,.0f} - {max(rates):,.0f})",
            ratios[0], milliseconds(median(system, "p50")), milliseconds(median(system, "p99")),
            str(sum(result["errors"] for result in system.results)),
            f"{median(system, 'cpu'):.1f} us", ratios[1], f"{median(system, 'memory'):.1f} MiB"])
    return "\n".join([
        f"{arguments.connections} connections, {arguments.workers} workers each, "
        f"{arguments.app_processes} demo consumer(s); medians of {arguments.rounds} alternating "
        f"rounds of {arguments.seconds} s.", "", report.table(rows)])


def add_arguments(parser):
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each system (5)")
    parser.add_argument("--seconds", type=int, default=5, help="length of a round (5)")
    parser.add_argument("--connections", type=int, default=64, help="of wrk (64)")
    parser.add_argument("--workers", type=int, default=2, help="of each system (2)")
    parser.add_argument("--app-processes", type=int, default=1,
                        help="demo consumers behind Forebay (1)")
    parser.add_argument("--only", default=",".join(SYSTEMS), metavar="NAME,...",
                        help="systems to measure: " + ", ".join(SYSTEMS))


def check_arguments(parser, arguments):
    arguments.only = arguments.only.split(",")
    for name in arguments.only:
        if name not in SYSTEMS:
            parser.error(f"no system is called {name}")
    for name in ("rounds", "seconds", "connections", "workers", "app_processes"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")


def run(arguments):
    """Measures. Returns the report, and the figures for --json."""
    report.prepare("command -v wrk >/dev/null || install_packages wrk; "
                   'install_packages "${build_packages[@]}"; build "$root/build"')
    running = []
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as directory:
        try:
            for name in arguments.only:
                own = pathlib.Path(directory) / name
                own.mkdir()
                system = SYSTEMS[name](arguments, own)
                try:
                    system.start()
                    running.append(system)
                    system.wait_until_ready()
                except Unavailable as reason:
                    print(f"{name}: skipped: {reason}", file=sys.stderr)
                    system.stop()
                    running = [other for other in running if other is not system]
            for system in running:
                run_wrk(system, arguments, 1)  # warm-up
            for number in range(arguments.rounds):
                for system in running:
                    system.results.append(run_wrk(system, arguments, arguments.seconds))
                    print(f"round {number + 1}: {system.name}: "
                          f"{system.results[-1]['rate']:,.0f} requests/s", file=sys.stderr)
        finally:
            for system in running:
                system.stop()
    if not running:
        sys.exit("nothing could be measured")
    return table(running, arguments), {system.name: system.results for system in running}
