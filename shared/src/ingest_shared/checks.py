"""Asset checks that every location gets in a line."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSpec,
    AssetsDefinition,
    MetadataValue,
    multi_asset_check,
)
from dlt.destinations.exceptions import DatabaseUndefinedRelation
from dlt.destinations.sql_client import SqlClientBase
from dlt.pipeline.pipeline import Pipeline

from ingest_shared.loading import AUDITS, LOAD_GAPS
from ingest_shared.resource import plain_errors
from ingest_shared.tables import AnyTable, Table

KEY_CHECK = "key_is_unique_and_not_null"
GAPS_CHECK = "no_open_load_gaps"
ORIGIN_CHECK = "equals_origin"


def table_checks(assets: AssetsDefinition, pipeline: Pipeline, tables: Mapping[str, Table]) -> AssetChecksDefinition:
    """For each asset: its key identifies rows; where it is no child table, nothing is left out or differed.

    All checks of a pipeline are one step, since they share one connection to the warehouse.
    """
    declared = {table.name: table for root in tables.values() for table in root.with_children}
    by_key = {key: declared[key.path[-1]] for key in assets.keys}

    @multi_asset_check(
        name=f"{pipeline.pipeline_name}_checks",
        specs=[AssetCheckSpec(check, asset=key) for key, table in by_key.items() for check in _checks_of(table)],
        can_subset=True,
    )
    def checks(context: AssetCheckExecutionContext) -> Iterator[AssetCheckResult]:
        with plain_errors(pipeline), _warehouse(pipeline) as client:
            for check in sorted(context.selected_asset_check_keys):
                table = by_key[check.asset_key]
                try:
                    result = CHECKS[check.name](client, table)
                except DatabaseUndefinedRelation:
                    result = AssetCheckResult(passed=False, description="Nothing was loaded yet.")
                yield result._replace(asset_key=check.asset_key, check_name=check.name)

    return checks


def _checks_of(table: AnyTable) -> tuple[str, ...]:
    return tuple(CHECKS) if isinstance(table, Table) else (KEY_CHECK,)


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


def _gaps_check(client: SqlClientBase[object], table: AnyTable) -> AssetCheckResult:
    gaps = {str(scope): str(reason) for scope, reason in _noted(client, LOAD_GAPS, table, "scope, reason")}
    return AssetCheckResult(passed=not gaps, metadata={"left out": MetadataValue.json(gaps)})


def _origin_check(client: SqlClientBase[object], table: AnyTable) -> AssetCheckResult:
    """What the latest audit found; a table without one passes."""
    try:
        audits = _noted(client, AUDITS, table, "scope, audited_at, missing, surplus, stale")
    except DatabaseUndefinedRelation:
        audits = []
    if not audits:
        return AssetCheckResult(passed=True, description="not audited yet")
    scopes, times, *counts = zip(*audits, strict=True)
    missing, surplus, stale = map(sum, counts)
    passed = missing + surplus + stale == 0
    found = f"the audit found {missing} rows missing, {surplus} surplus and {stale} stale"
    return AssetCheckResult(
        passed=passed,
        description=found if passed else f"{found}, and mended them",
        metadata={
            "missing": missing,
            "surplus": surplus,
            "stale": stale,
            "scopes": [scope for scope, *differ in zip(scopes, *counts, strict=True) if any(differ)],
            "audited at": str(max(times)),
        },
    )


def _noted(client: SqlClientBase[object], notes: Table, table: AnyTable, columns: str) -> Sequence[Sequence[Any]]:
    """What loads noted of the table, by scope."""
    name = client.make_qualified_table_name(notes.name)
    return client.execute_sql(f"SELECT {columns} FROM {name} WHERE resource = %s ORDER BY scope", table.name) or []


CHECKS: dict[str, Callable[[SqlClientBase[object], AnyTable], AssetCheckResult]] = {
    KEY_CHECK: _key_check,
    GAPS_CHECK: _gaps_check,
    ORIGIN_CHECK: _origin_check,
}
