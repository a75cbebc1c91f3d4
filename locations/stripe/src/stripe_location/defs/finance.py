"""What a finance team asks for: the history of subscriptions, made once a day, and views of the tables.

A view shows what is in the tables when it is queried; a run creates it, and recreates it if its SQL changed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dagster import AssetExecutionContext, AssetMaterialization, AssetSpec, MaterializeResult
from dagster_dlt import dlt_assets
from dagster_dlt.translator import DltResourceTranslatorData

from ingest_shared.pipelines import pipeline
from ingest_shared.resource import IngestDltResource
from ingest_shared.translator import IngestTranslator, with_child_tables
from ingest_shared.views import view_assets, views_in
from stripe_location import OWNERS, source
from stripe_location.defs.groups import FINANCE
from stripe_location.source.money import THREE_DECIMALS, ZERO_DECIMALS
from stripe_location.source.tables.history import subscription_discounts, subscription_states

MADE_HERE = {table.name: table for table in (subscription_states, subscription_discounts)}
CONSTANTS = {
    name: ", ".join(f"'{currency}'" for currency in currencies)
    for name, currencies in (("zero_decimals", ZERO_DECIMALS), ("three_decimals", THREE_DECIMALS))
}
VIEWS = views_in(Path(__file__).parent.parent / "views")

history_pipeline = pipeline("stripe", "history")


@dataclass
class _BelowTables(IngestTranslator):
    """The history is derived from other tables of the location."""

    def get_asset_spec(self, data: DltResourceTranslatorData) -> AssetSpec:
        spec = super().get_asset_spec(data)
        if data.resource.name not in MADE_HERE:
            return spec
        return spec.replace_attributes(deps=[[self.location, name] for name in ("events", "subscriptions")])


@dlt_assets(
    dlt_source=with_child_tables(source.history(), MADE_HERE),
    dlt_pipeline=history_pipeline,
    name="stripe_history",
    pool="stripe_history",
    dagster_dlt_translator=_BelowTables("stripe", FINANCE, MADE_HERE, OWNERS),
)
def history_assets(
    context: AssetExecutionContext, dlt: IngestDltResource
) -> Iterator[AssetMaterialization | MaterializeResult[object]]:
    yield from dlt.run(context, dlt_source=source.history())


finance_views = view_assets(
    "stripe", FINANCE.name, VIEWS, history_pipeline, OWNERS, CONSTANTS, destinations=("duckdb", "postgres")
)
