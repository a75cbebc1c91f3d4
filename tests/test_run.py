"""``ingest run`` as a person meets it: two runs, a kill, Ctrl-C, and what bad input gets."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ingest_tools.projects import ROOT, Project, locations
from tree import Copy

LOCATIONS = [location.folder.name for location in locations()]
SETTINGS = ("SOURCES__", "SANDBOX", "INGEST_", "DAGSTER_", "DLT_")
PATIENCE = 120
"""Seconds that a machine with little to spare may take for one step."""


@dataclass(frozen=True)
class Deployment:
    """A local deployment of its own: warehouse, sandbox and Dagster instance in one folder."""

    folder: Path

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """``ingest run`` of all locations or only those named."""
        home = self.folder / "dagster"
        home.mkdir(exist_ok=True)
        shutil.copy(ROOT / ".dagster" / "dagster.yaml", home)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
        own = {"INGEST_DATA_DIR": str(self.folder / "data"), "DAGSTER_HOME": str(home), "SANDBOX_SIZE": "1"}
        return subprocess.Popen(
            [Path(sys.executable).with_name("ingest"), "run", *arguments],
            env=kept | own,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def ingest(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A whole run."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def runs(self, columns: str = "status") -> list[tuple[Any, ...]]:
        """The instance's runs, oldest first."""
        file = self.folder / "dagster" / "history" / "runs.db"
        if not file.exists():
            return []
        with closing(sqlite3.connect(file)) as database:
            try:
                return database.execute(f"SELECT {columns} FROM runs ORDER BY id").fetchall()
            except sqlite3.OperationalError:  # it is being made at this moment
                return []

    def tags(self, key: str) -> list[str]:
        """That tag of every run, oldest first."""
        file = self.folder / "dagster" / "history" / "runs.db"
        with closing(sqlite3.connect(file)) as database:
            query = "SELECT value FROM run_tags JOIN runs USING (run_id) WHERE key = ? ORDER BY runs.id"
            return [value for (value,) in database.execute(query, [key])]

    @property
    def sandbox_is_gone(self) -> bool:
        return not (self.folder / "data" / "sandbox.url").exists()


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return Deployment(tmp_path)


