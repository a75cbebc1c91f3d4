"""dlt's PostgreSQL destination, which also takes a table that got no row."""

import dlt
import pyarrow.parquet as pq
from dlt.common.destination.client import LoadJob
from dlt.common.destination.typing import PreparedTableSchema
from dlt.destinations.impl.postgres.postgres import PostgresClient
from dlt.destinations.job_impl import FinalizedLoadJobWithFollowupJobs


class _Client(PostgresClient):
    """Skips files without a row, which ADBC refuses: they only create their table."""

    def create_load_job(
        self, table: PreparedTableSchema, file_path: str, load_id: str, restore: bool = False
    ) -> LoadJob:
        if file_path.endswith(".parquet") and pq.read_metadata(file_path).num_rows == 0:
            return FinalizedLoadJobWithFollowupJobs(file_path)
        return super().create_load_job(table, file_path, load_id, restore)


class postgres(dlt.destinations.postgres):  # noqa: N801, dlt takes the destination's name from it
    """https://dlthub.com/docs/dlt-ecosystem/destinations/postgres"""

    @property
    def client_class(self) -> type[PostgresClient]:
        return _Client
