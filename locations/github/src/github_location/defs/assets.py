"""The assets: one per table and child table, in groups that are loaded at different intervals.

https://docs.dagster.io/integrations/libraries/dlt
"""

from collections.abc import Callable, Iterator, Sequence

from dagster import AssetExecutionContext, AssetMaterialization, AssetsDefinition, MaterializeResult
from dagster_dlt import dlt_assets
from dlt.extract.source import DltSource
from dlt.pipeline.pipeline import Pipeline

from github_location import OWNERS, source
from github_location.defs.config import GitHubConfig
from github_location.defs.groups import ACTIONS, ACTIVITY, CATALOG, PEOPLE
from github_location.source.tables import TABLES
from ingest_shared.groups import Group
from ingest_shared.pipelines import pipeline
from ingest_shared.resource import IngestDltResource
from ingest_shared.shards import WHOLE_SOURCE, Shard
from ingest_shared.translator import IngestTranslator, with_child_tables

LOADS: dict[Group, Callable[[bool, Sequence[str], Shard], DltSource]] = {
    ACTIVITY: source.activity,
    ACTIONS: source.actions_and_deployments,
    PEOPLE: source.people_of_repositories,
    CATALOG: source.catalog,
}


def pipeline_of(group: Group, shard: Shard = WHOLE_SOURCE) -> Pipeline:
    return pipeline("github", group.name.removeprefix("github_"), shard)


def assets_of(group: Group) -> AssetsDefinition:
    """The assets of a group, which one step loads together; each shard has its own run."""

    @dlt_assets(
        dlt_source=with_child_tables(LOADS[group](False, (), WHOLE_SOURCE), TABLES),
        dlt_pipeline=pipeline_of(group),
        name=group.name,
        pool=group.pool,
        partitions_def=group.partitions,
        dagster_dlt_translator=IngestTranslator("github", group, TABLES, OWNERS),
    )
    def load(
        context: AssetExecutionContext, dlt: IngestDltResource, config: GitHubConfig
    ) -> Iterator[AssetMaterialization | MaterializeResult[object]]:
        shard = group.shard(context)
        dlt_source = LOADS[group](config.audit, config.repositories, shard)
        yield from dlt.run(context, dlt_source=dlt_source, dlt_pipeline=pipeline_of(group, shard))

    return load


assets = [assets_of(group) for group in LOADS]
