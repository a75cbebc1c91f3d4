"""The assets: one per table and child table, loaded in two groups of different cadence.

https://docs.dagster.io/integrations/libraries/dlt
"""

from collections.abc import Iterator

from dagster import AssetExecutionContext, AssetMaterialization, MaterializeResult
from dagster_dlt import dlt_assets

from github_location import OWNERS, source
from github_location.defs.groups import ACTIVITY, CATALOG
from github_location.source.tables import TABLES
from ingest_shared.pipelines import pipeline
from ingest_shared.resource import IngestConfig, IngestDltResource
from ingest_shared.translator import IngestTranslator, with_child_tables

activity_pipeline = pipeline("github", "activity")
catalog_pipeline = pipeline("github", "catalog")


@dlt_assets(
    dlt_source=with_child_tables(source.activity(), TABLES),
    dlt_pipeline=activity_pipeline,
    name=ACTIVITY.name,
    pool=ACTIVITY.name,
    dagster_dlt_translator=IngestTranslator("github", ACTIVITY, TABLES, OWNERS),
)
def activity_assets(
    context: AssetExecutionContext, dlt: IngestDltResource, config: IngestConfig
) -> Iterator[AssetMaterialization | MaterializeResult[object]]:
    yield from dlt.run(context, dlt_source=source.activity(config.audit))


@dlt_assets(
    dlt_source=with_child_tables(source.catalog(), TABLES),
    dlt_pipeline=catalog_pipeline,
    name=CATALOG.name,
    pool=CATALOG.name,
    dagster_dlt_translator=IngestTranslator("github", CATALOG, TABLES, OWNERS),
)
def catalog_assets(
    context: AssetExecutionContext, dlt: IngestDltResource, config: IngestConfig
) -> Iterator[AssetMaterialization | MaterializeResult[object]]:
    yield from dlt.run(context, dlt_source=source.catalog(config.audit))
