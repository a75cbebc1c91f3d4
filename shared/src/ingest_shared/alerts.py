"""Alerts for a location's owners: failed runs, and failed checks of successful runs.

One line in a location's ``defs/alerts.py`` adds both sensors:

    alerts = alerts_for("github", OWNERS)

The location's setting ``alerts.to`` says where alerts go: one or more Apprise addresses, separated by
spaces or line breaks. The code server reads it for each alert; if it is not set, no alert is sent.
Slack, Teams, e-mail, PagerDuty, ntfy and a hundred others: https://appriseit.com/services/

An alert that an address does not accept is sent to it again at each tick, for an hour. Meanwhile the sensor's tick
fails and keeps its place in the runs.

Links in alerts begin with the environment variable ``INGEST_UI_URL``.
"""

import logging
import os
import textwrap
import time
from collections.abc import Iterable, Sequence
from typing import Any

from dagster import (
    AssetCheckEvaluation,
    AssetKey,
    DagsterEvent,
    DagsterEventType,
    DagsterRunStatus,
    DefaultSensorStatus,
    Definitions,
    RunFailureSensorContext,
    RunsFilter,
    RunStatusSensorContext,
    RunStatusSensorDefinition,
    SensorEvaluationContext,
)
from dagster._core.definitions.sensor_definition import SensorExecutionData
from dagster_shared.record import copy

from ingest_shared.errors import IngestError
from ingest_shared.settings import setting_help, text_setting

EVERY_SECONDS = 60
"""How often the daemon looks for runs to alert about; each look costs the code server a call."""
RESEND_SECONDS = 3600
"""For how long after a run's end its alert is retried."""
UI_URL = "http://127.0.0.1:3000"
RETRIES = 1
WAIT_SECONDS = 2.0
"""Wait before an address is retried. A Dagster tick has 60 s for up to 5 alerts."""
LONGEST_LINE = 300
"""Characters of an error or a check's findings; the full text is behind the link."""
MOST_LINES = 20

_TO = "alerts.to"


class ChannelError(IngestError):
    """An address did not accept the alert; the text names the setting and contains no secret."""

    retry = True


class AlertSensor(RunStatusSensorDefinition):
    """Dagster's own sensor, except that it does not move past a run whose alert could not be sent.

    Dagster's moves on to the next run when its function fails. Here the next tick sees the same runs again;
    ``taken`` keeps addresses from getting the same alert twice.
    """

    taken: set[tuple[str, str]]
    """Pairs of run and address that have the alert."""

    def evaluate_tick(self, context: SensorEvaluationContext) -> SensorExecutionData:
        cursor = context.cursor
        told = super().evaluate_tick(context)
        failed = [one.dagster_run for one in told.dagster_run_reactions or () if one.error and one.dagster_run]
        if failed:
            records = context.instance.get_run_records(RunsFilter(run_ids=[run.run_id for run in failed]))
            if any(time.time() - (record.end_time or 0) < RESEND_SECONDS for record in records):
                return copy(told, cursor=cursor)
        self.taken.clear()
        return told


def alerts_for(location: str, owners: Sequence[str]) -> Definitions:
    """The sensors ``<location>_run_failures`` and ``<location>_failed_checks``, which are on by default.

    They see only the runs of their own code location. A run causes one alert: if it failed, that alert
    includes its failed checks. ``owners`` are named if the run selects no assets, or
    if those have no owner. An alert that cannot be sent fails the sensor's tick with one line.

    https://docs.dagster.io/guides/automate/sensors/run-status-sensors
    """
    failures: set[tuple[str, str]] = set()
    checks: set[tuple[str, str]] = set()

    def run_failures(context: RunStatusSensorContext) -> None:
        failure = context.for_run_failure()
        run = context.dagster_run
        found = [*_errors(failure), *map(_described, _failed_checks(context))]
        if run.tags.get("dagster/will_retry") == "true":
            found.append("Dagster will retry it automatically.")
        whose = _owners(context, run.asset_selection or ()) or owners
        _alert(context, f"{location}: {run.job_name} failed", found, whose, failures)

    def failed_checks(context: RunStatusSensorContext) -> None:
        if failed := _failed_checks(context):
            what = "1 check" if len(failed) == 1 else f"{len(failed)} checks"
            whose = _owners(context, {check.asset_key for check in failed}) or owners
            subject = f"{location}: {what} of {context.dagster_run.job_name} failed"
            _alert(context, subject, list(map(_described, failed)), whose, checks)

    sensors = []
    for function, status, what, taken in (
        (run_failures, DagsterRunStatus.FAILURE, "failed runs", failures),
        (failed_checks, DagsterRunStatus.SUCCESS, "failed checks of successful runs", checks),
    ):
        sensor = AlertSensor(
            name=f"{location}_{function.__name__}",
            run_status=status,
            run_status_sensor_fn=function,
            description=f"Alerts {', '.join(owners)} about {what}.",
            minimum_interval_seconds=EVERY_SECONDS,
            default_status=DefaultSensorStatus.RUNNING,
        )
        sensor.taken = taken
        sensors.append(sensor)
    return Definitions(sensors=sensors)


