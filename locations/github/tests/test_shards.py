"""The hourly groups in shards: the same rows, deletions and gaps as in one, whatever their number was before."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from github_location.source import activity
from github_location.source.api import connect
from ingest_shared.pipelines import pipeline, run
from ingest_shared.shards import Shard, all_shards, shard_of
from ingest_testing import assert_mirrors, run_job
from ingest_testing.runs import load_definitions

from .origin import ACTIVITY, GITHUB, TOKEN, Origin, Warehouse

pytestmark = pytest.mark.exhaustive

SHARDS = "SOURCES__GITHUB__SHARDS"
LOAD = """
from github_location.source import activity
from ingest_shared.pipelines import pipeline, run
from ingest_shared.shards import Shard
shard = Shard({number}, {count})
run(pipeline("github", "activity", shard).drop(), activity(shard=shard))
"""
REPOSITORIES = 120
PACE = 150
LATE = 0.5
"""Seconds that a call may be late on a busy machine: what was sent in that much more than a second arrives in one."""


def load(warehouse: Warehouse, count: int, *, audit: bool = False) -> None:
    """Loads the activity in that many shards, one after the other."""
    with warehouse.configured():
        for shard in all_shards(count):
            run(pipeline("github", "activity", shard).drop(), activity(audit, (), shard))


# Their number may change.


def test_no_row_and_no_deletion_is_lost_when_the_number_of_shards_changes(synced: Warehouse) -> None:
    for count, gone in (4, "acme/web"), (2, "acme/docs"):
        synced.origin.change_at_random(count, 15)
        synced.origin.change("repository.delete", repository=gone)
        synced.origin.advance()
        load(synced, count)
        assert_mirrors(synced, *ACTIVITY)
    load(synced, 1, audit=True)
    assert synced.lost() == []
    assert_mirrors(synced, *ACTIVITY, audited=True)


def test_cursors_are_taken_over(synced: Warehouse) -> None:
    load(synced, 1)  # looks at the rows of the first load's last minute once more
    synced.origin.forget_requests()
    load(synced, 4)
    asked = synced.origin.requests()
    repositories = len(synced.origin.objects("repositories"))
    assert asked["by_path"]["/github/repositories/{id}/issues"] <= repositories
    assert asked["by_status"].get("200", 0) <= 4, "lists of repositories; all else is as it was"


# A shard leaves others alone.


def forbid_one(warehouse: Warehouse) -> tuple[str, Shard, Shard]:
    """Makes a repository one that may not be read; its name, its shard of two, and the other one."""
    found = warehouse.origin.objects("repositories")[0]["object"]
    warehouse.origin.change("repository.edit", repository=found["full_name"], set={"forbidden": True})
    warehouse.origin.advance()
    own = shard_of(found["id"], 2)
    return found["full_name"], own, Shard(3 - own.number, 2)


def test_checks_judge_the_whole_table_in_the_run_of_any_shard(synced: Warehouse) -> None:
    name, own, other = forbid_one(synced)
    for shard in own, other:
        done = run_job(synced, "activity_ingest", partition=shard.name, **{SHARDS: "2"})
        assert done.success
        assert not done.checks["issues", "no_open_load_gaps"]
        assert done.checks["issues", "key_is_unique_and_not_null"]
        assert done.metadata["issues"]["dagster/row_count"] == len(synced.query("SELECT id FROM {issues}"))
    assert {scope for _, scope, *_ in synced.gaps()} == {name}
    assert synced.query("SELECT DISTINCT shard FROM {load_gaps}") == [(own.name,)]
    synced.origin.change("repository.edit", repository=name, set={"forbidden": False})
    synced.origin.advance()
    assert run_job(synced, "activity_ingest", partition=own.name, **{SHARDS: "2"}).checks["issues", "no_open_load_gaps"]


def test_an_audit_of_one_shard_takes_no_row_of_another_for_lost(synced: Warehouse) -> None:
    ids = [item["repository_id"] for item in synced.origin.objects("repositories")]
    ours, others = (next(filter(shard.has, ids)) for shard in all_shards(2))
    with synced.opened() as database:
        database.execute("DELETE FROM issues WHERE repo_id IN (?, ?)", [ours, others])
    config = {"ops": {"github_activity": {"config": {"audit": True}}}}
    done = run_job(synced, "activity_ingest", "issues", config=config, partition="1_of_2", **{SHARDS: "2"})
    assert done.success
    assert not done.checks["issues", "equals_origin"]
    left = dict(synced.query("SELECT repo_id, count(*) FROM {issues} WHERE deleted_at IS NULL GROUP BY repo_id"))
    assert left[ours] > 0
    assert others not in left
    assert synced.query("SELECT count(*) FROM {issues} WHERE deleted_at IS NOT NULL") == [(0,)]


def test_a_shard_without_a_repository_loads_nothing_though_an_entry_cannot_be_read(synced: Warehouse) -> None:
    ids = {item["repository_id"] for item in synced.origin.objects("repositories")}
    empty = next(shard for shard in all_shards(16) if not any(map(shard.has, ids)))
    settings = {SHARDS: "16", "SOURCES__GITHUB__REPOSITORIES": "acme/*,acme/nothing"}
    done = run_job(synced, "activity_ingest", "issues", partition=empty.name, **settings)
    assert done.success
    assert done.metadata["issues"]["rows_loaded"] == 0
    assert not done.checks["issues", "no_open_load_gaps"]


def test_repositories_that_no_shard_sees_any_more_do_not_count_as_deleted(synced: Warehouse) -> None:
    """Of shards with one each: to each of them, only one is gone."""
    repositories = synced.origin.objects("repositories")
    ids = [item["repository_id"] for item in repositories]
    count = next(n for n in range(len(ids), 100) if len({shard_of(id_, n) for id_ in ids}) == len(ids))
    for item in repositories:
        synced.origin.change("repository.edit", repository=item["object"]["full_name"], set={"hidden": True})
    synced.origin.advance()
    load(synced, count)
    assert synced.query("SELECT count(*) FROM {issues} WHERE deleted_at IS NOT NULL") == [(0,)]
    assert {scope for _, scope, *_ in synced.gaps()} == {"acme/*"}


def test_repositories_of_which_each_shard_misses_one_do_not_count_as_deleted(synced: Warehouse) -> None:
    """It would be believed of one alone, and is not of one in each shard: their common list lacks many."""
    ids = [item["repository_id"] for item in synced.origin.objects("repositories")]
    load(synced, 2)
    for shard in all_shards(2):
        synced.origin.change("repository.edit", repository=next(filter(shard.has, ids)), set={"hidden": True})
    synced.origin.advance()
    for _ in range(2):  # it stays a gap
        load(synced, 2)
        assert synced.query("SELECT count(*) FROM {issues} WHERE deleted_at IS NOT NULL") == [(0,)]
        assert {scope for _, scope, *_ in synced.gaps()} == {"acme/*"}


def test_a_repository_of_another_shard_cannot_be_loaded_anew(synced: Warehouse) -> None:
    found = synced.origin.objects("repositories")[0]["object"]
    own = shard_of(found["id"], 2)
    config = {"ops": {"github_activity": {"config": {"repositories": [found["full_name"]]}}}}

    def backfill(shard: Shard) -> Any:
        return run_job(synced, "activity_ingest", config=config, partition=shard.name, **{SHARDS: "2"})

    assert backfill(Shard(3 - own.number, 2)).failure.endswith(f"launch it for the partition {own.name}")
    assert backfill(own).success


# What Dagster sees.


@pytest.fixture
def definitions(monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.Definitions]:
    """Those of a location with four shards."""
    monkeypatch.setenv(SHARDS, "4")
    yield load_definitions(GITHUB)
    monkeypatch.undo()
    load_definitions(GITHUB)


def test_each_shard_is_a_partition_of_the_hourly_groups_alone(definitions: dg.Definitions) -> None:
    names = [shard.name for shard in all_shards(4)]
    for node in definitions.resolve_asset_graph().asset_nodes:
        is_sharded = node.group_name in ("github_activity", "github_actions")
        found = node.partitions_def.get_partition_keys() if node.partitions_def else None
        assert found == (names if is_sharded else None)
    assert not definitions.resolve_job_def("github_ingest").partitions_def
    for table, pool in ("issues", None), ("workflow_runs", None), ("labels", "github_catalog"):
        assert definitions.resolve_assets_def(dg.AssetKey(["github", table])).op.pool == pool


@pytest.mark.parametrize("job", ["activity_ingest", "actions_ingest", "shards_audit"])
def test_a_schedule_starts_a_run_for_each_shard(job: str, definitions: dg.Definitions) -> None:
    schedule = definitions.resolve_schedule_def(f"github_{job}_schedule")
    with dg.build_schedule_context(repository_def=definitions.get_repository_def()) as context:
        requests = schedule.evaluate_tick(context).run_requests
    assert [request.partition_key for request in requests or ()] == [shard.name for shard in all_shards(4)]


# The limits of the API hold over all of them.


def test_together_they_have_fewer_requests_in_flight_than_github_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCES__GITHUB__ACCESS_TOKEN", TOKEN)
    for shards in (1, 4, 8, 64):
        assert connect(shards).in_flight * shards <= 64


def load_side_by_side(warehouse: Warehouse, count: int, folder: Path, *, apart: bool) -> None:
    """Each shard in a process of its own; ``apart`` as on nodes, which share nothing."""
    running = []
    for shard in all_shards(count):
        limits = folder / (f"limits_{shard.name}" if apart else f"limits_{count}")
        settings = warehouse.settings | {"INGEST_LIMITS_DIR": str(limits)}
        settings |= {"KUBERNETES_SERVICE_HOST": "10.0.0.1"} if apart else {}
        command = [sys.executable, "-c", LOAD.format(number=shard.number, count=count)]
        running.append(subprocess.Popen(command, env=os.environ | settings))
    assert [process.wait(timeout=120) for process in running] == [0] * count


def test_many_repositories_in_any_number_of_shards_are_the_same_rows_at_the_same_pace(
    start_origin: Callable[..., Origin], tmp_path: Path, make_postgres: Callable[[], dict[str, str]]
) -> None:
    origin = start_origin(0.01, "--github-repositories", str(REPOSITORIES), "--github-issues", "3")
    origin.fail(latency_ms=20)
    settings = {
        "SOURCES__GITHUB__REPOSITORIES": "many/*",
        "SOURCES__GITHUB__CALLS_PER_SECOND": str(PACE),
        "SOURCES__GITHUB__WITHOUT": "review_comments,issue_events,commits",
    }
    tables = ("issues", "issue_labels", "pull_requests", "reviews", "issue_comments")
    contents = []
    for count, apart in (1, False), (2, False), (4, True):
        warehouse = Warehouse(GITHUB, origin, tmp_path, **settings, **make_postgres())
        origin.forget_requests()
        load_side_by_side(warehouse, count, tmp_path, apart=apart)
        requests = origin.requests()
        assert requests["total"] - count <= PACE * (requests["seconds"] + LATE)
        assert requests["max_per_second"] <= PACE * (1 + LATE) + count
        assert requests["by_path"]["/github/repositories/{id}/issues"] == REPOSITORIES
        contents.append({name: sorted(map(repr, warehouse.query(f"SELECT * FROM {{{name}}}"))) for name in tables})
    assert len(contents[0]["issues"]) >= REPOSITORIES * 3
    assert contents[0] == contents[1] == contents[2]
