"""Alerts to whom a location belongs: a run that failed, and checks that failed in a run that did not.

One line in a location's ``defs/alerts.py`` gives it both sensors:

    alerts = alerts_for("github", OWNERS)

Where alerts go is the location's own configuration, read as :mod:`ingest_shared.settings` does, at
each alert, by the code server. Both channels may be set; where none is, no alert is sent.

- Slack: ``alerts.slack_webhook``, https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
- e-mail: ``alerts.email_to`` (a list), ``alerts.email_from``, ``alerts.smtp_host``,
  ``alerts.smtp_port`` (587), and where the server wants them ``alerts.smtp_user`` and
  ``alerts.smtp_password``; over STARTTLS when the server offers it

The link in an alert begins with the environment's ``INGEST_UI_URL``.
"""

import html
import os
import re
import smtplib
import ssl
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

import requests
from dagster import (
    AssetCheckEvaluation,
    AssetKey,
    DagsterEvent,
    DagsterEventType,
    DagsterRunStatus,
    DefaultSensorStatus,
    Definitions,
    RunFailureSensorContext,
    RunStatusSensorContext,
    run_failure_sensor,
    run_status_sensor,
)

from ingest_shared.errors import IngestError, SettingError
from ingest_shared.reading.api import setting_help
from ingest_shared.settings import list_setting, secret_setting, text_setting

EVERY_SECONDS = 60
"""How often the daemon asks for runs to tell of; each time costs the code server a call."""
UI_URL = "http://127.0.0.1:3000"
SMTP_PORT = "587"
TIMEOUT = 5.0
"""Seconds a channel has to answer: a tick of Dagster sends up to 5 alerts, over both channels, in 60 s."""
LONGEST_LINE = 300
"""Characters of an error or of what a check found; all of it stands behind the link."""
MOST_LINES = 20

_SLACK = "alerts.slack_webhook"
_TO, _FROM, _HOST, _PORT = "alerts.email_to", "alerts.email_from", "alerts.smtp_host", "alerts.smtp_port"
_USER, _PASSWORD = "alerts.smtp_user", "alerts.smtp_password"
_SLACK_REASON = re.compile(r"[a-z_]{1,40}")


class ChannelError(IngestError):
    """A channel did not take the alert; the text names its setting and holds no secret."""

    retry = True


def alerts_for(location: str, owners: Sequence[str]) -> Definitions:
    """The sensors ``<location>_run_failures`` and ``<location>_failed_checks``, which run from the start.

    They see the runs of their own code location only. A run makes one alert: where it failed, its
    failed checks stand in that one. ``owners`` are named where the run selects no assets, and
    where those have no owner. An alert that cannot be sent fails the sensor's tick with one line.

    https://docs.dagster.io/guides/automate/sensors/run-status-sensors
    """

    @run_failure_sensor(
        name=f"{location}_run_failures",
        description=f"Tells {', '.join(owners)} of a run that failed.",
        minimum_interval_seconds=EVERY_SECONDS,
        default_status=DefaultSensorStatus.RUNNING,
    )
    def run_failures(context: RunFailureSensorContext) -> None:
        run = context.dagster_run
        found = [*_errors(context), *map(_described, _failed_checks(context))]
        if run.tags.get("dagster/will_retry") == "true":
            found.append("Dagster runs it again by itself.")
        whose = _owners(context, run.asset_selection or ()) or owners
        _alert(context, f"{location}: {run.job_name} failed", found, whose)

    @run_status_sensor(
        run_status=DagsterRunStatus.SUCCESS,
        name=f"{location}_failed_checks",
        description=f"Tells {', '.join(owners)} of checks that failed in a run that succeeded.",
        minimum_interval_seconds=EVERY_SECONDS,
        default_status=DefaultSensorStatus.RUNNING,
    )
    def failed_checks(context: RunStatusSensorContext) -> None:
        if failed := _failed_checks(context):
            what = "1 check" if len(failed) == 1 else f"{len(failed)} checks"
            whose = _owners(context, {check.asset_key for check in failed}) or owners
            subject = f"{location}: {what} of {context.dagster_run.job_name} failed"
            _alert(context, subject, list(map(_described, failed)), whose)

    return Definitions(sensors=[run_failures, failed_checks])


def _errors(context: RunFailureSensorContext) -> list[str]:
    """Each failed step's error in one line; several steps may fail by the same one."""
    steps = context.get_step_failure_events()
    lines = [_error(event) for event in steps or [context.failure_event]]
    return list(dict.fromkeys(lines))


