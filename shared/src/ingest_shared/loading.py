"""From pages to dlt: one resource per table, merged so that the warehouse equals the origin.

Two merges are enough. Rows are replaced *by key*; and lists that are always read whole (the
labels of an issue, the labels of a repository) are replaced *within* their owner, so what
vanished there vanishes here. Both are dlt's ``delete-insert`` strategy:
https://dlthub.com/docs/general-usage/merge-loading
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import dlt
import msgspec
import pyarrow as pa
from dlt.common.schema.typing import TColumnSchema, TFileFormat, TWriteDispositionConfig
from dlt.extract.resource import DltResource

from ingest_shared.columnar import Decoder, Page
from ingest_shared.http import Usage
from ingest_shared.tables import AnyTable, Table, all_columns, bigint, epoch, text

logger = logging.getLogger("ingest")

ROWS_PER_BATCH = 5_000
"""Rows turned into Arrow at once: enough that the cost per batch vanishes, a few MB of memory."""
SECONDS_BETWEEN_PROGRESS = 2.0
FILE_FORMAT: TFileFormat = "parquet"
"""How rows are staged. For Postgres dlt would take CSV, in which an empty text becomes NULL."""

LOAD_GAPS = Table(
    name="load_gaps",
    description="What a load could not read and had to leave out, until a later load reads it.",
    docs="https://dlthub.com/docs/general-usage/merge-loading",
    key=("resource", "scope"),
    within=("resource",),
    columns=(
        text("resource", "The resource that was being loaded.", origin="given"),
        text("scope", "What was left out, as a person would name it: a repository, an account."),
        bigint("status", "HTTP status that the API answered with; null when it was something else."),
        text("reason", "Why, in one line."),
        epoch("noticed_at", "When the load noticed it."),
    ),
)
_GAPS = Decoder(LOAD_GAPS)


@dataclass
class Load:
    """One resource's load under way: what its reader may use, and what is told of it afterwards.

    ``state`` is dlt's resource state: what a reader leaves there is committed with the rows.
    """

    resource: str
    state: MutableMapping[str, Any]
    usage: Usage = field(default_factory=Usage)
    gaps: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What was left out, by its scope."""
    pages: int = 0
    rows: int = 0
    child_rows: Counter[str] = field(default_factory=Counter)
    new_fields: set[str] = field(default_factory=set)
    _told: float = field(default_factory=time.monotonic)

    def leave_out(self, scope: str, reason: str, status: int | None = None) -> None:
        """Notes that ``scope`` could not be read; it stays in ``load_gaps`` until it can be."""
        logger.warning("%s: left out %s: %s", self.resource, scope, reason)
        self.gaps[scope] = {"scope": scope, "status": status, "reason": reason, "noticed_at": int(time.time())}

    def count(self, page: Page) -> None:
        self.pages += 1
        self.rows += 0 if page.empty else len(page.rows)
        for name in sorted(page.new_fields - self.new_fields):
            logger.warning("%s: the API sent a field that no description names: %s", self.resource, name)
        self.new_fields |= page.new_fields
        if time.monotonic() - self._told > SECONDS_BETWEEN_PROGRESS:
            self.tell()

    def tell(self) -> None:
        """Writes a line of progress to the log."""
        self._told = time.monotonic()
        quota = "" if self.usage.quota_left is None else f", {self.usage.quota_left:,} calls of quota left"
        logger.info("%s: %d pages, %s rows%s", self.resource, self.pages, f"{self.rows:,}", quota)


