from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from ingest_sandbox.github import build
from ingest_sandbox.moment import Change
from ingest_sandbox.wire import Json
from ingest_sandbox.world import World

from .conftest import ANCHOR, GitHub, make_world, serving

PLATFORM = "/repos/acme/platform"


@pytest.fixture
def forked() -> Iterator[tuple[World, GitHub]]:
    """A world of its own for each test, since these change it."""
    world = make_world(size=0.1)
    world.advance(60)
    with serving(world) as client:
        yield world, GitHub(client)


def compare(github: GitHub, base: str, head: str, query: str = "") -> Json:
    response = github.get(f"{PLATFORM}/compare/{base}...{head}{query}")
    assert response.status_code == 200, response.text
    found: Json = response.json()
    return found


def shas(github: GitHub, ref: str) -> list[str]:
    """A commit and its ancestors, newest first."""
    return [row["sha"] for row in github.walk(f"{PLATFORM}/commits?sha={ref}&per_page=100")]


def listed(commit: Any) -> Any:
    """A commit as lists show it: what only the one alone tells is left out."""
    assert {"files", "stats"} <= commit.keys()
    return {name: value for name, value in commit.items() if name not in ("files", "stats")}


def push(world: World, kind: str = "push", branch: str = "main") -> list[str]:
    """The shas that a push brought."""
    wish = Change(f"github.commit.{kind}", repository="acme/platform", id=branch)
    done = world.change(wish)["changed"]
    return [row["id"] for row in done if row["collection"] == "commits"]


def test_a_head_that_is_ahead(world: World, github: GitHub) -> None:
    main = shas(github, "main")
    found = compare(github, main[5], "main")
    of_base = shas(github, main[5])
    missing = [sha for sha in reversed(main) if sha not in of_base]
    assert found["status"] == "ahead"
    assert found["ahead_by"] == found["total_commits"] == len(missing) > 0
    assert found["behind_by"] == 0
    assert [row["sha"] for row in found["commits"]] == missing
    assert found["commits"][-1] == listed(github.get(f"{PLATFORM}/commits/main").json())
    assert found["base_commit"] == found["merge_base_commit"]
    assert found["base_commit"] == listed(github.get(f"{PLATFORM}/commits/{main[5]}").json())
    assert found["files"] == []
    assert found["url"] == f"https://api.github.com{PLATFORM}/compare/{main[5]}...main"
    assert found["permalink_url"].endswith(f"/compare/acme:{main[5]}...acme:{main[0]}")
    assert list(found) == [
        *("url", "html_url", "permalink_url", "diff_url", "patch_url"),
        *("base_commit", "merge_base_commit", "status", "ahead_by", "behind_by"),
        *("total_commits", "commits", "files"),
    ]
    repo = world.github.named("acme/platform")
    assert repo is not None
    by_id = github.get(f"/repositories/{repo.id}/compare/{main[5]}...main")
    assert by_id.json() == found


def test_a_head_that_is_behind_or_the_same(github: GitHub) -> None:
    main = shas(github, "main")
    found = compare(github, "main", main[5])
    assert (found["status"], found["ahead_by"], found["commits"]) == ("behind", 0, [])
    assert found["behind_by"] == len(main) - len(shas(github, main[5]))
    assert found["merge_base_commit"]["sha"] == main[5]
    found = compare(github, "main", main[0])
    assert (found["status"], found["ahead_by"], found["behind_by"]) == ("identical", 0, 0)
    assert found["merge_base_commit"] == found["base_commit"]


def test_branches_that_diverged(forked: tuple[World, GitHub]) -> None:
    world, github = forked
    old = shas(github, "main")[0]
    added = push(world)
    found = compare(github, "topic/next", "main")
    assert found["status"] == "diverged"
    assert [row["sha"] for row in found["commits"]] == added
    assert found["behind_by"] == 1
    assert found["merge_base_commit"]["sha"] == old


def test_a_merge_tells_the_older_commits_too(forked: tuple[World, GitHub]) -> None:
    world, github = forked
    old = shas(github, "main")[0]
    done = world.change(Change("github.commit.merge", repository="acme/platform"))
    added = [row["id"] for row in done["changed"] if row["collection"] == "commits"]
    found = compare(github, old, "main")
    assert [row["sha"] for row in found["commits"]] == added
    walked = shas(github, "main")
    assert walked[: walked.index(old)] == [added[-1]]


def test_what_a_force_push_removed_is_found_by_its_sha(forked: tuple[World, GitHub]) -> None:
    world, github = forked
    old = push(world)[-1]
    added = push(world, "force_push")
    assert old not in shas(github, "main") + shas(github, "topic/next")
    assert github.get(f"{PLATFORM}/commits/{old}").json()["sha"] == old
    found = compare(github, old, "main")
    assert found["status"] == "diverged"
    assert [row["sha"] for row in found["commits"]] == added
    assert found["base_commit"]["sha"] == old
    assert found["merge_base_commit"]["sha"] in shas(github, "main")
    assert found["behind_by"] == len(set(shas(github, old)) - set(shas(github, "main")))


def test_pages_lead_from_the_oldest_and_no_page_shows_the_newest() -> None:
    with serving(make_world(size=0.6)) as client:
        github = GitHub(client)
        main = shas(github, "main")
        missing = main[-2::-1]
        assert len(missing) > 250
        path = f"{PLATFORM}/compare/{main[-1]}...main"
        answer = github.get(path)
        assert [row["sha"] for row in answer.json()["commits"]] == missing[-250:]
        assert answer.json()["total_commits"] == len(missing)
        assert answer.links == {}
        pages = list(github.pages(f"{path}?per_page=1000"))
        assert [len(page.json()["commits"]) for page in pages[:-1]] == [100] * (len(pages) - 1)
        assert [row["sha"] for page in pages for row in page.json()["commits"]] == missing
        assert {page.json()["ahead_by"] for page in pages} == {len(missing)}
        assert set(pages[0].links) == {"next", "last"}
        assert set(pages[1].links) == {"prev", "next", "last", "first"}
        assert set(pages[-1].links) == {"prev", "first"}
        assert "/repositories/" in pages[0].links["next"]["url"]
        assert len(github.get(f"{path}?page=1").json()["commits"]) == 30
        assert github.get(f"{path}?page=99").json()["commits"] == []


@pytest.mark.parametrize("basehead", ["main", "main...", "...main", f"main...{'0' * 40}", "none...main", "main..main"])
def test_an_unknown_commit_is_not_found(github: GitHub, basehead: str) -> None:
    response = github.get(f"{PLATFORM}/compare/{basehead}")
    assert response.status_code == 404
    assert response.json()["message"] == "Not Found"


def test_no_common_ancestor_is_not_found(forked: tuple[World, GitHub]) -> None:
    world, github = forked
    repo = world.github.named("acme/platform")
    assert repo is not None
    other = build.commit(world.github, Random(0), repo, ANCHOR, ())
    response = github.get(f"{PLATFORM}/compare/main...{other.sha}")
    assert response.status_code == 404
    assert response.json()["message"] == f"No common ancestor between main and {other.sha}."
