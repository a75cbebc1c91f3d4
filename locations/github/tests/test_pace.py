"""Two runs of the location, side by side, keep the pace of one credential together."""

import os
import subprocess
import sys
from pathlib import Path

from .mirror import Warehouse
from .origin import Origin

LOAD = """
from ingest_shared.pipelines import pipeline
from github_location import source
pipeline("github", "catalog").drop().run(source.catalog())
"""
CALLS_PER_SECOND = 10


def test_two_runs_side_by_side_keep_the_pace(origin: Origin, tmp_path: Path) -> None:
    origin.forget_requests()
    pace = {
        "INGEST_LIMITS_DIR": str(tmp_path / "limits"),
        "SOURCES__GITHUB__CALLS_PER_SECOND": str(CALLS_PER_SECOND),
    }
    runs = [
        subprocess.Popen([sys.executable, "-c", LOAD], env=os.environ | Warehouse(origin, folder).settings | pace)
        for folder in (tmp_path / "one", tmp_path / "two")
    ]
    assert [run.wait(timeout=120) for run in runs] == [0, 0]
    requests = origin.requests()
    assert requests["total"] > 2 * CALLS_PER_SECOND
    # One more than the pace can fall into a second that is counted from any instant, and a late one.
    assert 2 < requests["max_per_second"] <= CALLS_PER_SECOND + 2
