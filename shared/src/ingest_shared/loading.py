"""From pages to dlt: one resource per table, merged so that the warehouse equals the origin.

Two merges are enough. Rows are replaced *by key*; lists that always come complete with their owner
(the labels of an issue) are replaced *within* it, so what disappears there disappears here. Both use
dlt's ``delete-insert`` strategy; to a table that is not in the warehouse yet, rows are appended:
https://dlthub.com/docs/general-usage/merge-loading
"""

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import dlt
import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from dlt.common.schema import Schema
from dlt.common.schema.typing import TColumnSchema, TFileFormat, TWriteDispositionConfig
from dlt.extract.resource import DltResource

from ingest_shared.columnar import Decoder, Page, arrow_schema
from ingest_shared.errors import PayloadError, SettingError
from ingest_shared.keys import Keys
from ingest_shared.notes import AUDITS, LOAD_GAPS, SHARD, STORED, check_name, noted_by
from ingest_shared.reading.api import Usage
from ingest_shared.shards import WHOLE_SOURCE, Shard, all_shards
from ingest_shared.tables import AnyTable, Child, Table, all_columns

logger = logging.getLogger("ingest")

ROWS_PER_BATCH = 1_000
"""Rows converted to Arrow at once: enough to make the cost per batch negligible. Until then their responses stay in
memory, which for pull requests are over 10 kB a row."""
BYTES_AT_ONCE = 16_000_000
"""Bytes of Arrow that are handed to dlt at once; each list that is being read holds up to that many."""
SECONDS_BETWEEN_PROGRESS = 2.0
GAPS_LOGGED = 3
"""Most gaps of a table that are logged individually; all of them are in ``load_gaps``."""
FILE_FORMAT: TFileFormat = "parquet"
"""How rows are staged. For Postgres, dlt would use CSV, in which empty text becomes NULL."""


