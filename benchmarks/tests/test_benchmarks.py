"""The benchmark runs from end to end; its figures are for a person to read."""

import json
import subprocess
import sys
from pathlib import Path


def test_quick_run_measures_everything(tmp_path: Path) -> None:
    output = tmp_path / "bench.json"
    subprocess.run([sys.executable, "-m", "ingest_benchmarks", "--quick", "--output", output], check=True)
    lines = json.loads(output.read_text())
    assert sum(line["to"] == "of the floor's seconds" for line in lines) == 2
    assert all(line["measured"]["rows"] > 0 and line["measured"]["seconds"] > 0 for line in lines)


def test_a_mirror_of_a_database_is_measured_and_equals_it() -> None:
    """In the end it compares every value, and fails if one differs."""
    command = [sys.executable, "-m", "ingest_benchmarks.databases", "1500", "3000", "--without-sling"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert told.count("floor: COPY, one insert") == told.count("ours") == 4
    assert told.count("2,900 rows, every value: equal") == 2
