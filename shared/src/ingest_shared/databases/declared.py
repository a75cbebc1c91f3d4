"""The tables of a database that a location mirrors, as ``source/tables.yaml`` declares them.

`ingest reflect` writes the file from the database's own catalog, so that definitions load without the database.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from dlt.common.normalizers.naming.snake_case import NamingConvention

from ingest_shared.databases.types import named
from ingest_shared.errors import SettingError
from ingest_shared.reading.tombstones import DELETED_AT
from ingest_shared.tables import TIMESTAMP, Column, Table

LAG = 300
"""Seconds before the cursor that are read again, unless a table says otherwise: for transactions that commit late."""
SETTINGS = ("source", "description", "key", "cursor", "lag", "deletes", "deleted", "without", "columns")
DELETES = ("sync", "audit")
_CURSORS = ("bigint", "timestamp", "date", "decimal")
"""dlt's types that a cursor may have."""
_NAMES = NamingConvention()


@dataclass(frozen=True)
class Mirrored:
    """A table of a database, and how it is read.

    ``source`` is its name there, with its schema. ``cursor`` is the column of :attr:`table` that grows with each
    change of a row, empty if there is none; ``lag`` is how much below the highest value known is read again, in
    seconds or, for numbers, in units. ``deletes`` is whether every *sync* looks for rows that are gone, or only an
    *audit*.
    """

    table: Table
    source: str
    cursor: str = ""
    lag: float = 0
    deletes: str = "sync"
    without: tuple[str, ...] = ()
    """Columns of the database that are left out on purpose."""

    @property
    def read(self) -> tuple[Column, ...]:
        """The columns that the database has."""
        return tuple(column for column in self.table.columns if column.origin == "reader")

    @property
    def facts(self) -> dict[str, str]:
        """How its rows are read, for the page of tables."""
        read = f"All of `{self.source}`, compared with the warehouse row by row; only what differs is loaded."
        if self.cursor:
            read = f"What changed in `{self.source}` since the previous sync, by `{self.cursor}` (lag {self.lag:g})"
            read += (
                f"; then the keys and `{self.cursor}` of all rows are compared with the warehouse."
                if self.deletes == "sync"
                else "."
            )
        return {"Read": read, "Deletes": f"found by every {self.deletes}."}

    @property
    def key(self) -> tuple[Column, ...]:
        return tuple(column for name in self.table.key for column in self.table.columns if column.name == name)


def declared(file: Path) -> dict[str, Mirrored]:
    """The tables of the file by their names in the warehouse; raises :class:`SettingError`."""
    entries = yaml.safe_load(file.read_text()) if file.exists() else {}
    return {name: mirrored(name, entry) for name, entry in (entries or {}).items()}


def mirrored(name: str, entry: Mapping[str, Any]) -> Mirrored:
    """A table as an entry of ``tables.yaml`` declares it; raises :class:`SettingError`."""
    if unknown := entry.keys() - set(SETTINGS):
        raise SettingError(f"table {name}: tables.yaml has no setting {min(unknown)!r}; use {', '.join(SETTINGS)}")
    columns = tuple(_column(name, at_source, told, entry) for at_source, told in entry["columns"].items())
    if (deletes := entry.get("deletes", DELETES[0])) not in DELETES:
        raise SettingError(f"table {name}: deletes is {deletes!r}; write {' or '.join(DELETES)}")
    by_source = {column.path: column for column in columns}
    for setting in ("cursor", "deleted", "key"):
        for at_source in _names(entry.get(setting)):
            if at_source not in by_source:
                raise SettingError(f"table {name}: {setting} names {at_source!r}, which is not one of its columns")
    if not (key := _names(entry.get("key"))):
        raise SettingError(
            f"table {name}: {entry['source']} has no primary key; name the columns that identify a row, such as "
            "key: [a, b] in tables.yaml, or --key a,b"
        )
    cursor = by_source[entry["cursor"]] if entry.get("cursor") else None
    if cursor and cursor.type.dlt not in _CURSORS:
        raise SettingError(f"table {name}: cursor {cursor.path!r} is a {cursor.type.name}; use a time or a number")
    if DELETED_AT not in {column.name for column in columns}:
        told = "When a sync or an audit found that the row is gone; null while it exists."
        columns += (Column(DELETED_AT, TIMESTAMP, told, DELETED_AT, "derived"),)
    is_time = cursor is not None and cursor.type.dlt in ("timestamp", "date")
    return Mirrored(
        Table(
            name=name,
            description=entry.get("description") or f"The table {entry['source']}.",
            docs="",
            key=tuple(by_source[at_source].name for at_source in key),
            columns=columns,
        ),
        entry["source"],
        cursor.name if cursor else "",
        float(entry.get("lag", LAG if is_time else 0)),
        deletes,
        tuple(_names(entry.get("without"))),
    )


def _column(table: str, at_source: str, told: Mapping[str, Any], entry: Mapping[str, Any]) -> Column:
    try:
        type_ = named(told["type"])
    except KeyError:
        raise SettingError(f"table {table}, column {at_source}: the type {told.get('type')!r} is not known") from None
    is_deleted = at_source == entry.get("deleted")
    if is_deleted and type_.dlt != "timestamp":
        raise SettingError(f"table {table}: deleted {at_source!r} is a {type_.name}; name a column that holds a time")
    name = DELETED_AT if is_deleted else called(at_source)
    description = told.get("description") or f"The column {at_source}; the database has no comment on it."
    return Column(name, TIMESTAMP if is_deleted else type_, description, at_source, "reader")


def called(at_source: str) -> str:
    """What dlt calls a column or table in the warehouse."""
    return _NAMES.normalize_identifier(at_source)


def _names(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())
