"""Every location loads as its code server loads it, with nothing set and nobody to ask, and as a developer does."""

import json
import subprocess
from pathlib import Path

import pytest

from ingest_tools.projects import Project, locations

NEEDLESS = ("adbc_driver_postgresql", "apprise", "cryptography", "deltalake", "jwt", "pandas")
"""What only some runs need: every server would hold it in memory, and every run would wait for it."""

each_location = pytest.mark.parametrize("location", locations(), ids=lambda location: location.folder.name)


def run(command: list[str | Path], folder: Path, **environment: str) -> str:
    """What a program prints that succeeds."""
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@each_location
def test_definitions_are_valid_in_an_empty_environment(location: Project, tmp_path: Path) -> None:
    """In a folder without settings of dlt's, too."""
    module = location.settings["tool"]["dg"]["project"]["root_module"]
    command: list[str | Path] = [
        location.python,
        "-m",
        "dagster",
        "definitions",
        "validate",
        "--module-name",
        f"{module}.definitions",
    ]
    assert "All code locations passed validation" in run(command, tmp_path)


@each_location
def test_loading_imports_nothing_that_only_some_runs_need(location: Project, tmp_path: Path) -> None:
    module = location.settings["tool"]["dg"]["project"]["root_module"]
    program = f"""
import sys
from {module}.definitions import defs
defs().resolve_all_job_defs()
print([name for name in {NEEDLESS} if name in sys.modules])
"""
    assert run([location.python, "-c", program], tmp_path) == "[]\n"


@each_location
def test_dg_finds_the_definitions(location: Project, tmp_path: Path) -> None:
    """As in the activated environment, in the location's folder."""
    dg = location.python.with_name("dg")
    environment = {"VIRTUAL_ENV": str(location.folder / ".venv"), "HOME": str(tmp_path)}
    told = run([dg, "check", "defs"], location.folder, **environment)
    assert "All definitions loaded successfully" in told
    defs = json.loads(run([dg, "list", "defs", "--json"], location.folder, **environment))
    snapshot = (location.folder / "tests" / "definitions.txt").read_text().splitlines()
    keys = sorted(line.removeprefix("asset ") for line in snapshot if line.startswith("asset "))
    assert sorted(asset["asset_key"] for asset in defs["assets"]) == keys