@dataclass
class Load:
    """One resource's load in progress: what its reader may use, and what is reported about it afterwards.

    ``state`` is dlt's resource state: what a reader stores there is committed with the rows.
    """

    resource: str
    state: MutableMapping[str, Any]
    usage: Usage = field(default_factory=Usage)
    gaps: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What was left out, by its scope."""
    audits: list[dict[str, Any]] | None = None
    """What an audit found, by scope; None if there was none."""
    unreadable: list[tuple[Page, PayloadError]] = field(default_factory=list)
    """Pages with a row that is not loaded: with a value that its column cannot hold, or with the key of another one."""
    at_end: list[Callable[[], None]] = field(default_factory=list)
    """What the reader does after its last page was taken: it moves its cursors."""
    scopes_read: int | None = None
    """Scopes that were read completely, if the reader has scopes."""
    postponed: int = 0
    """Scopes that are read once this load is in the warehouse."""
    disposition: Literal["append", "replace", "merge"] = "merge"
    """How dlt writes the rows: https://dlthub.com/docs/general-usage/incremental-loading"""
    waits: bool = False
    """Whether nothing has been read yet, because another table must be read completely first."""
    started: float = field(default_factory=time.monotonic)
    pages: int = 0
    rows: int = 0
    child_rows: Counter[str] = field(default_factory=Counter)
    new_fields: set[str] = field(default_factory=set)
    _told: float = field(default_factory=time.monotonic)
    _staged: Keys = field(default_factory=Keys)
    """The keys that are loaded already, in groups by the part of the key that is given for whole pages."""

    @property
    def is_first(self) -> bool:
        """Whether the resource was never loaded before."""
        return "gaps" not in self.state

    def leave_out(self, scope: str, reason: str, status: int | None = None) -> None:
        """Records that ``scope`` could not be read; it stays in ``load_gaps`` until it can be."""
        if len(self.gaps) < GAPS_LOGGED:
            logger.warning("%s: left out %s: %s", self.resource, scope, reason)
        self.gaps[scope] = {"scope": scope, "status": status, "reason": reason, "noticed_at": int(time.time())}

    def tell_left_out(self) -> None:
        """Logs a summary of the gaps if there are more than were logged individually."""
        if len(self.gaps) > GAPS_LOGGED:
            first = next(iter(self.gaps.values()))
            self.warn(f"{len(self.gaps)} lists were left out, the first of them {first['scope']}: {first['reason']}")

    def warn(self, message: str) -> None:
        """Writes a warning to the run's log."""
        logger.warning("%s: %s", self.resource, message)

    def staged(self, keys: Collection[Any], given: Mapping[str, Any], decoder: Decoder) -> set[Any]:
        """Those of the keys whose rows are already loaded, among rows with the same ``given`` values."""
        return self._staged.known(keys, decoder.key_given(given))

    def keep_unstaged(self, page: Page, decoder: Decoder) -> None:
        """Removes rows from a page that were read before, or in another scope: dlt must load each key once."""
        by_key = self._by_key(page, decoder)
        _keep(page, by_key, self._staged.add(by_key, decoder.key_given(page.given)))

    def keep_new(self, page: Page, decoder: Decoder, known: set[Any]) -> None:
        """Keeps the rows of a page whose keys are not ``known`` yet, each key once; adds their keys to ``known``."""
        by_key = self._by_key(page, decoder)
        _keep(page, by_key, known.intersection(by_key))
        known.update(by_key)

    def _by_key(self, page: Page, decoder: Decoder) -> dict[Any, Any]:
        """The rows of a page; records it if two that differ have the same key, since one of them is lost."""
        by_key = dict(zip(map(decoder.key, page.rows), page.rows, strict=True))
        for row in page.rows if len(by_key) < len(page.rows) else ():
            if by_key[key := decoder.key(row)] != row:
                reason = f"two different rows have the key {key!r}, and only one of them can be loaded"
                self.unreadable.append((page, PayloadError(f"table {decoder.table.name}: {reason}: check its key")))
                break
        return by_key

    def end(self) -> None:
        """After the last page; what was read is loaded next, which needs the memory."""
        for end in self.at_end:
            end()
        self._staged.clear()

    def count(self, page: Page) -> None:
        self.pages += 1
        self.rows += 0 if page.empty else len(page.rows)
        for name in sorted(page.new_fields - self.new_fields):
            logger.warning("%s: the API sent an undeclared field: %s", self.resource, name)
        self.new_fields |= page.new_fields
        if time.monotonic() - self._told > SECONDS_BETWEEN_PROGRESS:
            self.tell()

    def tell(self) -> None:
        """Writes a line of progress to the log."""
        self._told = time.monotonic()
        quota = "" if self.usage.quota_left is None else f", {self.usage.quota_left:,} calls of quota left"
        logger.info("%s: %d pages, %s rows%s", self.resource, self.pages, f"{self.rows:,}", quota)

    def metrics(self) -> dict[str, Any]:
        """What this load amounts to, once it is read."""
        return {
            "rows": self.rows,
            "child_rows": dict(self.child_rows),
            "pages": self.pages,
            "api_calls": self.usage.api_calls,
            "api_bytes": self.usage.api_bytes,
            "quota_left": self.usage.quota_left,
            "seconds": round(time.monotonic() - self.started, 3),
            "new_fields": sorted(self.new_fields),
            "gaps": len(self.gaps),
            "audited": self.audits is not None,
            "scopes_read": self.scopes_read,
            "postponed": self.postponed or self.waits,
            "first_gap": next(iter(self.gaps.values()), None),
        }


def _keep(page: Page, by_key: dict[Any, Any], known: set[Any]) -> None:
    """Keeps the rows of a page whose keys are not ``known``, each key once."""
    if known or len(by_key) < len(page.rows):
        page.rows = [row for key, row in by_key.items() if key not in known]


