"""The reader of a database's tables, for :func:`ingest_shared.loading.mirror`.

A first load reads key ranges side by side and goes on where it was stopped. A later sync reads what changed, by the
cursor, and compares keys and cursors of all rows with the warehouse; a table without a cursor is compared whole, and
so is every table by an audit. Only what differs is loaded.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa

from ingest_shared import pipelines
from ingest_shared.columnar import Decoder, Page, arrow_schema
from ingest_shared.databases.connection import Database, Reads, Snapshot
from ingest_shared.databases.declared import Mirrored
from ingest_shared.databases.ranges import between, edges, less, not_in_the_future, read_back, written
from ingest_shared.databases.types import NO_DATE, column_type, readable
from ingest_shared.errors import PayloadError
from ingest_shared.loading import Load, RowsFile
from ingest_shared.reading.compare import Comparison, Found, comparison
from ingest_shared.reading.held import warehouse
from ingest_shared.reading.tombstones import DELETED_AT
from ingest_shared.tables import UNDECLARED, Column, all_columns

SIDE_BY_SIDE = 2
"""Ranges read at a time from a database whose snapshot can be shared."""
BEGINS_FOR = 180.0
"""Seconds after which a first load begins no further ranges; what was read is then loaded, and the run continues."""
BYTES_PER_FILE = 64_000_000
BYTES_PER_GROUP = 4_000_000
"""Bytes of Arrow in one row group of a staged file: a destination's loader takes the groups one by one."""
FEW = 5_000
"""Most rows that are looked up by their keys; for more, the whole table is read again."""


class Sync:
    """What the tables of one run share: the database at one moment."""

    def __init__(self, connect: Callable[[], Database], audit: bool = False) -> None:
        self.connect = connect
        self.audit = audit
        self.reading: set[str] = set()
        """The tables that this part of the run has not finished."""
        self._opened = ExitStack()
        self._snapshot: Snapshot | None = None

    def snapshot(self) -> Snapshot:
        """The database as of the reading of this part's first table; raises an :class:`IngestError`."""
        if self._snapshot is None:
            self._snapshot = self._opened.enter_context(self.connect().snapshot())
        return self._snapshot

    def finish(self, table: str) -> None:
        """Closes the snapshot after the last table."""
        self.reading.discard(table)
        if not self.reading:
            self._opened.close()
            self._snapshot = None


