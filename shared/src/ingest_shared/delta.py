"""Delta tables in a folder or in object storage, by dlt's filesystem destination: merged like tables of a database.

Of dlt's own merges into them, ``upsert`` keeps what has disappeared from a list, and ``cdc`` cannot name the owners
that were staged; DuckDB reads them with an extension that it fetches from the network. Here ``deltalake`` does both.

https://dlthub.com/docs/dlt-ecosystem/destinations/delta-iceberg
"""

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import dlt
import duckdb
import msgspec
import pyarrow as pa
import pyarrow.dataset as pads
from deltalake import DeltaTable, write_deltalake
from dlt.common.destination import DestinationCapabilitiesContext
from dlt.common.destination.client import JobClientBase
from dlt.common.destination.exceptions import DestinationTerminalException, DestinationUndefinedEntity
from dlt.common.destination.typing import PreparedTableSchema
from dlt.common.libs.deltalake import (
    deltalake_storage_options,
    ensure_delta_compatible_arrow_data,
    evolve_delta_table_schema,
)
from dlt.common.libs.pyarrow import get_local_dataset_reader
from dlt.common.schema import Schema
from dlt.common.utils import uniq_id
from dlt.destinations.impl.duckdb.sql_client import DuckDbSqlClient
from dlt.destinations.impl.filesystem.configuration import FilesystemDestinationClientConfiguration
from dlt.destinations.impl.filesystem.filesystem import DeltaLoadFilesystemJob, FilesystemClient, ReferenceFollowupJob
from dlt.destinations.impl.filesystem.sql_client import FilesystemSqlClient
from dlt.destinations.sql_client import SqlClientBase, raise_database_error

from ingest_shared.destinations import DUCKDB_MEMORY, ResolvedOnce
from ingest_shared.errors import WarehouseError

REPLACED = "_replaced"
"""Marks the rows of a merge that name a key, or an owner, whose rows are deleted; no table has this column."""
FILES = 100
"""Number of files at which a table is compacted: every merge adds one and reads all of them."""
UNSAFE = "aws_s3_allow_unsafe_rename"
"""deltalake's option for storage that cannot refuse to write over a file."""
WITH_STATISTICS = 32
"""Columns for which the log keeps the smallest and the largest value, as Delta Lake does by default."""


class _LoadJob(DeltaLoadFilesystemJob):
    """Merges the staged rows in one commit: deletes what has their keys or owners, and inserts them.

    Appended rows, those of a first load, create the table. If it already exists, because another run was faster or the
    response to the commit was lost, they are merged like all others.
    """

    _job_client: "_Client"

    def run(self) -> None:
        try:
            if self._load_table["write_disposition"] == "replace" or not self._keys:
                super().run()
            elif table := self._job_client.opened(self.load_table_name):
                self._merge_staged(table)
            else:
                self._create()
        except Exception:
            raise
        except BaseException as error:  # a panic in deltalake, which would make dlt wait forever
            raise DestinationTerminalException(f"deltalake failed: {error}") from error

    @property
    def _keys(self) -> list[str]:
        """The columns that identify the rows to replace: their owners' key, or their own."""
        hints = self._load_table["columns"]
        owner = [name for name, hint in hints.items() if hint.get("cluster")]
        return owner or [name for name, hint in hints.items() if hint.get("primary_key")]

    def _create(self) -> None:
        """Raises, so that dlt retries, if the table exists by now."""
        location = self._job_client.get_open_table_location("delta", self.load_table_name)
        options = self._job_client.options
        with get_local_dataset_reader(self.file_paths) as reader:
            rows = ensure_delta_compatible_arrow_data(reader)
            settings = {"delta.dataSkippingStatsColumns": ",".join(_with_statistics(rows.schema))}
            if self._load_table["write_disposition"] == "append":
                write_deltalake(location, rows, mode="error", configuration=settings, storage_options=options)
                return
            table = DeltaTable.create(location, rows.schema, configuration=settings, storage_options=options)
        self._merge_staged(table)

    def _merge_staged(self, table: DeltaTable) -> None:
        rows = self.arrow_dataset.to_table()
        evolve_delta_table_schema(table, rows.schema)
        if rows.num_rows:
            self._merge(table, rows)
        if len(table.file_uris()) >= FILES:
            table.optimize.compact()
            table.vacuum(dry_run=False)

    def _merge(self, table: DeltaTable, rows: pa.Table) -> None:
        keys = self._keys
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


def _with_statistics(schema: pa.Schema) -> list[str]:
    """Not decimals: delta-rs rounds their smallest and largest values, and readers that trust those miss rows."""
    return [column.name for column in schema if not pa.types.is_decimal(column.type)][:WITH_STATISTICS]


def _as_view(column: pa.Field) -> pa.Field:
    views = {pa.string(): pa.string_view(), pa.binary(): pa.binary_view()}
    return column.with_type(views.get(column.type, column.type))


def _quoted(name: str) -> str:
    return f'"{name}"'


class _SqlClient(FilesystemSqlClient):
    """Lets DuckDB query a table as of its first query on this connection."""

    remote_client: "_Client"

    def open_connection(self) -> duckdb.DuckDBPyConnection:
        """Without dlt's own secrets, which only the extensions need."""
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

    def check_storage(self) -> None:
        self.remote_client.check_storage()

    def stored_tables(self) -> frozenset[str]:
        """The tables that exist."""
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

    def check_storage(self) -> None:
        """Raises :class:`WarehouseError` if the storage overwrites files of another run: commits would be lost.

        https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
        """
        if self.config.protocol != "s3" or UNSAFE in self.options:
            return
        probe = f"{self.dataset_path}/{uniq_id()}.probe"
        self.fs_client.pipe_file(probe, b"")
        try:
            with suppress(FileExistsError):
                self.fs_client.pipe_file(probe, b"", mode="create")
                raise WarehouseError(
                    f"the storage of {self.config.bucket_url} ignores If-None-Match, so commits of two runs would "
                    f"overwrite each other: use another one, or set `destination.delta.deltalake_storage_options` to "
                    f'{{"{UNSAFE}": "true"}} and run one job of the location at a time'
                )
        finally:
            self.fs_client.rm_file(probe)

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
        """Without the checks that dlt makes for its own merges."""
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
        if self.is_dlt_table(table):  # a JSON file for each row
            with suppress(DestinationUndefinedEntity):
                if files := self.list_table_files(table):
                    return pa.Table.from_pylist(list(map(msgspec.json.decode, self.fs_client.cat(files).values())))
            return None
        if (found := self.opened(table)) is None:
            return None
        schema = pa.schema(found.schema().to_arrow())
        # Merges write text as string views, which Arrow compares only with each other.
        return found.to_pyarrow_dataset(schema=pa.schema([_as_view(column) for column in schema]))

    def _write_to_json_file(self, filepath: str, data: dict[str, Any]) -> None:
        """Makes a file in a folder appear whole or not at all, as in object storage: a run may be killed here."""
        if not self.is_local_filesystem:
            super()._write_to_json_file(filepath, data)
            return
        part = f"{self.pathlib.join(self.dataset_path, uniq_id())}.part"
        super()._write_to_json_file(part, data)
        Path(part).replace(filepath)

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
        # dlt's selectors need a table's format, which only the client sets.
        capabilities.merge_strategies_selector = capabilities.replace_strategies_selector = None  # type: ignore[assignment]
        return capabilities