def mirror(decoder: Decoder, read: Callable[[Load], Iterable[Page | pa.Table]]) -> DltResource:
    """The dlt resource that loads the decoder's table, and its child tables, from what is read.

    ``read`` gets the :class:`Load` and yields pages, or rows of the table that are Arrow already;
    when it raises, nothing is loaded.
    """
    table = decoder.table
    children = {child.name: child for child in table.children} if isinstance(table, Table) else {}

    def generate() -> Iterator[Any]:
        load = Load(table.name, dlt.current.resource_state())
        started = time.monotonic()
        there = {t["name"] for t in dlt.current.source_schema().data_tables()}
        for batch in _batches(load, read(load)):
            tables = {table.name: batch} if isinstance(batch, pa.Table) else decoder.arrow(batch)
            for name, rows in tables.items():
                if name in children:
                    load.child_rows[name] += len(rows) - rows[own_key(children[name])].null_count
                if rows.num_rows or name not in there:  # rows are what creates a table, even none
                    yield dlt.mark.with_table_name(rows, name)
        had_gaps = load.state.get("gaps", 0)
        if load.gaps or had_gaps or LOAD_GAPS.name not in there:
            yield dlt.mark.with_table_name(_gap_rows(load), LOAD_GAPS.name)
        load.state["gaps"] = len(load.gaps)
        load.tell()
        dlt.current.resource_metrics().update(
            rows=load.rows,
            child_rows=dict(load.child_rows),
            pages=load.pages,
            api_calls=load.usage.api_calls,
            api_bytes=load.usage.api_bytes,
            quota_left=load.usage.quota_left,
            seconds=round(time.monotonic() - started, 3),
            new_fields=sorted(load.new_fields),
            gaps=len(load.gaps),
        )

    resource: DltResource = dlt.resource(generate, name=table.name)
    others: tuple[AnyTable, ...] = (*children.values(), LOAD_GAPS)
    for other in others:
        resource.apply_hints(
            table_name=other.name,
            write_disposition=write_disposition(other),
            columns=column_hints(other),
            file_format=FILE_FORMAT,
            create_table_variant=True,
        )
    by_key = isinstance(table, Table) and not table.within
    resource.apply_hints(
        write_disposition=write_disposition(table),
        columns=column_hints(table),
        file_format=FILE_FORMAT,
        primary_key=table.key if by_key else None,
    )
    return resource


def _gap_rows(load: Load) -> pa.Table:
    """The resource's open gaps; they replace those of its earlier loads."""
    given = {"resource": load.resource}
    page = _GAPS.page(msgspec.json.encode([*load.gaps.values()]), given) if load.gaps else _GAPS.nothing(given)
    return _GAPS.arrow([page])[LOAD_GAPS.name]


def write_disposition(table: AnyTable) -> TWriteDispositionConfig:
    """How dlt merges a table: by key, or every row within its owner.

    The rows of one load are unique by construction, so dlt need not deduplicate them. Where rows
    are replaced within an owner, a staged row whose own key is null stands for "nothing is left
    of this owner": it takes part in the delete and is kept out of the insert.
    """
    merge: dict[str, Any] = {"disposition": "merge", "strategy": "delete-insert", "deduplicated": True}
    if table.within:
        owner = ", ".join(table.within)
        merge["destination_scope"] = f"({owner}) IN (SELECT {owner} FROM {{staging_table}})"
        merge["source_filter"] = f"{own_key(table)} IS NOT NULL"
    return merge  # type: ignore[return-value]


def own_key(table: AnyTable) -> str:
    """The part of the key that tells the rows of one owner apart; null in a row that stands for none."""
    return next(name for name in table.key if name not in table.within)


def column_hints(table: AnyTable) -> dict[str, TColumnSchema]:
    """dlt's column schema: type and description; a single key is unique, which gives it an index."""
    hints: dict[str, TColumnSchema] = {}
    for column in all_columns(table):
        hint: TColumnSchema = {"name": column.name, "data_type": column.type.dlt, "description": column.description}
        if table.key == (column.name,) and not table.within:
            hint |= {"unique": True, "nullable": False}
        hints[column.name] = hint
    return hints


def _batches(load: Load, pages: Iterable[Page | pa.Table]) -> Iterator[list[Page] | pa.Table]:
    """Pages by the thousand rows; at least one batch, which may be empty."""
    batch: list[Page] = []
    rows = batches = 0
    for page in pages:
        if isinstance(page, pa.Table):
            load.rows += page.num_rows
            yield page
            continue
        load.count(page)
        batch.append(page)
        rows += len(page.rows)
        if rows >= ROWS_PER_BATCH:
            yield batch
            batch, rows, batches = [], 0, batches + 1
    if batch or not batches:
        yield batch
