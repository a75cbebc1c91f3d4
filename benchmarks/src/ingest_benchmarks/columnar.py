"""The step that was explored before the columnar path was chosen: JSON pages to typed Arrow tables.

Each way reads the same pages of GitHub issues into the table ``issues`` and its child tables
``issue_labels`` and ``issue_assignees``; nothing is loaded. ``docs/columnar-path.md`` tells what
was made of the figures.
"""

import gc
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from ingest_benchmarks import floor
from ingest_benchmarks.measure import Clock, Measured
from ingest_benchmarks.memory import ISSUES, served
from ingest_shared.tables import Child, Column, Table

PAGES_AT_ONCE = 50
"""Pages turned into Arrow together, by every way: 5,000 rows."""

TABLE = ISSUES.table
Tables = dict[str, pa.Table]


def msgspec_structs(pages: list[bytes]) -> Tables:
    """Ours."""
    return ISSUES.decoder.arrow([ISSUES.decoder.page(body, ISSUES.given) for body in pages])


def orjson_lists(pages: list[bytes]) -> Tables:
    """orjson's dicts, and a list for each column."""
    return floor.arrow(TABLE, [row for body in pages for row in floor.rows_of(body)], ISSUES.given)


def pyarrow_reader(pages: list[bytes]) -> Tables:
    """pyarrow's JSON reader with the schema given; it cannot keep a value as JSON, so those are left out."""
    lines = BytesIO(b"\n".join(b'{"rows":' + body + b"}" for body in pages))
    schema = pa.schema({"rows": pa.list_(_arrow_type(_tree(TABLE)))})
    read = pyarrow.json.read_json(
        lines,
        pyarrow.json.ReadOptions(block_size=1 << 24),
        pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
    )
    rows = pc.list_flatten(read["rows"].combine_chunks())
    tables = {TABLE.name: _flattened(TABLE, rows)}
    for child in TABLE.children:
        lists = pc.struct_field(rows, child.path.split("."))
        owners = rows.take(pc.list_parent_indices(lists))
        tables[child.name] = _flattened(child, pc.list_flatten(lists), owners)
    return tables


def duckdb_reader(pages: list[bytes]) -> Tables:
    """DuckDB's JSON functions on the bodies, with the types given."""
    bodies = pa.table({"body": pa.array(pages, pa.binary()).cast(pa.string())})
    with duckdb.connect() as connection:
        connection.register("bodies", bodies)
        structure = _duckdb_type(_tree(TABLE))
        connection.execute(f"CREATE TABLE parsed AS SELECT unnest(from_json(body, '[{structure}]')) AS r FROM bodies")
        tables = {TABLE.name: connection.sql(f"SELECT {_selected(TABLE)} FROM parsed").to_arrow_table()}
        for child in TABLE.children:
            elements = f"SELECT r AS owner, unnest(r.{child.path}) AS r FROM parsed"
            tables[child.name] = connection.sql(f"SELECT {_selected(child)} FROM ({elements})").to_arrow_table()
    return tables


WAYS: dict[str, Callable[[list[bytes]], Tables]] = {
    "msgspec structs (ours)": msgspec_structs,
    "orjson, lists": orjson_lists,
    "pyarrow's JSON reader": pyarrow_reader,
    "DuckDB's JSON reader": duckdb_reader,
}


def convert(_: Path, *, way: str, rows: int) -> Measured:
    """Turns this many issues into Arrow, 5,000 at a time."""
    pages = list(served(ISSUES, rows))
    clock, done = Clock(), 0
    gc.disable()  # as in floor.load
    with clock.running():
        for start in range(0, len(pages), PAGES_AT_ONCE):
            done += WAYS[way](pages[start : start + PAGES_AT_ONCE])[TABLE.name].num_rows
    return clock.measured(done)


def infer(folder: Path, *, rows: int) -> Measured:
    """dlt's own way to the same point: extract, infer types, normalize into parquet files."""
    pages = list(served(ISSUES, rows))
    target = dlt.pipeline("inferred", pipelines_dir=str(folder), destination="duckdb")
    clock = Clock()
    with clock.running():
        target.extract(dlt.resource(map(floor.rows_of, pages), name="issues"), loader_file_format="parquet")
        target.normalize()
    return clock.measured(rows)


def _tree(table: Table | Child) -> dict[str, Any]:
    """The columns of a table by the objects they stand in, as the JSON has them; a list for a child."""
    tree: dict[str, Any] = {}
    for column in table.columns:
        if column.origin == "payload":
            *objects, name = column.path.split(".")
            place = tree
            for key in objects:
                place = place.setdefault(key, {})
            place[name] = column
    for child in table.children if isinstance(table, Table) else ():
        tree[child.path] = [_tree(child)]
    return tree


def _arrow_type(node: Any) -> pa.DataType:
    if isinstance(node, list):
        return pa.list_(_arrow_type(node[0]))
    if isinstance(node, dict):
        kept = {name: inner for name, inner in node.items() if not _is_json(inner)}
        return pa.struct([(name, _arrow_type(inner)) for name, inner in kept.items()])
    return node.type.arrow


def _is_json(node: Any) -> bool:
    return isinstance(node, Column) and node.type.name in ("json", "present")


def _flattened(table: Table | Child, rows: pa.Array, owners: pa.Array | None = None) -> pa.Table:
    columns = {}
    for column in table.columns:
        source = {"payload": rows, "parent": owners}.get(column.origin)
        if source is not None and not _is_json(column):
            columns[column.name] = pc.struct_field(source, column.path.split("."))
    return pa.table(columns)


_DUCKDB_TYPES = {
    "text": "VARCHAR",
    "double": "DOUBLE",
    "timestamp": "TIMESTAMPTZ",
    "json": "JSON",
    "present": "JSON",
}


def _duckdb_type(node: Any) -> str:
    """What ``from_json`` calls a structure: JSON with the names of types for values."""
    if isinstance(node, list):
        return f"[{_duckdb_type(node[0])}]"
    if isinstance(node, dict):
        return "{" + ",".join(f'"{name}":{_duckdb_type(inner)}' for name, inner in node.items()) + "}"
    return f'"{_DUCKDB_TYPES.get(node.type.name, node.type.name)}"'


def _selected(table: Table | Child) -> str:
    sources = {"payload": "r", "parent": "owner"}
    return ", ".join(
        f'{sources[c.origin]}."{c.path.replace(".", chr(34) + "." + chr(34))}" AS "{c.name}"'
        for c in table.columns
        if c.origin in sources
    )
