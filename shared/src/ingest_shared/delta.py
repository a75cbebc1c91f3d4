"""Delta tables in a folder or in object storage, by dlt's filesystem destination: merged like tables of a database.

Of dlt's own merges into them, ``upsert`` keeps what has disappeared from a list, and ``cdc`` cannot name the owners
that were staged; DuckDB reads them with an extension that it fetches from the network. Here ``deltalake`` does both.

https://dlthub.com/docs/dlt-ecosystem/destinations/delta-iceberg
"""

import tempfile
from contextlib import suppress
from typing import Any

import dlt
import duckdb
import msgspec
import pyarrow as pa
import pyarrow.dataset as pads
from deltalake import DeltaTable
from dlt.common.destination import DestinationCapabilitiesContext
from dlt.common.destination.client import JobClientBase
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.destination.typing import PreparedTableSchema
from dlt.common.libs.deltalake import deltalake_storage_options, evolve_delta_table_schema
from dlt.common.schema import Schema
from dlt.destinations.impl.duckdb.sql_client import DuckDbSqlClient
from dlt.destinations.impl.filesystem.configuration import FilesystemDestinationClientConfiguration
from dlt.destinations.impl.filesystem.filesystem import DeltaLoadFilesystemJob, FilesystemClient, ReferenceFollowupJob
from dlt.destinations.impl.filesystem.sql_client import FilesystemSqlClient
from dlt.destinations.sql_client import SqlClientBase, raise_database_error

from ingest_shared.destinations import DUCKDB_MEMORY, ResolvedOnce

REPLACED = "_replaced"
"""Marks the rows of a merge that stand for a key, or an owner, whose rows are deleted; no table has this column."""


class _LoadJob(DeltaLoadFilesystemJob):
    """Merges the staged rows in one commit: what has their keys, or their owners, is deleted, and they are inserted."""

    _job_client: "_Client"

    def run(self) -> None:
        if self._load_table["write_disposition"] != "merge":
            super().run()
            return
        name, client = self.load_table_name, self._job_client
        rows = self.arrow_dataset.to_table()
        table = client.opened(name) or DeltaTable.create(
            client.get_open_table_location("delta", name), rows.schema, storage_options=client.options
        )
        evolve_delta_table_schema(table, rows.schema)
        if rows.num_rows:
            self._merge(table, rows)

    def _merge(self, table: DeltaTable, rows: pa.Table) -> None:
        hints = self._load_table["columns"]
        owner = [name for name, hint in hints.items() if hint.get("cluster")]
        keys = owner or [name for name, hint in hints.items() if hint.get("primary_key")]
        replaced = rows.select(keys).group_by(keys).aggregate([])
        source = pa.concat_tables(
            [_marked(rows, replaced=False), _marked(replaced, replaced=True)], promote_options="default"
        )
        same = " AND ".join(f"target.{name} = source.{name}" for name in map(_quoted, keys))
        is_row = f"NOT source.{REPLACED}"
        if condition := self._load_table.get("x-merge-source-filter"):  # it begins with the name of a column
            is_row += f" AND source.{condition}"
        values = {name: f"source.{name}" for name in map(_quoted, rows.column_names)}
        merge = table.merge(source, f"source.{REPLACED} AND {same}", "source", "target", streamed_exec=False)
        merge.when_matched_delete().when_not_matched_insert(values, is_row).execute()


def _marked(rows: pa.Table, *, replaced: bool) -> pa.Table:
    return rows.append_column(REPLACED, pa.repeat(pa.scalar(replaced), rows.num_rows))


def _as_view(column: pa.Field) -> pa.Field:
    views = {pa.string(): pa.string_view(), pa.binary(): pa.binary_view()}
    return column.with_type(views.get(column.type, column.type))


def _quoted(name: str) -> str:
    return f'"{name}"'


