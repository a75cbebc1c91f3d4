"""A run that is killed or terminated at any point loses and duplicates nothing: the next run completes it."""

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingest_testing.mirror import assert_mirrors
from ingest_testing.runs import whole_job
from ingest_testing.suites.suite import Suite
from ingest_testing.warehouse import Warehouse

SECONDS_TO_END = 20
Moment = Callable[[Warehouse[Any], int], bool]


def while_it_reads(warehouse: Warehouse[Any], requests: int) -> bool:
    """Whether half of the requests of a first load are done."""
    return int(warehouse.origin.requests()["total"]) >= requests // 2


def while_it_loads(warehouse: Warehouse[Any], requests: int) -> bool:
    """Whether the warehouse is being written."""
    return warehouse.file.with_suffix(".duckdb.wal").exists()


class Crashes(Suite):
    """SIGKILL, at three moments."""

    @pytest.mark.exhaustive
    @pytest.mark.parametrize(
        ("moment", "later"),
        [(while_it_reads, 0.0), (while_it_loads, 0.3)],
        ids=["while it reads", "while it loads"],
    )
    def test_a_first_run_that_is_killed(
        self, moment: Moment, later: float, warehouse: Warehouse[Any], first_load: Warehouse[Any], tmp_path: Path
    ) -> None:
        kill_a_run(warehouse, moment, tmp_path, later, requests=first_load.origin.requests()["total"])
        warehouse.sync()
        assert_mirrors(warehouse)

    @pytest.mark.exhaustive
    def test_a_later_run_that_is_killed(self, synced: Warehouse[Any], tmp_path: Path) -> None:
        synced.origin.change_at_random(seed=1, count=60)
        synced.origin.advance()
        kill_a_run(synced, while_it_loads, tmp_path, later=0.1)
        synced.sync()
        assert_mirrors(synced)

    @pytest.mark.exhaustive
    def test_a_run_that_is_terminated_ends_at_once(self, warehouse: Warehouse[Any], tmp_path: Path) -> None:
        """It waits for no response, retries no step and starts no other."""
        warehouse.origin.fail(latency_ms=3_000)
        command, environment = whole_job(warehouse, tmp_path)
        with subprocess.Popen(
            command, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                while process.poll() is None and not warehouse.origin.requests()["total"]:
                    time.sleep(0.05)
                process.terminate()
                _, log = process.communicate(timeout=SECONDS_TO_END)
            finally:
                process.kill()
        assert log.count("STEP_START") == 1
        assert "STEP_UP_FOR_RETRY" not in log
        assert "Execution was interrupted unexpectedly" in log  # and Dagster cancels it, where a person asked for it


def kill_a_run(warehouse: Warehouse[Any], moment: Moment, folder: Path, later: float = 0, requests: int = 0) -> None:
    """Starts the whole job in a process of its own, and ends it with SIGKILL at the moment."""
    command, environment = whole_job(warehouse, folder)
    with subprocess.Popen(
        command, env=environment, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while process.poll() is None and not moment(warehouse, requests):
            time.sleep(0.005)
        time.sleep(later)
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL, "the run ended before it was killed"
