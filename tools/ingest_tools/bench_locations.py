"""``ingest bench-locations``: what many locations on one machine cost, and how the assets page responds to many people.

Copies the tree, and in the copy the location `github` once for each further location, under another name, with its
tables, jobs and schedules. Starts all of them on the sandbox and runs one small job. Then opens the assets page in a
browser, and replays its requests from many clients at once, at the same pace. Prints a table, and writes the same as
JSON to ``data/bench-locations.json``.
"""

import importlib
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from ingest_tools import registrations
from ingest_tools.bench_platform import JOB, TAG, copy_tree, running, settings_for, usage
from ingest_tools.dagster_api import PlatformError
from ingest_tools.engine import Deployment, docker
from ingest_tools.images import location_names
from ingest_tools.local import Refused
from ingest_tools.projects import ROOT
from ingest_tools.table import aligned

OUTPUT = ROOT / "data" / "bench-locations.json"
MODEL = "github"
UP_SECONDS = 1200
SETTLING_SECONDS = 30
RECORDED_SECONDS = 25
"""Seconds for which the page is observed in the browser: it repeats its requests every 5 s."""
REPLAYED_SECONDS = 60
SLOW_SECONDS = 60
"""Timeout of one request, in seconds."""
CONNECTIONS = "SELECT usename, count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' GROUP BY 1"
COPIED = r"""
FROM {image}
USER 0
RUN cd /opt/location && find src -name __pycache__ -prune -exec rm -r {{}} + \
 && mv src/{model}_location src/{name}_location \
 && grep -rl {model} src .dlt pyproject.toml | xargs sed -i 's/{model}/{name}/g' && python -m compileall -q src
ENV LOCATION={name}
USER 10001:10001
"""
"""The image of a copy: the model's, with every occurrence of its name replaced. They share all layers but this one."""


@dataclass(frozen=True)
class Request:
    """A request of the page, and when it was sent, in seconds since the page was opened."""

    at: float
    path: str
    body: str


def copy_of_the_tree(folder: Path, count: int) -> Path:
    """The tree with this many locations."""
    copy_tree(folder)
    for number in range(count - len(location_names(folder))):
        name = f"{MODEL}{number:02}x"
        (folder / "locations" / name).mkdir()
        text = (folder / "locations" / MODEL / "pyproject.toml").read_text()
        (folder / "locations" / name / "pyproject.toml").write_text(text.replace(MODEL, name))
        registrations.register(name, folder)
    return folder


@contextmanager
def up(deployment: Deployment, names: list[str]) -> Iterator[float]:
    """The platform, while it is needed; yields the seconds until all locations were loaded."""
    originals = location_names()
    deployment.compose("build", "--quiet", "webserver", "front", "sandbox", *originals)
    for name in sorted(set(names) - set(originals)):
        recipe = COPIED.format(image=f"ingest-{MODEL}:{TAG}", model=MODEL, name=name)
        docker("build", "--quiet", f"--tag=ingest-{name}:{TAG}", "-", text=recipe)
    say(f"starting {len(names)} locations")
    try:
        with running(deployment, names, UP_SECONDS) as seconds:
            yield seconds
    finally:
        for name in sorted(set(names) - set(originals)):
            docker("image", "rm", "--force", f"ingest-{name}:{TAG}")


def recorded(url: str) -> list[Request]:
    """The requests that the assets page sends to the webserver, from a browser."""
    try:
        playwright_api = importlib.import_module("playwright.sync_api")  # only this needs it
    except ImportError:
        raise Refused("playwright is not installed: run `make setup`") from None
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    found: list[Request] = []
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        began = time.monotonic()

        def asked(request: Any) -> None:
            if request.method == "POST" and "/graphql" in request.url:
                path = f"{urlsplit(request.url).path}?{urlsplit(request.url).query}"
                found.append(Request(time.monotonic() - began, path, request.post_data))

        page.on("request", asked)
        page.goto(f"{url}/assets")
        page.wait_for_timeout(RECORDED_SECONDS * 1000)
        browser.close()
    if not found:
        raise PlatformError("the assets page sent no request to the webserver")
    return [Request(one.at - found[0].at, one.path, one.body) for one in found]


def ask(url: str, requests: list[Request], wait: float) -> tuple[list[float], int]:
    """Seconds that each request of a page took, sent at its time or as soon as the previous one was answered; and how
    many failed."""
    time.sleep(wait)
    began, each, failed = time.monotonic(), [], 0
    connection = HTTPConnection(urlsplit(url).netloc, timeout=SLOW_SECONDS)
    for request in requests:
        time.sleep(max(0.0, began + request.at - time.monotonic()))
        asked = time.monotonic()
        try:
            connection.request("POST", request.path, request.body, {"Content-Type": "application/json", "Origin": url})
            answer = connection.getresponse()
            failed += answer.status != 200 or b'"errors"' in answer.read()
        except OSError:
            failed += 1
            connection.close()
        each.append(time.monotonic() - asked)
    connection.close()
    return each, failed


