"""Reviews of pull requests and the comments in their diffs.

https://docs.github.com/en/rest/pulls/reviews, https://docs.github.com/en/rest/pulls/comments
"""

from collections.abc import Mapping
from typing import Any

from ... import prose
from ...wire import Json, iso, nulls
from ..hand import Hand
from ..model import GHOST, Repository, Row
from ..render import API, WEB, common, node_id, reactions, user
from .collection import Collection, Making

_STATES = ("APPROVED", "CHANGES_REQUESTED", "COMMENTED")


def review(repo: Repository, row: Row) -> Json:
    """A review; where the account is deleted, nobody is named, not even the ghost.

    https://github.com/SpinlockLabs/github.dart/pull/383
    """
    reviewer = row.facts["user"]
    url, html = _addresses(repo, row)
    html = f"{html}#pullrequestreview-{row.id}"
    return {
        "id": row.id,
        "node_id": node_id("PRR", row.id),
        "user": user(repo, None if reviewer is GHOST else reviewer),
        "body": row.facts["body"],
        "state": row.facts["state"],
        "html_url": html,
        "pull_request_url": url,
        "author_association": "MEMBER",
        "_links": {"html": {"href": html}, "pull_request": {"href": url}},
        **({} if row.facts["state"] == "PENDING" else {"submitted_at": iso(row.created_at)}),
        "commit_id": None if row.facts.get("commit_gone") else row.facts["sha"],
    }


def review_comment(repo: Repository, row: Row) -> Json:
    url, html = _addresses(repo, row)
    own = f"{API}/repos/{repo.full_name}/pulls/comments/{row.id}"
    html = f"{html}#discussion_r{row.id}"
    return {
        "url": own,
        "pull_request_review_id": row.facts["review_id"],
        **common("PRRC", row),
        "diff_hunk": "@@ -1,3 +1,3 @@\n-old\n+new",
        "path": row.facts["path"],
        "commit_id": row.facts["sha"],
        "original_commit_id": row.facts["sha"],
        "user": user(repo, row.facts["user"]),
        "body": row.facts["body"],
        "html_url": html,
        "pull_request_url": url,
        "author_association": "CONTRIBUTOR",
        "_links": {"self": {"href": own}, "html": {"href": html}, "pull_request": {"href": url}},
        "reactions": reactions(own, {}),
        "line": row.facts["line"],
        "original_line": row.facts["line"],
        "side": "RIGHT",
        "original_position": row.facts["line"],
        "position": row.facts["line"],
        "subject_type": "line",
        **nulls("start_line original_start_line start_side"),
    }


def _addresses(repo: Repository, row: Row) -> tuple[str, str]:
    path = f"repos/{repo.full_name}/pulls/{row.parent.number}"
    return f"{API}/{path}", f"{WEB}/{repo.full_name}/pull/{row.parent.number}"


def _pulls(repo: Repository) -> Mapping[int, Any]:
    return {row.number: row for row in repo.issues.values() if row.pull}


def _of_pull(row: Row) -> Json:
    return {"pull_request_id": row.parent.pull.id, "pull_request_number": row.parent.number}


def _make_review(making: Making) -> Json:
    body, state = prose.comment(making.rng), making.rng.choice(_STATES)
    return {"user": making.someone(), "body": body, "state": state, "sha": making.parent.pull.head_sha}


def _dismiss(making: Making, row: Row) -> None:
    row.facts["state"] = "DISMISSED" if row.facts["state"] != "DISMISSED" else making.rng.choice(_STATES)


def _make_comment(making: Making) -> Json:
    reviews = [row.id for row in making.home.rows.get("reviews", {}).values() if row.parent is making.parent]
    return {
        "user": making.someone(),
        "body": prose.comment(making.rng),
        "path": f"src/{prose.slug(making.rng)}.py",
        "line": making.rng.randint(1, 400),
        "sha": making.parent.pull.head_sha,
        "review_id": making.rng.choice([None, *reviews]),
    }


def _edit_comment(making: Making, row: Row) -> None:
    row.facts["body"] = prose.comment(making.rng)


def _touch_pull(hand: Hand, home: Any, row: Row, action: str) -> None:
    hand.touch_issue(home, row.parent)


REVIEWS = Collection(
    name="reviews",
    path="/pulls/{parent:int}/reviews",
    show=review,
    make=_make_review,
    edit=_dismiss,
    after=_touch_pull,
    first_id=1_910_000_000,
    parents=_pulls,
    given=_of_pull,
    deletes=False,  # what was submitted cannot be deleted
    seeded=300,
    weight=4,
)
REVIEW_COMMENTS = Collection(
    name="review_comments",
    path="/pulls/comments",
    show=review_comment,
    make=_make_comment,
    edit=_edit_comment,
    after=_touch_pull,
    first_id=1_580_000_000,
    parents=_pulls,
    sorts=("created", "updated"),
    seeded=300,
    weight=4,
)
