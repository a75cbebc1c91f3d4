"""What GitHub itself publishes of the objects that the tables mirror: its OpenAPI description, as models.

https://github.com/yanyongyu/githubkit
"""

import sys
from functools import reduce
from importlib import import_module
from importlib.metadata import version
from operator import or_
from typing import Any

from pydantic import BaseModel, TypeAdapter

from github_location.source.auth import API_VERSION
from github_location.source.tables import TABLES
from ingest_shared.contract import Contract, Schema

PACKAGE = "githubkit-schemas"
# By name, for mypy would read all of its thousands of models.
_MODELS: Any = import_module(f"githubkit_schemas.v{API_VERSION.replace('-', '_')}.models")

_ATTEMPTS = "An attempt is asked for by its number."
_LABELS = "One description of what may be sent and what is answered: answers hold objects with ids."

PUBLISHED: dict[str, tuple[type[BaseModel], ...]] = {
    "repositories": (_MODELS.FullRepository, _MODELS.MinimalRepository),
    "issues": (_MODELS.Issue,),
    "pull_requests": (_MODELS.PullRequestSimple,),
    "pull_request_details": (_MODELS.PullRequest,),
    "pull_request_files": (_MODELS.DiffEntry,),
    "pull_request_commits": (_MODELS.Commit,),
    "issue_comments": (_MODELS.IssueComment,),
    "commits": (_MODELS.Commit,),
    "commit_details": (_MODELS.Commit,),
    "releases": (_MODELS.Release,),
    "labels": (_MODELS.Label,),
    "milestones": (_MODELS.Milestone,),
    "reviews": (_MODELS.PullRequestReview,),
    "review_comments": (_MODELS.PullRequestReviewComment,),
    "issue_events": (_MODELS.IssueEvent,),
    "workflow_runs": (_MODELS.WorkflowRun,),
    "workflow_run_attempts": (_MODELS.WorkflowRun,),
    "workflow_jobs": (_MODELS.Job,),
    "deployments": (_MODELS.Deployment,),
    "deployment_statuses": (_MODELS.DeploymentStatus,),
    "branches": (_MODELS.ShortBranch,),
    "tags": (_MODELS.Tag,),
    "stargazers": (_MODELS.Stargazer,),
    "collaborators": (_MODELS.Collaborator,),
    "teams": (_MODELS.Team,),
    "members": (_MODELS.SimpleUser,),
    "issue_types": (_MODELS.IssueType,),
    "traffic_views": (_MODELS.Traffic,),
    "traffic_clones": (_MODELS.Traffic,),
}
"""The objects of each table; a repository's own answer is not that of a list."""
JUDGED = [table for table in TABLES.values() if table.name in PUBLISHED]
"""All but ``repo_stats_daily``, of which GitHub knows nothing: its numbers are those of ``repositories``."""

ACCEPTED = {
    "issues.labels": _LABELS,
    "issue_labels.id": _LABELS,
    "workflow_run_attempts.run_attempt": _ATTEMPTS,
}
"""Why a table may differ from what GitHub publishes."""


def _schema(models: tuple[type[BaseModel], ...]) -> Schema:
    """What any of the models allows, as JSON Schema."""
    schema: Schema = _without_unset(TypeAdapter(reduce(or_, models)).json_schema())
    return schema


def _without_unset(schema: Any) -> Any:
    """The schema without the value by which githubkit marks fields that were not sent."""
    if isinstance(schema, list):
        return [_without_unset(part) for part in schema if not _is_unset(part)]
    if isinstance(schema, dict):
        return {name: _without_unset(part) for name, part in schema.items()}
    return schema


def _is_unset(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("const") == "<UNSET>"


CONTRACT = Contract(
    vendor=f"{PACKAGE} {version(PACKAGE)}, API version {API_VERSION}",
    schemas={table: _schema(models) for table, models in PUBLISHED.items()},
    accepted=ACCEPTED,
)

if __name__ == "__main__":
    sys.exit(CONTRACT.report(JUDGED))