def _error(event: DagsterEvent) -> str:
    """A ``Failure``'s description, else the first line of the exception that began it all."""
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
    """The owners of those assets that the location has."""
    if context.repository_def is None:
        return []
    graph = context.repository_def.asset_graph
    return sorted({owner for key in keys if graph.has(key) for owner in graph.get(key).owners})


def _one_line(text: str) -> str:
    return textwrap.shorten(text, LONGEST_LINE, placeholder=" …")


def _alert(context: RunStatusSensorContext, subject: str, found: list[str], owners: Sequence[str]) -> None:
    run_id = context.dagster_run.run_id
    url = (os.environ.get("INGEST_UI_URL", "").strip() or UI_URL).rstrip("/")
    more = [f"and {len(found) - MOST_LINES} more"] if len(found) > MOST_LINES else []
    about = [f"run {run_id}: {url}/runs/{run_id}", f"owner: {', '.join(owners)}"]
    if not send(subject, "\n".join([*found[:MOST_LINES], *more, *about])):
        context.log.info("no alert was sent: neither %s nor %s is set", _SLACK, _TO)


def send(subject: str, text: str) -> bool:
    """Sends to every channel that is configured, and says whether there is one.

    Raises :class:`ChannelError` after all were tried, with a line for each that failed.
    """
    configured, problems = False, []
    for channel in (_to_slack, _to_email):
        try:
            configured |= channel(subject, text)
        except IngestError as error:
            problems.append(str(error))
    if problems:
        raise ChannelError("; ".join(problems))
    return configured


def _to_slack(subject: str, text: str) -> bool:
    url = text_setting(_SLACK, "")
    if not url:
        return False
    body = {"text": html.escape(f"{subject}\n{text}", quote=False)}  # & < > are Slack's own signs
    try:
        # A redirect would turn the alert into a GET.
        response = requests.post(url, json=body, timeout=TIMEOUT, allow_redirects=False)
    except (requests.RequestException, ValueError) as error:  # their texts hold the address
        raise ChannelError(f"{setting_help(_SLACK)}: no answer ({type(error).__name__})") from None
    if response.status_code != requests.codes.ok:
        reason = f" {response.text}" if _SLACK_REASON.fullmatch(response.text) else ""
        raise ChannelError(f"{setting_help(_SLACK)}: it answered {response.status_code}{reason}")
    return True


def _to_email(subject: str, text: str) -> bool:
    to, sender, host = list_setting(_TO), text_setting(_FROM, ""), text_setting(_HOST, "")
    if not (to or sender or host):
        return False
    for name, value in ((_TO, to), (_FROM, sender), (_HOST, host)):
        if not value:
            raise SettingError(f"{name} is not set: an alert by e-mail needs it; set {setting_help(name)}")
    try:
        message = _message(sender, to, subject, text)
        with _mail_server(host) as server:
            refused = server.send_message(message)
    except (OSError, ValueError, smtplib.SMTPException) as error:
        reason = _one_line(f"{type(error).__name__}: {error}")
        raise ChannelError(f"`{_HOST}` {host} did not take the alert ({reason})") from None
    if refused:
        raise ChannelError(f"`{_HOST}` {host} refused {', '.join(refused)} of `{_TO}`")
    return True


def _message(sender: str, to: Sequence[str], subject: str, text: str) -> EmailMessage:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = subject, sender, ", ".join(to)
    message["Date"] = datetime.now(UTC)
    message.set_content(text)
    return message


@contextmanager
def _mail_server(host: str) -> Iterator[smtplib.SMTP]:
    """A connection over which mail may be sent; a password goes over TLS only."""
    port = text_setting(_PORT, SMTP_PORT)
    if not port.isdecimal() or int(port) > 65_535:
        raise SettingError(f"{_PORT} is {port!r}; write it as a port's number")
    user = text_setting(_USER, "")
    password = secret_setting(_PASSWORD, f"{_USER} is set") if user else ""
    with smtplib.SMTP(host, int(port), timeout=TIMEOUT) as server:
        server.ehlo_or_helo_if_needed()
        encrypted = server.has_extn("starttls")
        if encrypted:
            server.starttls(context=ssl.create_default_context())
        if user and not encrypted:
            raise ChannelError(f"`{_HOST}` {host} offers no STARTTLS, and `{_PASSWORD}` is not sent in the clear")
        if user:
            server.login(user, password)
        yield server
