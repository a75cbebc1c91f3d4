"""Runs one job of a code location in this process, as a run of the local Dagster instance: LOCATION JOB MODULE.

Run by ``tied.py`` with the location's own Python, in the location's folder. Progress goes to standard error, a summary
(JSON) to standard output, all other output to the log file. The run carries the origin by which Dagster's UI knows the
job, so it appears among that job's runs.
"""

import importlib
import json
import logging
import os
import re
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from dagster import (
    AssetCheckSeverity,
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    RunsFilter,
)
from dagster._core.definitions.reconstruct import ReconstructableJob, ReconstructableRepository
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
from dagster._core.execution.api import execute_run_iterator
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from ingest_tools.local import dagster_home, data_dir, held
from ingest_tools.runs import LOCK_TAG, end_dead_runs

PID_TAG = "ingest/pid"
CALLS_TAG = "ingest/api_calls"
"""A tag with the API calls of the whole run, so that a later run can say what it saved."""
SECONDS_BETWEEN_LOOKS = 1.0


@dataclass
class TableSummary:
    """One asset of the run, from the materialization's metadata; a child table makes no calls of its own."""

    name: str
    rows_total: int | None
    rows_loaded: int | None
    api_calls: int | None
    seconds: float | None
    new_fields: list[str]


@dataclass
class FailedCheck:
    """An asset check that found something, and its findings."""

    table: str
    check: str
    metadata: dict[str, Any]
    is_error: bool
    """Or a warning."""


@dataclass
class Summary:
    """What a run did; ``error`` is one line, or None if the run succeeded."""

    location: str
    job: str
    run_id: str = ""
    error: str | None = None
    seconds: float = 0.0
    warehouse: str = ""
    first_calls: int | None = None
    """API calls of the earlier run that made the most, if there is one."""
    tables: list[TableSummary] = field(default_factory=list)
    failed_checks: list[FailedCheck] = field(default_factory=list)

    @property
    def api_calls(self) -> int:
        return sum(table.api_calls or 0 for table in self.tables)


class Progress(logging.Handler):
    """Shows the location's progress messages, prefixed with its name."""

    def __init__(self, stream: IO[str], location: str) -> None:
        super().__init__(logging.INFO)
        self._stream = stream
        self._location = location

    def emit(self, record: logging.LogRecord) -> None:
        mark = "" if record.levelno < logging.WARNING else "! "
        self.say(f"{mark}{record.getMessage()}")

    def say(self, line: str) -> None:
        print(f"{self._location:<10} {line}", file=self._stream, flush=True)


def run(summary: Summary, module: str, progress: Progress) -> None:
    """Runs the job and fills the summary."""
    started = time.monotonic()
    with DagsterInstance.get() as instance:
        lock = dagster_home() / f"{summary.location}.lock"
        with held(lock, f"{summary.location}: waiting for another of its runs to finish"):
            _wait_for_others(instance, summary.location, lock, progress)
            summary.first_calls = _most_calls(instance, summary.job)
            job, origin = _job(module, summary)
            dagster_run = instance.create_run_for_job(
                job.get_definition(),
                tags={PID_TAG: str(os.getpid()), LOCK_TAG: str(lock)},
                remote_job_origin=origin,
                job_code_origin=job.get_python_origin(),
            )
            summary.run_id = dagster_run.run_id
            for event in execute_run_iterator(job, dagster_run, instance):
                _note(event, summary, progress)
            instance.add_run_tags(dagster_run.run_id, {CALLS_TAG: str(summary.api_calls)})
    summary.seconds = round(time.monotonic() - started, 1)


def _wait_for_others(instance: DagsterInstance, location: str, lock: Path, progress: Progress) -> None:
    """Waits for runs of the location that the UI or a schedule started."""
    told = False
    while others := [run for run in end_dead_runs(instance, lock) if _location_of(run) == location]:
        if not told:
            progress.say(f"waiting for run {others[0].run_id[:8]} ({others[0].job_name}) to finish")
            told = True
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _location_of(run: DagsterRun) -> str | None:
    return run.remote_job_origin.location_name if run.remote_job_origin else None


def _most_calls(instance: DagsterInstance, job: str) -> int | None:
    runs = instance.get_runs(RunsFilter(job_name=job))
    return max((int(run.tags[CALLS_TAG]) for run in runs if CALLS_TAG in run.tags), default=None)


