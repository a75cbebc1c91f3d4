"""What the plugin does to a session of tests as a whole."""

import subprocess
import sys
from pathlib import Path


def test_a_session_ends_without_reports_of_leaks(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text("import duckdb\n\n\ndef test_one() -> None: ...\n")
    command = [sys.executable, "-m", "pytest", "-p", "ingest_testing.plugin", "-p", "no:cacheprovider", "test_one.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stderr == ""
