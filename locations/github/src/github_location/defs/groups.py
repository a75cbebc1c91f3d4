"""How often each group is loaded, from which its tag, freshness and schedule follow; and when all groups are
audited."""

from datetime import timedelta

from ingest_shared.groups import Group
from ingest_shared.shards import shards_setting

SHARDS = shards_setting("sources.github.shards")
"""In how many parts the hourly groups load the repositories."""

ACTIVITY = Group("github_activity", "hourly", cron="30 * * * *", every=timedelta(hours=1), shards=SHARDS)
ACTIONS = Group("github_actions", "hourly", cron="45 * * * *", every=timedelta(hours=1), shards=SHARDS)
PEOPLE = Group("github_people", "daily", cron="15 5 * * *", every=timedelta(days=1))
CATALOG = Group("github_catalog", "daily", cron="15 5 * * *", every=timedelta(days=1))
VIEWS = Group("github_views", "daily", cron="15 5 * * *", every=timedelta(days=1))
"""Views of the other groups' tables; the job of the whole location creates them."""
GROUPS = (ACTIVITY, ACTIONS, PEOPLE, CATALOG)
SHARDED = tuple(group for group in GROUPS if group.shards > 1)
"""The groups whose runs are for a partition: a job has either only such groups or none."""

AUDIT_CRON = "0 3 * * 0"
"""Sunday."""
