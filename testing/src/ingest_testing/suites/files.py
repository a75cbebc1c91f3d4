"""What holds for a location that mirrors files, beside what holds for every location."""

import random
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from dlt.load.load import Load
from hypothesis import strategies as st

from ingest_shared.tables import Table
from ingest_testing.location import variable
from ingest_testing.mirror import assert_mirrors
from ingest_testing.runs import run_job
from ingest_testing.suites.crashes import kill_a_run, while_it_loads
from ingest_testing.suites.mirrors import Mirrors
from ingest_testing.suites.suite import Suite
from ingest_testing.warehouse import Warehouse

STEPS = 4
"""Of a history."""


class FileMirrors(Mirrors):
    """The warehouse holds what the files hold, after any history of changed and broken files."""

    def _faults(self) -> st.SearchStrategy[Any]:
        return st.builds(lambda kind: {"kind": kind}, st.sampled_from(["truncate", "spoil"]))

    def test_a_file_that_cannot_be_read_is_a_gap_until_it_can(self, table: Table, synced: Warehouse[Any]) -> None:
        before = synced.contents()[table.name]
        synced.origin.fail({"kind": "truncate"})
        synced.sync()
        ((_, scope, _, reason),) = [gap for gap in synced.gaps() if gap[0] == table.name]
        assert (Path(synced.origin.url) / scope).is_file()
        assert reason
        assert "\n" not in reason
        assert synced.contents()[table.name] == before
        synced.origin.heal()
        synced.sync()
        assert synced.gaps() == []
        assert_mirrors(synced)

    @pytest.mark.exhaustive
    @pytest.mark.parametrize("destination", ["duckdb", "postgres"])
    def test_any_history_of_changed_and_broken_files_and_kills(
        self, destination: str, origin: Any, tmp_path: Path, make_postgres: Callable[[], dict[str, str]]
    ) -> None:
        """After each sync that is not killed, the warehouse equals the files."""
        settings = make_postgres() if destination == "postgres" else {}
        warehouse = Warehouse(self.location, origin, tmp_path, **settings)
        choose = random.Random(1)
        for _ in range(STEPS):
            origin.change_at_random(choose.randrange(2**16), choose.randint(1, 6))
            origin.fail(*choose.sample([{"kind": "truncate"}, {"kind": "spoil"}], choose.randint(0, 1)))
            kill(warehouse, choose.randint(0, 4))
            origin.heal()
            warehouse.sync()
            assert_mirrors(warehouse)
            assert warehouse.gaps() == []
        assert warehouse.audit() == {}


class Killed(BaseException):
    """Ends a sync as a kill would: nothing catches it."""


def kill(warehouse: Warehouse[Any], jobs: int) -> None:
    """A sync that ends after it began this many jobs of the load step, or just before dlt notes that it is complete."""
    begun = count()
    submit_job = Load.submit_job

    def submit(*args: Any, **options: Any) -> Any:
        if next(begun) == jobs:
            raise Killed
        return submit_job(*args, **options)

    instead = mock.patch.multiple(Load, submit_job=submit, complete_package=mock.Mock(side_effect=Killed))
    with instead, pytest.raises(Killed):
        warehouse.sync()


class FileCrashes(Suite):
    """SIGKILL, while the warehouse is written."""

    @pytest.mark.exhaustive
    def test_a_first_run_that_is_killed(self, warehouse: Warehouse[Any], tmp_path: Path) -> None:
        kill_a_run(warehouse, while_it_loads, tmp_path, later=0.1)
        warehouse.sync()
        assert_mirrors(warehouse)

    @pytest.mark.exhaustive
    def test_a_later_run_that_is_killed(self, synced: Warehouse[Any], tmp_path: Path) -> None:
        synced.origin.change_at_random(seed=1, count=60)
        kill_a_run(synced, while_it_loads, tmp_path, later=0.1)
        synced.sync()
        assert_mirrors(synced)


class FileSettings(Suite):
    """A setting that is missing or wrong ends in one line that names it."""

    def test_no_folder(self, warehouse: Warehouse[Any]) -> None:
        run = self.run_sample(warehouse, **{variable(self.location.address): ""})
        assert run.failure.startswith(f"{self.location.address} is not set")
        assert variable(self.location.address) in run.failure
        assert run.retries == 0

    @pytest.mark.parametrize("url", ["/not/there", "nonsense://bucket", "s3:/"])
    def test_a_folder_that_is_none(self, url: str, warehouse: Warehouse[Any]) -> None:
        run = self.run_sample(warehouse, **{variable(self.location.address): url})
        assert self.location.address in run.failure
        assert repr(url) in run.failure
        assert run.retries == 0

    def test_a_folder_in_which_no_file_matches(self, warehouse: Warehouse[Any], tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        run = self.run_sample(warehouse, **{variable(self.location.address): str(tmp_path / "empty")})
        assert "nothing could be read" in run.failure
        assert "no file" in run.failure

    def test_a_folder_that_is_suddenly_empty_takes_no_row_with_it(self, synced: Warehouse[Any], tmp_path: Path) -> None:
        before = synced.contents()
        (tmp_path / "empty").mkdir()
        run = run_job(synced, "ingest", **{variable(self.location.address): str(tmp_path / "empty")})
        assert not run.success
        assert f"set {self.location.address.rpartition('.')[0]}.deletes_believed to 1" in run.failures[0]
        assert synced.contents() == before
