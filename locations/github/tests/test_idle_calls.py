"""What a sync costs in which nothing changed, counted at the sandbox: no quota, and no call that can be spared."""

import math
import re
from dataclasses import dataclass

import pytest

from github_location import source
from github_location.source import repositories as repositories_read
from ingest_shared.reading.listings import Listing

from .origin import GITHUB, Origin, Warehouse

pytestmark = pytest.mark.exhaustive


@dataclass(frozen=True)
class Idle:
    """The calls of a sync in which nothing changed."""

    by_path: dict[str, int]
    by_status: dict[str, int]


LISTED = "/github/orgs/{owner}/repos"


def calls(warehouse: Warehouse) -> dict[str, int]:
    """The calls of a sync by path, after two in which nothing changed either."""
    for _ in range(3):
        repositories_read._LISTED.clear()  # as in a process of its own
        warehouse.origin.forget_requests()
        warehouse.sync()
    counted: dict[str, int] = warehouse.origin.requests()["by_path"]
    return {path: count for path, count in counted.items() if path.startswith("/github/")}


@pytest.fixture(scope="module")
def idle(mirrored: Warehouse) -> Idle:
    return Idle(calls(mirrored), mirrored.origin.requests()["by_status"])


def repositories(origin: Origin, **wanted: bool) -> int:
    found = [row["object"] for row in origin.objects("repositories")]
    return sum(all(row[name] == value for name, value in wanted.items()) for row in found)


def path_of(listing: Listing) -> str:
    return "/github" + re.sub(r"\{\w+\}", "{id}", listing.path)


def test_an_idle_sync_of_all_tables_costs_one_call_of_quota_for_each_hundred_repositories(
    idle: Idle, mirrored: Warehouse
) -> None:
    found = idle.by_path
    count = repositories(mirrored.origin)
    quota = math.ceil(count / 100)
    print(f"an idle sync of {count} repositories: {quota} calls of quota")
    assert found[LISTED] == len(GITHUB.groups) * math.ceil(count / 100)
    assert idle.by_status == {"200": quota, "304": sum(found.values()) - quota}


def test_a_repository_that_comes_between_two_groups_is_seen_by_the_second(synced: Warehouse) -> None:
    synced.sync("catalog")
    synced.origin.change("repository.create", set={"name": "young"})
    synced.origin.change("issue.open", repository="acme/young")
    synced.origin.advance()
    synced.sync("activity")
    assert synced.query("SELECT count(*) FROM {issues} WHERE repo_id NOT IN (SELECT id FROM {repositories})") == [(1,)]


def test_an_idle_sync_asks_each_repository_once_for_each_list(idle: Idle, mirrored: Warehouse) -> None:
    found = idle.by_path
    count = repositories(mirrored.origin)
    for listing in source.LISTINGS:
        name = listing.table.name
        expected = count
        if name in ("teams", "members", "issue_types"):
            expected = 1
        elif name in ("commits", "reviews", "workflow_run_attempts", "workflow_jobs", "deployment_statuses"):
            expected = 0  # known without a call
        elif name in ("repositories", "repo_stats_daily") or name in source.ON_REQUEST:  # of one list, or of none
            continue
        print(f"{name}: {found.get(path_of(listing), 0)} calls for {count} repositories, none of quota")
        assert found.get(path_of(listing), 0) == expected, name
    print(f"in all {sum(found.values())} calls")


def test_an_archived_repository_is_asked_only_for_what_may_change_in_it(idle: Idle, mirrored: Warehouse) -> None:
    before = idle.by_path
    mirrored.origin.change("repository.archive", repository="acme/web")
    mirrored.origin.advance(3600)
    found = calls(mirrored)
    spared = {path: count - found.get(path, 0) for path, count in before.items()}
    may_change = (source.ARCHIVED_TOO, source.PUSHED_TO)
    asked_still = {path_of(listing) for listing in source.LISTINGS if listing.per in may_change} & before.keys()
    assert len(asked_still) == 7
    assert all(spared[path] == 0 for path in asked_still)
    read_only = {path for path in before if path.startswith("/github/repositories/") and path not in asked_still}
    assert len(read_only) == 9
    assert all(spared[path] == 1 for path in read_only)
