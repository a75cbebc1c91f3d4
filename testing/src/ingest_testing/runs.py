"""Runs of a location's jobs, as Dagster executes them."""

import importlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import dagster as dg

from ingest_shared import resource
from ingest_testing.location import AnyLocation
from ingest_testing.warehouse import Warehouse


@dataclass(frozen=True)
class Run:
    """The outcome of a run."""

    success: bool
    failures: list[str]
    """The descriptions of the steps' failures, as the UI shows them."""
    retries: int
    metadata: dict[str, dict[str, Any]]
    """The metadata of each materialization, by asset."""
    checks: dict[tuple[str, str], bool]
    """Whether a check passed, by asset and name."""

    @property
    def failure(self) -> str:
        """The error line of a run in which one step failed."""
        (line,) = self.failures
        assert "\n" not in line
        return line


def load_definitions(location: AnyLocation) -> dg.Definitions:
    """The definitions as a new process would load them, with the current environment."""
    bound = (f"{location.module}.def", "ingest_shared.pipelines")  # to the warehouse, when they are imported
    for name in [name for name in sys.modules if name.startswith(bound)]:
        del sys.modules[name]
    loaded: dg.Definitions = importlib.import_module(f"{location.module}.definitions").defs()
    return loaded


def run_job(
    warehouse: Warehouse[Any],
    job: str,
    *assets: str,
    config: Any = None,
    partition: str | None = None,
    **settings: str,
) -> Run:
    """Runs the job ``<location>_<job>``, or only some of its assets, in this process; retries do not wait.

    ``config`` is what the launchpad would send with it, ``partition`` the one that it is launched for.
    """
    location, at_once = warehouse.location, dg.RetryPolicy(max_retries=1)
    with warehouse.configured(**settings), mock.patch.object(resource, "RETRY_POLICY", at_once):
        result = (
            load_definitions(location)
            .resolve_job_def(f"{location.name}_{job}")
            .execute_in_process(
                run_config=config,
                partition_key=partition,
                raise_on_error=False,
                asset_selection=[dg.AssetKey([location.name, name]) for name in assets] or None,
            )
        )
    events = result.all_events
    failed = [event.step_failure_data for event in events if event.is_step_failure]
    made = [event.step_materialization_data.materialization for event in events if event.is_step_materialization]
    return Run(
        success=result.success,
        failures=[
            data.user_failure_data.description or "" if data.user_failure_data else str(data.error) for data in failed
        ],
        retries=sum(event.event_type == dg.DagsterEventType.STEP_UP_FOR_RETRY for event in events),
        metadata={one.asset_key.path[-1]: {name: value.value for name, value in one.metadata.items()} for one in made},
        checks={
            (evaluation.asset_key.path[-1], evaluation.check_name): evaluation.passed
            for evaluation in result.get_asset_check_evaluations()
        },
    )


def whole_job(warehouse: Warehouse[Any], folder: Path) -> tuple[list[str], dict[str, str]]:
    """The command that runs the whole location in a separate process, and its environment."""
    location, home = warehouse.location, folder / "dagster"
    home.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "dagster", "job", "execute"]
    command += ["-m", f"{location.module}.definitions", "-j", f"{location.name}_ingest"]
    return command, os.environ | warehouse.settings | {"DAGSTER_HOME": str(home), "DLT_DATA_DIR": str(folder)}
