"""The ``dlt`` resource of every location: dagster-dlt's own, plus one-line errors and full metadata.

https://docs.dagster.io/integrations/libraries/dlt
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetMaterialization,
    Backoff,
    Config,
    Failure,
    Jitter,
    MaterializeResult,
    MetadataValue,
    OpDefinition,
    OpExecutionContext,
    RetryPolicy,
)
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster_dlt import DagsterDltResource, DagsterDltTranslator
from dagster_dlt.dlt_event_iterator import DltEventType
from dlt.common.pipeline import LoadInfo
from dlt.extract.resource import DltResource
from dlt.extract.source import DltSource
from dlt.pipeline.pipeline import Pipeline
from pydantic import Field

from ingest_shared.destinations import check_destination
from ingest_shared.errors import ApiError, IngestError
from ingest_shared.pipelines import Loaded, run
from ingest_shared.reading.api import SERVER_ERROR, TOO_MANY
from ingest_shared.reading.listings import WHOLE
from ingest_shared.tables import AnyTable, Table
from ingest_shared.translator import IngestTranslator


class RetryUnlessTerminated(RetryPolicy):
    """A retry policy that lets a run be terminated.

    Dagster treats an interrupt as one more failure: if an op has a policy, it asks for the delay, retries
    the op later and starts the next one meanwhile (``op_execution_error_boundary``).
    """

    def calculate_delay(self, attempt_num: int) -> float:
        """Seconds before a try; raises the interrupt if that is what ended the previous one."""
        if isinstance(interrupt := sys.exception(), DagsterExecutionInterruptedError):
            raise interrupt
        return super().calculate_delay(attempt_num)


RETRY_POLICY = RetryUnlessTerminated(max_retries=2, delay=10, backoff=Backoff.EXPONENTIAL, jitter=Jitter.PLUS_MINUS)
"""For transient errors: 10 s, then 20 s. A wrong setting is never retried."""


AUDITED = "audited"
"""Metadata of a materialization: whether its run compared the table with the origin."""


class IngestConfig(Config):
    """Settings of a single run, in the launchpad."""

    audit: bool = Field(
        default=False,
        description="Compare every row with the origin and repair differences: as many API calls as a first load.",
    )


def can_audit(op: OpDefinition) -> bool:
    """Whether a run of the op can be launched as an audit."""
    config = op.config_field.config_type if op.config_field else None
    return "audit" in getattr(config, "fields", {})


class IngestDltResource(DagsterDltResource):
    """Runs a dlt pipeline for the assets of a group and reports what it loaded.

    An :class:`~ingest_shared.errors.IngestError` fails the run with its one line; the run is retried only if the error
    says that a retry can help.
    """

    def _run(
        self,
        context: AssetExecutionContext | OpExecutionContext,
        dlt_source: DltSource,
        dlt_pipeline: Pipeline,
        dagster_dlt_translator: DagsterDltTranslator,
        **kwargs: Any,
    ) -> Iterator[DltEventType]:
        """Like dagster-dlt's own, but loads a table together with its child tables, whichever of them is selected."""
        assert isinstance(dagster_dlt_translator, IngestTranslator)
        key, selected = dagster_dlt_translator.key, context.selected_asset_keys
        tables = [dagster_dlt_translator.tables[name] for name in dlt_source.selected_resources]
        tables = [table for table in tables if not selected.isdisjoint(map(key, table.with_children))]
        with plain_errors(dlt_pipeline):
            dlt_pipeline.drop()  # removes what a failed run left; the state comes from the warehouse
            loaded = run(dlt_pipeline, dlt_source.with_resources(*(table.name for table in tables)), **kwargs)
            raise_when_nothing_was_read(loaded.metrics)
            counts = _row_counts([table for parent in tables for table in parent.with_children], dlt_pipeline)
            for parent in tables:
                resource = dlt_source.resources[parent.name]
                read = dict(self.extract_resource_metadata(context, resource, loaded.info, dlt_pipeline))
                read |= _read(loaded.metrics.get(parent.name, {}))
                for table in parent.with_children:
                    rows = _rows(table, parent, counts[table.name], loaded)
                    metadata = {**read, **rows} if table is parent else {AUDITED: read[AUDITED], **rows}
                    if key(table) in selected:
                        yield MaterializeResult(asset_key=key(table), metadata=metadata)
                    else:
                        partition = context.partition_key if context.has_partition_key else None
                        context.log_event(AssetMaterialization(key(table), metadata=metadata, partition=partition))

    def extract_resource_metadata(
        self,
        context: AssetExecutionContext | OpExecutionContext,
        resource: DltResource,
        load_info: LoadInfo,
        dlt_pipeline: Pipeline,
    ) -> Mapping[str, Any]:
        """dagster-dlt's metadata without table name and columns, which the translator provides."""
        metadata = dict(super().extract_resource_metadata(context, resource, load_info, dlt_pipeline))
        for name in ("dagster/column_schema", "dagster/table_name"):
            metadata.pop(name, None)
        return metadata


