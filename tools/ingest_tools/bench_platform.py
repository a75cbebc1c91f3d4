"""``make bench-platform``: this deployment compared with Dagster's own example, in one run on one engine.

The reference is in ``benchmarks/reference``: the same locations, locks, Python and Postgres, laid out
as in https://github.com/dagster-io/dagster/tree/master/examples/deploy_docker. One deployment runs at a time, on the
sandbox, and is removed before the next one starts. Prints a table, and writes the same figures and each service's share
as JSON to ``data/bench-platform.json``.
"""

import json
import os
import secrets
import shutil
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import click

from ingest_tools.dagster_api import PlatformError, wait_for
from ingest_tools.engine import Deployment, EngineError, docker
from ingest_tools.images import git_paths, location_names
from ingest_tools.projects import ROOT
from ingest_tools.table import aligned

OUTPUT = ROOT / "data" / "bench-platform.json"
REFERENCE = "benchmarks/reference/docker-compose.yml"

LOCATIONS = ("github", "stripe")
"""The locations that the reference serves."""
LOCATION = "github"
"""The location whose server and runs are measured, with its smallest job."""
JOB = "github_reference_ingest"
SOURCE = "locations/github/src/github_location/__init__.py"

TAG = "bench"
LAUNCHES = 7
"""Runs whose start is measured: the reference looks into its queue only every five seconds."""
TRIES = 3
IDLE_SECONDS = 60
SETTLING_SECONDS = 45
"""Seconds to wait after the last run, until run monitoring and freed slots have settled."""
UP_SECONDS = 300
MIB = 2**20

_STEPS = """query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection {
  events { ... on ExecutionStepStartEvent { timestamp } } } ... on PythonError { message } } }"""

_ERRORS = """query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection {
  events { ... on MessageEvent { level message } } } } }"""


@dataclass(frozen=True)
class Figures:
    """The measurements of one deployment."""

    locations: int
    load_average: float
    """The machine's load average before the deployment was started, to show what else was running."""
    server_mib: float
    server_anonymous_mib: float
    seconds_to_loaded: float
    seconds_to_step: float
    idle_cpu_seconds: float
    server_idle_cpu_seconds: float
    image_mib: float
    rebuild_seconds: float
    each_to_step: list[float] = field(default_factory=list)
    each_rebuild: list[float] = field(default_factory=list)
    cpu_by_service: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One line of the table: a figure by its name in :class:`Figures`, and its target ratio."""

    what: str
    figure: str
    unit: str
    aim: float | None = None


ROWS = (
    Row("memory of an idle code server", "server_mib", "MiB", 0.6),
    Row("anonymous memory in it", "server_anonymous_mib", "MiB"),
    Row("up to all locations loaded", "seconds_to_loaded", "s"),
    Row(f"launch to first step, median of {LAUNCHES}", "seconds_to_step", "s", 0.4),
    Row("CPU per idle minute, whole deployment", "idle_cpu_seconds", "s", 0.7),
    Row("CPU per idle minute, one code server", "server_idle_cpu_seconds", "s"),
    Row("image of a location", "image_mib", "MiB"),
    Row(f"rebuild after a change of code, median of {TRIES}", "rebuild_seconds", "s"),
)


@dataclass(frozen=True)
class Usage:
    """What the engine accounts to a container's cgroup: CPU time since its start, current memory."""

    cpu_seconds: float
    mib: float
    """As `docker stats` shows it: without inactive page cache."""
    anonymous_mib: float


class _Engine(HTTPConnection):
    """The engine's API at its socket: `docker stats` does not show the total CPU time."""

    def __init__(self) -> None:
        super().__init__("localhost", timeout=30)
        self.address = docker("context", "inspect", "--format={{.Endpoints.docker.Host}}")

    def connect(self) -> None:
        if not self.address.startswith("unix://"):
            raise EngineError(f"the engine at {self.address} is not on this machine: measure on the engine's machine")
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.address.removeprefix("unix://"))


def usage(container: str) -> Usage:
    """https://docs.docker.com/reference/api/engine/version/v1.45/#tag/Container/operation/ContainerStats"""
    engine = _Engine()
    engine.request("GET", f"/containers/{container}/stats?stream=false&one-shot=true")
    answer = json.load(engine.getresponse())
    engine.close()
    memory = answer["memory_stats"]
    detail: dict[str, int] = memory["stats"]
    # The names of cgroup v1, then those of v2.
    unused = detail.get("total_inactive_file", detail.get("inactive_file", 0))
    anonymous = detail.get("total_rss", detail.get("anon", 0))
    cpu = answer["cpu_stats"]["cpu_usage"]["total_usage"]
    return Usage(cpu / 1e9, (memory["usage"] - unused) / MIB, anonymous / MIB)