@dataclass(frozen=True)
class RowsFile:
    """Rows that are already staged, as a Parquet file with all columns; its folder must be on the pipeline's disk."""

    path: Path
    num_rows: int
    schema: pa.Schema

    def item(self) -> Any:
        """What dlt accepts for it: https://dlthub.com/docs/general-usage/resource#import-external-files"""
        return dlt.mark.with_file_import(str(self.path), "parquet", self.num_rows, hints=self.schema.empty_table())


Arrived: TypeAlias = Page | pa.Table | Mapping[str, pa.Table] | RowsFile | None
"""What a reader yields."""


class Reads(Protocol):
    """Reads a table: takes the :class:`Load` and yields pages, rows as Arrow, or staged rows.

    None means that nothing has arrived yet: dlt turns to the other resources and comes back later. A reader that keeps
    an extra table next to the one that it reads names it in ``notes``, yields rows by table, and counts them itself.
    """

    decoder: Decoder

    def __call__(self, load: Load) -> Iterable[Arrived]: ...


@cache
def _notes(shard: Shard) -> tuple[Decoder, Decoder]:
    return Decoder(noted_by(shard, LOAD_GAPS)), Decoder(noted_by(shard, AUDITS))


def mirror(read: Reads) -> DltResource:
    """The dlt resource that loads a table and its child tables from what ``read`` yields.

    If the reader raises, nothing is loaded.
    """
    decoder = read.decoder
    table = decoder.table
    shard: Shard = getattr(read, "shard", WHOLE_SOURCE)
    gaps, audits = _notes(shard)
    children = table.children if isinstance(table, Table) else ()
    tables: dict[str, AnyTable] = {one.name: one for one in (table, *children)}
    for name in tables:
        check_name(name)
    written = "merge"  # as the hints below say; each part of a run begins as the previous one ended

    def generate() -> Iterator[Any]:
        nonlocal written
        load = Load(table.name, dlt.current.resource_state())
        check_types(dlt.current.source_schema(), tables.values())
        there, before = _tables_there(), STORED.get()
        if before and before.tables.isdisjoint(tables) and load.is_first and shard.is_whole:
            load.disposition = "append"  # merging into an empty table would take twice as long
        for found in _together(_arrow(load, decoder, read(load))):
            if found is not None and load.disposition != written:
                written = load.disposition
                yield from map(partial(_rewritten, disposition=written), tables.values())
            if not isinstance(found, tuple):
                yield found.item() if found else None
                continue
            name, rows = found
            if name in tables and written != "merge":
                rows = _without_nothing(tables[name], rows)
            if name in tables and name != table.name:
                load.child_rows[name] += len(rows) - rows[own_key(tables[name])].null_count
            if rows.num_rows or name not in there:  # dlt creates a table from its first item, even one without rows
                yield dlt.mark.with_table_name(rows, name)
        load.end()
        had_gaps = (before and table.name in before.gaps) or load.state.get("gaps", 0)
        if not load.waits and (load.gaps or had_gaps or LOAD_GAPS.name not in _tables_there()):
            yield dlt.mark.with_table_name(_rows_of(load, shard, gaps, [*load.gaps.values()]), LOAD_GAPS.name)
        if load.audits is not None:
            yield dlt.mark.with_table_name(_rows_of(load, shard, audits, load.audits), AUDITS.name)
        if not load.waits:
            load.state["gaps"] = len(load.gaps)
        load.tell_left_out()
        load.tell()
        dlt.current.resource_metrics().update(load.metrics())

    resource: DltResource = dlt.resource(generate, name=table.name)
    others: tuple[AnyTable, ...] = (*children, gaps.table, audits.table, *getattr(read, "notes", ()))
    for other in others:
        resource.apply_hints(table_name=other.name, create_table_variant=True, **_hints(other, shard))
    resource.apply_hints(**_hints(table, shard))
    return resource