class TableReader:
    """Reads one table."""

    load: Load
    snapshot: Snapshot
    reads: Reads

    def __init__(self, mirrored: Mirrored, sync: Sync) -> None:
        self.mirrored = mirrored
        self.sync = sync
        self.decoder = Decoder(mirrored.table)
        self.schema = arrow_schema(mirrored.table)
        columns = {column.name: column for column in mirrored.table.columns}
        self.deleted = columns[DELETED_AT]
        self.cursor = columns[mirrored.cursor] if mirrored.cursor else None
        self._lock = threading.Lock()

    def __call__(self, load: Load) -> Iterator[Page | pa.Table | RowsFile | None]:
        """Yields what must be loaded; if the table cannot be read, that is a gap, and the next sync reads it again."""
        table = self.mirrored.table.name
        self.sync.reading.add(table)
        try:
            yield None  # until all tables of the run are known
            load.started = time.monotonic()
            load.scopes_read = 0
            self.load = load
            with TemporaryDirectory(dir=pipelines.current().working_dir) as folder:
                self.folder = Path(folder)
                self.snapshot = self.sync.snapshot()
                try:
                    self.reads = self._checked()
                    yield from self._read()
                    load.scopes_read = 1
                except PayloadError as error:
                    load.leave_out(self.mirrored.source, str(error))
        finally:
            self.sync.finish(table)

    def _checked(self) -> Reads:
        """How the table is read; raises :class:`PayloadError` if it is no longer as declared."""
        reads, source = self.snapshot.reads(self.mirrored), self.mirrored.source
        remedy = f"run `ingest reflect {pipelines.current().dataset_name.removesuffix('_raw')}`"
        for column in self.mirrored.read:
            if column.path not in reads.types:
                raise PayloadError(f"the column {column.path} of {source} is gone: {remedy}")
            now = column_type(reads.types[column.path], self.snapshot.dialect)
            if now != column.type and column is not self.deleted:
                is_now = now.name if now else "of a type that cannot be read"
                raise PayloadError(
                    f"the column {column.path} of {source} was {column.type.name}, now {is_now}: {remedy}"
                )
        known_columns = {column.path for column in self.mirrored.read}.union(self.mirrored.without)
        if new := sorted(reads.types.keys() - known_columns):
            self.load.new_fields |= set(new)
            self.load.warn(f"{source} has columns that are not loaded: {', '.join(new)}; {remedy}")
        return reads

    def _read(self) -> Iterator[pa.Table | RowsFile]:
        state, names = self.load.state, [column.name for column in self.mirrored.table.columns]
        mark = self._mark()
        if not state.get("loaded"):
            mark = state.setdefault("first", {"edges": None, "next": 0, "mark": mark})["mark"]
            yield from self._first(state["first"])
            if self.load.postponed:
                return
            del state["first"]
        elif self.sync.audit or state.get("cursor") is None or names != state["columns"]:
            yield from self._compared(self.mirrored.read, is_whole=True)
        else:
            assert self.cursor
            changed = self.reads.raw(self.cursor)
            is_new = sa.or_(changed >= self._since(), changed.is_(None))
            yield from self._files([self.reads.select(self.mirrored.read, is_new)])
            if self.mirrored.deletes == "sync":
                yield from self._compared((*self.mirrored.key, self.cursor), is_whole=False)
        state.update(loaded=True, columns=names)
        if not self.load.gaps:  # a row that was left out is looked at again by the next sync
            state["cursor"] = mark

    def _mark(self) -> Any:
        """How far the cursor is known after this sync; None without a cursor or a row."""
        if self.cursor is None:
            return None
        highest = sa.select(sa.func.max(self.reads.raw(self.cursor))).select_from(self.reads.table)
        ((found,),) = self.snapshot.rows(highest)
        if found is None or str(found).startswith(NO_DATE):
            return None
        return written(not_in_the_future(found))

    def _since(self) -> Any:
        """The cursor value from which rows may have changed since the previous sync; None if unknown."""
        mark = self.load.state.get("cursor")
        return None if mark is None or self.cursor is None else less(read_back(mark, self.cursor), self.mirrored.lag)

    def _first(self, first: dict[str, Any]) -> Iterator[RowsFile]:
        """The rows of the remaining ranges, as far as time permits."""
        key = self.mirrored.key
        if first["edges"] is None:
            first["edges"] = edges(self.snapshot, self.reads, key)
        self.load.disposition = "merge" if first["next"] else "replace"
        self.load.gaps |= first.get("gaps", {})  # of earlier parts: what a load notes replaces what is there
        until = time.monotonic() + BEGINS_FOR
        ends = [None, *first["edges"], None]
        begun = first["next"]

        def queries() -> Iterator[sa.Select[Any]]:
            nonlocal begun
            while begun < len(ends) - 1 and (time.monotonic() < until or begun == first["next"]):
                begun += 1
                yield self.reads.select(self.mirrored.read, *between(self.reads, key, ends[begun - 1], ends[begun]))

        yield from self._files(queries())
        first |= {"next": begun, "gaps": dict(self.load.gaps)}
        self.load.postponed = len(ends) - 1 - begun

    def _compared(self, columns: Sequence[Column], *, is_whole: bool) -> Iterator[pa.Table | RowsFile]:
        """What differs between the database and the warehouse in these columns."""
        table = self.mirrored.table
        columns = list(
            dict.fromkeys([*self.mirrored.key, *columns, *([self.cursor] if self.cursor else []), self.deleted])
        )
        asked = self.reads.select([column for column in columns if column.origin == "reader"])
        with comparison(table.key, columns, self.mirrored.cursor, self._since()) as compared:
            compared.fill("origin", (self._rows(batch, columns, is_lost=False) for batch in self._batches(asked)))
            with warehouse() as held:
                compared.fill("held", held.batches(table, columns))
            found = compared.find(leave_changed=not is_whole)
            if compared.count("wanted") <= FEW:
                yield from self._files(self._by_keys(keys) for keys in compared.keys("wanted"))
            else:
                all_rows = self._loadable(self.reads.select(self.mirrored.read))
                yield from self._written(compared.only("wanted", all_rows))
            yield from self._gone(compared)
        self._note(found)

    def _by_keys(self, keys: Sequence[tuple[Any, ...]]) -> sa.Select[Any]:
        raw = sa.tuple_(*map(self.reads.raw, self.mirrored.key))
        return self.reads.select(self.mirrored.read, raw.in_(keys))

    def _gone(self, compared: Comparison) -> Iterator[pa.Table]:
        """The rows that the database no longer has, each marked as deleted."""
        table = self.mirrored.table
        columns = all_columns(table)
        place = self.schema.get_field_index(DELETED_AT)
        with warehouse() as held:
            if compared.count("surplus") <= FEW:
                some = (held.batches(table, columns, keys) for keys in compared.keys("surplus"))
                found: Iterator[pa.Table] = chain.from_iterable(some)
            else:
                found = compared.only("surplus", held.batches(table, columns))
            for rows in found:
                at = pa.array([datetime.now(UTC)] * rows.num_rows, self.schema.field(place).type)
                yield rows.set_column(place, DELETED_AT, at).cast(self.schema)

    def _note(self, found: Found) -> None:
        """Counts what an audit found; what appeared, changed or disappeared since the previous sync was not lost."""
        is_same = self.load.state.get("digest") == found.digest
        self.load.state["digest"] = found.digest
        if not self.sync.audit:
            return
        counts = {"compared": found.compared, "missing": found.missing, "stale": found.stale, "changed": found.changed}
        if not is_same and self.cursor is None:
            counts |= {"missing": 0, "stale": 0, "changed": found.changed + found.missing + found.stale}
        counts |= {"surplus": found.surplus, "deleted": 0} if is_same else {"surplus": 0, "deleted": found.surplus}
        at, calls = int(time.time()), self.load.usage.api_calls
        self.load.audits = [{"scope": self.mirrored.source, "audited_at": at, **counts, "calls": calls}]

    def _files(self, queries: Iterable[sa.Select[Any]]) -> Iterator[RowsFile]:
        """The rows of the queries, side by side if the snapshot can be shared."""
        if not self.snapshot.is_shared:
            for query in queries:
                yield from list(self._written(self._loadable(query)))
            return
        begun: deque[Future[list[RowsFile]]] = deque()
        stop = threading.Event()

        def write(query: sa.Select[Any]) -> list[RowsFile]:
            return list(self._written(self._loadable(query, stop)))

        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            try:
                for query in queries:
                    begun.append(pool.submit(write, query))
                    if len(begun) > SIDE_BY_SIDE:
                        yield from begun.popleft().result()
                while begun:
                    yield from begun.popleft().result()
            finally:
                stop.set()

    def _loadable(self, query: sa.Select[Any], stop: threading.Event | None = None) -> Iterator[pa.Table]:
        for batch in self._batches(query):
            if stop and stop.is_set():
                return
            yield self._rows(batch, self.mirrored.table.columns)

    def _batches(self, query: sa.Select[Any]) -> Iterator[pa.Table]:
        """The rows of a query as the database returns them; counts what they cost."""
        with self._lock:
            self.load.usage.api_calls += 1
        for batch in self.snapshot.batches(query):
            with self._lock:
                self.load.usage.api_bytes += batch.nbytes
            yield batch

    def _rows(self, batch: pa.Table, columns: Sequence[Column], *, is_lost: bool = True) -> pa.Table:
        """The rows as the warehouse has them, without those that it cannot hold.

        If rows are only compared, such rows stay, without the value; they are left out when they are read.
        """
        arrays: dict[str, Any] = {}
        wrong: dict[int, str] = {}
        read = iter(batch.columns)
        for column in columns:
            if column.origin != "reader":
                arrays[column.name] = pa.nulls(batch.num_rows, column.type.arrow)
                continue
            arrays[column.name], bad = readable(next(read), column.type)
            if column in self.mirrored.key and arrays[column.name].null_count:
                nulls = pc.is_null(arrays[column.name]).to_pylist()
                bad = {i: "null" for i, is_null in enumerate(nulls) if is_null} | bad
            elif not is_lost:
                continue
            of = f"the column {column.path} does not fit {column.type.name}"
            wrong = {i: f"the value {value} of {of}" for i, value in bad.items()} | wrong
        if is_lost:
            arrays[UNDECLARED] = pa.nulls(batch.num_rows, self.schema.field(UNDECLARED).type)
        rows = pa.table(arrays)
        if wrong:
            keys = [[str(value) for value in arrays[column.name].to_pylist()] for column in self.mirrored.key]
            for i, why in wrong.items():
                of = ", ".join(f"{c.path}={values[i]}" for c, values in zip(self.mirrored.key, keys, strict=True))
                with self._lock:
                    self.load.leave_out(f"{self.mirrored.source} {of}", why)
            rows = rows.filter(pa.array([i not in wrong for i in range(rows.num_rows)]))
        return rows.cast(pa.schema([self.schema.field(name) for name in rows.column_names]))

    def _written(self, batches: Iterable[pa.Table]) -> Iterator[RowsFile]:
        """Staged files of the rows."""
        batches = (batch for batch in batches if batch.num_rows)
        for first in batches:
            path = self.folder / f"{uuid4().hex}.parquet"
            rows = size = 0
            # Columns that repeat their values are rare, and nothing is looked up in the file: both would take longer
            # than writing it.
            plain = {"use_dictionary": False, "write_statistics": False}
            with pq.ParquetWriter(path, self.schema, compression="lz4", **plain) as writer:
                for batch in chain([first], batches):
                    groups = math.ceil(batch.nbytes / BYTES_PER_GROUP)
                    writer.write_table(batch, row_group_size=math.ceil(batch.num_rows / groups))
                    rows, size = rows + batch.num_rows, size + batch.nbytes
                    if size >= BYTES_PER_FILE:
                        break
            yield RowsFile(path, rows, self.schema)
