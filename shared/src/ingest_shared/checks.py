"""Asset checks that every location adds with one line."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetKey,
    AssetRecordsFilter,
    AssetsDefinition,
    MetadataValue,
    multi_asset_check,
)
from dlt.destinations.exceptions import DatabaseUndefinedRelation
from dlt.destinations.sql_client import SqlClientBase
from dlt.pipeline.pipeline import Pipeline

from ingest_shared.notes import AUDITS, LOAD_GAPS
from ingest_shared.references import references, to_nowhere, with_children
from ingest_shared.resource import AUDITED, can_audit, plain_errors
from ingest_shared.tables import AnyTable, Table

KEY_CHECK = "key_is_unique_and_not_null"
GAPS_CHECK = "no_open_load_gaps"
ORIGIN_CHECK = "equals_origin"
REFERENCES_CHECK = "references_lead_somewhere"
OF_AUDITS = (ORIGIN_CHECK, REFERENCES_CHECK)
"""The checks that only an audit evaluates; other runs skip them."""


def table_checks(assets: AssetsDefinition, pipeline: Pipeline, tables: Mapping[str, Table]) -> AssetChecksDefinition:
    """Each asset's checks: its key identifies rows and, unless it is a child table, nothing is left out or differs.

    If a table refers to rows of other tables, a check counts those that do not exist. All checks of a pipeline are
    one step, since they share one connection to the warehouse. Only an audit says whether a table equals its origin
    and whether its references lead somewhere: other runs skip these checks, and assets without an
    :class:`~ingest_shared.resource.IngestConfig`, such as those of a component, do not have them.
    """
    declared = with_children(tables)
    by_key = {key: declared[key.path[-1]] for key in assets.keys}

    @multi_asset_check(
        name=f"{pipeline.pipeline_name}_checks",
        specs=[
            AssetCheckSpec(check, asset=key)
            for key, table in by_key.items()
            for check in (*CHECKS, REFERENCES_CHECK)
            if _has(check, table, assets)
        ],
        can_subset=True,
    )
    def checks(context: AssetCheckExecutionContext) -> Iterator[AssetCheckResult]:
        with plain_errors(pipeline), _warehouse(pipeline) as client:
            for check in sorted(context.selected_asset_check_keys):
                if check.name in OF_AUDITS and not _was_audited(context, check.asset_key):
                    continue
                table = by_key[check.asset_key]
                try:
                    if check.name == REFERENCES_CHECK:
                        result = _references_check(client, table, declared)
                    else:
                        result = CHECKS[check.name](client, table)
                except DatabaseUndefinedRelation:
                    result = AssetCheckResult(passed=False, description="Nothing has been loaded yet.")
                yield result._replace(asset_key=check.asset_key, check_name=check.name)

    return checks


def _has(check: str, table: AnyTable, assets: AssetsDefinition) -> bool:
    """Whether a table gets a check."""
    if check in OF_AUDITS and not can_audit(assets.op):
        return False
    return bool(references(table)) if check == REFERENCES_CHECK else check == KEY_CHECK or isinstance(table, Table)


def _was_audited(context: AssetCheckExecutionContext, asset: AssetKey) -> bool:
    """Whether this run compared the asset with its origin."""
    partition = context.op_execution_context.partition_key if context.op_execution_context.has_partition_key else None
    wanted = AssetRecordsFilter(asset, asset_partitions=[partition] if partition else None)
    records = context.op_execution_context.instance.fetch_materializations(wanted, limit=1).records
    event = records[0].event_log_entry if records else None
    if event is None or event.run_id != context.run.run_id or event.asset_materialization is None:
        return False
    audited = event.asset_materialization.metadata.get(AUDITED)
    return audited is not None and bool(audited.value)


def _warehouse(pipeline: Pipeline) -> SqlClientBase[object]:
    if pipeline.default_schema_name is None:
        pipeline.sync_destination()
    return pipeline.sql_client()


def _key_check(client: SqlClientBase[object], table: AnyTable) -> AssetCheckResult:
    keys = ", ".join(map(client.escape_column_name, table.key))
    missing = " OR ".join(f"{client.escape_column_name(key)} IS NULL" for key in table.key)
    name = client.make_qualified_table_name(table.name)
    rows = client.execute_sql(
        f"SELECT count(*) FROM (SELECT {keys} FROM {name} GROUP BY {keys} HAVING count(*) > 1 OR {missing}) AS wrong"
    )
    wrong = int(rows[0][0]) if rows else 0
    return AssetCheckResult(passed=not wrong, metadata={"keys that are null or not unique": wrong})


def _references_check(
    client: SqlClientBase[object], table: AnyTable, tables: Mapping[str, AnyTable]
) -> AssetCheckResult:
    """Only in audits, and only as a warning: a row may refer to one that is older than the history or in an excluded
    table."""
    nowhere: dict[str, int] = {}
    not_loaded = set()
    for column in references(table):
        try:
            rows = client.execute_sql(f"SELECT count(*) {to_nowhere(client, table, column, tables[column.to])}")
        except DatabaseUndefinedRelation:
            not_loaded.add(column.to)
            continue
        if rows and rows[0][0]:
            nowhere[column.name] = int(rows[0][0])
    return AssetCheckResult(
        passed=not nowhere,
        severity=AssetCheckSeverity.WARN,
        metadata={
            "dangling references": MetadataValue.json(nowhere),
            "tables not loaded": MetadataValue.json(sorted(not_loaded)),
        },
    )


def _gaps_check(client: SqlClientBase[object], table: AnyTable) -> AssetCheckResult:
    gaps = {str(scope): str(reason) for scope, reason in _noted(client, LOAD_GAPS, table, "scope, reason")}
    return AssetCheckResult(passed=not gaps, metadata={"left out": MetadataValue.json(gaps)})


def _origin_check(client: SqlClientBase[object], table: AnyTable) -> AssetCheckResult:
    """What this run's audit found and repaired."""
    audits = _noted(client, AUDITS, table, "scope, audited_at, missing, surplus, stale, changed, deleted")
    if not audits:
        return AssetCheckResult(passed=True, description="this was the first load: there was nothing to compare with")
    scopes, times, *counts = zip(*audits, strict=True)
    # Null if the scope was last audited by an older version, which did not count all of them.
    missing, surplus, stale, changed, deleted = (sum(filter(None, count)) for count in counts)
    wrong = missing + surplus + stale
    found = f"the audit found {missing} rows missing, {surplus} surplus and {stale} stale"
    since = f"; {changed} changed since the previous load, {deleted} were deleted at the origin"
    return AssetCheckResult(
        passed=not wrong,
        description=(f"{found}, and repaired them" if wrong else found) + (since if changed or deleted else ""),
        metadata={
            "missing": missing,
            "surplus": surplus,
            "stale": stale,
            "repaired": wrong,
            "changed": changed,
            "deleted": deleted,
            "scopes": [scope for scope, *differ in zip(scopes, *counts[:3], strict=True) if any(differ)],
            "audited at": str(max(times)),
        },
    )


def _noted(client: SqlClientBase[object], notes: Table, table: AnyTable, columns: str) -> Sequence[Sequence[Any]]:
    """What loads recorded about the table, by scope."""
    name = client.make_qualified_table_name(notes.name)
    return client.execute_sql(f"SELECT {columns} FROM {name} WHERE resource = %s ORDER BY scope", table.name) or []


CHECKS: dict[str, Callable[[SqlClientBase[object], AnyTable], AssetCheckResult]] = {
    KEY_CHECK: _key_check,
    GAPS_CHECK: _gaps_check,
    ORIGIN_CHECK: _origin_check,
}