def _hints(table: AnyTable, shard: Shard) -> dict[str, Any]:
    """How dlt stages and writes a table."""
    is_by_shard = SHARD in table.merge_key
    return {
        "write_disposition": _notes_disposition(table, shard) if is_by_shard else write_disposition(table),
        "columns": column_hints(table),
        "file_format": FILE_FORMAT,
        "primary_key": None if table.merge_key else table.key,
    }


def _arrow(
    load: Load, decoder: Decoder, pages: Iterable[Arrived]
) -> Iterator[Mapping[str, pa.Table] | RowsFile | None]:
    """The rows of the pages by table, in batches; files and None as they come."""
    for batch in _batches(load, decoder, pages):
        if isinstance(batch, list):
            yield to_arrow(load, decoder, batch)[1]
        else:
            yield {decoder.table.name: batch} if isinstance(batch, pa.Table) else batch


def _together(
    batches: Iterable[Mapping[str, pa.Table] | RowsFile | None],
) -> Iterator[tuple[str, pa.Table] | RowsFile | None]:
    """The rows of many batches by table: for each item that it gets, dlt spends some 10 ms on the schema."""
    held: defaultdict[str, list[pa.Table]] = defaultdict(list)
    size = 0
    for batch in batches:
        if batch is None or isinstance(batch, RowsFile):
            yield batch
            continue
        for name, rows in batch.items():
            held[name].append(rows)
            size += rows.nbytes
        if size >= BYTES_AT_ONCE:
            yield from ((name, pa.concat_tables(parts)) for name, parts in held.items())
            held.clear()
            size = 0
    yield from ((name, pa.concat_tables(parts)) for name, parts in held.items())


def to_arrow(load: Load, decoder: Decoder, pages: list[Page]) -> tuple[list[Page], dict[str, pa.Table]]:
    """The pages without unreadable rows, and their rows by table; the unreadable ones are recorded in the load."""
    try:
        return pages, decoder.arrow(pages)
    except PayloadError:
        readable = [replace(page, rows=_readable(load, decoder, page)) for page in pages]
        return readable, decoder.arrow(readable)


def _readable(load: Load, decoder: Decoder, page: Page) -> list[Any]:
    """The readable rows of a page."""
    try:
        decoder.arrow([page])
    except PayloadError as error:
        if len(page.rows) == 1:
            load.unreadable.append((page, error))
            return []
        return [row for one in page.rows for row in _readable(load, decoder, replace(page, rows=[one]))]
    return page.rows


def check_types(stored: Schema, tables: Iterable[AnyTable]) -> None:
    """Raises :class:`SettingError` if a column in the warehouse has a type other than the declared one.

    dlt does not change a column's type: the warehouse would convert the values, rounding or truncating them without an
    error.
    """
    for table in tables:
        columns = stored.tables.get(table.name, {}).get("columns", {})
        for column in all_columns(table):
            kept = columns.get(column.name, {}).get("data_type", column.type.dlt)
            if kept != column.type.dlt:
                raise SettingError(
                    f"{table.name}.{column.name} is {kept} in the warehouse but declared as {column.type.dlt}: "
                    "give the column another name, or restore its type"
                )


def _tables_there() -> set[str]:
    return {str(table["name"]) for table in dlt.current.source_schema().data_tables()}


def _rows_of(load: Load, shard: Shard, decoder: Decoder, rows: list[dict[str, Any]]) -> pa.Table:
    """The notes about this load of the resource; they replace those about its earlier loads."""
    given = {"resource": load.resource} | ({} if shard.is_whole else {SHARD: shard.name})
    page = decoder.page(msgspec.json.encode(rows), given) if rows else decoder.nothing(given)
    return decoder.arrow([page])[decoder.table.name]


