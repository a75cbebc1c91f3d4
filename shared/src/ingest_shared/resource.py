"""The ``dlt`` resource of every location: dagster-dlt's own, with one-line errors and full metadata.

https://docs.dagster.io/integrations/libraries/dlt
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from dagster import AssetExecutionContext, Backoff, Failure, Jitter, MetadataValue, OpExecutionContext, RetryPolicy
from dagster_dlt import DagsterDltResource
from dagster_dlt.dlt_event_iterator import DltEventIterator, DltEventType
from dlt.common.pipeline import LoadInfo
from dlt.extract.resource import DltResource
from dlt.pipeline.pipeline import Pipeline

from ingest_shared.destinations import check_destination
from ingest_shared.errors import ApiError, IngestError
from ingest_shared.loading import AUDITS, LOAD_GAPS
from ingest_shared.reading.api import SERVER_ERROR

RETRY_POLICY = RetryPolicy(max_retries=2, delay=10, backoff=Backoff.EXPONENTIAL, jitter=Jitter.PLUS_MINUS)
"""For trouble that passes: 10 s, then 20 s. A setting that is wrong is never tried again."""


class IngestDltResource(DagsterDltResource):
    """Runs a dlt pipeline for an asset and tells what it loaded.

    An :class:`~ingest_shared.errors.IngestError` on the way fails the run with its one line; it
    is retried only if it says that a retry can help.
    """

    def run(
        self, context: AssetExecutionContext | OpExecutionContext, *args: Any, **kwargs: Any
    ) -> DltEventIterator[DltEventType]:
        events = super().run(context, *args, **kwargs)
        return DltEventIterator(_plainly(events), context, events._dlt_pipeline)

    def extract_resource_metadata(
        self,
        context: AssetExecutionContext | OpExecutionContext,
        resource: DltResource,
        load_info: LoadInfo,
        dlt_pipeline: Pipeline,
    ) -> Mapping[str, Any]:
        """dagster-dlt's metadata, with what was read, what was loaded and what is there now.

        Raises :class:`~ingest_shared.errors.ApiError` for a run that had to leave everything out.
        """
        _raise_when_nothing_was_read(dlt_pipeline)
        tables = _tables(resource, dlt_pipeline)
        totals = _row_counts(dlt_pipeline, tables)
        read = _metrics(resource, dlt_pipeline)
        metadata = dict(super().extract_resource_metadata(context, resource, load_info, dlt_pipeline))
        for name in ("dagster/column_schema", "dagster/table_name", "rows_loaded"):
            metadata.pop(name, None)
        return metadata | {
            "rows_loaded": MetadataValue.int(read.get("rows", 0)),
            "child_rows_loaded": MetadataValue.json(read.get("child_rows", {})),
            "dagster/row_count": MetadataValue.int(totals[resource.name]),
            "rows_total": MetadataValue.json(totals),
            "api_calls": MetadataValue.int(read.get("api_calls", 0)),
            "api_bytes": MetadataValue.int(read.get("api_bytes", 0)),
            "pages": MetadataValue.int(read.get("pages", 0)),
            "seconds": MetadataValue.float(float(read.get("seconds", 0))),
            "quota_left": MetadataValue.int(quota)
            if (quota := read.get("quota_left")) is not None
            else MetadataValue.null(),
            "new_fields": MetadataValue.json(read.get("new_fields", [])),
            "open_gaps": MetadataValue.int(read.get("gaps", 0)),
            "schema_changes": MetadataValue.json(_schema_changes(load_info, tables)),
        }


def _tables(resource: DltResource, pipeline: Pipeline) -> list[str]:
    names = [t["name"] or "" for t in pipeline.default_schema.data_tables() if t.get("resource") == resource.name]
    return [name for name in names if name not in (LOAD_GAPS.name, AUDITS.name)]


def _row_counts(pipeline: Pipeline, tables: list[str]) -> dict[str, int]:
    with pipeline.sql_client() as client:
        names = {table: client.make_qualified_table_name(table) for table in tables}
        return {
            table: count
            for table, name in names.items()
            for (count,) in client.execute_sql(f"SELECT count(*) FROM {name}") or ()
        }


def _raise_when_nothing_was_read(pipeline: Pipeline) -> None:
    """One list that cannot be read is a gap; when none can be, the address or the API itself is wrong."""
    metrics = _all_metrics(pipeline)
    read = [found["scopes_read"] for found in metrics.values() if found.get("scopes_read") is not None]
    gaps = [(name, found["first_gap"]) for name, found in metrics.items() if found.get("first_gap")]
    if gaps and read and not any(read):
        name, gap = gaps[0]
        status = gap["status"]
        raise ApiError(
            f"nothing could be read; {name} of {gap['scope']}: {gap['reason']}",
            status=status,
            retry=status is None or status >= SERVER_ERROR,
        )


def _metrics(resource: DltResource, pipeline: Pipeline) -> Mapping[str, Any]:
    """What :func:`ingest_shared.loading.mirror` left in dlt's metrics of the resource."""
    return _all_metrics(pipeline).get(resource.name, {})


def _all_metrics(pipeline: Pipeline) -> Mapping[str, Mapping[str, Any]]:
    """The metrics of dlt's extract step, by resource."""
    trace = pipeline.last_trace
    assert trace is not None
    assert trace.last_extract_info is not None
    steps = [step for steps in trace.last_extract_info.metrics.values() for step in steps]
    return {name: found.custom_metrics for step in steps for name, found in step["resource_metrics"].items()}


def _schema_changes(load_info: LoadInfo, tables: list[str]) -> dict[str, list[str]]:
    """Columns that this load added to the warehouse, by table."""
    return {
        name: sorted(table["columns"])
        for package in load_info.load_packages
        for name, table in package.schema_update.items()
        if name in tables
    }


@contextmanager
def plain_errors(pipeline: Pipeline) -> Iterator[None]:
    """Opens the warehouse first, and turns an IngestError into a Failure of its one line."""
    try:
        check_destination(pipeline)
        yield
    except Exception as error:
        if (known := _ingest_error(error)) is None:
            raise
        raise Failure(description=str(known), allow_retries=known.retry) from None


def _plainly(events: DltEventIterator[DltEventType]) -> Iterator[DltEventType]:
    with plain_errors(events._dlt_pipeline):
        yield from events


def _ingest_error(error: BaseException | None) -> IngestError | None:
    """The plain error behind what dlt wrapped around it."""
    while error is not None and not isinstance(error, IngestError):
        error = error.__cause__ or error.__context__
    return error
