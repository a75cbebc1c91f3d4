"""The assets: one per table, loaded in two groups of different cadence.

https://docs.dagster.io/integrations/libraries/dlt
"""

from collections.abc import Iterator
from datetime import timedelta

from dagster import AssetExecutionContext, AssetMaterialization, FreshnessPolicy, MaterializeResult
from dagster_dlt import dlt_assets

from ingest_shared.pipelines import pipeline
from ingest_shared.resource import IngestDltResource
from ingest_shared.translator import IngestTranslator
from stripe_location import OWNERS, source
from stripe_location.source.tables import TABLES

billing_pipeline = pipeline("stripe", "billing")
payments_pipeline = pipeline("stripe", "payments")


@dlt_assets(
    dlt_source=source.billing(),
    dlt_pipeline=billing_pipeline,
    name="stripe_billing",
    group_name="stripe_billing",
    pool=billing_pipeline.pipeline_name,
    dagster_dlt_translator=IngestTranslator(
        location="stripe",
        tables=TABLES,
        owners=OWNERS,
        tags={"cadence": "four-hourly"},
        freshness=FreshnessPolicy.time_window(fail_window=timedelta(hours=12), warn_window=timedelta(hours=6)),
    ),
)
def billing_assets(
    context: AssetExecutionContext, dlt: IngestDltResource
) -> Iterator[AssetMaterialization | MaterializeResult[object]]:
    yield from dlt.run(context, dlt_source=source.billing())


@dlt_assets(
    dlt_source=source.payments(),
    dlt_pipeline=payments_pipeline,
    name="stripe_payments",
    group_name="stripe_payments",
    pool=payments_pipeline.pipeline_name,
    dagster_dlt_translator=IngestTranslator(
        location="stripe",
        tables=TABLES,
        owners=OWNERS,
        tags={"cadence": "hourly"},
        freshness=FreshnessPolicy.time_window(fail_window=timedelta(hours=8), warn_window=timedelta(hours=3)),
    ),
)
def payments_assets(
    context: AssetExecutionContext, dlt: IngestDltResource
) -> Iterator[AssetMaterialization | MaterializeResult[object]]:
    yield from dlt.run(context, dlt_source=source.payments())