def repeated(requests: list[Request]) -> list[Request]:
    """The page's requests for the whole measurement: those of its last ten seconds, over and over."""
    end = requests[-1].at
    round_ = [one for one in requests if one.at > end - 10]
    found = list(requests)
    for turn in range(1, 1 + int((REPLAYED_SECONDS - end) / 10)):
        found += [Request(one.at + 10 * turn, one.path, one.body) for one in round_]
    return found


def percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


def measured(deployment: Deployment, names: list[str], pages: int) -> Iterator[tuple[str, float, str]]:
    """The measurements of a running platform: name, value, unit."""
    platform = deployment.platform
    run = platform.ended(platform.launch(MODEL, JOB))
    if run.status != "SUCCESS":
        raise PlatformError(f"the run {run.id} ended as {run.status}")
    time.sleep(SETTLING_SECONDS)
    containers = {service: one["Id"] for service, one in deployment.containers().items() if one["State"]["Running"]}
    memory = {name: usage(one).mib for name, one in containers.items() if name != "sandbox"}
    servers = [memory[name] for name in names]
    yield "memory of a code server, median", statistics.median(servers), "MiB"
    yield "memory of all code servers", sum(servers), "MiB"
    yield "memory of the host's services", sum(memory.values()) - sum(servers), "MiB"
    yield from (("memory of " + name, memory[name], "MiB") for name in ("webserver", "daemon", "postgres"))
    yield "connections of Postgres, nobody looking", connections(deployment), ""
    say("opening the assets page in a browser")
    requests = repeated(recorded(platform.url))
    say(f"{pages} pages")
    with ThreadPoolExecutor(pages + 1) as clients:
        began = time.monotonic()
        asking = [clients.submit(ask, platform.url, requests, 10 * number / pages) for number in range(pages)]
        time.sleep(REPLAYED_SECONDS / 2)
        at_work = connections(deployment)
        answers = [one.result() for one in asking]
    each = [seconds for found, _ in answers for seconds in found]
    yield f"connections of Postgres, {pages} pages", at_work, ""
    yield f"requests a second, {pages} pages", len(each) / (time.monotonic() - began), ""
    yield "answer, p50", 1000 * percentile(each, 50), "ms"
    yield "answer, p95", 1000 * percentile(each, 95), "ms"
    yield "requests that failed", sum(failed for _, failed in answers), ""
    yield "memory of webserver after it", usage(containers["webserver"]).mib, "MiB"
    yield "assets", float(len(platform.query("{ assetNodes { id } }")["assetNodes"])), ""


def connections(deployment: Deployment) -> float:
    """Connections to Postgres, without the one that counts them."""
    psql = ("psql", "--username=postgres", "--no-psqlrc", "--tuples-only", "--csv", "--command", CONNECTIONS)
    rows = deployment.compose("exec", "-T", "postgres", *psql).splitlines()
    return sum(float(row.rpartition(",")[2]) for row in rows) - 1


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


@click.command(epilog="Example: ingest bench-locations --locations 10 --pages 20")
@click.option("--locations", type=click.IntRange(2, 200), default=30, show_default=True, help="How many locations.")
@click.option("--pages", type=click.IntRange(1, 500), default=50, show_default=True, help="How many open pages.")
def bench_locations_command(locations: int, pages: int) -> None:
    """Measure the cost of many locations, and of many people with the UI open."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        tree = copy_of_the_tree(Path(folder), locations)
        names = location_names(tree)
        settings = settings_for(names, "docker-compose.yml") | {"COMPOSE_PROFILES": "sandbox"}
        settings |= {"INGEST_SUBNETS": "10.218", "INGEST_METRICS_PORT": "0"}
        deployment = Deployment("bench-locations", settings, tree / ".env", tree)
        with up(deployment, names) as seconds:
            found = [(f"up to {len(names)} locations loaded", seconds, "s"), *measured(deployment, names, pages)]
    rows = [(what, f"{value:,.{int(unit == 's')}f} {unit}".rstrip()) for what, value, unit in found]
    print("\n".join(aligned([("what", "measured"), *rows], names=1)))
    print(f"load average before: {load:.1f} on {os.cpu_count()} cores")
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps({what: value for what, value, _ in found} | {"load": load}, indent=1) + "\n")
