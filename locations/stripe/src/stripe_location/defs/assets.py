"""The assets: one per table and child table, loaded in groups of different cadence.

https://docs.dagster.io/integrations/libraries/dlt
"""

from collections.abc import Iterator

from dagster import AssetExecutionContext, AssetMaterialization, MaterializeResult
from dagster_dlt import dlt_assets

from ingest_shared.pipelines import pipeline
from ingest_shared.resource import IngestConfig, IngestDltResource
from ingest_shared.translator import IngestTranslator, with_child_tables
from stripe_location import OWNERS, source
from stripe_location.defs.groups import BILLING, CHECKOUT, CONNECT, PAYMENTS
from stripe_location.source.tables import TABLES

billing_pipeline = pipeline("stripe", "billing")
payments_pipeline = pipeline("stripe", "payments")
checkout_pipeline = pipeline("stripe", "checkout")
connect_pipeline = pipeline("stripe", "connect")


@dlt_assets(
    dlt_source=with_child_tables(source.billing(), TABLES),
    dlt_pipeline=billing_pipeline,
    name=BILLING.name,
    pool=BILLING.name,
    dagster_dlt_translator=IngestTranslator("stripe", BILLING, TABLES, OWNERS),
)
def billing_assets(
    context: AssetExecutionContext, dlt: IngestDltResource, config: IngestConfig
) -> Iterator[AssetMaterialization | MaterializeResult[object]]:
    yield from dlt.run(context, dlt_source=source.billing(config.audit))


@dlt_assets(
    dlt_source=with_child_tables(source.payments(), TABLES),
    dlt_pipeline=payments_pipeline,
    name=PAYMENTS.name,
    pool=PAYMENTS.name,
    dagster_dlt_translator=IngestTranslator("stripe", PAYMENTS, TABLES, OWNERS),
)
def payments_assets(
    context: AssetExecutionContext, dlt: IngestDltResource, config: IngestConfig
) -> Iterator[AssetMaterialization | MaterializeResult[object]]:
    yield from dlt.run(context, dlt_source=source.payments(config.audit))


@dlt_assets(
    dlt_source=with_child_tables(source.checkouts(), TABLES),
    dlt_pipeline=checkout_pipeline,
    name=CHECKOUT.name,
    pool=CHECKOUT.name,
    dagster_dlt_translator=IngestTranslator("stripe", CHECKOUT, TABLES, OWNERS),
)
def checkout_assets(
    context: AssetExecutionContext, dlt: IngestDltResource, config: IngestConfig
) -> Iterator[AssetMaterialization | MaterializeResult[object]]:
    yield from dlt.run(context, dlt_source=source.checkouts(config.audit))


@dlt_assets(
    dlt_source=with_child_tables(source.connect(), TABLES),
    dlt_pipeline=connect_pipeline,
    name=CONNECT.name,
    pool=CONNECT.name,
    dagster_dlt_translator=IngestTranslator("stripe", CONNECT, TABLES, OWNERS),
)
def connect_assets(
    context: AssetExecutionContext, dlt: IngestDltResource, config: IngestConfig
) -> Iterator[AssetMaterialization | MaterializeResult[object]]:
    yield from dlt.run(context, dlt_source=source.connect(config.audit))
