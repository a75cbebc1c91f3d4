"""Tables that cost a call for each row of another one are loaded on request, and are mirrors like the others."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from github_location import source
from ingest_shared.errors import SettingError
from ingest_testing import assert_mirrors
from ingest_testing.sandbox import TINY

from .origin import GITHUB, WITH_ALL, Origin, Warehouse

pytestmark = pytest.mark.exhaustive

OF_PULLS = ("pull_request_details", "pull_request_files", "pull_request_commits")


@pytest.fixture(scope="module")
def loaded(run_origin: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """The activity of a tiny world, loaded once; its requests are still counted."""
    with run_origin(TINY) as origin:
        warehouse = Warehouse(WITH_ALL, origin, tmp_path_factory.mktemp("loaded"))
        warehouse.groups = ["activity"]
        warehouse.sync()
        yield warehouse


@pytest.fixture
def details(loaded: Warehouse, start_origin: Callable[..., Origin], tmp_path: Path) -> Warehouse:
    """A copy of it, with a world of its own."""
    origin = start_origin(TINY)
    origin.advance()
    copy = loaded.copy(origin, tmp_path)
    copy.groups = ["activity"]
    return copy


def calls(warehouse: Warehouse) -> dict[str, int]:
    """The calls of a sync of the activity, by what is behind the repository."""
    warehouse.origin.forget_requests()
    warehouse.sync()
    paths: dict[str, int] = warehouse.origin.requests()["by_path"]
    return {path.removeprefix("/github/repositories/{id}"): count for path, count in paths.items()}


def open_pulls(origin: Origin) -> int:
    return sum(row["object"]["state"] == "open" for row in origin.objects("pull_requests"))


def test_a_first_load_equals_the_origin(loaded: Warehouse) -> None:
    assert_mirrors(loaded)
    assert loaded.query("SELECT count(*) > 20 FROM {pull_request_files}") == [(True,)]
    assert loaded.query("SELECT count(*) > 20 FROM {commit_files}") == [(True,)]


def test_a_table_that_is_requested_later_costs_no_call_before_and_is_loaded_whole(
    start_origin: Callable[..., Origin], tmp_path: Path, make_postgres: Callable[[], dict[str, str]]
) -> None:
    """In PostgreSQL, where the others use DuckDB."""
    settings = make_postgres()
    warehouse = Warehouse(GITHUB, start_origin(TINY), tmp_path, **settings)
    warehouse.sync("activity")
    paths = warehouse.origin.requests()["by_path"]
    assert not [path for path in paths if path.endswith(("/pulls/{id}", "/files")) or "/commits/" in path]
    warehouse.origin.change("commit.push")
    warehouse.origin.advance()
    later = Warehouse(WITH_ALL, warehouse.origin, tmp_path, **settings)
    later.sync("activity")
    assert_mirrors(later, *OF_PULLS, "commit_details")
    for kind in ("pull.push", "commit.push"):
        later.origin.change(kind)
    later.origin.advance()
    later.sync("activity")
    assert_mirrors(later, *OF_PULLS, "commit_details")


def test_a_table_that_is_always_loaded_cannot_be_requested(loaded: Warehouse) -> None:
    with (
        loaded.configured(SOURCES__GITHUB__WITH="issues"),
        pytest.raises(SettingError, match=r"sources.github.with has 'issues'; valid values are commit_details, pull_"),
    ):
        source.activity()


def test_an_idle_sync_asks_for_open_pull_requests_alone(details: Warehouse) -> None:
    calls(details)
    found = calls(details)
    assert found["/pulls/{id}"] == open_pulls(details.origin) > 0
    assert not [path for path in found if path.endswith("/files") or path.startswith("/commits/")]


def test_what_changed_is_read_again(details: Warehouse) -> None:
    for kind in ("pull.push", "pull.edit", "pull.merge", "pull.open", "commit.push", "commit.force_push"):
        details.origin.change(kind)
    details.origin.advance()
    found = calls(details)
    assert_mirrors(details)
    assert found["/pulls/{id}/files"] < len(details.origin.objects("pull_requests"))


def test_of_a_repository_that_is_left_out_nothing_is_asked(details: Warehouse) -> None:
    ((api,),) = details.query("SELECT DISTINCT repo_id FROM {issues} WHERE html_url LIKE %s", "%acme/api/%")
    opened = details.query("SELECT count(*) FROM {pull_requests} WHERE state = 'open' AND repo_id <> %s", api)
    details.settings["SOURCES__GITHUB__REPOSITORIES"] = "acme/*,-acme/api"
    calls(details)
    assert opened == [(calls(details)["/pulls/{id}"],)]
    assert 0 < opened[0][0] < open_pulls(details.origin)


def test_whether_an_open_one_can_be_merged_is_as_of_the_last_load(details: Warehouse) -> None:
    """Nothing tells of it, and GitHub says that it does not know when it is asked first."""
    details.origin.change("pull.test_merge")
    details.origin.advance()
    details.sync()
    assert_mirrors(details, "pull_request_details")
    conflicts = "SELECT count(*) FROM {pull_request_details} WHERE mergeable_state = 'dirty' AND NOT mergeable"
    assert details.query(conflicts) == [(1,)]
    assert details.query("SELECT count(*) FROM {pull_request_details} WHERE mergeable_state = 'unknown'") == [
        (len(details.origin.objects("pull_requests")) - open_pulls(details.origin),)
    ]


def test_an_audit_finds_what_was_lost_and_is_quiet_then(details: Warehouse) -> None:
    closed = "pull_request_id NOT IN (SELECT id FROM pull_requests WHERE state = 'open')"
    with details.opened() as database:
        for table in OF_PULLS:
            database.execute(f"DELETE FROM {table} WHERE rowid = (SELECT min(rowid) FROM {table} WHERE {closed})")
        database.execute("DELETE FROM commit_files WHERE rowid = 0")
        database.execute("UPDATE commit_details SET additions = -1 WHERE rowid = 30")
    found = details.audit()
    assert {table: sum(counts) for table, counts in found.items()} == dict.fromkeys(OF_PULLS, 1) | {"commit_details": 2}
    assert details.audit() == {}
    assert_mirrors(details, audited=True)
