"""dlt's PostgreSQL destination, for tables without rows and for a role that may not create schemas."""

import dlt
import pyarrow.parquet as pq
from dlt.common.destination import DestinationCapabilitiesContext
from dlt.common.destination.client import LoadJob
from dlt.common.destination.typing import PreparedTableSchema
from dlt.common.schema import Schema
from dlt.destinations.impl.postgres.configuration import PostgresClientConfiguration
from dlt.destinations.impl.postgres.postgres import PostgresClient, PostgresParquetCopyJob
from dlt.destinations.impl.postgres.sql_client import Psycopg2SqlClient
from dlt.destinations.job_impl import FinalizedLoadJobWithFollowupJobs

from ingest_shared.destinations import ResolvedOnce

LONGEST_QUERY = 2**20
"""Bytes; dlt loads rows that are not in Arrow tables by INSERT statements of half this length. To parse one, Postgres
takes up to 150 times as much memory, and on the platform a session that needs more than 128 MB fails
(`docker-compose.yml`)."""


class _SqlClient(Psycopg2SqlClient):
    """Creates staging schemas through the platform's function, if it exists: a location's role may not create them."""

    def create_dataset(self) -> None:
        if self.execute_sql("SELECT to_regproc('platform.make_schema')") == [(None,)]:
            super().create_dataset()
        else:
            self.execute_sql("SELECT platform.make_schema(%s)", self.dataset_name)


class _Client(PostgresClient):
    """Skips files without rows, which ADBC refuses: they serve only to create their table."""

    def __init__(
        self, schema: Schema, config: PostgresClientConfiguration, capabilities: DestinationCapabilitiesContext
    ) -> None:
        super().__init__(schema, config, capabilities)
        made = self.sql_client
        self.sql_client = _SqlClient(made.dataset_name, made.staging_dataset_name, config.credentials, capabilities)

    def create_load_job(
        self, table: PreparedTableSchema, file_path: str, load_id: str, restore: bool = False
    ) -> LoadJob:
        if file_path.endswith(".parquet") and pq.read_metadata(file_path).num_rows == 0:
            return FinalizedLoadJobWithFollowupJobs(file_path)
        job = super().create_load_job(table, file_path, load_id, restore)
        if isinstance(job, PostgresParquetCopyJob):  # ADBC would turn the whole file into one table in memory
            job._ingest_per_rowgroup = True
        return job


class postgres(ResolvedOnce, dlt.destinations.postgres):  # noqa: N801, dlt takes the destination's name from it
    """https://dlthub.com/docs/dlt-ecosystem/destinations/postgres"""

    def _raw_capabilities(self) -> DestinationCapabilitiesContext:
        capabilities = super()._raw_capabilities()
        capabilities.max_query_length = LONGEST_QUERY
        return capabilities

    @property
    def client_class(self) -> type[PostgresClient]:
        return _Client
