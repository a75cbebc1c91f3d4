"""Runs are found however many there are, and whenever they are run again."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from github_location.source.api import GitHub
from ingest_shared.reading import reader
from ingest_shared.reading.api import Response
from ingest_testing import Json, assert_mirrors
from ingest_testing.sandbox import TINY

from .origin import GITHUB, Origin, Warehouse

pytestmark = pytest.mark.exhaustive

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


def status_at_origin(origin: Origin, run: int) -> str:
    return next(str(r["object"]["status"]) for r in origin.objects("workflow_runs") if r["object"]["id"] == run)


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


def test_a_run_that_was_run_again_on_its_last_day_is_found(actions: Warehouse) -> None:
    """It may be run again for 30 days, and is older when the next look comes."""
    origin = actions.origin
    run = an_ended_run(origin)
    origin.advance(29 * DAY)
    new_runs(origin, 120)
    for _ in range(2):
        actions.sync("actions")
    origin.advance(DAY - 3600)
    origin.change("workflow_run.edit", repository=API, id=run)
    origin.advance(DAY)
    actions.sync("actions")
    assert status(actions, run)[1] == 2


def test_a_run_that_was_run_again_on_its_last_day_is_read_until_it_has_ended(actions: Warehouse) -> None:
    """It may wait for an approval for 30 days more. Each sync comes a day after the one before."""
    origin = actions.origin
    run = an_ended_run(origin)
    origin.advance(28 * DAY)
    new_runs(origin, 120)
    for _ in range(2):
        actions.sync("actions")
    origin.change("workflow_run.edit", repository=API, id=run)
    for _ in range(9):
        origin.advance(DAY)
        actions.sync("actions")
    assert status(actions, run) == ("queued", 2)
    while status_at_origin(origin, run) != "completed":
        origin.change("workflow_run.edit", repository=API, id=run)
    origin.advance(DAY)
    actions.sync("actions")
    assert status(actions, run) == ("completed", 2)
    assert jobs_differ(actions, run) == set()


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


def leave_out_of_index(monkeypatch: pytest.MonkeyPatch, *runs: int) -> None:
    """Filtered lists come from a search index, which may lack a run that the list without a filter has."""
    send = GitHub._send

    def send_without_them(api: GitHub, method: str, path: str, *args: Any, **what: Any) -> Response:
        response = send(api, method, path, *args, **what)
        if path.endswith("/actions/runs") and "created" in (what["params"] or {}):
            body = msgspec.json.decode(response.body)
            found = [run for run in body["workflow_runs"] if run["id"] not in runs]
            return replace(response, body=msgspec.json.encode(body | {"workflow_runs": found}))
        return response

    monkeypatch.setattr(GitHub, "_send", send_without_them)


def living_differ(warehouse: Warehouse) -> set[tuple[int, str]]:
    """The runs that the warehouse and the origin do not have alike."""
    runs = [row["object"] for row in warehouse.origin.objects("workflow_runs")]
    there = {(run["id"], run["status"]) for run in runs if run["repository"]["full_name"] == API}
    return there ^ set(warehouse.query("SELECT id, status FROM {workflow_runs} WHERE deleted_at IS NULL"))


def test_a_run_that_the_index_of_runs_lacks_is_not_gone(actions: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is as it is now, with its jobs, and one that was deleted is gone."""
    origin = actions.origin
    lacking, deleted = an_ended_run(origin), an_ended_run(origin)
    origin.advance(DAY)
    actions.sync("actions")
    leave_out_of_index(monkeypatch, lacking)
    with actions.opened() as database:
        database.execute("UPDATE workflow_runs SET status = 'wrong' WHERE id = ?", [lacking])
    origin.change("workflow_run.delete", repository=API, id=deleted)
    origin.forget_requests()
    actions.sync("actions", audit=True)
    assert origin.requests()["by_path"]["/github/repositories/{id}/actions/runs/{id}"] == 2
    assert actions.query("SELECT id FROM {workflow_runs} WHERE deleted_at IS NOT NULL") == [(deleted,)]
    assert living_differ(actions) == set()
    assert jobs_differ(actions, lacking) == set()
    assert actions.query("SELECT stale, deleted FROM {audits} WHERE resource = 'workflow_runs'") == [(1, 1)]


def test_runs_that_github_removes_for_their_age_are_gone_without_a_call_for_each(
    actions: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """https://github.blog/changelog/2026-08-27-actions-retention-will-cover-checks-workflow-runs-and-statuses"""
    monkeypatch.setattr(reader, "IN_VAIN", 2)
    origin = actions.origin
    old = [an_ended_run(origin) for _ in range(6)]
    lacking = an_ended_run(origin)
    origin.advance(DAY)
    actions.sync("actions")
    for id_ in old:
        origin.change("workflow_run.delete", repository=API, id=id_)
    leave_out_of_index(monkeypatch, lacking)
    origin.forget_requests()
    actions.audit("actions")
    assert origin.requests()["by_path"]["/github/repositories/{id}/actions/runs/{id}"] == 4
    assert {id_ for (id_,) in actions.query("SELECT id FROM {workflow_runs} WHERE deleted_at IS NOT NULL")} == {*old}
    assert living_differ(actions) == set()
    assert not actions.query("SELECT id FROM {workflow_jobs} WHERE deleted_at IS NULL AND run_id = %s", old[0])


def test_a_run_that_cannot_be_asked_for_is_a_gap_and_not_gone(
    actions: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = an_ended_run(actions.origin)
    actions.sync("actions")
    leave_out_of_index(monkeypatch, run)
    actions.origin.fail({"kind": "status", "status": 403, "path": f"/actions/runs/{run}"})
    actions.sync("actions", audit=True, SOURCES__GITHUB__WITHOUT="workflow_run_attempts,workflow_jobs")
    assert not actions.query("SELECT id FROM {workflow_runs} WHERE deleted_at IS NOT NULL")
    assert [gap[:2] for gap in actions.gaps()] == [("workflow_runs", API)]


def test_a_run_that_the_index_lacked_at_first_is_there_after_the_next_sync(
    actions: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = an_ended_run(actions.origin)
    new_runs(actions.origin, 1, 600)
    with monkeypatch.context() as patch:
        leave_out_of_index(patch, run)
        actions.sync("actions")
    assert {id_ for id_, _ in living_differ(actions)} == {run}
    actions.sync("actions")
    assert living_differ(actions) == set()
    assert jobs_differ(actions, run) == set()
