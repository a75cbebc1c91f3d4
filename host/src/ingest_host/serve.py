"""Dagster's webserver and daemon, with fewer queries to the storage and to code servers.

    python -m ingest_host.serve webserver      `dagster-webserver` on a socket that the front connects to
    python -m ingest_host.serve daemon         `dagster-daemon run`

Both are Dagster's own; what differs is who may use the webserver (`ingest_host.access`), and how they use the
storage. `dagster-daemon` opens a connection for each query, and each query of runs or ticks first asks the
catalog which tables and columns exist: half of the CPU of an idle platform. Runs keep their connections, too
(`run.py`); code servers query too rarely to need this.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import uvicorn
from dagster import DagsterInstance, __version__
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._daemon.controller import daemon_controller_from_instance
from dagster._grpc import server_watcher
from dagster._utils.interrupts import capture_interrupts, setup_interrupt_handlers
from dagster._utils.log import configure_loggers
from dagster_webserver.cli import _lifespan
from dagster_webserver.webserver import DagsterWebserver

from ingest_host.access.audit import PostgresTrail
from ingest_host.access.coordinator import mark_runs
from ingest_host.access.policy import AccessError
from ingest_host.access.settings import Settings
from ingest_host.access.webserver import build_app
from ingest_host.answers import checked_answers
from ingest_host.dead_runs import fail_dead_runs
from ingest_host.freshness import evaluate_apart
from ingest_host.logs import download_logs, use_run_logs
from ingest_host.queued_runs import leave_out_locked
from ingest_host.retries import retry_apart
from ingest_host.run import keep_connections
from ingest_host.ticks import forget_renamed, keep_locations_apart
from ingest_host.unreadable import pass_over_unreadable

WORKSPACE = WorkspaceFileTarget(["/opt/dagster/workspace/workspace.yaml"])
SOCKET = "/run/webserver/ui.sock"
"""A file, not a port: the webserver is in the network of every location, but no location may reach it."""
POLL_MILLISECONDS = 2000
"""How often an open page polls for changes."""

STATEMENT_MILLISECONDS = {"webserver": 15_000, "daemon": 0}
"""The longest that a query may take; 0 means no limit. Both are Dagster's own defaults."""
WATCH_SECONDS = 5
"""How often each code server is asked whether it is still the same one; a deploy does not wait for this."""
WATCH_ATTEMPTS = 3
"""How often it may fail to answer before its location is in error; Dagster's own values are 1 s and 10 attempts."""
LONGEST_MESSAGE = 262_144
"""Bytes of a message that a page sends over its WebSocket: a query and its variables."""


def location_names() -> list[str]:
    """Returns the locations that are served now; adding one restarts nothing."""
    return [origin.location_name for origin in WORKSPACE.create_origins()]


@contextmanager
def lasting_instance(statement_milliseconds: int) -> Iterator[DagsterInstance]:
    """Opens the instance of ``DAGSTER_HOME``, set up for a long-lived process."""
    with checked_answers(location_names), DagsterInstance.get() as instance:
        keep_connections(instance, statement_milliseconds)
        remember_schema(instance)
        use_run_logs(instance)
        pass_over_unreadable(instance)
        forget_renamed(instance)
        yield instance


def watch_seldom() -> None:
    """Sets how often Dagster checks the code servers; raises ``AttributeError`` if Dagster has renamed the settings."""
    for name, value in (("WATCH_INTERVAL", WATCH_SECONDS), ("MAX_RECONNECT_ATTEMPTS", WATCH_ATTEMPTS)):
        getattr(server_watcher, name)
        setattr(server_watcher, name, value)


def remember_schema(instance: DagsterInstance) -> None:
    """Checks only once whether Dagster's tables and columns exist.

    The service `setup` migrates the schema before anything is served, so the answer is yes and stays so.
    """
    runs: Any = instance.run_storage
    schedules: Any = instance.schedule_storage
    for storage, question in (
        (runs, "has_run_stats_index_cols"),
        (runs, "has_backfill_id_column"),
        (schedules, "has_instigators_table"),
        (schedules, "has_secondary_index_table"),
    ):
        if getattr(storage, question)():
            setattr(storage, question, _yes)
    if schedules.has_instigators_table is _yes:
        schedules._has_instigators_table = _yes
    schedules.has_built_index = cache(schedules.has_built_index)


def _yes(*_: object) -> bool:
    return True


def webserver(instance: DagsterInstance) -> None:
    configure_loggers()
    logging.getLogger("ingest").addHandler(logging.StreamHandler())
    settings = Settings()
    try:
        login = settings.describe(settings.load())
    except AccessError as error:
        raise SystemExit(str(error)) from None
    logging.getLogger("ingest.access").warning(login)
    DagsterWebserver.download_captured_logs_endpoint = download_logs  # type: ignore[method-assign]
    mark_runs(instance)
    # What no request started, such as reloading the workspace, is read-only.
    with WorkspaceProcessContext(instance, WORKSPACE, version=__version__, read_only=True) as context:
        trail = PostgresTrail.of(settings.secrets)
        app = build_app(context, settings, trail, POLL_MILLISECONDS, lifespan=_lifespan)
        uvicorn.run(app, uds=SOCKET, log_level="warning", proxy_headers=False, ws_max_size=LONGEST_MESSAGE)


def daemon(instance: DagsterInstance) -> None:
    fail_dead_runs()
    keep_locations_apart()
    evaluate_apart()
    leave_out_locked()
    retry_apart()
    mark_runs(instance)
    with (
        suppress(KeyboardInterrupt),  # `docker stop`
        capture_interrupts(),
        daemon_controller_from_instance(instance, WORKSPACE) as controller,
    ):
        controller.check_daemon_loop()


def main() -> None:
    (service,) = sys.argv[1:]
    setup_interrupt_handlers()
    watch_seldom()
    with lasting_instance(STATEMENT_MILLISECONDS[service]) as instance:
        {"webserver": webserver, "daemon": daemon}[service](instance)


if __name__ == "__main__":
    main()