def write_disposition(table: AnyTable) -> TWriteDispositionConfig:
    """How dlt merges a table: by key, or every row within its owner.

    The rows of one load are unique by construction, so dlt need not deduplicate them. Where rows
    are replaced within an owner, a staged row whose own key is null stands for "nothing is left
    of this owner": it takes part in the delete and is kept out of the insert.
    """
    merge: dict[str, Any] = {"disposition": "merge", "strategy": "delete-insert", "deduplicated": True}
    if table.merge_key:
        owner = ", ".join(table.merge_key)
        merge["destination_scope"] = f"({owner}) IN (SELECT {owner} FROM {{staging_table}})"
        merge["source_filter"] = f"{own_key(table)} IS NOT NULL"
    return merge  # type: ignore[return-value]


def _notes_disposition(notes: AnyTable, shard: Shard) -> TWriteDispositionConfig:
    """A shard's notes replace its own earlier ones, and those of shards that no longer exist because the number of
    shards changed."""
    merge: Any = write_disposition(notes)
    current = ", ".join(f"'{one.name}'" for one in all_shards(shard.count))
    staged = "SELECT {} FROM {{staging_table}}"
    merge["destination_scope"] = (
        f"resource IN ({staged.format('resource')}) AND "
        f"({SHARD} IS NULL OR {SHARD} NOT IN ({current}) OR {SHARD} IN ({staged.format(SHARD)}))"
    )
    return merge  # type: ignore[no-any-return]


def _rewritten(table: AnyTable, disposition: str) -> Any:
    """An empty table with the hints that tell dlt how to write the table's rows from now on."""
    # As a plain string, it would make dlt drop the resource's state before the next part of the run.
    plain: Any = {"disposition": disposition}
    hints = dlt.mark.make_hints(
        table_name=table.name, write_disposition=write_disposition(table) if disposition == "merge" else plain
    )
    return dlt.mark.with_hints(arrow_schema(table).empty_table(), hints, create_table_variant=isinstance(table, Child))


def _without_nothing(table: AnyTable, rows: pa.Table) -> pa.Table:
    """The rows without those that only a merge needs, which say that their owner has no rows left."""
    return rows.filter(pc.is_valid(rows[own_key(table)])) if table.merge_key else rows


def own_key(table: AnyTable) -> str:
    """The part of the key that distinguishes the rows of one owner; null in a row that says there are none."""
    return next(name for name in table.key if name not in table.merge_key)


def column_hints(table: AnyTable) -> dict[str, TColumnSchema]:
    """dlt's column schema: type and description; a single key is unique, which gives it an index."""
    hints: dict[str, TColumnSchema] = {}
    for column in all_columns(table):
        hint: TColumnSchema = {"name": column.name, "data_type": column.type.dlt, "description": column.description}
        if pa.types.is_timestamp(column.type.arrow) and column.type.arrow.tz is None:
            hint["timezone"] = False
        if table.key == (column.name,) and not table.merge_key:
            hint |= {"unique": True, "nullable": False}
        hint["cluster"] = column.name in table.merge_key  # also if false: dlt would keep an earlier declaration's true
        hints[column.name] = hint
    return hints


def _batches(
    load: Load, decoder: Decoder, pages: Iterable[Arrived]
) -> Iterator[list[Page] | pa.Table | Mapping[str, pa.Table] | RowsFile | None]:
    """The pages in batches of about a thousand rows; at least one batch, which may be empty."""
    by_key = isinstance(decoder.table, Table) and not decoder.table.merge_key
    batch: list[Page] = []
    rows = batches = 0
    for page in pages:
        if not isinstance(page, Page):
            load.rows += page.num_rows if isinstance(page, pa.Table | RowsFile) else 0
            yield page
            continue
        if by_key and not page.empty:
            load.keep_unstaged(page, decoder)
        load.count(page)
        batch.append(page)
        rows += len(page.rows)
        if rows >= ROWS_PER_BATCH:
            yield batch
            batch, rows, batches = [], 0, batches + 1
    if batch or not batches:
        yield batch
