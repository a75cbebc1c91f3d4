"""What holds for every location that mirrors a database."""

import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest_shared.databases.reflect import reflect, written
from ingest_testing.mirror import assert_mirrors
from ingest_testing.runs import run_job
from ingest_testing.sandbox import TINY
from ingest_testing.suites.crashes import kill_a_run, while_it_loads
from ingest_testing.suites.definitions import Assets, Definitions
from ingest_testing.suites.jobs import Jobs
from ingest_testing.suites.losses import Losses
from ingest_testing.suites.mirrors import Mirrors
from ingest_testing.suites.suite import Suite
from ingest_testing.warehouse import Warehouse


class DatabaseMirrors(Mirrors):
    """Every row and every value is the database's."""

    @pytest.mark.exhaustive
    @given(data=st.data())
    @settings(max_examples=2, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def test_any_history_of_changes_faults_and_failed_syncs_ends_in_a_mirror(
        self, run_origin: Callable[..., Any], data: st.DataObject
    ) -> None:
        """Also with transactions that commit after a sync that began after them; nothing needs an audit."""
        with run_origin(TINY) as origin, tempfile.TemporaryDirectory() as folder:
            warehouse = Warehouse(self.location, origin, Path(folder))
            warehouse.sync()
            for _ in range(data.draw(st.integers(2, 3))):
                late = origin.engine.connect()
                with late:
                    kinds = [f"{name}.{what}" for name in self.location.tables for what in ("insert", "update")]
                    origin.make(late, data.draw(st.sampled_from(kinds)))
                    if data.draw(st.booleans()):
                        origin.advance(data.draw(st.sampled_from([1, 400, 86_400])))
                    # What the open transaction changed is locked.
                    if data.draw(st.booleans()):
                        _insert(origin, data.draw(st.integers(0, 2**16)))
                    warehouse.sync()
                    late.commit()
                origin.change_at_random(data.draw(st.integers(0, 2**16)), data.draw(st.integers(1, 30)))
            warehouse.sync()
            assert_mirrors(warehouse)
            assert warehouse.audit() == {}
            assert_mirrors(warehouse, audited=True)


def _insert(origin: Any, seed: int) -> None:
    origin.random.seed(seed)
    with suppress(sa.exc.DBAPIError):
        origin.change(f"{origin.random.choice(list(origin.mirrored))}.insert")


class DatabaseInput(Suite):
    """Settings and catalogs that a location must not trip over."""

    def test_the_declared_tables_are_those_of_the_database(self, origin: Any, warehouse: Warehouse[Any]) -> None:
        file = Path(__import__(self.location.module).__path__[0]) / "source" / "tables.yaml"
        with warehouse.configured():
            assert written(reflect(self.location.name, file, [], {}), self.location.name) == file.read_text()

    def test_no_credentials(self, warehouse: Warehouse[Any]) -> None:
        run = run_job(warehouse, "ingest", **{self.location.address.upper().replace(".", "__"): ""})
        assert f"`{self.location.address}`" in run.failure
        assert run.retries == 0

    def test_an_address_that_is_none(self, warehouse: Warehouse[Any]) -> None:
        run = run_job(warehouse, "ingest", **{self.location.address.upper().replace(".", "__"): "secret@host"})
        assert run.failure.startswith(f"{self.location.address} is not the address of a database")
        assert "secret" not in run.failure
        assert run.retries == 0

    def test_a_database_that_does_not_exist(self, warehouse: Warehouse[Any]) -> None:
        url = sa.make_url(warehouse.origin.url).set(database="nowhere").render_as_string(hide_password=False)
        run = run_job(warehouse, "ingest", **{self.location.address.upper().replace(".", "__"): url})
        assert run.failure.startswith("the database refused the connection")
        assert run.retries == 0

    def test_a_table_that_is_gone_is_a_gap_and_the_others_load(self, synced: Warehouse[Any]) -> None:
        name, *others = self.location.tables
        gone = synced.origin.mirrored[name].source
        with synced.origin.engine.begin() as connection:
            connection.execute(sa.text(f"ALTER TABLE {gone} RENAME TO elsewhere"))
        run = run_job(synced, "ingest")
        assert run.success is bool(others)
        assert [(table, scope) for table, scope, *_ in synced.gaps()] == [(name, gone)]
        if others:
            assert_mirrors(synced, *others)

    @pytest.mark.exhaustive
    def test_a_run_that_is_killed_while_it_loads(self, warehouse: Warehouse[Any], tmp_path: Path) -> None:
        kill_a_run(warehouse, while_it_loads, tmp_path, 0.1)
        warehouse.sync()
        assert_mirrors(warehouse)


class DatabaseTests(Definitions, Assets, Jobs, DatabaseMirrors, Losses, DatabaseInput):
    """The tests of a location that mirrors a database."""
