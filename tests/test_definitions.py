"""Every location loads as its code server loads it, with nothing set and nobody to ask."""

import subprocess
from pathlib import Path

import pytest

from projects import Project, locations


@pytest.mark.parametrize("location", locations(), ids=lambda location: location.folder.name)
def test_definitions_are_valid_in_an_empty_environment(location: Project, tmp_path: Path) -> None:
    module = location.settings["tool"]["dg"]["project"]["root_module"]
    done = subprocess.run(
        [location.python, "-m", "dagster", "definitions", "validate", "--module-name", f"{module}.definitions"],
        # A folder without settings of dlt's, too.
        cwd=tmp_path,
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All code locations passed validation" in done.stdout + done.stderr
