"""What happened to issues, https://docs.github.com/en/rest/issues/events, and the types that they may have."""

from collections.abc import Mapping
from typing import Any

from ...wire import Json, iso, nulls
from ..hand import Hand
from ..model import Repository, Row
from ..render import API, issue, issue_type, node_id, user
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
        "created_at": iso(row.created_at),
        "issue": repo.rendered(issue, row.parent).raw,
        **nulls("commit_id commit_url performed_via_github_app"),
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


def _make_type(making: Making) -> Json:
    number = len(making.home.rows["issue_types"]) + 1
    return {
        "name": f"{making.rng.choice(('Task', 'Bug', 'Feature'))} {number}",
        "description": making.rng.choice((None, "A kind of work")),
        "color": making.rng.choice((None, "blue", "red")),
        "is_enabled": True,
    }


def _edit_type(making: Making, row: Row) -> None:
    row.facts |= _make_type(making) | {"is_enabled": making.rng.random() < 0.8}


def _follow_type(hand: Hand, home: Any, row: Row, action: str) -> None:
    """Issues show its name at once, and lose it with the type."""
    for repo in hand.forge.repositories.values():
        of_type = [issue for issue in repo.issues.values() if issue.type is row]
        if of_type:
            repo.changed()
        for one in of_type if action == "deleted" else ():
            one.type = None
            hand.touch_issue(repo, one)


ISSUE_TYPES = Collection(
    name="issue_types",
    path="/issue-types",
    show=issue_type,
    make=_make_type,
    edit=_edit_type,
    after=_follow_type,
    first_id=410,
    of_organization=True,
    for_those_who="token",
    seeded=3,
)
ISSUE_EVENTS = Collection(
    name="issue_events",
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
