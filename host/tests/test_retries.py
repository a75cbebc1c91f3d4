"""A retry is not lost because its location is not loaded as the run fails."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from dagster._core.errors import DagsterCodeLocationLoadError, DagsterUserCodeUnreachableError
from dagster._daemon.auto_run_reexecution import auto_run_reexecution

from ingest_host import retries

RUN = cast(Any, SimpleNamespace(remote_job_origin=SimpleNamespace(location_name="github")))
UNLOADED = DagsterCodeLocationLoadError("Failure loading github", load_error_infos=[])  # type: ignore[no-untyped-call]


class Location:
    """What a retry meets, one after the other, and how often the location was loaded again."""

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
    """As the daemon does."""
    patch.setattr(auto_run_reexecution, "retry_run", location.retry)
    patch.setattr(retries, "LOOK_SECONDS", 0)
    retries.retry_once_loaded()
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
