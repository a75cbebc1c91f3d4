"""The assets: one per table, loaded in two groups of different cadence.

https://docs.dagster.io/integrations/libraries/dlt
"""

from collections.abc import Iterator
from datetime import timedelta

from dagster import AssetExecutionContext, AssetMaterialization, FreshnessPolicy, MaterializeResult
from dagster_dlt import dlt_assets

from github_location import OWNERS, source
from github_location.source.tables import TABLES
from ingest_shared.pipelines import pipeline
from ingest_shared.resource import IngestDltResource
from ingest_shared.translator import IngestTranslator

activity_pipeline = pipeline("github", "activity")
catalog_pipeline = pipeline("github", "catalog")


@dlt_assets(
    dlt_source=source.activity(),
    dlt_pipeline=activity_pipeline,
    name="github_activity",
    group_name="github_activity",
    pool=activity_pipeline.pipeline_name,
    dagster_dlt_translator=IngestTranslator(
        location="github",
        tables=TABLES,
        owners=OWNERS,
        tags={"cadence": "hourly"},
        freshness=FreshnessPolicy.time_window(fail_window=timedelta(hours=8), warn_window=timedelta(hours=3)),
    ),
)
def activity_assets(
    context: AssetExecutionContext, dlt: IngestDltResource
) -> Iterator[AssetMaterialization | MaterializeResult[object]]:
    yield from dlt.run(context, dlt_source=source.activity())


@dlt_assets(
    dlt_source=source.catalog(),
    dlt_pipeline=catalog_pipeline,
    name="github_catalog",
    group_name="github_catalog",
    pool=catalog_pipeline.pipeline_name,
    dagster_dlt_translator=IngestTranslator(
        location="github",
        tables=TABLES,
        owners=OWNERS,
        tags={"cadence": "daily"},
        freshness=FreshnessPolicy.time_window(fail_window=timedelta(hours=30), warn_window=timedelta(hours=26)),
    ),
)
def catalog_assets(
    context: AssetExecutionContext, dlt: IngestDltResource
) -> Iterator[AssetMaterialization | MaterializeResult[object]]:
    yield from dlt.run(context, dlt_source=source.catalog())
