"""The jobs run green against the sandbox, as people start them, and report what they did."""

import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from ingest_shared.reading.walks import ChangedSince, NewestFirst
from ingest_testing.mirror import assert_mirrors
from ingest_testing.runs import run_job, whole_job
from ingest_testing.suites.suite import Suite
from ingest_testing.warehouse import Warehouse

WEEK = 7 * 86_400


class Jobs(Suite):
    """The whole location, run as a person or a schedule does."""

    def test_every_check_passes_where_nothing_is_left_out(self, warehouse: Warehouse[Any]) -> None:
        run = run_job(warehouse, "ingest")
        assert run.success
        roots = self.location.tables.values()
        checks = {(root.name, "no_open_load_gaps") for root in roots}
        loaded = run.metadata.keys() - set(self.location.other_assets)
        checks |= {(name, "key_is_unique_and_not_null") for name in loaded}
        assert run.checks == dict.fromkeys(checks, True)
        assert loaded >= self.location.tables.keys()
        assert_mirrors(warehouse)

    def test_a_run_that_finds_nothing_new_is_green(self, synced: Warehouse[Any]) -> None:
        assert run_job(synced, "ingest").success
        assert_mirrors(synced)

    def test_the_command_line_runs_the_whole_location(self, warehouse: Warehouse[Any], tmp_path: Path) -> None:
        command, environment = whole_job(warehouse, tmp_path)
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        assert_mirrors(warehouse)


class Reports(Suite):
    """What a run reports."""

    def test_a_run_tells_what_it_read_and_what_is_there_now(self, warehouse: Warehouse[Any]) -> None:
        sample = self.location.sample
        run = run_job(warehouse, self.location.job_of(sample.group))
        assert run.success
        told = run.metadata[sample.table]
        ((rows,),) = warehouse.query(f"SELECT count(*) FROM {{{sample.table}}}")
        assert told["rows_loaded"] == told["dagster/row_count"] == rows > 0
        # A first page that is full takes one call more if it is the last one: is the path to the next page right?
        assert 0 < told["pages"] <= told["api_calls"] <= told["pages"] + 1
        assert told["api_bytes"] > 1000
        assert told["seconds"] >= 0
        assert told["new_fields"] == []
        assert sample.number in told["schema_changes"]
        for name in self.location.tables_of(sample.group):
            for child in self.location.tables[name].children:
                ((rows,),) = warehouse.query(f"SELECT count(*) FROM {{{child.name}}}")
                assert run.metadata[child.name]["dagster/row_count"] == rows

    def test_no_variable_of_the_environment_stands_for_what_a_run_is_told(self, warehouse: Warehouse[Any]) -> None:
        """make sets such variables, and so may anyone: dlt would take them for the arguments of a source."""
        run = self.run_sample(warehouse, AUDIT="true", ONLY="nothing")
        assert run.success
        assert not run.metadata[self.location.sample.table]["audited"]

    def test_a_run_that_finds_nothing_new_says_zero(self, synced: Warehouse[Any]) -> None:
        """Except for the rows that an API without ETags sends again."""
        sample = self.location.sample
        if not sample.etags:
            synced.origin.advance(WEEK)  # longer than a walk may look back from the clock
        synced.sync()  # what lies in the second of the first load is read twice
        told = self.run_sample(synced).metadata[sample.table]
        assert told["rows_loaded"] == (0 if sample.etags else self._sent_again(synced))
        assert told["dagster/row_count"] > 0
        assert told["schema_changes"] == []

    def _sent_again(self, warehouse: Warehouse[Any]) -> int:
        """How many rows of the sample its walk reads at every sync, by its declaration."""
        listings = import_module(f"{self.location.module}.source").LISTINGS
        table, walk = next((one.table, one.walk) for one in listings if one.table.name == self.location.sample.table)
        again = "deleted_at IS NULL"
        if isinstance(walk, ChangedSince | NewestFirst):
            changed = next(column.name for column in table.columns if column.path == walk.column)
            again = f"{changed} >= (SELECT max({changed}) FROM {{{table.name}}}) - INTERVAL '{walk.lag} seconds'"
        elif walk.needs:  # it looks back from the clock
            return 0
        ((rows,),) = warehouse.query(f"SELECT count(*) FROM {{{table.name}}} WHERE {again}")
        return int(rows)

    def test_some_assets_of_a_job_can_be_run_alone(self, warehouse: Warehouse[Any]) -> None:
        """Child tables come with their parent."""
        chosen = {self.location.sample.table, *(self.location.tables_of(group)[0] for group in self.location.groups)}
        run = run_job(warehouse, "ingest", *sorted(chosen))
        assert run.success
        assert run.metadata.keys() == {one.name for name in chosen for one in self.location.tables[name].with_children}
        assert_mirrors(warehouse, *chosen)

    @pytest.mark.exhaustive
    def test_the_audit_finds_mends_and_tells_what_was_lost(self, synced: Warehouse[Any]) -> None:
        sample = self.location.sample
        with synced.opened() as database:
            database.execute(f"DELETE FROM {sample.table} WHERE id = (SELECT min(id) FROM {sample.table})")
        run = run_job(synced, "audit")
        assert run.success
        assert [check for check, passed in run.checks.items() if not passed] == [(sample.table, "equals_origin")]
        assert_mirrors(synced, audited=True)
        assert run_job(synced, "audit", sample.table).checks[sample.table, "equals_origin"]
