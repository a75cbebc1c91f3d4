"""The pages of the tables are those that the declarations make."""

import os
import subprocess
from pathlib import Path

from ingest_tools.projects import LOCATIONS, ROOT, TOOLS, Project


def table_docs(location: str, *options: str | Path) -> subprocess.CompletedProcess[str]:
    command = [Project(LOCATIONS / location).python, "-m", "ingest_tools.table_docs", location, *options]
    environment = os.environ | {"PYTHONPATH": str(TOOLS)}
    return subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True, check=False)


def test_a_page_is_written_and_names_every_column(tmp_path: Path) -> None:
    assert table_docs("github", "--into", tmp_path).returncode == 0
    page = (tmp_path / "github.md").read_text()
    assert "| **label_id** | bigint | Label, an id of the table labels. |" in page
    assert "`GET /repositories/{repo_id}/issues?per_page=100&state=all&sort=updated&direction=asc`" in page
    assert table_docs("github", "--into", tmp_path, "--check").returncode == 0


def test_a_page_that_is_stale_is_refused(tmp_path: Path) -> None:
    (tmp_path / "github.md").write_text("of yesterday")
    done = table_docs("github", "--into", tmp_path, "--check")
    assert done.returncode == 1
    assert done.stderr == "docs/tables/github.md is stale: run `make table-docs ONLY=github`\n"
