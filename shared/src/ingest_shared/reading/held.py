"""The rows that the warehouse holds, streamed as Arrow. To be called while dlt reads a resource."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import dlt
import pyarrow as pa
from dlt.destinations.exceptions import DatabaseUndefinedRelation
from dlt.destinations.sql_client import SqlClientBase

from ingest_shared.databases.types import typed
from ingest_shared.tables import JSON, Column, Table

ROWS_AT_ONCE = 50_000


@contextmanager
def warehouse() -> "Iterator[Held]":
    """The warehouse, open until the block ends: meanwhile no other group can load into a DuckDB file."""
    pipeline = dlt.current.pipeline()
    with pipeline.sql_client() as client:
        destination = pipeline.destination
        yield Held(client, destination is not None and destination.destination_name == "postgres")


class Held:
    """What the warehouse holds."""

    def __init__(self, client: SqlClientBase[Any], is_postgres: bool) -> None:
        self.client = client
        self.is_postgres = is_postgres

    def batches(
        self, table: Table, columns: Sequence[Column], key: Sequence[Column] = (), keys: Sequence[tuple[Any, ...]] = ()
    ) -> Iterator[pa.Table]:
        """These columns of all rows, or of those with the keys; a column that is not there yet is null."""
        name, quoted = self.client.make_qualified_table_name(table.name), self.client.escape_column_name
        try:
            with self.client.execute_query(f"SELECT * FROM {name} WHERE 1 = 0") as cursor:
                there = set(map(str.lower, cursor.columns_schema))
        except DatabaseUndefinedRelation:
            return
        asked = ", ".join(self._asked(column) if column.name in there else "NULL" for column in columns)
        query = f"SELECT {asked} FROM {name}"
        if key:
            one = "(" + " AND ".join(f"{quoted(column.name)} = %s" for column in key) + ")"
            query += f" WHERE {' OR '.join([one] * len(keys))}"
        for batch in self._query(query, [value for values in keys for value in values]):
            arrays = [typed(batch.column(i), column.type) for i, column in enumerate(columns)]
            yield pa.table(arrays, [column.name for column in columns])

    def _asked(self, column: Column) -> str:
        name = self.client.escape_column_name(column.name)
        return f"{name}::text" if self.is_postgres and column.type is JSON else name

    def _query(self, query: str, values: Sequence[Any]) -> Iterator[pa.Table]:
        if not self.is_postgres:
            with self.client.execute_query(query, *values) as cursor:
                yield from cursor.iter_arrow(chunk_size=ROWS_AT_ONCE)
            return
        from adbc_driver_postgresql import dbapi  # noqa: PLC0415, loaded where it is used

        with self.client.native_connection.cursor() as plain:
            sql = plain.mogrify(query, values).decode()
        address = self.client.credentials.to_native_representation()
        with dbapi.connect(address) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            for batch in cursor.fetch_record_batch():
                yield pa.Table.from_batches([batch])
