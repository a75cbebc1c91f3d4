"""Runs that tests catch at work, on either engine, and what has become of them."""

from typing import Protocol

from ingest_tools.dagster_api import ENDED, Platform, Run, wait_for
from origin import Origin

JOB = "github_activity_ingest"


class Tested(Protocol):
    """A platform under test, and the sandbox that it reads."""

    @property
    def platform(self) -> Platform: ...
    @property
    def origin(self) -> Origin: ...


def at_work(tested: Tested) -> Run:
    """A run of the job that asks the API, which is slow. As it has begun, no other run of the job can be under way."""
    tested.origin.ask("DELETE", "requests")
    run_id = tested.platform.launch("github", JOB)
    wait_for(lambda: tested.platform.run(run_id).status == "STARTED", "the run to begin", 120)
    wait_for(lambda: tested.origin.ask("GET", "requests")["total"].get("github", 0) > 1, "calls of the run", 120)
    return tested.platform.run(run_id)


def runs_from(tested: Tested, run: Run) -> list[Run]:
    """It and its retries, the newest first, once none is under way or waited for."""

    def ended() -> list[Run]:
        retries = tested.platform.runs(9, tags=[{"key": "dagster/root_run_id", "value": run.id}])
        runs = [*retries, tested.platform.run(run.id)]
        retried = {one.tags.get("dagster/parent_run_id") for one in runs}
        # Dagster says after the failure whether it will be retried.
        waiting = {one.id for one in runs if one.status == "FAILURE" and one.tags.get("dagster/will_retry") != "false"}
        return runs if all(one.status in ENDED for one in runs) and waiting <= retried else []

    return wait_for(ended, f"run {run.id} and its retries to end", 300)