class _SqlClient(FilesystemSqlClient):
    """Lets DuckDB query a table as it was when it was first asked for since the connection was opened."""

    remote_client: "_Client"

    def open_connection(self) -> duckdb.DuckDBPyConnection:
        """Without the secrets of dlt's own, which only the extensions need."""
        self._shown: set[str] = set()
        self._global_config |= {"memory_limit": DUCKDB_MEMORY, "temp_directory": tempfile.gettempdir()}
        files = self.remote_client
        if files.is_local_filesystem:
            files.fs_client.makedirs(files.bucket_path, exist_ok=True)
        files.is_storage_initialized()  # raises if the storage cannot be reached
        return DuckDbSqlClient.open_connection(self)

    @raise_database_error
    def create_views_for_tables(self, tables: dict[str, str]) -> None:
        for name in tables.keys() - self._shown:
            if (rows := self.remote_client.rows(name)) is not None:
                self._conn.register(f"rows of {name}", rows)
                view = self.make_qualified_table_name(name)
                self._conn.execute(f'CREATE OR REPLACE VIEW {view} AS SELECT * FROM temp."rows of {name}"')
                self._shown.add(name)

    def stored_tables(self) -> frozenset[str]:
        """The tables that are there."""
        return self.remote_client.stored_tables()


class _Client(FilesystemClient):
    def __init__(
        self,
        schema: Schema,
        config: FilesystemDestinationClientConfiguration,
        capabilities: DestinationCapabilitiesContext,
    ) -> None:
        super().__init__(schema, config, capabilities)
        self.options = deltalake_storage_options(config.credentials, config.deltalake_storage_options)

    @property
    def sql_client(self) -> SqlClientBase[Any]:
        if not self._sql_client:
            self._sql_client = _SqlClient(self, self.dataset_name)
        return self._sql_client

    @sql_client.setter
    def sql_client(self, client: SqlClientBase[Any]) -> None:
        self._sql_client = client

    def prepare_load_table(self, table_name: str) -> PreparedTableSchema:
        table = super().prepare_load_table(table_name)
        if not self.is_dlt_table(table_name):
            table["table_format"] = "delta"
        return table

    def verify_schema(self, only_tables: Any = None, new_jobs: Any = None) -> list[PreparedTableSchema]:
        """Without what dlt forbids for merges that it would do itself."""
        self._tables_with_jobs = {job.table_name for job in new_jobs or ()}
        return JobClientBase.verify_schema(self, only_tables, new_jobs)

    @staticmethod
    def get_reference_followup_job_class(table: PreparedTableSchema) -> type[ReferenceFollowupJob] | None:
        return _LoadJob if table.get("table_format") == "delta" else None

    def stored_tables(self) -> frozenset[str]:
        """The Delta tables of the dataset."""
        if not self.is_storage_initialized():
            return frozenset()
        folders = (self.pathlib.basename(path.rstrip("/")) for path in self.fs_client.ls(self.dataset_path, False))
        locations = {name: self.get_open_table_location("delta", name) for name in folders}
        return frozenset(name for name, at in locations.items() if DeltaTable.is_deltatable(at, self.options))

    def rows(self, table: str) -> pads.Dataset | pa.Table | None:
        """The rows of a table as they are now; None if there is no such table."""
        if self.is_dlt_table(table):  # a file of JSON for each row
            with suppress(DestinationUndefinedEntity):
                if files := self.list_table_files(table):
                    return pa.Table.from_pylist(list(map(msgspec.json.decode, self.fs_client.cat(files).values())))
            return None
        if (found := self.opened(table)) is None:
            return None
        schema = pa.schema(found.schema().to_arrow())
        # Merges write text as views, and Arrow compares those with nothing else.
        return found.to_pyarrow_dataset(schema=pa.schema([_as_view(column) for column in schema]))

    def opened(self, table: str) -> DeltaTable | None:
        """The Delta table; None if there is no such table."""
        location = self.get_open_table_location("delta", table)
        found = DeltaTable.is_deltatable(location, self.options)
        return DeltaTable(location, storage_options=self.options) if found else None


class delta(ResolvedOnce, dlt.destinations.filesystem):  # noqa: N801, dlt takes the destination's name from it
    """``destination.delta.bucket_url`` is a folder, or an address such as ``s3://bucket/folder``."""

    @property
    def client_class(self) -> type[FilesystemClient]:
        return _Client

    def _raw_capabilities(self) -> DestinationCapabilitiesContext:
        capabilities = super()._raw_capabilities()
        capabilities.supported_merge_strategies = ["delete-insert"]
        # dlt's ask for a table's format, which only the client gives it.
        capabilities.merge_strategies_selector = capabilities.replace_strategies_selector = None  # type: ignore[assignment]
        return capabilities
