"""Runs are found however many there are, and whenever they are run again."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ingest_testing import Json, assert_mirrors
from ingest_testing.sandbox import TINY

from .origin import GITHUB, Origin, Warehouse

API = "acme/api"
DAY = 86_400


@pytest.fixture
def actions(tmp_path: Path, start_origin: Callable[..., Origin]) -> Warehouse:
    return Warehouse(GITHUB, start_origin(0.1), tmp_path, SOURCES__GITHUB__REPOSITORIES=API)


def new_runs(origin: Origin, count: int, seconds: int = 1) -> None:
    for seed in range(count):
        origin.change("workflow_run.create", repository=API, seed=seed)
        origin.advance(seconds)


def an_ended_run(origin: Origin) -> int:
    """A run that has ended."""
    origin.change("workflow_run.create", repository=API)
    run = newest(origin)
    while run["status"] != "completed":
        origin.change("workflow_run.edit", repository=API, id=run["id"])
        run = newest(origin)
    id_: int = run["id"]
    return id_


def newest(origin: Origin) -> Json:
    runs: list[Json] = [row["object"] for row in origin.objects("workflow_runs")]
    return max(runs, key=lambda run: int(run["id"]))


def status(warehouse: Warehouse, run: int) -> tuple[str, int]:
    ((status, attempt),) = warehouse.query("SELECT status, run_attempt FROM {workflow_runs} WHERE id = %s", run)
    return status, attempt


def jobs_differ(warehouse: Warehouse, run: int) -> set[tuple[int, str, int]]:
    """The jobs of a run, of all its attempts, that the warehouse and the origin do not have alike."""
    query = "SELECT id, status, run_attempt FROM {workflow_jobs} WHERE run_id = %s"
    jobs = [row["object"] for row in warehouse.origin.objects("workflow_jobs") if row["given"]["run_id"] == run]
    return set(warehouse.query(query, run)) ^ {(job["id"], job["status"], job["run_attempt"]) for job in jobs}


def test_more_than_a_thousand_runs_are_all_there(tmp_path: Path, start_origin: Callable[..., Origin]) -> None:
    origin = start_origin(TINY)
    new_runs(origin, 1_000)
    new_runs(origin, 20, 0)
    warehouse = Warehouse(GITHUB, origin, tmp_path, SOURCES__GITHUB__REPOSITORIES=API)
    origin.advance()
    warehouse.sync("actions", SOURCES__GITHUB__WITHOUT="workflow_jobs,deployments,deployment_statuses")
    runs = [row for row in origin.objects("workflow_runs") if row["object"]["repository"]["full_name"] == API]
    assert len(runs) > 1_000
    assert warehouse.query("SELECT count(*) FROM {workflow_runs}") == [(len(runs),)]


def test_a_run_that_has_not_ended_is_read_until_it_has(actions: Warehouse) -> None:
    origin = actions.origin
    while newest(origin)["status"] == "completed":
        new_runs(origin, 1)
    run: int = newest(origin)["id"]
    new_runs(origin, 120)
    actions.sync("actions")
    actions.sync("actions")
    origin.change("workflow_run.edit", repository=API, id=run)
    origin.advance()
    actions.sync("actions")
    assert status(actions, run) == ("completed", 1)
    assert jobs_differ(actions, run) == set()


def test_an_old_run_that_is_run_again_is_found_within_a_day(actions: Warehouse) -> None:
    origin = actions.origin
    run = an_ended_run(origin)
    new_runs(origin, 120)
    actions.sync("actions")
    actions.sync("actions")
    origin.change("workflow_run.edit", repository=API, id=run)
    origin.advance(DAY)
    actions.sync("actions")
    assert status(actions, run)[1] == 2
    assert jobs_differ(actions, run) == set()
    assert_mirrors(actions, "workflow_run_attempts")


def test_every_attempt_of_a_run_is_kept_and_asked_for_once(actions: Warehouse) -> None:
    origin = actions.origin
    run = an_ended_run(origin)
    actions.sync("actions")
    origin.forget_requests()
    for _ in range(4):
        origin.change("workflow_run.edit", repository=API, id=run)
        origin.advance(100)
    actions.sync("actions")
    asked = "/github/repositories/{id}/actions/runs/{id}/attempts/{id}"
    assert origin.requests()["by_path"][asked] == 2
    attempts = "SELECT run_attempt, status FROM {workflow_run_attempts} WHERE run_id = %s ORDER BY 1"
    assert actions.query(attempts, run) == [(1, "completed"), (2, "completed")]
    origin.advance(100)
    actions.sync("actions")
    assert origin.requests()["by_path"][asked] == 2
    origin.change("workflow_run.delete", repository=API, id=run)
    actions.audit("actions")
    assert actions.query("SELECT count(deleted_at) FROM {workflow_run_attempts} WHERE run_id = %s", run) == [(2,)]
    assert_mirrors(actions, "workflow_run_attempts", audited=True)
