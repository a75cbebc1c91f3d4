"""Asset checks that every location gets in a line."""

from collections.abc import Iterator, Mapping, Sequence

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetsDefinition,
    MetadataValue,
    multi_asset_check,
)
from dlt.destinations.exceptions import DatabaseUndefinedRelation
from dlt.destinations.sql_client import SqlClientBase
from dlt.pipeline.pipeline import Pipeline

from ingest_shared.loading import LOAD_GAPS
from ingest_shared.resource import plain_errors
from ingest_shared.tables import AnyTable, Table

KEY_CHECK = "key_is_unique_and_not_null"
GAPS_CHECK = "no_open_load_gaps"


def table_checks(assets: AssetsDefinition, pipeline: Pipeline, tables: Mapping[str, Table]) -> AssetChecksDefinition:
    """For each asset: its key identifies rows, and, where it is no child table, nothing is left out.

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
                    result = _key_check(client, table) if check.name == KEY_CHECK else _gaps_check(client, table)
                except DatabaseUndefinedRelation:
                    result = AssetCheckResult(passed=False, description="Nothing was loaded yet.")
                yield result._replace(asset_key=check.asset_key, check_name=check.name)

    return checks


def _checks_of(table: AnyTable) -> tuple[str, ...]:
    return (KEY_CHECK, GAPS_CHECK) if isinstance(table, Table) else (KEY_CHECK,)


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
    name = client.make_qualified_table_name(LOAD_GAPS.name)
    rows: Sequence[Sequence[object]] = (
        client.execute_sql(f"SELECT scope, reason FROM {name} WHERE resource = %s ORDER BY scope", table.name) or []
    )
    return AssetCheckResult(
        passed=not rows,
        severity=AssetCheckSeverity.ERROR,
        metadata={"left out": MetadataValue.json({str(scope): str(reason) for scope, reason in rows})},
    )
