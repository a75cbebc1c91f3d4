"""Histories that the sandbox does not make, told by a played API."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from github_location.source import ACTIVITY
from github_location.source.repositories import GitHubSync, Repository
from ingest_shared.columnar import Page
from ingest_shared.errors import ApiError
from ingest_shared.loading import Load
from ingest_shared.reading.api import Response
from ingest_shared.reading.reader import Reader

pytestmark = pytest.mark.exhaustive

COMMITS = next(list_ for list_ in ACTIVITY if list_.table.name == "commits")
REPOSITORY = Repository("1", "acme/api", {"repo_id": 1}, "acme/*", "main", "2026-01-01T00:00:00Z")


def commits(*shas: str) -> list[dict[str, Any]]:
    return [{"sha": sha, "parents": []} for sha in shas]


def branches(**heads: str) -> list[dict[str, Any]]:
    return [{"name": name, "commit": {"sha": sha}} for name, sha in heads.items()]


class PlayedApi:
    """Answers by the end of the path: with JSON, or with a refusal of this status."""

    in_flight = 4
    deletes_believed = 1.0

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def get(self, path: str, params: Mapping[str, Any] | None = None, **_: object) -> Response:
        asked = path.removeprefix("/repositories/1").split("?per_page")[0] + (
            f"?sha={params['sha']}" if params and "sha" in params else ""
        )
        self.asked.append(asked)
        answer = self.answers[asked]
        if isinstance(answer, int):
            raise ApiError(f"GitHub answered {answer}", status=answer, retry=False)
        links = {}
        if f"{asked}&page=2" in self.answers:
            links = dict.fromkeys(("next", "last"), f"{asked}&page=2")
        return Response(json.dumps(answer).encode(), {}, links)


def read(api: PlayedApi, repository: Repository = REPOSITORY, **known: str) -> tuple[list[str], dict[str, Any]]:
    """The commits that a sync reads where these heads were known, and the cursor that it leaves."""
    sync = GitHubSync()
    sync.api, sync.entries, sync.repositories = api, ["acme/*"], {1: repository}  # type: ignore[assignment]
    sync.now = 2**31
    load = Load("commits", {"cursors": {"1": {"entry": "acme/*", "heads": known}}})
    shas = [row.sha for page in Reader(COMMITS, sync)(load) if isinstance(page, Page) for row in page.rows]
    for end in load.at_end:
        end()
    return sorted(shas), load.state["cursors"]["1"]


def test_a_comparison_that_shows_only_some_commits_is_replaced_by_the_list() -> None:
    api = PlayedApi(
        {
            "/branches": branches(main="M3"),
            "/compare/M0...M3": {"total_commits": 3, "commits": commits("M2", "M3")},
            "/commits?sha=M3": commits("M3", "M2", "M1"),
        }
    )
    assert read(api, main="M0")[0] == ["M1", "M2", "M3"]


def test_a_commit_that_two_branches_show_comes_once() -> None:
    """`master` became `main`, of two pages; `dev` merged a commit of the second one meanwhile."""
    api = PlayedApi(
        {
            "/branches": branches(main="M1", dev="D1"),
            "/compare/D0...D1": {"commits": commits("old", "D1")},
            "/compare/M1...D1": {"commits": commits("D1")},
            "/commits?sha=M1": commits("M1"),
            "/commits?sha=M1&page=2": commits("old", "older"),
        }
    )
    shas, cursor = read(api, master="M0", dev="D0")
    assert shas == ["D1", "M1", "old", "older"]
    assert cursor["heads"] == {"main": "M1", "dev": "D1"}


@pytest.mark.parametrize("status", [404, 422, 500])
def test_a_branch_that_cannot_be_compared_is_listed(status: int) -> None:
    api = PlayedApi(
        {
            "/branches": branches(main="M1"),
            "/compare/M0...M1": status,
            "/commits?sha=M1": commits("M1", "M0"),
        }
    )
    assert read(api, main="M0")[0] == ["M0", "M1"]


def test_a_comparison_that_may_not_be_read_leaves_the_repository_out() -> None:
    """Its cursor stays, so that the next sync compares the same heads."""
    api = PlayedApi({"/branches": branches(main="M1"), "/compare/M0...M1": 403})
    shas, cursor = read(api, main="M0")
    assert shas == []
    assert cursor["heads"] == {"main": "M0"}


def test_a_branch_whose_former_head_is_unknown_is_compared_with_the_main_one() -> None:
    api = PlayedApi(
        {
            "/branches": branches(main="M0", dev="D1"),
            "/compare/D0...D1": 404,
            "/compare/M0...D1": {"commits": commits("D1")},
        }
    )
    assert read(api, main="M0", dev="D0")[0] == ["D1"]


def test_the_default_branch_may_be_renamed_after_the_repository_was_listed() -> None:
    """The list of repositories said `main`, and the list of branches says `trunk`."""
    api = PlayedApi({"/branches": branches(trunk="M1"), "/commits?sha=M1": commits("M1", "M0")})
    shas, cursor = read(api, main="M0")
    assert shas == ["M0", "M1"]
    assert cursor["heads"] == {"trunk": "M1"}


def test_a_repository_without_branches_has_no_commits() -> None:
    api = PlayedApi({"/branches": []})
    assert read(api) == ([], {"entry": "acme/*", "heads": {}, "pushed_at": REPOSITORY.pushed_at})


@pytest.mark.parametrize("body", [{"message": "no"}, [{"name": "main"}]])
def test_branches_that_are_not_as_expected_leave_the_repository_out(body: Any) -> None:
    shas, cursor = read(PlayedApi({"/branches": body}), main="M0")
    assert shas == []
    assert cursor["heads"] == {"main": "M0"}