def _job(module: str, summary: Summary) -> tuple[ReconstructableJob, RemoteJobOrigin]:
    """The job, and the origin by which the UI finds it."""
    repository = ReconstructableRepository.for_module(module, "defs", str(Path.cwd()))
    location = ManagedGrpcPythonEnvCodeLocationOrigin(
        LoadableTargetOrigin(executable_path=sys.executable, module_name=module),
        location_name=summary.location,
    )
    origin = RemoteRepositoryOrigin(location, SINGLETON_REPOSITORY_NAME)
    return repository.get_reconstructable_job(summary.job), origin.get_job_origin(summary.job)


def _note(event: DagsterEvent, summary: Summary, progress: Progress) -> None:
    """Extracts from an event what belongs into the summary or on the screen."""
    match event.event_type:
        case DagsterEventType.ASSET_MATERIALIZATION:
            summary.tables.append(_table(event))
        case DagsterEventType.ASSET_CHECK_EVALUATION:
            if failed := _failed_check(event):
                summary.failed_checks.append(failed)
        case DagsterEventType.STEP_UP_FOR_RETRY:
            seconds = event.step_retry_data.seconds_to_wait or 0
            progress.say(f"! {_reason(event.step_retry_data.error)}; next try in {seconds:.0f} s")
        case DagsterEventType.STEP_FAILURE:
            summary.error = summary.error or _failure(event)
        case DagsterEventType.RUN_FAILURE | DagsterEventType.RUN_CANCELED:
            summary.error = summary.error or event.message or "the run was stopped"


def _table(event: DagsterEvent) -> TableSummary:
    materialization = event.step_materialization_data.materialization
    metadata: dict[str, Any] = {name: value.value for name, value in materialization.metadata.items()}
    return TableSummary(
        name=materialization.asset_key.path[-1],
        rows_total=metadata.get("dagster/row_count"),
        rows_loaded=metadata.get("rows_loaded"),
        api_calls=metadata.get("api_calls"),
        seconds=metadata.get("seconds"),
        new_fields=metadata.get("new_fields", []),
    )


def _failed_check(event: DagsterEvent) -> FailedCheck | None:
    evaluation = event.asset_check_evaluation_data
    if evaluation.passed:
        return None
    metadata = {name: value.value for name, value in evaluation.metadata.items()}
    is_error = evaluation.severity is AssetCheckSeverity.ERROR
    return FailedCheck(evaluation.asset_key.path[-1], evaluation.check_name, metadata, is_error)


def _failure(event: DagsterEvent) -> str:
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    return _reason(data.error)


def _reason(error: Any) -> str:
    """The innermost cause of a serialized error, in one line."""
    while error is not None and error.cause is not None:
        error = error.cause
    if error is None:
        return "no reason given"
    line = " ".join(error.message.split())
    # For our own errors, the text is enough.
    return re.sub(r"^ingest_shared\.errors\.\w+: ", "", line)


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _own_streams(log: Path) -> tuple[IO[str], IO[str]]:
    """Redirects standard output and error to the log file; returns the original ones."""
    kept = [os.fdopen(os.dup(number), "w") for number in (1, 2)]
    with log.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    return kept[0], kept[1]


def _warehouse(location: str) -> str:
    """Where to find the rows."""
    destinations = importlib.import_module("ingest_shared.destinations")
    name = str(destinations.destination_name())
    return str(destinations.duckdb_file(location)) if name == "duckdb" else name


def main(location: str, job: str, module: str) -> int:
    """0 if the run succeeded, otherwise 1."""
    log = data_dir() / "logs" / f"{job}.log"
    result, screen = _own_streams(log)
    progress = Progress(screen, location)
    logging.getLogger("ingest").addHandler(progress)
    summary = Summary(location, job)
    try:
        run(summary, module, progress)
        summary.warehouse = _warehouse(location)
    except BaseException as error:
        logging.getLogger("ingest_tools").exception("the run ended early")
        summary.error = summary.error or ("stopped" if isinstance(error, KeyboardInterrupt) else _first_line(error))
    told = asdict(summary) | {"log": str(log), "api_calls": summary.api_calls}
    json.dump(told, result, default=str)
    result.flush()
    return 1 if summary.error else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
