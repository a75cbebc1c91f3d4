"""When the jobs run, in UTC. A schedule is on unless somebody stops it in the UI.

https://docs.dagster.io/guides/automate/schedules
"""

from github_location.defs import jobs
from github_location.defs.groups import ACTIONS, ACTIVITY, AUDIT_CRON, CATALOG, SHARDED
from ingest_shared.groups import scheduled

github_ingest_schedule = scheduled(jobs.github_ingest, CATALOG.cron)
github_activity_ingest_schedule = scheduled(jobs.github_activity_ingest, ACTIVITY.cron)
github_actions_ingest_schedule = scheduled(jobs.github_actions_ingest, ACTIONS.cron)
github_audit_schedule = scheduled(jobs.github_audit, AUDIT_CRON)

if SHARDED:
    github_shards_audit_schedule = scheduled(jobs.github_shards_audit, AUDIT_CRON)