def _errors(context: RunFailureSensorContext) -> list[str]:
    """Each failed step's error in one line; several steps may have the same error."""
    steps = context.get_step_failure_events()
    lines = [_error(event) for event in steps or [context.failure_event]]
    return list(dict.fromkeys(lines))


def _error(event: DagsterEvent) -> str:
    """A ``Failure``'s description, or else the first line of the root exception."""
    data: Any = event.event_specific_data
    failure = getattr(data, "user_failure_data", None)
    if failure and failure.description:
        return _one_line(failure.description)
    error = getattr(data, "error", None)
    if error is None:
        return _one_line(event.message or "no error was reported")
    while error.cause:
        error = error.cause
    name, colon, message = error.message.strip().partition("\n")[0].partition(": ")
    return _one_line(f"{name.rpartition('.')[2]}{colon}{message}")


def _failed_checks(context: RunStatusSensorContext) -> list[AssetCheckEvaluation]:
    """The checks whose last evaluation in the run failed."""
    records = context.instance.get_records_for_run(
        context.dagster_run.run_id, of_type=DagsterEventType.ASSET_CHECK_EVALUATION
    ).records
    events = [record.event_log_entry.get_dagster_event() for record in records]
    last = {check.asset_check_key: check for check in (event.asset_check_evaluation_data for event in events)}
    return [check for check in last.values() if not check.passed]


def _described(check: AssetCheckEvaluation) -> str:
    """Asset, check and what it found, in one line."""
    found = [check.description] if check.description else []
    found += [f"{name}: {value.value}" for name, value in check.metadata.items()]
    name = f"{check.asset_key.to_user_string()} {check.check_name}"
    return f"{name} ({check.severity.value}): {_one_line('; '.join(found) or 'no details')}"


def _owners(context: RunStatusSensorContext, keys: Iterable[AssetKey]) -> list[str]:
    """The owners of the assets; assets that the location does not define are ignored."""
    if context.repository_def is None:
        return []
    graph = context.repository_def.asset_graph
    return sorted({owner for key in keys if graph.has(key) for owner in graph.get(key).owners})


def _one_line(text: str) -> str:
    return textwrap.shorten(text, LONGEST_LINE, placeholder=" …")


def _alert(
    context: RunStatusSensorContext,
    subject: str,
    found: list[str],
    owners: Sequence[str],
    taken: set[tuple[str, str]],
) -> None:
    run_id = context.dagster_run.run_id
    url = (os.environ.get("INGEST_UI_URL", "").strip() or UI_URL).rstrip("/")
    more = [f"and {len(found) - MOST_LINES} more"] if len(found) > MOST_LINES else []
    about = [f"run {run_id}: {url}/runs/{run_id}", f"owner: {', '.join(owners)}"]
    if not send(subject, "\n".join([*found[:MOST_LINES], *more, *about]), run_id, taken):
        context.log.info("no alert was sent: %s is not set", _TO)


def send(subject: str, text: str, run_id: str, taken: set[tuple[str, str]]) -> bool:
    """Sends to every configured address that does not have the run's alert yet; returns whether any is configured.

    Raises :class:`ChannelError` after trying all of them, with the problem of each that failed.
    """
    addresses = text_setting(_TO, "").split()
    problems = []
    for number, address in enumerate(addresses, 1):
        if (run_id, address) in taken:
            continue
        if problem := _problem(address, subject, text):
            problems.append(f"address {number} of {setting_help(_TO)}: {problem}")
        else:
            taken.add((run_id, address))
    if problems:
        raise ChannelError("; ".join(problems))
    return bool(addresses)


def _problem(address: str, subject: str, text: str) -> str:
    """Why an address did not accept the alert; empty if it did."""
    import apprise  # noqa: PLC0415, it takes half a second, and only alerts need it

    asset = apprise.AppriseAsset(default_service_retry=RETRIES, default_service_wait=WAIT_SECONDS)
    channel = apprise.Apprise(asset=asset)
    if "://" not in address or not channel.add(address):
        return "not an address that Apprise supports: https://appriseit.com/services/"
    with apprise.LogCapture(level=logging.WARNING, fmt="%(message)s") as said:  # type: ignore[no-untyped-call]
        sent = channel.notify(
            title=subject, body=text, body_format=apprise.NotifyFormat.TEXT, notify_type=apprise.NotifyType.FAILURE
        )
    last = said.getvalue().strip().rpartition("\n")[2]
    return "" if sent else _one_line(last) or f"{channel[0].service_name} did not accept the alert"
