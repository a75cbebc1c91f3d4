"""The jobs: the whole location, each group, and the audit.

https://docs.dagster.io/guides/build/jobs/asset-jobs
"""

from functools import partial

from dagster import AssetSelection, RunConfig, define_asset_job

from github_location import OWNERS
from github_location.defs.groups import ACTIONS, ACTIVITY, CATALOG, GROUPS, PEOPLE, SHARDED
from ingest_shared.resource import RETRY_POLICY, IngestConfig

job = partial(define_asset_job, op_retry_policy=RETRY_POLICY, owners=OWNERS)
"""What all jobs of the location have in common."""

github_ingest = job(
    "github_ingest",
    selection=AssetSelection.key_prefixes("github") - AssetSelection.groups(*(group.name for group in SHARDED)),
    description="Mirrors every table of GitHub, once a day. Launch it by hand for a first load or after a pause.",
)
github_activity_ingest = job(
    "github_activity_ingest",
    selection=AssetSelection.groups(ACTIVITY.name),
    partitions_def=ACTIVITY.partitions,
    description="Mirrors issues, pull requests, commits and other activity, between the daily loads of everything.",
)
github_actions_ingest = job(
    "github_actions_ingest",
    selection=AssetSelection.groups(ACTIONS.name),
    partitions_def=ACTIONS.partitions,
    description="Mirrors workflow runs and deployments, between the daily loads of everything.",
)
github_people_ingest = job(
    "github_people_ingest",
    selection=AssetSelection.groups(PEOPLE.name),
    description="Mirrors stargazers, collaborators, teams and members right away; the daily load includes them anyway.",
)
github_catalog_ingest = job(
    "github_catalog_ingest",
    selection=AssetSelection.groups(CATALOG.name),
    description="Mirrors what seldom changes right away; the daily load includes it anyway.",
)
github_reference_ingest = job(
    "github_reference_ingest",
    selection=AssetSelection.groups("github_reference"),
    description="Loads the YAML component of defs/reference right away; the daily load includes it anyway.",
)
UNSHARDED = tuple(group for group in GROUPS if group not in SHARDED)
github_audit = job(
    "github_audit",
    selection=AssetSelection.groups(*(group.name for group in UNSHARDED)),
    config=RunConfig(ops={group.name: IngestConfig(audit=True) for group in UNSHARDED}),
    description="Compares every row with GitHub, once a week, and repairs differences: see the checks `equals_origin`.",
)
if SHARDED:
    github_shards_audit = job(
        "github_shards_audit",
        selection=AssetSelection.groups(*(group.name for group in SHARDED)),
        partitions_def=SHARDED[0].partitions,
        config=RunConfig(ops={group.name: IngestConfig(audit=True) for group in SHARDED}),
        description="The same for the groups that are loaded in shards.",
    )
