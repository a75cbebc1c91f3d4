"""Deletes that the API does not tell of: rows that a whole list no longer has.

A deleted row stays in the warehouse with its last values and gets ``deleted_at``. The merge
replaces whole rows, so those values are read back from the warehouse.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from typing import Any

import dlt
import msgspec
import pyarrow as pa
from dlt.destinations.exceptions import DatabaseUndefinedRelation

from ingest_shared.columnar import arrow_schema
from ingest_shared.tables import JSON, Table

DELETED_AT = "deleted_at"


def vanished(table: Table, scope: Mapping[str, Any], seen: AbstractSet[Any], at: int) -> pa.Table:
    """The rows of ``scope`` that live in the warehouse and are not among the keys ``seen``.

    They come with ``deleted_at`` set to ``at``, seconds since 1970. ``table`` has a single key
    and a column ``deleted_at``; ``seen`` must hold every key that the origin has in the scope.
    Must be called while dlt reads a resource.
    """
    (key,) = table.key
    schema = arrow_schema(table)
    with dlt.current.pipeline().sql_client() as client:
        names = ", ".join(map(client.escape_column_name, schema.names))
        living = " AND ".join([f"{DELETED_AT} IS NULL", *(f"{column} = %s" for column in scope)])
        name = client.make_qualified_table_name(table.name)
        try:
            keys = client.execute_sql(f"SELECT {key} FROM {name} WHERE {living}", *scope.values()) or ()
        except DatabaseUndefinedRelation:  # the first load
            return schema.empty_table()
        rows = [
            row
            for (gone,) in keys
            if gone not in seen
            for row in client.execute_sql(f"SELECT {names} FROM {name} WHERE {key} = %s", gone) or ()
        ]
    values = dict(zip(schema.names, zip(*rows, strict=True), strict=True)) if rows else {}
    texts = {column.name for column in table.columns if column.type is JSON} | {"_undeclared"}
    arrays = [_array(values.get(f.name, ()), f.type, as_json=f.name in texts) for f in schema]
    arrays[schema.get_field_index(DELETED_AT)] = pa.array([datetime.fromtimestamp(at, UTC)] * len(rows))
    return pa.table([array.cast(f.type) for array, f in zip(arrays, schema, strict=True)], schema=schema)


def _array(values: Any, type_: pa.DataType, *, as_json: bool) -> pa.Array:
    """The values as the destination's driver gave them; some drivers parse JSON on the way."""
    if as_json:
        values = [
            value if value is None or isinstance(value, str) else msgspec.json.encode(value).decode()
            for value in values
        ]
    return pa.array(values, type_)
