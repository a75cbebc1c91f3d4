"""A first load that takes long is kept as far as it has come."""

from typing import Any

import pytest

from github_location.source import activity
from ingest_shared import pipelines
from ingest_shared.reading import reader
from ingest_testing import assert_mirrors, run_job

from .origin import Warehouse

pytestmark = pytest.mark.exhaustive

TABLES = ("issues", "commits")


class Stopped(Exception):
    """The process is killed here."""


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """After each repository of a list, what was read is loaded."""
    monkeypatch.setattr(reader, "BEGINS_FOR", 0.0)


@pytest.mark.usefixtures("in_parts")
def test_a_load_in_parts_is_what_one_in_a_piece_is(warehouse: Warehouse) -> None:
    told = run_job(warehouse, "activity_ingest", *TABLES).metadata
    assert_mirrors(warehouse, *TABLES)
    assert not warehouse.gaps()
    assert all(told[table]["rows_loaded"] == told[table]["dagster/row_count"] > 0 for table in TABLES)
    calls = warehouse.origin.requests()["by_path"]
    assert calls["/github/orgs/{owner}/repos"] == 1, "listed once for all parts"
    assert calls["/github/repositories/{id}/branches"] == len(warehouse.origin.objects("repositories"))


@pytest.mark.usefixtures("in_parts")
def test_what_was_loaded_before_a_kill_is_not_read_again(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> None:
        with warehouse.configured():
            pipelines.run(pipelines.pipeline("github", "activity").drop(), activity().with_resources(*TABLES))

    parts, added = iter(range(1000)), pipelines._added

    def stopped(*metrics: Any) -> Any:
        if next(parts) == 2 * len(TABLES):
            raise Stopped
        return added(*metrics)

    with monkeypatch.context() as patch:
        patch.setattr(pipelines, "_added", stopped)
        with pytest.raises(Stopped):
            load()
    ((kept,),) = warehouse.query("SELECT count(DISTINCT repo_id) FROM {commits}")
    assert kept >= 2
    warehouse.origin.forget_requests()
    load()
    asked = warehouse.origin.requests()["by_path"]["/github/repositories/{id}/branches"]
    assert asked <= len(warehouse.origin.objects("repositories")) - kept
    assert_mirrors(warehouse, *TABLES)
