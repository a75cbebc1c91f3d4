"""What happened to issues, https://docs.github.com/en/rest/issues/events."""

from collections.abc import Mapping
from typing import Any

from ...wire import Json, iso
from ..model import Repository, Row
from ..render import API, issue, node_id, user
from .collection import Collection, Making

_EVENTS = ("closed", "reopened", "labeled", "unlabeled", "assigned", "subscribed", "renamed", "milestoned")


def issue_event(repo: Repository, row: Row) -> Json:
    facts = row.facts
    found: Json = {
        "id": row.id,
        "node_id": node_id("IE", row.id),
        "url": f"{API}/repos/{repo.full_name}/issues/events/{row.id}",
        "actor": user(repo, facts["user"]),
        "event": facts["event"],
        "commit_id": None,
        "commit_url": None,
        "created_at": iso(row.created_at),
        "performed_via_github_app": None,
        "issue": repo.rendered(issue, row.parent).raw,
    }
    if facts["event"] in ("labeled", "unlabeled"):
        found["label"] = {"name": facts["name"], "color": "ededed"}
    if facts["event"] == "milestoned":
        found["milestone"] = {"title": facts["name"]}
    if facts["event"] == "renamed":
        found["rename"] = {"from": facts["name"], "to": "A better title"}
    if facts["event"] == "assigned":
        found |= {"assignee": user(repo, facts["other"]), "assigner": user(repo, facts["user"])}
    return found


def _make(making: Making) -> Json:
    event = making.rng.choice(_EVENTS)
    return {"user": making.someone(), "other": making.someone(), "event": event, "name": f"{event} {making.at % 7}"}


def _issues(repo: Repository) -> Mapping[int, Any]:
    return repo.issues


ISSUE_EVENTS = Collection(
    name="issue_events",
    one="issue_event",
    path="/issues/events",
    show=issue_event,
    make=_make,
    first_id=14_200_000_000,
    parents=_issues,
    deletes=False,  # they go with their issue alone
    descending=True,
    seeded=600,
    weight=6,
)
