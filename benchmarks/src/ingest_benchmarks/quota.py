"""``make bench-github``: what a mirror of many repositories costs at GitHub, and how the cost grows.

    python -m ingest_benchmarks.quota 1 100 1000 --issues 100     a few minutes

For each number of repositories: the first load of all tables, a sync in which nothing changed, and one after ten
issues were edited. Calls and quota are counted at the sandbox. The floor fetches the pages of the first load once
more, as many at a time, parses them and inserts the rows of each table at once.
"""

import argparse
import gc
import os
import resource
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import orjson
import pyarrow as pa
import requests
from dlt.extract.source import DltSource

from github_location import source
from github_location.source import reviews
from github_location.source.api import IN_FLIGHT
from github_location.source.tables import TABLES
from ingest_benchmarks import floor
from ingest_benchmarks.measure import MAXRSS_UNIT, PROCESSES
from ingest_benchmarks.over_http import GITHUB_TOKEN, RATE, control, sandbox
from ingest_shared import pipelines
from ingest_shared.reading.envelopes import Request
from ingest_shared.reading.listings import Scope
from ingest_shared.reading.reader import Reader

GROUPS: Mapping[str, Callable[[], DltSource]] = {
    "catalog": source.catalog,
    "activity": source.activity,
    "actions": source.actions_and_deployments,
    "people": source.people_of_repositories,
}
CHANGES = 10


@dataclass(frozen=True)
class Page:
    """A page that a load has asked for."""

    table: str
    given: Mapping[str, Any]
    path: str
    params: Mapping[str, Any]
    body: Mapping[str, Any] | None


@dataclass(frozen=True)
class Cost:
    """What a sync of all groups took, counted at the sandbox."""

    calls: int
    quota: int
    seconds: float
    peak_mb: float


def sync(url: str) -> Cost:
    """Loads all groups one after the other in this process, as the daily job does."""
    control(url, "DELETE", "requests")
    started = time.perf_counter()
    for group, make in GROUPS.items():
        pipelines.run(pipelines.pipeline("github", group).drop(), make())
    seconds = time.perf_counter() - started
    counts = control(url, "GET", "requests")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_UNIT / 1e6
    not_counted = counts["by_status"]["github"].get("304", 0)
    return Cost(counts["total"]["github"], counts["total"]["github"] - not_counted, seconds, peak)


def first(url: str, requested: Path) -> Cost:
    """The first load; the pages that it asks for go to a file, since its memory is measured."""
    respond = Reader.respond
    with requested.open("wb") as file:

        def recorded(reader: Reader, scope: Scope, request: Request) -> Any:
            params = request.params or {}
            page = Page(reader.listing.table.name, scope.values, request.path, params, request.body)
            file.write(msgspec.json.encode(page) + b"\n")
            return respond(reader, scope, request)

        with mock.patch.object(Reader, "respond", recorded):
            return sync(url)


def at_the_floor(url: str, folder: Path, requested: Path) -> float:
    """Seconds to fetch the same pages, to parse them, and to insert each table at once."""
    pages = msgspec.json.Decoder(Page).decode_lines(requested.read_bytes())
    session = requests.Session()
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=IN_FLIGHT))
    session.headers["Authorization"] = f"Bearer {GITHUB_TOKEN}"

    def fetch(page: Page) -> tuple[Page, Any]:
        address = page.path if page.path.startswith("http") else f"{url}/github{page.path}"
        if page.body is not None:
            return page, _rows_of(session.post(address, json=page.body).content)
        return page, orjson.loads(session.get(address, params=dict(page.params)).content)

    gc.disable()
    started = time.perf_counter()
    parts: defaultdict[str, list[pa.Table]] = defaultdict(list)
    with ThreadPoolExecutor(IN_FLIGHT) as pool, floor.into_duckdb(folder) as insert:
        for page, body in pool.map(fetch, pages):
            rows = body if isinstance(body, list) else next((v for v in body.values() if isinstance(v, list)), [])
            if page.table != "commits" or "/branches" not in page.path:
                for name, part in floor.arrow(TABLES[page.table], rows, page.given).items():
                    parts[name].append(part)
        for name, tables in parts.items():
            insert(name, pa.concat_tables(tables))
    return time.perf_counter() - started


def _rows_of(answer: bytes) -> list[Any]:
    """The reviews that a query of GraphQL brought."""
    pulls = reviews.decoded(answer).whole() or ()
    return [row for list_ in reviews.lists(pulls).values() for row in orjson.loads(list_)]


def measure(url: str, folder: Path, repositories: int) -> None:
    """Prints a line for each sync, each of which runs in a process of its own."""

    def alone(work: Any) -> Any:
        with ProcessPoolExecutor(1, PROCESSES, _prepare, (_settings(url, folder),)) as pool:
            return pool.submit(work).result()

    requested = folder / "requested.jsonl"
    cost = alone(partial(first, url, requested))
    _tell(repositories, "first load", cost)
    seconds = alone(partial(at_the_floor, url, folder, requested))
    print(f"{repositories:>6}  the floor of it     {cost.calls:>7}  {'':>7}  {seconds:>7.1f}", end="")
    print(f"  ratio {cost.seconds / seconds:.2f}", flush=True)
    alone(partial(sync, url))  # the first sync after a first load looks at some rows once more
    _tell(repositories, "nothing changed", alone(partial(sync, url)))
    for seed in range(CHANGES):
        name = f"many/repo-{seed * repositories // CHANGES}"
        control(url, "POST", "changes", {"kind": "github.issue.edit", "repository": name, "seed": seed})
    control(url, "POST", "clock", {"advance_seconds": 120})
    _tell(repositories, f"{CHANGES} issues edited", alone(partial(sync, url)))


def _tell(repositories: int, what: str, cost: Cost) -> None:
    print(
        f"{repositories:>6}  {what:<18}  {cost.calls:>7}  {cost.quota:>7}  {cost.seconds:>7.1f}  {cost.peak_mb:>7.0f}"
    )


def _prepare(settings: Mapping[str, str]) -> None:
    os.environ.update(settings)


def _settings(url: str, folder: Path) -> dict[str, str]:
    return {
        "SOURCES__GITHUB__API_URL": f"{url}/github",
        "SOURCES__GITHUB__ACCESS_TOKEN": GITHUB_TOKEN,
        "SOURCES__GITHUB__REPOSITORIES": "many/*",
        "SOURCES__GITHUB__CALLS_PER_SECOND": RATE,
        "DLT_DATA_DIR": str(folder),
        "INGEST_DATA_DIR": str(folder),
        "INGEST_LIMITS_DIR": str(folder),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "RUNTIME__LOG_LEVEL": "ERROR",
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-github", description=__doc__)
    parser.add_argument("repositories", nargs="*", type=int, default=[1, 100, 1000])
    parser.add_argument("--issues", type=int, default=100, help="number of issues in each repository")
    options = parser.parse_args()
    print(f"{'repos':>6}  {'sync':<18}  {'calls':>7}  {'quota':>7}  {'seconds':>7}  {'peak MB':>7}")
    for repositories in options.repositories:
        folder = Path(tempfile.mkdtemp(prefix="bench-"))
        many = ("--github-repositories", str(repositories), "--github-issues", str(options.issues))
        try:
            with sandbox(0.01, 0, *many) as url:
                measure(url, folder, repositories)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
