"""Made-up suites: side by side, each with its log in one piece, counted together, and never without an end."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest_tools import run_tests
from ingest_tools.cli import main
from ingest_tools.projects import Project, projects

MEETS = """
import atexit
import sys
import time
from pathlib import Path

atexit.register(print, "something after the end", file=sys.stderr)

def test_the_other_suite_runs_meanwhile():
    print("first line")
    Path("../{own}.there").touch()
    while not Path("../{other}.there").exists():
        time.sleep(0.05)
    print("second line")
    {end}
"""
SLEEPS = """
import time
from pathlib import Path

def test_it():
    Path("sleeps").touch()
    time.sleep(600)
"""
WRITES = """
import tempfile
from pathlib import Path

def test_it(tmp_path):
    assert tmp_path.is_relative_to(tempfile.gettempdir())
    Path("folder").write_text(tempfile.gettempdir())
"""

Make = Callable[..., list[run_tests.Suite]]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes suites of one test each."""
    monkeypatch.setattr(Project, "python", Path(sys.executable))
    monkeypatch.setattr(Project, "name", property(lambda project: project.folder.name))

    def make(**texts: str) -> list[run_tests.Suite]:
        for name, text in texts.items():
            (tmp_path / name / "tests").mkdir(parents=True)
            (tmp_path / name / "tests" / "test_it.py").write_text(text)
            (tmp_path / name / "pytest.ini").write_text("[pytest]\naddopts = -q -s -p no:cacheprovider\n")
        return [run_tests.Suite(Project(tmp_path / name)) for name in texts]

    return make


def test_two_suites_run_at_once_and_their_logs_do_not_mix(
    make: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make(
        one=MEETS.format(own="one", other="two", end="pass"), two=MEETS.format(own="two", other="one", end="assert 0")
    )
    monkeypatch.setattr(run_tests, "suites", lambda: made)
    assert main(["test"]) == 1
    told = capsys.readouterr().out
    assert told.count("first line\nsecond line\n") == 2
    assert [line for line in told.splitlines() if line.startswith("=== ")][-1] == "=== all suites"
    assert "ok    one  1 passed in " in told
    assert "FAIL  two  1 failed in " in told
    assert told.splitlines()[-1] == "1 passed, 1 failed, 0 skipped"


def test_every_test_is_in_exactly_one_suite() -> None:
    """Also where a folder of a project is a suite of its own."""
    for project in projects():
        parts = [suite for suite in run_tests.suites() if suite.project == project]
        for file in project.folder.glob("tests/**/test_*.py"):
            path = file.relative_to(project.folder)
            held = [path.is_relative_to(one.folder) and not any(map(path.is_relative_to, one.without)) for one in parts]
            assert held.count(True) == 1, file


def test_both_parts_of_a_project_have_its_name_and_say_which_they_are(
    make: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (whole,) = make(one="def test_it(): pass")
    (whole.project.folder / "tests" / "part").mkdir()
    (whole.project.folder / "tests" / "part" / "test_part.py").write_text("def test_it(): pass\ndef test_too(): pass")
    monkeypatch.setitem(run_tests.APART, "one", ("tests/part",))
    monkeypatch.setattr(run_tests, "projects", lambda: [whole.project])
    assert [suite.name for suite in run_tests.suites()] == ["one", "one"]
    assert main(["test"]) == 0
    told = capsys.readouterr().out
    assert "ok    one             1 passed in " in told
    assert "ok    one/tests/part  2 passed in " in told


def test_a_suite_that_does_not_end_is_interrupted(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_tests, "LIMIT_SECONDS", 2)
    (suite,) = made = make(one=SLEEPS)
    assert "KeyboardInterrupt" in "".join(run_tests.run(made))
    assert not suite.passed


def test_a_suite_ends_with_who_started_it(make: Make) -> None:
    (suite,) = make(one=SLEEPS)
    folder = suite.project.folder
    command = suite.project.tied("pytest", "--capture=fd", "tests")
    with subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        while not (folder / "sleeps").exists():
            assert process.poll() is None
            time.sleep(0.05)
        assert process.stdin
        process.stdin.close()
        assert process.wait(20) != 0


def test_a_suite_without_tests_does_not_pass(make: Make) -> None:
    (suite,) = made = make(one="")
    assert "=== one" in "".join(run_tests.run(made))
    assert (suite.passed, suite.verdict) == (False, "no tests found")


def test_what_a_suite_writes_is_in_a_folder_of_its_own_that_goes_with_it(make: Make) -> None:
    (suite,) = made = make(one=WRITES)
    assert "1 passed" in "".join(run_tests.run(made))
    folder = Path((suite.project.folder / "folder").read_text())
    assert folder.name.startswith("tests-")
    assert not folder.exists()


def test_what_is_imported_is_compiled_once_and_not_by_each_process(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    (suite,) = made = make(one="import other\ndef test_it(): pass\n")
    (suite.project.folder / "tests" / "other.py").touch()
    assert "1 passed" in "".join(run_tests.run(made))
    assert list((suite.project.folder / "tests" / "__pycache__").glob("other.*.pyc"))
