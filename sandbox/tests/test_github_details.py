"""What GitHub shows of one object alone."""

import json
from typing import Any

import pytest

from ingest_sandbox import wire
from ingest_sandbox.control import held
from ingest_sandbox.moment import Change
from ingest_sandbox.world import World

from .conftest import GitHub

PLATFORM = "/repos/acme/platform"


def of(world: World, collection: str, **given: Any) -> list[Any]:
    """The objects of the oracle that are known by these values."""
    found = held(world, "github", collection, "acme")
    return [json.loads(wire.encode(row["object"])) for row in found if given.items() <= row.get("given", {}).items()]


@pytest.fixture
def number(world: World) -> int:
    """An open pull request."""
    repo = world.github.named("acme/platform")
    assert repo
    return next(row.number for row in repo.issues.values() if row.pull and row.closed_at is None)


def test_a_pull_request_alone_has_its_files_and_commits(world: World, github: GitHub, number: int) -> None:
    pull = github.get(f"{PLATFORM}/pulls/{number}").json()
    by_number = {"pull_request_id": pull["id"], "pull_request_number": number}
    files = github.get(f"{PLATFORM}/pulls/{number}/files?per_page=100").json()
    commits = github.get(f"{PLATFORM}/pulls/{number}/commits?per_page=100").json()
    assert [(file["filename"], file["sha"]) for file in files] == [
        (file["filename"], file["sha"]) for file in of(world, "pull_request_files", **by_number)
    ]
    assert len(files) == pull["changed_files"]
    assert sum(file["additions"] for file in files) == pull["additions"]
    assert len(commits) == pull["commits"]
    assert commits[-1]["sha"] == pull["head"]["sha"]
    assert [row["sha"] for row in commits] == [row["sha"] for row in of(world, "pull_request_commits", **by_number)]


def test_whether_it_can_be_merged_is_not_known_when_it_is_asked_first(
    world: World, github: GitHub, number: int
) -> None:
    path = f"{PLATFORM}/pulls/{number}"
    for can_be in (False, True):
        world.change(Change("github.pull.test_merge", number=number, repository="acme/platform"))
        assert [github.get(path).json()["mergeable"] for _ in range(2)] == [None, can_be]


def test_a_commit_alone_has_its_files_page_by_page(github: GitHub) -> None:
    commits = [row["sha"] for row in github.get(f"{PLATFORM}/commits?per_page=20").json()]
    whole = [github.get(f"{PLATFORM}/commits/{sha}").json() for sha in commits]
    largest = max(whole, key=lambda commit: len(commit["files"]))
    first = github.get(f"{PLATFORM}/commits/{largest['sha']}?per_page=1")
    second = github.get(f"{PLATFORM}/commits/{largest['sha']}?per_page=1&page=2")
    assert first.json()["files"] + second.json()["files"] == largest["files"][:2]
    assert 'rel="next"' in first.headers["link"]
    assert sum(file["deletions"] for file in largest["files"]) == largest["stats"]["deletions"]


def test_an_earlier_attempt_of_a_run_stays_as_it_was(world: World, github: GitHub) -> None:
    world.advance(100)
    world.change(Change("github.workflow_run.create", repository="acme/platform"))
    newest = github.get(f"{PLATFORM}/actions/runs?per_page=1").json()["workflow_runs"][0]
    ended = 1 if newest["conclusion"] else 2
    for _ in range(ended):
        before = github.get(f"{PLATFORM}/actions/runs?per_page=1").json()["workflow_runs"][0]
        world.advance(100)
        world.change(Change("github.workflow_run.edit", repository="acme/platform", id=newest["id"]))
    address = f"{PLATFORM}/actions/runs/{newest['id']}/attempts"
    assert github.get(f"{PLATFORM}/actions/runs/{newest['id']}").json()["run_attempt"] == 2
    assert github.get(f"{PLATFORM}/actions/runs/1").status_code == 404
    first = github.get(f"{address}/1").json()
    assert first | {"html_url": "", "url": ""} == before | {"html_url": "", "url": ""}
    assert first["html_url"].endswith("/attempts/1")
    assert github.get(f"{address}/2").status_code == 404
    given = {"run_id": newest["id"], "attempts": 2}
    assert of(world, "workflow_run_attempts", **given) == [first]