def _read(read: Mapping[str, Any]) -> dict[str, MetadataValue]:
    """What was requested from the API for a table and its child tables."""
    return {
        "api_calls": MetadataValue.int(read.get("api_calls", 0)),
        "api_bytes": MetadataValue.int(read.get("api_bytes", 0)),
        "pages": MetadataValue.int(read.get("pages", 0)),
        "seconds": MetadataValue.float(float(read.get("seconds", 0))),
        "quota_left": MetadataValue.int(quota)
        if (quota := read.get("quota_left")) is not None
        else MetadataValue.null(),
        "new_fields": MetadataValue.json(read.get("new_fields", [])),
        "open_gaps": MetadataValue.int(read.get("gaps", 0)),
        AUDITED: MetadataValue.bool(read.get("audited", False)),
    }


def _rows(table: AnyTable, parent: Table, count: int, done: Loaded) -> dict[str, MetadataValue]:
    """What was loaded into the table, and what it holds now."""
    read = done.metrics.get(parent.name, {})
    loaded = {parent.name: read.get("rows", 0), **read.get("child_rows", {})}
    return {
        "rows_loaded": MetadataValue.int(loaded.get(table.name, 0)),
        "dagster/row_count": MetadataValue.int(count),
        "schema_changes": MetadataValue.json(_schema_changes(table, done)),
    }


def _row_counts(tables: Sequence[AnyTable], pipeline: Pipeline) -> dict[str, int]:
    """The number of rows of each table in the warehouse, in one query."""
    with pipeline.sql_client() as client:
        counts = ", ".join(f"(SELECT count(*) FROM {client.make_qualified_table_name(one.name)})" for one in tables)
        (row,) = client.execute_sql(f"SELECT {counts}") or ()
    return dict(zip((table.name for table in tables), map(int, row), strict=True))


def _schema_changes(table: AnyTable, done: Loaded) -> list[str]:
    """Columns that this load added to the table in the warehouse."""
    found = [update[table.name] for update in done.schema_updates if table.name in update]
    return sorted(name for changed in found for name in changed["columns"])


def raise_when_nothing_was_read(metrics: Mapping[str, Mapping[str, Any]]) -> None:
    """Fails the run if no list could be read: one unreadable list is a gap, but then the address or the API itself is
    at fault.

    A spent quota is no failure: the next run continues.
    """
    read = [found["scopes_read"] for found in metrics.values() if found.get("scopes_read") is not None]
    gaps = [(name, found["first_gap"]) for name, found in metrics.items() if found.get("first_gap")]
    if gaps and read and not any(read):
        name, gap = min(gaps, key=lambda one: one[1]["scope"] != WHOLE.name)  # before lists per row of it
        status = gap["status"]
        if status == TOO_MANY:
            return
        raise ApiError(
            f"nothing could be read; {name}, {gap['scope']}: {gap['reason']}",
            status=status,
            retry=status is None or status >= SERVER_ERROR,
        )


@contextmanager
def plain_errors(pipeline: Pipeline) -> Iterator[None]:
    """Opens the warehouse first, and turns an IngestError into a Failure with its one line."""
    try:
        check_destination(pipeline)
        yield
    except Exception as error:
        if (known := _ingest_error(error)) is None:
            raise
        raise Failure(description=str(known), allow_retries=known.retry) from None


def _ingest_error(error: BaseException | None) -> IngestError | None:
    """The plain error behind what dlt wrapped around it."""
    while error is not None and not isinstance(error, IngestError):
        error = error.__cause__ or error.__context__
    return error
