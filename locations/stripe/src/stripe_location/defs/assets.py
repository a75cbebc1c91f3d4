"""The assets: one per table and child table, in groups that are loaded at different intervals.

https://docs.dagster.io/integrations/libraries/dlt
"""

from collections.abc import Callable, Iterator

from dagster import AssetExecutionContext, AssetMaterialization, AssetsDefinition, MaterializeResult
from dagster_dlt import dlt_assets
from dlt.extract.source import DltSource

from ingest_shared.groups import Group
from ingest_shared.pipelines import pipeline
from ingest_shared.resource import IngestConfig, IngestDltResource
from ingest_shared.translator import IngestTranslator, with_child_tables
from stripe_location import OWNERS, source
from stripe_location.defs.groups import BILLING, CHECKOUT, CONNECT, PAYMENTS
from stripe_location.source.tables import TABLES

LOADS: dict[Group, Callable[[bool], DltSource]] = {
    BILLING: source.billing,
    PAYMENTS: source.payments,
    CHECKOUT: source.checkouts,
    CONNECT: source.connect,
}
PIPELINES = {group: pipeline("stripe", group.name.removeprefix("stripe_")) for group in LOADS}


def assets_of(group: Group) -> AssetsDefinition:
    """The assets of a group, which one step loads together."""

    @dlt_assets(
        dlt_source=with_child_tables(LOADS[group](False), TABLES),
        dlt_pipeline=PIPELINES[group],
        name=group.name,
        pool=group.pool,
        dagster_dlt_translator=IngestTranslator("stripe", group, TABLES, OWNERS),
    )
    def load(
        context: AssetExecutionContext, dlt: IngestDltResource, config: IngestConfig
    ) -> Iterator[AssetMaterialization | MaterializeResult[object]]:
        yield from dlt.run(context, dlt_source=LOADS[group](config.audit))

    return load


assets = [assets_of(group) for group in LOADS]
