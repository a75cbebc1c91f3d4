"""What the plugin does to a session of tests as a whole."""

import subprocess
import sys
from pathlib import Path

import pytest

SESSION = """
import duckdb
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test


class Machine(RuleBasedStateMachine):
    @rule()
    def step(self): ...


def test_one():
    run_state_machine_as_test(Machine, settings=settings(max_examples=3))
"""


def test_a_session_ends_without_reports_of_leaks(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text(SESSION)
    command = [sys.executable, "-m", "pytest", "-p", "ingest_testing.plugin", "-p", "no:cacheprovider", "test_one.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stderr == ""


MARKED = """
import pytest


def test_one(): ...


@pytest.mark.exhaustive
@pytest.mark.parametrize("number", [1, 2])
def test_two(number): ...


def test_three(): ...
"""


@pytest.mark.parametrize("workers", ["-n0", "-n1"])
def test_what_is_left_to_ci_is_told(workers: str, tmp_path: Path) -> None:
    (tmp_path / "test_marked.py").write_text(MARKED)
    options = ["-p", "ingest_testing.plugin", "-p", "no:cacheprovider", workers]
    command = [sys.executable, "-m", "pytest", *options, "-m", "not exhaustive", "-k", "one or two"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "1 passed" in done.stdout
    assert "2 tests marked `exhaustive` were left to CI" in done.stdout
