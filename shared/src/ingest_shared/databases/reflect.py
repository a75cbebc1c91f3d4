"""Writes ``source/tables.yaml`` of a location from its database's own catalog; `ingest reflect` calls it.

    python -m ingest_shared.databases.reflect crm public.orders --cursor updated_at
    python -m ingest_shared.databases.reflect crm --check

What the catalog says is renewed (columns, types, comments); a team's own settings of each table stay.
"""

import argparse
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml

from ingest_shared.databases.connection import Database, described, split
from ingest_shared.databases.declared import SETTINGS, called, declared, mirrored
from ingest_shared.databases.types import column_type
from ingest_shared.errors import IngestError, SettingError
from ingest_shared.notes import check_name
from ingest_shared.reading.tombstones import DELETED_AT
from ingest_shared.tables import UNDECLARED

HEAD = """\
# Written by `ingest reflect {location}` from the database's catalog. The settings of a table are yours to change,
# and stay: cursor, lag, deletes, deleted, without, description, and key if the database has none. See docs/sql.md.
"""
WIDTH = 116
Entry = dict[str, Any]


def entry(database: Database, connection: sa.Connection, name: str, known: Entry) -> Entry:
    """A table's entry, with the settings that are ``known``; raises an :class:`IngestError`."""
    check_name(name)
    schema, table = split(known["source"])
    columns = described(connection, known["source"])
    left_out = known.get("without") or []
    if unknown := set(left_out) - {column["name"] for column in columns}:
        raise SettingError(f"table {name}: without names {min(unknown)!r}, which {known['source']} does not have")
    inspector = sa.inspect(connection)
    found = {**known, "columns": {}}
    found.setdefault("key", inspector.get_pk_constraint(table, schema)["constrained_columns"])
    if comment := _comment(inspector, table, schema):
        found["description"] = comment
    names = Counter(called(column["name"]) for column in columns if column["name"] not in left_out)
    for column in columns:
        at_source, type_ = column["name"], column_type(column["type"], database.dialect)
        if at_source in left_out:
            continue
        remedy = f"leave it out with --without {at_source}"
        if type_ is None:
            raise SettingError(f"the column {at_source} of {known['source']} has a type that cannot be read: {remedy}")
        if names[called(at_source)] > 1:
            raise SettingError(
                f"{known['source']} has several columns that the warehouse would call {called(at_source)}; {remedy}"
            )
        if called(at_source) in (UNDECLARED, "_dlt_id", "_dlt_load_id"):
            raise SettingError(f"the column {at_source} of {known['source']} has a name that the mirror uses: {remedy}")
        if called(at_source) == DELETED_AT and not known.get("deleted"):
            if type_.dlt != "timestamp":
                raise SettingError(f"{known['source']} has a column {at_source} that is not a time: {remedy}")
            found["deleted"] = at_source
        told = {"type": type_.name}
        if column.get("comment"):
            told["description"] = _printable(column["comment"])
        found["columns"][at_source] = told
    ordered = {setting: found[setting] for setting in SETTINGS if found.get(setting) not in (None, "", [])}
    mirrored(name, ordered)  # raises if the settings contradict each other
    return ordered


def _comment(inspector: Any, table: str, schema: str | None) -> str:
    try:
        return _printable(inspector.get_table_comment(table, schema)["text"] or "")
    except NotImplementedError:  # an engine that has none
        return ""


def _printable(comment: str) -> str:
    """In one line, without characters that control a terminal or change the text direction."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in comment).split())


def written(entries: dict[str, Entry], location: str) -> str:
    """The file's text: a line for each column."""
    lines = [HEAD.format(location=location).rstrip()]
    for name, found in sorted(entries.items()):
        lines.append(_flow(name) + ":")
        for setting, value in found.items():
            if setting != "columns":
                lines.append(f"  {setting}: {_flow(value)}")
        lines.append("  columns:")
        lines += [f"    {_flow(column)}: {_flow(told)}" for column, told in found["columns"].items()]
    return "\n".join(lines) + "\n"


def _flow(value: Any) -> str:
    """In one line, whatever it contains, such as a column name with a line break."""
    style = '"' if isinstance(value, str) and not value.isprintable() else None
    text: str = yaml.safe_dump(
        value, default_flow_style=True, default_style=style, allow_unicode=True, sort_keys=False, width=10**6
    )
    return text.removesuffix("\n...\n").strip()


def reflect(location: str, file: Path, sources: list[str], settings: Entry, called_: str = "") -> dict[str, Entry]:
    """The entries of the file as the database has them now, with those of ``sources`` added."""
    entries: dict[str, Entry] = yaml.safe_load(file.read_text()) or {} if file.exists() else {}
    for source in sources:
        name = called_ or called(split(source)[1])
        if name in entries and entries[name]["source"] != source:
            raise SettingError(f"{entries[name]['source']} is called {name} already: add --as and another name")
        entries[name] = {**entries.get(name, {}), "source": source, **settings}
    database: Database = import_module(f"{location}_location.source.api").connect()
    with database.connected() as connection:
        return {name: entry(database, connection, name, known) for name, known in entries.items()}


def main() -> int:
    """0 if the file was written or matches the database; otherwise 1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("location")
    parser.add_argument("sources", nargs="*", help="tables to add, such as public.orders; by default none")
    parser.add_argument("--as", dest="called", default="", help="what the table is called in the warehouse")
    parser.add_argument("--cursor", help="the column that grows with each change of a row")
    parser.add_argument("--lag", type=int, help="how far below the cursor to read again, in seconds or units")
    parser.add_argument("--key", help="columns that identify a row, separated by commas, if there is no primary key")
    parser.add_argument("--deleted", help="the column with the time of a soft delete")
    parser.add_argument("--deletes", choices=["sync", "audit"], help="which runs look for rows that are gone")
    parser.add_argument("--without", help="columns to leave out, separated by commas")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the file is stale")
    given = vars(parser.parse_args())
    location, sources, called_, check = (given.pop(name) for name in ("location", "sources", "called", "check"))
    settings = {name: value for name, value in given.items() if value is not None}
    settings |= {name: settings[name].split(",") for name in ("key", "without") if name in settings}
    package = import_module(f"{location}_location")
    file = Path(package.__path__[0]) / "source" / "tables.yaml"
    try:
        text = written(reflect(location, file, sources, settings, called_), location)
    except IngestError as error:
        print(error, file=sys.stderr)
        return 1
    if check and text != (file.read_text() if file.exists() else ""):
        print(f"{file.name} does not match the database: run `ingest reflect {location}`", file=sys.stderr)
        return 1
    if not check:
        file.write_text(text)
        print(f"{file.name}: {', '.join(declared(file)) or 'no tables'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
