"""Loads over HTTP from the sandbox: the real sources against a script that reads page after page."""

import gc
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pyarrow as pa
import requests
from dlt.extract.source import DltSource

import github_location.source
import github_location.source.tables
import stripe_location.source
import stripe_location.source.tables
from ingest_benchmarks import floor
from ingest_benchmarks.measure import Clock, Measured
from ingest_shared import pipelines
from ingest_shared.tables import Table

READY = "sandbox ready: "
GITHUB_TOKEN, STRIPE_KEY = "sandbox-github-token", "sk_test_sandbox"
RATE = "1000000"
"""Calls a second: what is measured is the code, and not the pace of an API."""
TABLES = github_location.source.tables.TABLES | stripe_location.source.tables.TABLES

Page = tuple[Mapping[str, Any], list[floor.Json]]
"""What all rows of a page are given, and the rows."""


@contextmanager
def sandbox(size: float, latency_ms: float = 0, *options: str) -> Iterator[str]:
    """The address of a sandbox of its own on a free port, which ends with the block."""
    command = [sys.executable, "-m", "ingest_sandbox", "--port", "0", "--github-quota", "1000000000"]
    command += ["--size", str(size), "--latency-ms", str(latency_ms), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            ready = next(line for line in process.stdout or () if line.startswith(READY))
            yield ready.removeprefix(READY).strip()
        finally:
            process.terminate()


def control(url: str, method: str, path: str, body: Any = None) -> Any:
    """The answer of a route of the sandbox's own: see ``sandbox/README.md``."""
    answer = requests.request(method, f"{url}/_sandbox/{path}", json=body, timeout=60)
    answer.raise_for_status()
    return answer.json()


@dataclass(frozen=True)
class Reading:
    """Which lists of which API are read, from the sandbox at ``url``."""

    api: str
    url: str
    lists: tuple[str, ...]
    repositories: str = "acme/*"

    @property
    def settings(self) -> dict[str, str]:
        """The environment that lets the location read the same."""
        return {
            "SOURCES__GITHUB__API_URL": f"{self.url}/github",
            "SOURCES__GITHUB__ACCESS_TOKEN": GITHUB_TOKEN,
            "SOURCES__GITHUB__REPOSITORIES": self.repositories,
            "SOURCES__STRIPE__API_BASE": f"{self.url}/stripe",
            "SOURCES__STRIPE__API_KEY": STRIPE_KEY,
            "SOURCES__GITHUB__CALLS_PER_SECOND": RATE,
            "SOURCES__STRIPE__CALLS_PER_SECOND": RATE,
            "SOURCES__STRIPE__CALLS_PER_SECOND_PER_ENDPOINT": RATE,
        }

    def source(self) -> DltSource:
        """The location's own source, restricted to the lists."""
        github, stripe = github_location.source, stripe_location.source
        for source in [github.activity()] if self.api == "github" else [stripe.billing(), stripe.payments()]:
            if set(self.lists) <= source.resources.keys():
                return source.with_resources(*self.lists)
        raise ValueError(f"no source of {self.api} has all of {self.lists}")

    def pages(self, name: str) -> Iterator[Page]:
        """The pages of a list, one after the other, over one connection."""
        with requests.Session() as session:
            if self.api == "github":
                session.headers["Authorization"] = f"Bearer {GITHUB_TOKEN}"
                yield from self._github(session, name)
            else:
                session.headers["Authorization"] = f"Bearer {STRIPE_KEY}"
                given = {"account_id": _get(session, f"{self.url}/stripe/v1/account")["id"]}
                params = {"status": "all"} if name == "subscriptions" else {}
                for rows in _stripe(session, f"{self.url}/stripe/v1/{name}", params):
                    for row in rows:
                        _complete(session, self.url, name, row)
                    yield given, rows

    def _github(self, session: requests.Session, name: str) -> Iterator[Page]:
        path, query = _GITHUB_LISTS[name]
        for repository in _get(session, f"{self.url}/github/orgs/acme/repos"):
            if not fnmatch(repository["full_name"], self.repositories):
                continue
            url: str | None = f"{repository['url'].replace('https://api.github.com', self.url + '/github')}/{path}"
            params: dict[str, Any] | None = {"per_page": 100, **query}
            while url:
                answer = session.get(url, params=params)
                if not answer.ok:  # issues switched off, or no commit yet
                    break
                yield {"repo_id": repository["id"]}, orjson.loads(answer.content)
                url, params = answer.links.get("next", {}).get("url"), None


def ours(folder: Path, *, reading: Reading) -> Measured:
    """A first run of the location's own source into DuckDB."""
    target, source = pipelines.pipeline(reading.api, "bench"), reading.source()
    clock = Clock()
    with clock.running():
        pipelines.run(target, source)
    return clock.measured(_count(folder / f"{reading.api}.duckdb", f"{reading.api}_raw", reading.lists))


def read(_: Path, *, reading: Reading) -> Measured:
    """The same without normalizing and loading: read into typed Arrow, in files that wait to be loaded."""
    target, source = pipelines.pipeline(reading.api, "bench"), reading.source()
    clock = Clock()
    with clock.running():
        extracted = target.extract(source)
    written = extracted.metrics[extracted.loads_ids[0]][0]["table_metrics"]
    return clock.measured(sum(written[name].items_count for name in reading.lists))


def one_by_one(folder: Path, *, reading: Reading) -> Measured:
    """The floor: each list page after page, everything parsed, one insert for each table."""
    clock = Clock()
    gc.disable()  # as in floor.load
    with clock.running(), floor.into_duckdb(folder) as insert:
        for name in reading.lists:
            for table, columns in _arrow(TABLES[name], reading.pages(name)).items():
                insert(table, columns)
    return clock.measured(_count(folder / "floor.duckdb", "main", reading.lists))


def fetch_one_by_one(_: Path, *, reading: Reading) -> Measured:
    """Only the pages, one after the other, and nothing done with them but parsing."""
    clock = Clock()
    with clock.running():
        rows = sum(len(rows) for name in reading.lists for _, rows in reading.pages(name))
    return clock.measured(rows)


def _arrow(table: Table, pages: Iterable[Page]) -> dict[str, pa.Table]:
    parts: dict[str, list[pa.Table]] = {}
    for given, together in groupby(pages, lambda page: page[0]):
        rows = [row for _, rows in together for row in rows]
        for name, part in floor.arrow(table, rows, given).items():
            parts.setdefault(name, []).append(part)
    return {name: pa.concat_tables(tables) for name, tables in parts.items()}


_GITHUB_LISTS: dict[str, tuple[str, dict[str, str]]] = {
    "issues": ("issues", {"state": "all", "sort": "updated", "direction": "asc"}),
    "issue_comments": ("issues/comments", {"sort": "updated", "direction": "asc"}),
    "commits": ("commits", {}),
}
_STRIPE_NESTED = {"subscriptions": "items", "invoices": "lines"}


def _get(session: requests.Session, url: str, **params: Any) -> Any:
    answer = session.get(url, params=params)
    answer.raise_for_status()
    return orjson.loads(answer.content)


def _stripe(session: requests.Session, url: str, params: dict[str, Any]) -> Iterator[list[floor.Json]]:
    params, more = {"limit": 100, **params}, True
    while more:
        page = _get(session, url, **params)
        if page["data"]:
            yield page["data"]
            params["starting_after"] = page["data"][-1]["id"]
        more = page["has_more"]


def _complete(session: requests.Session, url: str, name: str, row: floor.Json) -> None:
    """Reads on in the list inside a row, of which the API shows ten."""
    nested = row.get(_STRIPE_NESTED.get(name, ""))
    if not nested or not nested["has_more"]:
        return
    path, params = f"{url}/stripe/v1/{name}/{row['id']}/{_STRIPE_NESTED[name]}", {}
    if name == "subscriptions":
        path, params = f"{url}/stripe/v1/subscription_items", {"subscription": row["id"]}
    for rows in _stripe(session, path, {**params, "starting_after": nested["data"][-1]["id"]}):
        nested["data"] += rows


def _count(file: Path, schema: str, tables: Iterable[str]) -> int:
    """Rows of the tables in the file, their child tables not counted."""
    with closing(duckdb.connect(str(file), read_only=True)) as connection:
        counts = [connection.execute(f"SELECT count(*) FROM {schema}.{name}").fetchall() for name in tables]
    return sum(rows[0][0] for rows in counts)