@dataclass(frozen=True)
class Bench:
    """A deployment to measure; ``image`` is the image repository of its location."""

    name: str
    locations: tuple[str, ...]
    image: str
    built: tuple[str, ...]
    """Services that together use all of its images."""
    deployment: Deployment

    def measure(self) -> Figures:
        """All measurements, from the build to the removal."""
        load = os.getloadavg()[0]
        self.say("building its images")
        self.deployment.compose("build", "--quiet", *self.built)
        self.say("starting it")
        with running(self.deployment, self.locations, UP_SECONDS) as seconds_to_loaded:
            steps = [self.seconds_to_step() for _ in range(LAUNCHES)]
            cpu = self.idle_minute()
            server = usage(self.deployment.container(LOCATION))
        rebuilds = self.rebuilds()
        return Figures(
            locations=len(self.locations),
            load_average=load,
            server_mib=server.mib,
            server_anonymous_mib=server.anonymous_mib,
            seconds_to_loaded=seconds_to_loaded,
            seconds_to_step=statistics.median(steps),
            idle_cpu_seconds=sum(cpu.values()),
            server_idle_cpu_seconds=cpu[LOCATION],
            image_mib=int(docker("inspect", "--format={{.Size}}", f"{self.image}:{TAG}")) / MIB,
            rebuild_seconds=statistics.median(rebuilds),
            each_to_step=steps,
            each_rebuild=rebuilds,
            cpu_by_service=cpu,
        )

    def seconds_to_step(self) -> float:
        """Seconds from the API call to the first step in the run's log; the run must succeed."""
        self.say(f"a run of {JOB}")
        platform = self.deployment.platform
        launched = time.time()
        run = platform.ended(platform.launch(LOCATION, JOB))
        if run.status != "SUCCESS":
            raise PlatformError(f"{self.name}: the run {run.id} of {JOB} ended as {run.status}: {self.errors(run.id)}")
        events = platform.query(_STEPS, id=run.id)["logsForRun"]["events"]
        return min(float(event["timestamp"]) for event in events if event) / 1000 - launched

    def errors(self, run: str) -> str:
        events = self.deployment.platform.query(_ERRORS, id=run)["logsForRun"]["events"]
        return "; ".join(event["message"].strip() for event in events if event.get("level") in ("ERROR", "CRITICAL"))

    def idle_minute(self) -> dict[str, float]:
        """CPU seconds that each service uses in a minute without a run, including health checks."""
        time.sleep(SETTLING_SECONDS)
        while True:
            self.say("an idle minute")
            runs = len(self.deployment.platform.runs())
            services = self.services()
            before = {name: usage(container).cpu_seconds for name, container in services.items()}
            time.sleep(IDLE_SECONDS)
            used = {name: usage(container).cpu_seconds - before[name] for name, container in services.items()}
            if len(self.deployment.platform.runs()) == runs:
                return used
            self.say("a schedule started a run in the meantime")
            time.sleep(SETTLING_SECONDS)

    def services(self) -> dict[str, str]:
        """The running containers by service; the sandbox stands in for GitHub and Stripe, so it is left out."""
        told = self.deployment.compose("ps", "--no-trunc", "--format={{.Service}} {{.ID}}")
        found = dict(line.split() for line in told.splitlines())
        return {name: container for name, container in found.items() if name != "sandbox"}

    def rebuilds(self) -> list[float]:
        """Seconds from a changed line in the location's code to its image, in a copy of the tree."""
        self.say("rebuilding the location's image")
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder)
            copy_tree(copy)
            self.build(copy)
            return [self.rebuild(copy) for _ in range(TRIES)]

    def rebuild(self, copy: Path) -> float:
        with (copy / SOURCE).open("a") as code:
            code.write(f"CHANGED = {time.time_ns()}\n")
        started = time.monotonic()
        self.build(copy)
        return time.monotonic() - started

    def build(self, copy: Path) -> None:
        """Builds under a separate name, so that only the build cache remains."""
        file = copy / self.deployment.settings["COMPOSE_FILE"]
        rebuilt = {f"{LOCATION.upper()}_TAG": f"{TAG}-rebuilt", "COMPOSE_FILE": str(file)}
        self.deployment.compose("build", "--quiet", LOCATION, **rebuilt)
        docker("image", "rm", f"{self.image}:{TAG}-rebuilt")

    def remove_images(self) -> None:
        for image in set(self.deployment.compose("config", "--images").split()):
            if image.endswith(f":{TAG}") and docker("image", "ls", "--quiet", image):
                docker("image", "rm", "--force", image)

    def say(self, what: str) -> None:
        print(f"{self.name}: {what}", file=sys.stderr, flush=True)


