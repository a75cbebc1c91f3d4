"""What a sync costs: few calls when little is new, and many at a time when much is."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from github_location.source import activity
from ingest_shared.pipelines import pipeline
from ingest_testing import assert_mirrors, run_job

from .origin import GITHUB, TOKEN, Origin, Warehouse

pytestmark = pytest.mark.exhaustive

LATENCY_MS = 300
"""Nearly all the time of a request, also where other suites take the processor."""
PAGES = 100


@pytest.fixture(scope="module")
def large_origin(run_origin: Callable[..., Any]) -> Iterator[Origin]:
    """2,880 issues in acme/platform, and the rest to match."""
    with run_origin(4) as origin:
        yield origin


def test_a_second_sync_with_nothing_new_makes_a_tenth_of_the_calls(
    start_origin: Callable[..., Origin], tmp_path: Path, per_page: Callable[[int], None]
) -> None:
    per_page(10)
    origin = start_origin(1)  # 720 issues in acme/platform
    warehouse = Warehouse(GITHUB, origin, tmp_path, SOURCES__GITHUB__REPOSITORIES="acme/platform")
    warehouse.sync("activity")
    first = origin.requests()["total"]
    origin.forget_requests()
    warehouse.sync("activity")
    assert origin.requests()["total"] <= first / 10


def test_a_repository_without_a_second_page_costs_a_call_for_each_list(warehouse: Warehouse) -> None:
    told = run_job(warehouse, "catalog_ingest").metadata["labels"]
    assert told["api_calls"] == told["pages"] == len(warehouse.origin.objects("repositories"))
    assert told["quota_left"] > 0


def test_an_idle_sync_costs_no_quota(mirrored: Warehouse) -> None:
    mirrored.sync()
    mirrored.sync()
    mirrored.origin.forget_requests()
    mirrored.sync("activity", "catalog")
    requests = mirrored.origin.requests()
    lists_of_repositories = requests["by_path"]["/github/orgs/{owner}/repos"]
    assert lists_of_repositories == 2
    assert "200" not in requests["by_status"], "this process has listed the repositories before"
    assert requests["by_status"]["304"] >= 20 + lists_of_repositories


def test_no_call_is_made_for_commits_while_nothing_is_pushed(mirrored: Warehouse) -> None:
    mirrored.sync("activity")
    mirrored.origin.forget_requests()
    mirrored.sync("activity")
    paths = mirrored.origin.requests()["by_path"]
    assert not [path for path in paths if "commits" in path or "branches" in path or "compare" in path]


def test_a_push_costs_calls_for_that_repository_alone(mirrored: Warehouse) -> None:
    mirrored.sync("activity")
    mirrored.origin.change("commit.push", repository="acme/api", id="main")
    mirrored.origin.advance()
    mirrored.origin.forget_requests()
    mirrored.sync("activity")
    paths = mirrored.origin.requests()["by_path"]
    assert paths["/github/repositories/{id}/branches"] == 1
    assert paths["/github/repositories/{id}/compare/{basehead}"] == 1
    assert_mirrors(mirrored, "commits")


@pytest.mark.parametrize(
    ("table", "path", "rows_per_page", "times"),
    [
        # 130 issues changed in one second: their pages, which no time divides, are read one after the other.
        ("issues", "issues?state=all&sort=updated&direction=asc", 26, 3),
        ("issue_comments", "issues/comments?sort=updated&direction=asc", 34, 5),
        ("pull_requests", "pulls?state=all&sort=created&direction=asc", 8, 5),
        ("commits", "commits?", 20, 5),
    ],
)
def test_many_pages_of_a_list_are_read_several_times_as_fast_as_one_by_one(
    table: str,
    path: str,
    rows_per_page: int,
    times: int,
    large_origin: Origin,
    tmp_path: Path,
    per_page: Callable[[int], None],
) -> None:
    per_page(rows_per_page)
    large_origin.fail(latency_ms=LATENCY_MS)
    one_page = seconds_of_a_page(large_origin, path, rows_per_page)
    with Warehouse(GITHUB, large_origin, tmp_path, SOURCES__GITHUB__REPOSITORIES="acme/platform").configured():
        # The best of three, as the machine may be busy with other things.
        for _ in range(3):
            large_origin.forget_requests()
            loading = pipeline("github", "activity").drop()
            wanted = activity().with_resources(table)
            started = time.monotonic()
            loading.extract(wanted)
            seconds = time.monotonic() - started
            pages = large_origin.requests()["by_path"]["/github/repositories/{id}/" + path.split("?", maxsplit=1)[0]]
            if seconds <= pages * one_page / times:
                break
    large_origin.heal()
    assert pages >= PAGES
    assert seconds <= pages * one_page / times


def seconds_of_a_page(origin: Origin, path: str, rows_per_page: int) -> float:
    """How long a page takes where they are read one after the other: the mean of four."""
    with requests.Session() as session:
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {TOKEN}"
        started = time.monotonic()
        for page in range(1, 5):
            address = f"{origin.url}/github/repos/acme/platform/{path}&per_page={rows_per_page}&page={page}"
            assert session.get(address, timeout=30).json()
        return (time.monotonic() - started) / 4