@contextmanager
def sandbox_with(**fault: Any) -> Iterator[str]:
    """The address of a small sandbox in which a fault strikes."""
    command: list[str | Path] = [
        Project(ROOT / "sandbox").python,
        "-m",
        "ingest_sandbox",
        "--port",
        "0",
        "--size",
        "0.1",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sandbox:
        assert sandbox.stdout
        url = sandbox.stdout.readline().removeprefix("sandbox ready: ").strip()
        body = json.dumps({"faults": [fault]}).encode()
        urllib.request.urlopen(f"{url}/_sandbox/faults", body, timeout=30).close()  # noqa: S310
        try:
            yield url
        finally:
            sandbox.terminate()


def until(holds: Callable[[], object]) -> None:
    """Waits until it holds."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def totals(report: str) -> dict[str, tuple[int, int, int]]:
    """Of each location: rows in the warehouse, rows of the run, API calls."""
    found = re.findall(r"^(\w+) +total +([\d,]+) +([\d,]+) +([\d,]+) ", report, re.MULTILINE)
    return {name: tuple(int(n.replace(",", "")) for n in numbers) for name, *numbers in found}  # type: ignore[misc]


def rows_of_tables(report: str) -> set[tuple[str, str, str]]:
    """Rows in the warehouse of each table, apart from closed reviews: Stripe lists open ones only, and the second run
    requests those that the payments of the first one name."""
    found = re.findall(r"^(\w+) +(\w+) +([\d,]+) ", report, re.MULTILINE)
    return {(location, table, rows) for location, table, rows in found if table not in ("reviews", "total")}


def test_the_second_run_is_incremental_and_says_so(deployment: Deployment) -> None:
    first, second = deployment.ingest(), deployment.ingest()
    assert (first.returncode, second.returncode) == (0, 0), first.stdout + second.stdout
    before, after = totals(first.stdout), totals(second.stdout)
    assert list(before) == list(after) == LOCATIONS
    assert len(rows_of_tables(first.stdout)) > 60
    assert rows_of_tables(first.stdout) == rows_of_tables(second.stdout), "a row was doubled or lost"
    for name in LOCATIONS:
        _, loaded, calls = before[name]
        assert loaded > 1_000
        assert after[name][1] < loaded / 10
        assert after[name][2] < calls / 2
        assert f"{name}: the rows are in {deployment.folder}/data/{name}.duckdb" in first.stdout
        assert f"{name}: incremental: {after[name][2]} API calls instead of {calls}" in second.stdout
        assert re.search(rf"^{name} .* pages, .* rows", first.stderr, re.MULTILINE), "no progress was shown"
    # The UI finds the runs as those of the locations' jobs.
    assert deployment.runs() == [("SUCCESS",)] * 2 * len(LOCATIONS)
    assert deployment.tags(".dagster/repository") == [f"__repository__@{name}" for name in LOCATIONS] * 2


def test_a_killed_run_is_marked_and_the_next_one_goes_on(deployment: Deployment) -> None:
    process = deployment.start("github")
    until(lambda: ("STARTED",) in deployment.runs())
    (pid,) = deployment.tags("ingest/pid")
    os.kill(int(pid), signal.SIGKILL)
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert out.startswith("github failed: the process of github_ingest ended without a message")
    again = deployment.ingest("github")
    assert again.returncode == 0, again.stdout
    assert deployment.runs() == [("FAILURE",), ("SUCCESS",)]


def test_ctrl_c_leaves_nothing_behind(deployment: Deployment) -> None:
    process = deployment.start("github")
    until(lambda: ("STARTED",) in deployment.runs())
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert deployment.sandbox_is_gone
    assert deployment.runs() in ([("CANCELED",)], [("FAILURE",)])


def test_a_killed_orchestrator_takes_everything_with_it(deployment: Deployment) -> None:
    process = deployment.start("github")
    until(lambda: ("STARTED",) in deployment.runs())
    process.kill()
    process.communicate(timeout=PATIENCE)  # ends when the last child has closed its end
    assert deployment.ingest("github").returncode == 0
    assert deployment.sandbox_is_gone


def test_a_missing_setting_is_the_first_thing_that_is_said(deployment: Deployment) -> None:
    done = deployment.ingest("stripe", "--live")
    assert done.returncode == 1
    assert re.match(r"stripe failed: .*sources\.stripe\.", done.stdout)
    assert "Traceback" not in done.stdout + done.stderr


def test_gaps_are_the_last_thing_that_is_said(deployment: Deployment) -> None:
    with sandbox_with(kind="status", status=403, path="/v1/(coupons|payouts)") as url:
        done = deployment.ingest("stripe", f"--sandbox-url={url}")
    assert done.returncode == 3, done.stdout + done.stderr
    told = r"^stripe: open gap in coupons: .*: Stripe answered 403 to http.* \(The provided key .* does not have"
    assert re.search(told, done.stdout, re.MULTILINE)
    assert done.stdout.endswith("\nstripe: finished with 2 open gaps: coupons, payouts\n")


def test_a_data_folder_that_cannot_be_written(deployment: Deployment) -> None:
    (deployment.folder / "data").touch()
    done = deployment.ingest()
    assert done.returncode == 1
    assert re.fullmatch(r"cannot write to the data folder .*INGEST_DATA_DIR.*\n", done.stderr)


def test_a_sandbox_that_does_not_answer(deployment: Deployment) -> None:
    done = deployment.ingest("--sandbox-url=http://127.0.0.1:9")
    assert done.returncode == 1
    assert done.stderr.startswith("no sandbox answers at http://127.0.0.1:9")


@pytest.fixture
def tree(tmp_path: Path) -> Copy:
    """A copy in which the sandbox does not stand in for Stripe, as for a location that mirrors a database."""
    copy = Copy(tmp_path)
    (copy.root / "locations" / "github" / ".venv").symlink_to(ROOT / "locations" / "github" / ".venv")
    file = copy.root / "locations" / "stripe" / "pyproject.toml"
    file.write_text(file.read_text().replace("[tool.ingest.sandbox]", "[tool.of.another]"))
    return copy


LEFT_OUT = (
    "stripe: not loaded, because pyproject.toml has no [tool.ingest.sandbox]: "
    '`make ingest ONLY="stripe" SANDBOX=0` loads from the real source\n'
)


def test_a_location_without_a_sandbox_is_named_and_the_others_load(tree: Copy) -> None:
    done = tree.ingest("run", SANDBOX_SIZE="0.1", INGEST_DATA_DIR=f"{tree.root}/data", DAGSTER_HOME="")
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(totals(done.stdout)) == ["github"]
    assert done.stdout.startswith(LEFT_OUT)


@pytest.mark.parametrize("named", [["stripe"], ["github", "stripe"]], ids=" ".join)
def test_a_location_without_a_sandbox_is_refused_by_name(named: list[str], tree: Copy) -> None:
    """Before anything starts."""
    done = tree.ingest("run", *named)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", LEFT_OUT)