@contextmanager
def running(deployment: Deployment, locations: Sequence[str], seconds: float) -> Iterator[float]:
    """The platform, while it is needed; yields the seconds until its locations were loaded."""
    remove(deployment)
    began = time.monotonic()

    def loaded() -> bool:
        found = deployment.platform.locations()
        return all(name in found and found[name].loaded for name in locations)

    try:
        with ThreadPoolExecutor(1) as beside:
            starting = beside.submit(deployment.compose, "up", "--detach")
            wait_for(loaded, "all locations to be loaded", seconds, 0.1)
            took = time.monotonic() - began
            starting.result()
        yield took
    finally:
        remove(deployment)


def remove(deployment: Deployment) -> None:
    """Removes containers, volumes and networks, including leftovers of earlier benchmarks."""
    if left := deployment.run_containers():
        docker("rm", "--force", "--volumes", *left)
    deployment.compose("--profile=*", "down", "--volumes", "--remove-orphans", "--timeout=5")


def copy_tree(folder: Path) -> None:
    """Copies the files of the tree that git tracks or would add."""
    for name in git_paths(ROOT, "ls-files", "--cached", "--others", "--exclude-standard"):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


def reference() -> Bench:
    settings = settings_for(LOCATIONS, REFERENCE) | {"REFERENCE_PASSWORD": secrets.token_hex(16)}
    deployment = Deployment("bench-reference", settings)
    return Bench("reference", LOCATIONS, f"reference-{LOCATION}", ("webserver", *LOCATIONS, "sandbox"), deployment)


def ours() -> Bench:
    names = tuple(location_names())
    settings = settings_for(names, "docker-compose.yml") | {"COMPOSE_PROFILES": "sandbox"}
    built = ("webserver", "front", "sandbox", *names)
    return Bench("ours", names, f"ingest-{LOCATION}", built, Deployment("bench-ours", settings))


def settings_for(locations: Sequence[str], file: str) -> dict[str, str]:
    """Settings with a free port, the benchmark's own tags and a small sandbox."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    tags = {f"{name.upper()}_TAG": TAG for name in ("host", *locations)}
    return tags | {"COMPOSE_FILE": file, "INGEST_PORT": str(port), "INGEST_SUBNETS": "10.216", "SANDBOX_SIZE": "0.25"}


def line(row: Row, theirs: Figures, own: Figures) -> dict[str, Any]:
    """A line of the table as numbers; ``met`` is None if there is no target."""
    one, other = getattr(theirs, row.figure), getattr(own, row.figure)
    met = None if row.aim is None else other / one <= row.aim
    return asdict(row) | {"reference": one, "ours": other, "ratio": other / one, "met": met}


def shown(one: dict[str, Any]) -> tuple[str, ...]:
    digits = 0 if one["unit"] == "MiB" else 2
    values = [f"{one[name]:,.{digits}f} {one['unit']}" for name in ("reference", "ours")]
    aim = "" if one["aim"] is None else f"{one['aim']:.2f}"
    verdict = {None: "", True: "met", False: "MISSED"}[one["met"]]
    return (one["what"], *values, f"{one['ratio']:.2f}", aim, verdict)


@click.command(epilog="Example: ingest bench-platform")
def bench_platform_command() -> None:
    """Measure the platform against Dagster's own example deployment."""
    benches = (reference(), ours())
    try:
        theirs, own = (bench.measure() for bench in benches)
    finally:
        for bench in benches:
            bench.remove_images()
    lines = [line(row, theirs, own) for row in ROWS]
    head = ("what", "reference", "ours", "ratio", "aim", "")
    print("\n".join(aligned([head, *map(shown, lines)], names=1)))
    print(f"locations served: {theirs.locations} by the reference, {own.locations} by ours")
    print(f"load average before: {theirs.load_average:.1f} and {own.load_average:.1f} on {os.cpu_count()} cores")
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    measured = {"table": lines, "reference": asdict(theirs), "ours": asdict(own)}
    OUTPUT.write_text(json.dumps(measured, indent=1) + "\n")
    print(f"written to {OUTPUT.relative_to(ROOT)}")
