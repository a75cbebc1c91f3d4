"""A run that is killed at any point loses and doubles nothing: the next one makes it whole."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .mirror import Warehouse, assert_mirrors

JOB = ["-m", "dagster", "job", "execute", "-m", "stripe_location.definitions", "-j", "stripe_ingest"]


def after_requests(number: int) -> Callable[[Warehouse], bool]:
    return lambda warehouse: warehouse.origin.requests()["total"] >= number


def while_loading(warehouse: Warehouse) -> bool:
    """Whether the warehouse is being written."""
    return (warehouse.folder / "stripe.duckdb.wal").exists()


def kill_a_run(warehouse: Warehouse, moment: Callable[[Warehouse], bool], folder: Path, later: float = 0) -> None:
    """Starts the whole job in a process of its own, and ends it with SIGKILL at the moment."""
    home = folder / "dagster"
    home.mkdir(exist_ok=True)
    environment = os.environ | warehouse.settings | {"DAGSTER_HOME": str(home), "DLT_DATA_DIR": str(folder)}
    with subprocess.Popen(
        [sys.executable, *JOB], env=environment, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while process.poll() is None and not moment(warehouse):
            time.sleep(0.005)
        time.sleep(later)
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL, "the run ended before it was killed"


@pytest.mark.parametrize(
    ("moment", "later"),
    [(after_requests(15), 0.0), (while_loading, 0.3)],
    ids=["while it reads", "while it loads"],
)
def test_a_first_run_that_is_killed(
    moment: Callable[[Warehouse], bool], later: float, warehouse: Warehouse, tmp_path: Path
) -> None:
    kill_a_run(warehouse, moment, tmp_path, later)
    warehouse.sync()
    assert_mirrors(warehouse)


def test_a_later_run_that_is_killed(warehouse: Warehouse, tmp_path: Path) -> None:
    warehouse.sync()
    warehouse.origin.change_at_random(seed=1, count=60)
    warehouse.origin.advance()
    kill_a_run(warehouse, while_loading, tmp_path, later=0.1)
    warehouse.sync()
    assert_mirrors(warehouse)
