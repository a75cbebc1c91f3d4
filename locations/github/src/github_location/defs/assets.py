"""The assets: one per table and child table, loaded in groups of different cadence.

https://docs.dagster.io/integrations/libraries/dlt
"""

from collections.abc import Iterator

from dagster import AssetExecutionContext, AssetMaterialization, MaterializeResult
from dagster_dlt import dlt_assets

from github_location import OWNERS, source
from github_location.defs.config import GitHubConfig
from github_location.defs.groups import ACTIONS, ACTIVITY, CATALOG, PEOPLE
from github_location.source.tables import TABLES
from ingest_shared.pipelines import pipeline
from ingest_shared.resource import IngestDltResource
from ingest_shared.translator import IngestTranslator, with_child_tables

activity_pipeline = pipeline("github", "activity")
actions_pipeline = pipeline("github", "actions")
people_pipeline = pipeline("github", "people")
catalog_pipeline = pipeline("github", "catalog")


@dlt_assets(
    dlt_source=with_child_tables(source.activity(), TABLES),
    dlt_pipeline=activity_pipeline,
    name=ACTIVITY.name,
    pool=ACTIVITY.pool,
    partitions_def=ACTIVITY.partitions,
    dagster_dlt_translator=IngestTranslator("github", ACTIVITY, TABLES, OWNERS),
)
def activity_assets(
    context: AssetExecutionContext, dlt: IngestDltResource, config: GitHubConfig
) -> Iterator[AssetMaterialization | MaterializeResult[object]]:
    shard = ACTIVITY.shard(context)
    yield from dlt.run(
        context,
        dlt_source=source.activity(config.audit, config.repositories, shard),
        dlt_pipeline=pipeline("github", "activity", shard),
    )


@dlt_assets(
    dlt_source=with_child_tables(source.actions_and_deployments(), TABLES),
    dlt_pipeline=actions_pipeline,
    name=ACTIONS.name,
    pool=ACTIONS.pool,
    partitions_def=ACTIONS.partitions,
    dagster_dlt_translator=IngestTranslator("github", ACTIONS, TABLES, OWNERS),
)
def actions_assets(
    context: AssetExecutionContext, dlt: IngestDltResource, config: GitHubConfig
) -> Iterator[AssetMaterialization | MaterializeResult[object]]:
    shard = ACTIONS.shard(context)
    yield from dlt.run(
        context,
        dlt_source=source.actions_and_deployments(config.audit, config.repositories, shard),
        dlt_pipeline=pipeline("github", "actions", shard),
    )


@dlt_assets(
    dlt_source=with_child_tables(source.people_of_repositories(), TABLES),
    dlt_pipeline=people_pipeline,
    name=PEOPLE.name,
    pool=PEOPLE.name,
    dagster_dlt_translator=IngestTranslator("github", PEOPLE, TABLES, OWNERS),
)
def people_assets(
    context: AssetExecutionContext, dlt: IngestDltResource, config: GitHubConfig
) -> Iterator[AssetMaterialization | MaterializeResult[object]]:
    yield from dlt.run(context, dlt_source=source.people_of_repositories(config.audit, config.repositories))


@dlt_assets(
    dlt_source=with_child_tables(source.catalog(), TABLES),
    dlt_pipeline=catalog_pipeline,
    name=CATALOG.name,
    pool=CATALOG.name,
    dagster_dlt_translator=IngestTranslator("github", CATALOG, TABLES, OWNERS),
)
def catalog_assets(
    context: AssetExecutionContext, dlt: IngestDltResource, config: GitHubConfig
) -> Iterator[AssetMaterialization | MaterializeResult[object]]:
    yield from dlt.run(context, dlt_source=source.catalog(config.audit, config.repositories))
