"""How fresh a location's assets are is evaluated whatever state another's are in."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from dagster import AssetKey, AssetMaterialization, DagsterInstance
from dagster._core.definitions.freshness import FreshnessState
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.freshness import FreshnessDaemon

from ingest_host import freshness

from .conftest import Platform

CODE = str(Path(__file__).with_name("aging_location.py"))
ITEMS, MORE = (AssetKey(["one", name]) for name in ("items", "more"))
OTHERS = AssetKey(["other", "items"])


@pytest.fixture
def process(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkspaceProcessContext]:
    platform.location("one")
    origins = [
        InProcessCodeLocationOrigin(LoadableTargetOrigin(python_file=CODE, attribute=name), location_name=name)
        for name in ("one", "other")
    ]
    monkeypatch.setattr(FreshnessDaemon, freshness.ALL, getattr(FreshnessDaemon, freshness.ALL))
    freshness.evaluate_apart()
    target = InProcessWorkspaceLoadTarget(origins)
    with DagsterInstance.get() as instance, create_test_daemon_workspace_context(target, instance) as process:
        yield process
        instance.wipe()


def look(process: WorkspaceProcessContext) -> dict[AssetKey, FreshnessState | None]:
    """Returns what is known about each asset after one round of the daemon."""
    list(FreshnessDaemon().run_iteration(process))
    records = process.instance.get_freshness_state_records([ITEMS, MORE, OTHERS])
    return {key: record.freshness_state for key, record in records.items()}


def test_one_that_raises_takes_no_other_locations_with_it(
    process: WorkspaceProcessContext, platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    """Such as an asset in excess of a location's limit."""
    process.instance.report_runless_asset_event(AssetMaterialization(OTHERS))
    many = """INSERT INTO asset_keys (asset_key) SELECT '["one", "many", "' || generate_series(1, 1000) || '"]'"""
    platform.sql("dagster", many, "dagster")
    assert look(process)[OTHERS] == FreshnessState.PASS
    assert "assets of one from one/items on are not evaluated for now: " in caplog.text


def test_nor_do_those_that_their_location_keeps_locked(process: WorkspaceProcessContext, platform: Platform) -> None:
    """The daemon waits for one of them, not for each."""
    platform.sql("postgres", "ALTER ROLE dagster SET lock_timeout = '4s'", "dagster")
    process.instance.report_runless_asset_event(AssetMaterialization(OTHERS))
    with closing(platform.connect("dagster-one", "dagster")) as holding:
        holding.autocommit = False
        adding = "INSERT INTO asset_keys (asset_key) VALUES (%s)"
        holding.cursor().executemany(adding, [(key.to_string(),) for key in (ITEMS, MORE)])
        started = time.monotonic()
        assert look(process)[OTHERS] == FreshnessState.PASS
        assert time.monotonic() - started < 8
    assert look(process)[MORE] == FreshnessState.UNKNOWN
