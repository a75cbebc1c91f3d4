"""A folder of files as the tests' origin: written at random from the tables' descriptions, changed and broken."""

import gzip
import io
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import pyarrow as pa
import pyarrow.parquet

from ingest_shared.reading.files import FILE, ROW, Files
from ingest_shared.reading.formats import Csv, JsonLines
from ingest_shared.tables import Column, Table
from ingest_testing.location import PlainLocation
from ingest_testing.mirror import Held, Mirror
from ingest_testing.sandbox import Json, Origin, Sandboxes

FILES = 4
"""Files of each table in a world of size 1."""
ROWS = 50
"""Rows of each file, at most; at least half of them at first."""
STARTED = datetime(2026, 1, 1, tzinfo=UTC)
WORDS = ("", "plain", "with, a comma", 'a "quoted" word', "two\nlines", "Grüße, 世界", " spaces ", "NULL")
FolderT = TypeVar("FolderT", bound="FolderOrigin")


class FolderOrigin(Origin):
    """The files of a location. What it wrote is what the warehouse must hold."""

    files: ClassVar[Sequence[Files]]
    """What the location's source declares."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder))
        self.folder = folder
        self.random = random.Random(1)
        """Makes every random choice, so that the same seed leads to the same files and the same changes."""
        self.rows: dict[str, dict[str, list[Json]]] = {files.table.name: {} for files in self.files}
        """The rows of each file, by table and name of the file."""
        self._written = self._keys = 0

    @classmethod
    @contextmanager
    def running(cls, sandboxes: Sandboxes, size: float, *options: str) -> Iterator[Self]:
        with tempfile.TemporaryDirectory() as folder:
            origin = cls(Path(folder))
            for files in cls.files:
                for _ in range(max(2, int(FILES * size))):
                    origin.add(files.table.name)
            yield origin

    # Changes.

    def kinds(self) -> Mapping[str, Callable[[str], None]]:
        return {
            "add": self.add,
            "replace": self.replace,
            "append": self.append,
            "empty": self.empty,
            "remove": self.remove,
        }

    def change(self, kind: str, **what: Any) -> Json:
        """Makes one change in a table, by default the first one."""
        table = what.get("table", self.files[0].table.name)
        self.kinds()[kind](table)
        return {"kind": kind, "table": table}

    def change_at_random(self, seed: int, count: int, without: Sequence[str] = ()) -> None:
        self.random.seed(seed)
        for _ in range(count):
            self.change(self.random.choice(list(self.kinds())), table=self.random.choice(list(self.rows)))

    def add(self, table: str) -> None:
        self._keys += 1
        name = self._files(table).pattern.replace("**", "below").replace("*", f"{self._keys:06}")
        self.write(table, name, self.made(table, self.random.randint(ROWS // 2, ROWS)))

    def replace(self, table: str) -> None:
        if name := self._any(table):
            kept = [row for row in self.rows[table][name] if self.random.random() < 0.7]
            self.write(table, name, kept + self.made(table, self.random.randint(0, 5)))

    def append(self, table: str) -> None:
        if name := self._any(table):
            self.write(table, name, self.rows[table][name] + self.made(table, 2))

    def empty(self, table: str) -> None:
        """Leaves a file without rows."""
        if name := self._any(table):
            self.write(table, name, [])

    def remove(self, table: str) -> None:
        if len(self.rows[table]) > 1 and (name := self._any(table)):
            del self.rows[table][name]
            (self.folder / name).unlink()

    def _any(self, table: str) -> str:
        """A file of the table, if it has one."""
        return self.random.choice(list(self.rows[table]) or [""])

    # What the tests need from an origin.

    def objects(self, collection: str) -> list[Json]:
        return [
            {**row, FILE.name: name, ROW.name: number}
            for name, rows in self.rows[collection].items()
            for number, row in enumerate(rows, 1)
        ]

    def now(self) -> int:
        return int(time.time())

    def advance(self, seconds: int = 2) -> None:
        """Does nothing: a file's time says what changed, and each change has a later one."""

    def fail(self, *faults: Json, latency_ms: float = 0) -> None:
        """From now on, one file of each table is broken: ``truncate`` cuts it in half, ``spoil`` replaces it."""
        for fault in faults:
            for files in self.rows.values():
                if files:
                    path = self.folder / self.random.choice(list(files))
                    content = path.read_bytes()
                    # Half of a text may be right by itself: it ends within a character.
                    broken = content[: len(content) // 2] if fault["kind"] == "truncate" else b""
                    self._put(path, broken + b"\xff\xfe\n\xff")

    def heal(self) -> None:
        for table, files in self.rows.items():
            for name, rows in files.items():
                content = self.content(table, rows)
                if (self.folder / name).read_bytes() != content:
                    self._put(self.folder / name, content)

    # Files.

    def write(self, table: str, name: str, rows: list[Json]) -> None:
        self.rows[table][name] = rows
        self._put(self.folder / name, self.content(table, rows))

    def _put(self, path: Path, content: bytes) -> None:
        """Writes a file that is a minute younger than the previous one, but old enough to count as settled."""
        self._written += 1
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        at = (STARTED + timedelta(minutes=self._written)).timestamp()
        os.utime(path, (at, at))

    def content(self, table: str, rows: list[Json]) -> bytes:
        files = self._files(table)
        names = [column.path for column in _payload(files.table)]
        random.Random(len(rows)).shuffle(names)  # their order must not matter
        if isinstance(files.format, Csv):
            lines = [names, *([row[name] for name in names] for row in rows)]
            text = "".join(f"{files.format.delimiter.join(map(_as_field, line))}\r\n" for line in lines)
            plain = text.encode(files.format.encoding)
        elif isinstance(files.format, JsonLines):
            plain = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        else:
            columns = {column.path: column for column in _payload(files.table)}
            arrays = {name: _as_arrow(columns[name], [row[name] for row in rows]) for name in names}
            sink = io.BytesIO()
            pyarrow.parquet.write_table(pa.table(arrays), sink)
            plain = sink.getvalue()
        return gzip.compress(plain, mtime=0) if files.pattern.endswith(".gz") else plain

    def made(self, table: str, count: int) -> list[Json]:
        """New rows, with keys that no other row has."""
        declared = self._files(table).table
        return [
            {column.path: self._value(column, is_key=column.name in declared.key) for column in _payload(declared)}
            for _ in range(count)
        ]

    def _value(self, column: Column, *, is_key: bool) -> Any:
        self._keys += is_key
        if not is_key and self.random.random() < 0.1:
            return None
        number = self._keys if is_key else self.random.randint(-(10**6), 10**6)
        instant = STARTED + timedelta(seconds=number, microseconds=self.random.randrange(10**6))
        match column.type.name:
            case "text":
                return f"{number}" if is_key else self.random.choice(WORDS)
            case "double":
                return number / 8
            case "boolean":
                return bool(number % 2)
            case "timestamp":
                return instant.isoformat()
            case "date":
                return instant.date().isoformat()
            case "decimal":
                return f"{number / 100:.2f}"
            case "json":
                return {"n": number, "of": [None, "ü"]}
            case _:
                return number

    def _files(self, table: str) -> Files:
        return next(files for files in self.files if files.table.name == table)


class FolderMirror(Mirror):
    """Compares a table with its files."""

    def held(self) -> Iterable[Held]:
        for row in self.origin.objects(self.table.name):
            yield Held(row, {name: row[name] for name in (FILE.name, ROW.name)})


@dataclass(frozen=True, kw_only=True)
class FileLocation(PlainLocation[FolderT]):
    """A location that reads files. Its credential, if any, is not needed for a local folder."""

    mirror: type[Mirror] = FolderMirror


def _as_field(value: Any) -> str:
    """A value as a CSV field: null is an empty field, and empty text a quoted one."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value)
    return '"{}"'.format(text.replace('"', '""')) if isinstance(value, str | dict) else text


def _as_arrow(column: Column, values: list[Any]) -> pa.Array:
    """The values in their own types, for writing Parquet."""
    name = column.type.name
    convert: dict[str, Callable[[str], Any]] = {
        "timestamp": datetime.fromisoformat,
        "date": date.fromisoformat,
        "decimal": Decimal,
        "json": json.dumps,
    }
    made = [v if v is None or name not in convert else convert[name](v) for v in values]
    types = {"decimal": pa.decimal128(20, 2), "timestamp": pa.timestamp("us", "UTC")}
    return pa.array(made, types.get(name, column.type.arrow))


def _payload(table: Table) -> list[Column]:
    return [column for column in table.columns if column.origin == "payload"]
