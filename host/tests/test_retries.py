"""A retry is not lost because its location is not loaded when the run fails, nor because of another location's."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any, cast

import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.errors import DagsterCodeLocationLoadError, DagsterUserCodeUnreachableError
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.test_utils import create_run_for_test
from dagster._daemon.auto_run_reexecution import auto_run_reexecution, event_log_consumer
from dagster._daemon.auto_run_reexecution.event_log_consumer import EventLogConsumerDaemon

from ingest_host import retries
from ingest_host.unreadable import pass_over_unreadable

from .conftest import Platform, set_up

RUN = cast(Any, SimpleNamespace(remote_job_origin=SimpleNamespace(location_name="github")))
UNLOADED = DagsterCodeLocationLoadError("Failure loading github", load_error_infos=[])  # type: ignore[no-untyped-call]


class Location:
    """What each attempt of a retry meets, and how often the location was reloaded."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.reloaded: list[str] = []
        self.retried = 0

    def reload_code_location(self, name: str) -> None:
        self.reloaded.append(name)

    def retry(self, *_: object) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.retried += 1


def retry(location: Location, patch: pytest.MonkeyPatch) -> None:
    """Retries as the daemon does."""
    patch.setattr(auto_run_reexecution, "retry_run", location.retry)
    patch.setattr(event_log_consumer, retries.CONSUME, getattr(event_log_consumer, retries.CONSUME))
    patch.setattr(retries, "LOOK_SECONDS", 0)
    retries.retry_apart()
    auto_run_reexecution.retry_run(RUN, cast(Any, location))


def test_it_waits_until_the_location_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    location = Location(UNLOADED, DagsterUserCodeUnreachableError("UNAVAILABLE"))
    retry(location, monkeypatch)
    assert (location.retried, location.reloaded) == (1, ["github", "github"])


def test_it_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "WAIT_SECONDS", -1)
    location = Location(UNLOADED)
    with pytest.raises(DagsterCodeLocationLoadError):
        retry(location, monkeypatch)
    assert location.retried == 0


def test_another_error_is_dagsters_to_report(monkeypatch: pytest.MonkeyPatch) -> None:
    location = Location(ValueError("another"))
    with pytest.raises(ValueError, match="another"):
        retry(location, monkeypatch)
    assert location.reloaded == []


# Alongside those of other locations, in Dagster's own daemon


class Retried:
    """Two locations whose runs fail, and the daemon that retries them."""

    def __init__(self, platform: Platform, instance: DagsterInstance) -> None:
        self.platform = platform
        self.instance = instance
        self.retried: list[str] = []
        self.loaded = threading.Event()
        """Until then, the location ``one`` is not loaded."""

    def retry(self, run: DagsterRun, _context: object) -> None:
        origin = run.remote_job_origin
        assert origin
        if origin.location_name == "one" and not self.loaded.wait(20):
            raise TimeoutError
        self.retried.append(run.run_id)

    def run(self, location: str, **tags: str) -> DagsterRun:
        server = GrpcServerCodeLocationOrigin("127.0.0.1", 1, location_name=location)
        origin = RemoteJobOrigin(RemoteRepositoryOrigin(server, "__repository__"), "all")
        run: DagsterRun = create_run_for_test(
            self.instance, "all", remote_job_origin=origin, status=DagsterRunStatus.STARTED, tags=tags
        )
        return run

    def fail(self, run: DagsterRun) -> None:
        """Fails as a location does, without what Dagster's own code adds."""
        event = f"""'{run.run_id}', '{{"run_id": "{run.run_id}"}}', 'PIPELINE_FAILURE', now()"""
        self.platform.sql(
            "dagster-one",
            f"""UPDATE runs SET status = 'FAILURE', run_body = run_body WHERE run_id = '{run.run_id}';
            INSERT INTO event_logs (run_id, event, dagster_event_type, timestamp) VALUES ({event})""",
            "dagster",
        )

    def look(self) -> float:
        """Runs an iteration; returns its seconds."""
        started = time.monotonic()
        context: Any = SimpleNamespace(instance=self.instance)
        list(EventLogConsumerDaemon().run_iteration(context))
        return time.monotonic() - started


@pytest.fixture
def retried(postgres: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Retried]:
    platform = set_up(postgres, tmp_path, monkeypatch)
    for name in ("one", "other"):
        platform.location(name)
    with DagsterInstance.get() as instance:
        them = Retried(platform, instance)
        monkeypatch.setattr(auto_run_reexecution, "retry_run", them.retry)
        monkeypatch.setattr(event_log_consumer, retries.CONSUME, getattr(event_log_consumer, retries.CONSUME))
        monkeypatch.setattr(retries, "WAIT_SECONDS", 3)
        pass_over_unreadable(instance)
        retries.retry_apart()
        them.look()  # from where on
        yield them
        them.loaded.set()
        instance.wipe()
        platform.sql("dagster", "DELETE FROM kvs WHERE key LIKE 'EVENT_LOG_CONSUMER_CURSOR%'", "dagster")


def test_a_run_that_raises_takes_no_others_retry_with_it(retried: Retried, caplog: pytest.LogCaptureFixture) -> None:
    raising, run = retried.run("one", **{"dagster/failure_reason": "nonsense"}), retried.run("other")
    retried.fail(raising)
    retried.instance.report_run_failed(run)
    retried.look()
    assert retried.retried == [run.run_id]
    assert "is not retried: ValueError: " in caplog.text


def test_nor_does_one_that_its_location_keeps_locked(retried: Retried, caplog: pytest.LogCaptureFixture) -> None:
    locked, run = retried.run("one"), retried.run("other")
    retried.platform.sql("postgres", "ALTER ROLE dagster SET lock_timeout = '1s'", "dagster")
    retried.fail(locked)
    retried.instance.report_run_failed(run)
    with closing(retried.platform.connect("dagster-one", "dagster")) as holding:
        holding.autocommit = False
        holding.cursor().execute(f"SELECT FROM runs WHERE run_id = '{locked.run_id}' FOR UPDATE")
        retried.look()
    assert retried.retried == [run.run_id]
    assert f"the run {locked.run_id} is not retried: OperationalError: " in caplog.text


def test_many_that_wait_delay_no_others(retried: Retried) -> None:
    """They only wait for one another, and are retried once their location is loaded."""
    waiting = [retried.run("one") for _ in range(4)]
    runs = [retried.run("other") for _ in range(3)]
    for run in (*waiting, runs[0]):
        retried.instance.report_run_failed(run)
    assert 3 < retried.look() < 10
    assert retried.retried == [runs[0].run_id]
    for run in (waiting[0], runs[1]):
        retried.instance.report_run_failed(run)
    assert retried.look() < 3
    retried.loaded.set()
    while len(retried.retried) < 6:
        time.sleep(0.1)
    assert sorted(retried.retried) == sorted(run.run_id for run in (*waiting, *runs[:2]))


def test_of_one_location_no_more_wait_than_memory_holds(
    retried: Retried, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retries, "BEHIND", 1)
    for _ in range(2):
        retried.instance.report_run_failed(retried.run("one"))
    retried.look()
    assert "is not retried: the limit of 1 waiting retries of one is reached" in caplog.text
