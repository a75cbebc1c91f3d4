"""A small location as Dagster sees it: two tables of one pipeline, whose readers a test chooses."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import dlt
from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    AssetSelection,
    DagsterInstance,
    Definitions,
    ExecuteInProcessResult,
    MaterializeResult,
    RetryPolicy,
    define_asset_job,
)
from dagster_dlt import dlt_assets
from dlt.extract.resource import DltResource

from ingest_shared.checks import table_checks
from ingest_shared.columnar import Decoder, Page
from ingest_shared.groups import Group
from ingest_shared.loading import Load
from ingest_shared.resource import IngestConfig, IngestDltResource
from ingest_shared.translator import IngestTranslator, with_child_tables
from tests.conftest import ISSUES, LABELS, Warehouse, read_by

EVERYTHING = Group("everything", "daily", cron="0 5 * * *", every=timedelta(days=1))
TABLES = {"issues": ISSUES, "labels": LABELS}
Read = Callable[[Load], Iterable[Page]]


def nothing(_: Load) -> Iterable[Page]:
    return ()


@dataclass
class Location:
    """The location; ``reads`` maps a table to the reader that the next run uses."""

    warehouse: Warehouse
    reads: dict[str, Read] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.pipeline = self.warehouse.pipeline()
        decoders = {name: Decoder(table) for name, table in TABLES.items()}

        @dlt.source(name="test_all", section="test")
        def source() -> Iterator[DltResource]:
            for name, decoder in decoders.items():
                yield read_by(decoder, self.reads.get(name, nothing))

        @dlt_assets(
            dlt_source=with_child_tables(source(), TABLES),
            dlt_pipeline=self.pipeline,
            name="all",
            dagster_dlt_translator=IngestTranslator(self.warehouse.location, EVERYTHING, TABLES, ["team:test"]),
        )
        def assets(
            context: AssetExecutionContext, dlt: IngestDltResource, config: IngestConfig
        ) -> Iterator[MaterializeResult[object]]:
            yield from dlt.run(context, dlt_source=source())

        self.assets: AssetsDefinition = assets
        self.checks = table_checks(self.assets, self.pipeline, TABLES)
        self.definitions = Definitions(
            assets=[self.assets],
            asset_checks=[self.checks],
            jobs=[
                define_asset_job("ingest", op_retry_policy=RetryPolicy(max_retries=2, delay=0)),
                define_asset_job("check", selection=AssetSelection.all_asset_checks()),
            ],
            resources={"dlt": IngestDltResource()},
        )

    def run(self, job: str = "ingest", **options: Any) -> ExecuteInProcessResult:
        """Runs a job; a failure is in the result."""
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        with DagsterInstance.ephemeral() as instance:
            return self.definitions.resolve_job_def(job).execute_in_process(
                run_config=quiet, instance=instance, raise_on_error=False, **options
            )
