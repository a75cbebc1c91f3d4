"""The plain lists behave as GitHub documents, whichever it is."""

from collections.abc import Iterable
from random import Random
from typing import Any

import pytest

from ingest_sandbox import wire
from ingest_sandbox.control import deleted, held
from ingest_sandbox.github.model import Repository
from ingest_sandbox.github.plain import COLLECTIONS
from ingest_sandbox.github.plain.actions import WORKFLOW_JOBS, WORKFLOW_RUNS
from ingest_sandbox.github.plain.collection import Collection
from ingest_sandbox.github.plain.people import STARGAZERS
from ingest_sandbox.github.plain.review import REVIEW_COMMENTS
from ingest_sandbox.moment import Change
from ingest_sandbox.ordered import Span, View
from ingest_sandbox.wire import Json
from ingest_sandbox.world import World

from .conftest import ANCHOR, GitHub, make_world, serving

PLATFORM = "/repos/acme/platform"
EMPTY: Span[Any] = Span(View(()), 0, 0, descending=False)


def each(collections: Iterable[Collection]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("collection", collections, ids=lambda collection: collection.name)


def platform(world: World) -> Repository:
    repo = world.github.named("acme/platform")
    assert repo
    return repo


def home(world: World, collection: Collection) -> Any:
    return world.github.organizations["acme"] if collection.of_organization else platform(world)


def oracle(world: World, collection: Collection) -> list[Json]:
    of = "organization_id" if collection.of_organization else "repository_id"
    rows: list[Json] = wire.decode(wire.encode(held(world, "github", collection.name)))
    return [row["object"] for row in rows if row[of] == home(world, collection).id]


def walk(github: GitHub, collection: Collection, path: str, query: str) -> list[Json]:
    github = GitHub(github.client)
    if collection.without_media_type:
        github.headers["Accept"] = f"application/vnd.github.{collection.without_media_type[0]}"
    pages = [page.json() for page in github.pages(f"{path}?per_page=7{query}")]
    if collection.rows_at:
        assert {name for page in pages for name in page} == {collection.rows_at, *collection.beside(EMPTY)}
        assert len({str(page | {collection.rows_at: None}) for page in pages}) == 1
    return [row for page in pages for row in (page[collection.rows_at] if collection.rows_at else page)]


def paths(world: World, collection: Collection) -> list[str]:
    if collection.of_organization:
        return [f"/orgs/acme{collection.path}"]
    if "{parent" not in collection.path:
        return [PLATFORM + collection.path]
    assert collection.parents
    return [
        PLATFORM + collection.path.replace("{parent:int}", str(number))
        for number in collection.parents(platform(world))
    ]


@each([collection for collection in COLLECTIONS if not collection.alone])
def test_its_pages_hold_what_the_oracle_has(collection: Collection, world: World, github: GitHub) -> None:
    query = "&filter=all" if collection is WORKFLOW_JOBS else ""
    found = [row for path in paths(world, collection) for row in walk(github, collection, path, query)]
    expected = oracle(world, collection)
    assert expected
    assert sorted(found, key=str) == sorted(expected, key=str)


@each([collection for collection in COLLECTIONS if collection.weight and not collection.alone])
def test_it_is_unchanged_until_one_of_its_rows_changes(collection: Collection) -> None:
    world = make_world(size=0.1)
    before = oracle(world, collection)
    with serving(world) as client:
        github = GitHub(client)
        path = paths(world, collection)[0]
        etag = github.get(path).headers["etag"]
        assert github.get(path, **{"If-None-Match": etag}).status_code == 304
        world.change(Change(f"github.{collection.one}.create", repository="acme/platform"))
    assert oracle(world, collection) != before


@each([collection for collection in COLLECTIONS if collection.deletes])
def test_what_is_deleted_is_told(collection: Collection) -> None:
    world = make_world(size=0.1)
    before = len(held(world, "github", collection.name))
    world.change(Change(f"github.{collection.one}.delete"))
    assert len(held(world, "github", collection.name)) == before - 1
    assert len(deleted(world, "github", collection.name)) == 1


def test_stars_have_a_time_for_those_who_ask_for_it(world: World, github: GitHub) -> None:
    """https://docs.github.com/en/rest/activity/starring#custom-media-types-for-starring"""
    path = f"{PLATFORM}/stargazers"
    (plain, *_), (with_time, *_) = github.get(path).json(), walk(github, STARGAZERS, path, "")
    assert plain == with_time["user"]


def test_comments_in_diffs_come_by_change_and_since_a_time(world: World, github: GitHub) -> None:
    rows = oracle(world, REVIEW_COMMENTS)
    since = sorted(row["updated_at"] for row in rows)[len(rows) // 2]
    path = f"{PLATFORM}/pulls/comments"
    found = walk(github, REVIEW_COMMENTS, path, f"&sort=updated&direction=asc&since={since}")
    assert found == sorted(
        (row for row in rows if row["updated_at"] >= since), key=lambda row: (row["updated_at"], row["id"])
    )


def test_runs_of_a_time_are_a_thousand_at_most() -> None:
    """https://docs.github.com/en/rest/actions/workflow-runs#list-workflow-runs-for-a-repository"""
    world = make_world(size=0.1)
    repo = platform(world)
    WORKFLOW_RUNS.seed(world.github, Random(1), repo, ANCHOR, 1_200)
    repo.changed()
    with serving(world) as client:
        github = GitHub(client)
        everything = walk(github, WORKFLOW_RUNS, f"{PLATFORM}/actions/runs", "")
        assert len(everything) == len(WORKFLOW_RUNS.rows(repo)) > 1_200
        filtered = walk(github, WORKFLOW_RUNS, f"{PLATFORM}/actions/runs", f"&created=<={wire.iso(ANCHOR)}")
        assert filtered == everything[:1_000]
        second = everything[700]["created_at"]
        within = walk(github, WORKFLOW_RUNS, f"{PLATFORM}/actions/runs", f"&created={second}..{second}")
        assert within == [row for row in everything if row["created_at"] == second]


def test_a_run_that_runs_again_has_new_jobs_and_keeps_the_old_ones() -> None:
    world = make_world(size=0.1)
    world.change(Change("github.workflow_run.create", repository="acme/platform"))
    run = max(WORKFLOW_RUNS.rows(platform(world)))
    with serving(world) as client:
        github = GitHub(client)
        path = f"{PLATFORM}/actions/runs/{run}/jobs"
        while max(job["run_attempt"] for job in github.get(path).json()["jobs"]) < 2:
            world.advance(60)
            world.change(Change("github.workflow_run.edit", repository="acme/platform", id=run))
        assert [job["run_attempt"] for job in github.get(path).json()["jobs"]] == [2]
        assert [job["run_attempt"] for job in github.get(f"{path}?filter=all").json()["jobs"]] == [1, 2]


def test_traffic_is_for_those_who_may_push_and_of_the_last_two_weeks() -> None:
    """https://docs.github.com/en/rest/metrics/traffic"""
    world = make_world(size=0.1)
    for _ in range(20):
        world.change(Change("github.view.create", repository="acme/platform"))
        world.advance(86_400)
    with serving(world) as client:
        github = GitHub(client)
        answer = github.get(f"{PLATFORM}/traffic/views").json()
        assert len(answer["views"]) == 14
        assert all(row["timestamp"].endswith("T00:00:00Z") for row in answer["views"])
        assert answer["count"] == sum(row["count"] for row in answer["views"])
        world.change(Change("github.repository.edit", repository="acme/platform", set={"may_push": False}))
        assert github.get(f"{PLATFORM}/traffic/views").status_code == 403


def test_drafts_of_releases_are_for_those_who_may_push() -> None:
    """https://docs.github.com/en/rest/releases/releases#list-releases"""
    world = make_world(size=0.1)
    world.change(Change("github.release.create", repository="acme/platform", set={"draft": True}))
    with serving(world) as client:
        github = GitHub(client)
        newest = github.get(f"{PLATFORM}/releases").json()[0]
        assert (newest["draft"], newest["published_at"]) == (True, None)
        world.change(Change("github.repository.edit", repository="acme/platform", set={"may_push": False}))
        assert newest["id"] not in [row["id"] for row in github.get(f"{PLATFORM}/releases").json()]


def test_a_team_of_the_enterprise_is_in_each_organization_that_it_is_assigned_to() -> None:
    """https://github.blog/changelog/2026-02-23-enterprise-team-support-in-organization-apis"""
    world = make_world(size=0.1)
    world.change(Change("github.team.assign"))
    with serving(world) as client:
        github = GitHub(client)
        homes = [account.id for account in world.github.organizations.values()]
        teams = [row for id_ in homes for row in github.get(f"/organizations/{id_}/teams").json()]
    shared = [row for row in teams if row["type"] == "enterprise"]
    assert len(shared) == 2
    assert len({row["id"] for row in shared}) == 1
    assert not [row for row in shared if "organization_id" in row]


def test_an_issue_shows_its_type_and_parent_and_how_many_parts_are_done() -> None:
    world = make_world(size=0.1)
    repo = platform(world)
    alone = [row for row in repo.issues.values() if not (row.pull or row.closed_at or row.parent or row.sub_issues)]
    parent, part, *_ = alone
    for change in (
        Change("github.sub_issue.add", repo.full_name, parent.number, set={"sub_issue_id": part.id}),
        Change("github.issue.close", repo.full_name, part.number),
        Change("github.issue.type", repo.full_name, part.number),
    ):
        world.change(change)
    with serving(world) as client:
        github = GitHub(client)
        shown = github.get(f"{PLATFORM}/issues/{part.number}").json()
        assert shown["parent_issue_url"].endswith(f"{PLATFORM}/issues/{parent.number}")
        assert shown["type"]["name"] in [row["name"] for row in github.get("/orgs/acme/issue-types").json()]
        done = {"total": 1, "completed": 1, "percent_completed": 100}
        assert github.get(f"{PLATFORM}/issues/{parent.number}").json()["sub_issues_summary"] == done
        world.change(Change("github.issue.delete", repo.full_name, parent.number))
        assert "parent_issue_url" not in github.get(f"{PLATFORM}/issues/{part.number}").json()


def test_a_list_of_an_organization_is_not_for_everybody(world: World, client: Any) -> None:
    """Members may be public: https://docs.github.com/en/rest/orgs/members#list-organization-members."""
    anybody = GitHub(client, None)
    assert anybody.get("/orgs/acme/teams").status_code == 401
    assert anybody.get("/orgs/acme/members").status_code == 200
