"""Runs of the location's jobs, as Dagster does them."""

import sys
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import dagster as dg

from ingest_shared import resource

from .mirror import Warehouse

MODULE = "github_location"


@dataclass
class Run:
    """What came of a run."""

    success: bool
    failures: list[str]
    """The descriptions of the steps' failures, as the UI shows them."""
    retries: int
    metadata: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Of each materialization, by asset."""
    checks: dict[tuple[str, str], bool] = field(default_factory=dict)
    """Whether a check passed, by asset and name."""

    @property
    def failure(self) -> str:
        """The one line of a run that failed in one step."""
        (line,) = self.failures
        assert "\n" not in line
        return line


def load_definitions() -> dg.Definitions:
    """The definitions as a new process loads them, under the environment of now."""
    bound = (f"{MODULE}.def", "ingest_shared.pipelines")  # to the warehouse, when they are imported
    for name in [name for name in sys.modules if name.startswith(bound)]:
        del sys.modules[name]
    from github_location.definitions import defs

    loaded: dg.Definitions = defs()
    return loaded


def run_job(warehouse: Warehouse, job: str, *assets: str, **settings: str) -> Run:
    """Runs a job, or only some of its assets, in this process; retries come at once."""
    at_once = dg.RetryPolicy(max_retries=1)
    with warehouse.configured(**settings), mock.patch.object(resource, "RETRY_POLICY", at_once):
        result = (
            load_definitions()
            .resolve_job_def(job)
            .execute_in_process(
                raise_on_error=False,
                asset_selection=[dg.AssetKey([warehouse.location, name]) for name in assets] or None,
            )
        )
    failed = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    return Run(
        success=result.success,
        failures=[
            data.user_failure_data.description or "" if data.user_failure_data else str(data.error) for data in failed
        ],
        retries=sum(event.event_type == dg.DagsterEventType.STEP_UP_FOR_RETRY for event in result.all_events),
        metadata={
            event.step_materialization_data.materialization.asset_key.path[-1]: {
                name: value.value for name, value in event.step_materialization_data.materialization.metadata.items()
            }
            for event in result.all_events
            if event.is_step_materialization
        },
        checks={
            (evaluation.asset_key.path[-1], evaluation.check_name): evaluation.passed
            for evaluation in result.get_asset_check_evaluations()
        },
    )
