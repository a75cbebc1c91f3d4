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
