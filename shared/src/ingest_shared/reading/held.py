"""The rows that the warehouse holds, streamed as Arrow. For use while dlt reads a resource."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from dlt.destinations.exceptions import DatabaseUndefinedRelation
from dlt.destinations.impl.duckdb.sql_client import DuckDbSqlClient
from dlt.destinations.impl.postgres.sql_client import Psycopg2SqlClient
from dlt.destinations.sql_client import SqlClientBase

from ingest_shared import pipelines
from ingest_shared.databases.types import typed
from ingest_shared.tables import JSON, Column, Table

ROWS_AT_ONCE = 50_000
BYTES_AT_ONCE = 4_000_000
"""Bytes from PostgreSQL in a batch; as fast as ADBC's default of 16 MB, of which several are held at a time."""


@contextmanager
def warehouse() -> "Iterator[Held]":
    """The warehouse, open until the block ends. Until then, no other group can load into a DuckDB file."""
    with pipelines.current().sql_client() as client:
        yield Held(client)


class Held:
    """What the warehouse holds."""

    def __init__(self, client: SqlClientBase[Any]) -> None:
        self.client = client

    def batches(
        self, table: Table, columns: Sequence[Column], keys: Sequence[tuple[Any, ...]] = ()
    ) -> Iterator[pa.Table]:
        """These columns of all rows, or of the rows with these keys; a column that does not exist yet is null."""
        name, quoted = self.client.make_qualified_table_name(table.name), self.client.escape_column_name
        try:
            with self.client.execute_query(f"SELECT * FROM {name} WHERE 1 = 0") as cursor:
                there = set(map(str.lower, cursor.columns_schema))
        except DatabaseUndefinedRelation:
            return
        asked = ", ".join(self._asked(column) if column.name in there else "NULL" for column in columns)
        query = f"SELECT {asked} FROM {name}"
        if keys:
            one = "(" + " AND ".join(f"{quoted(column)} = %s" for column in table.key) + ")"
            query += f" WHERE {' OR '.join([one] * len(keys))}"
        for batch in self._query(query, [value for values in keys for value in values]):
            arrays = [typed(batch.column(i), column.type) for i, column in enumerate(columns)]
            yield pa.table(arrays, [column.name for column in columns])

    def _asked(self, column: Column) -> str:
        name = self.client.escape_column_name(column.name)
        return f"{name}::text" if isinstance(self.client, Psycopg2SqlClient) and column.type is JSON else name

    def _query(self, query: str, values: Sequence[Any]) -> Iterator[pa.Table]:
        """Streamed, because dlt's cursor would hold the whole result of DuckDB and PostgreSQL."""
        if isinstance(self.client, DuckDbSqlClient):
            relation = self.client.native_connection.sql(query.replace("%s", "?"), params=list(values) or None)
            yield from map(_table, relation.to_arrow_reader(ROWS_AT_ONCE))
        elif isinstance(self.client, Psycopg2SqlClient):
            with self.client.native_connection.cursor() as plain:
                sql = plain.mogrify(query, values).decode()
            yield from copied(self.client.credentials.to_native_representation(), sql)
        else:
            with self.client.execute_query(query, *values) as cursor:
                yield from cursor.iter_arrow(chunk_size=ROWS_AT_ONCE)


def copied(address: str, *statements: str) -> Iterator[pa.Table]:
    """The rows of the last statement, streamed from PostgreSQL: ADBC turns a binary COPY into Arrow."""
    from adbc_driver_postgresql import StatementOptions, dbapi  # noqa: PLC0415, loaded where it is used

    with dbapi.connect(address) as connection, connection.cursor() as cursor:
        cursor.adbc_statement.set_options(**{StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(BYTES_AT_ONCE)})
        for statement in statements:
            cursor.execute(statement)
        yield from map(_table, cursor.fetch_record_batch())


def _table(batch: pa.RecordBatch) -> pa.Table:
    return pa.Table.from_batches([batch])
