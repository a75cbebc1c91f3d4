"""Concurrent runs of the location together keep the pace of one credential."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from ingest_testing.location import variable
from ingest_testing.suites.suite import Suite
from ingest_testing.warehouse import Warehouse

LOAD = """
from ingest_shared.pipelines import pipeline
from {module} import source
for group, function in {groups}.items():
    pipeline("{name}", group).drop().run(getattr(source, function)())
"""
SECONDS = 10
"""Seconds that the requests of two first loads take at the test's pace."""
LATE = 0.25
"""Seconds that a call may be late on a busy machine: what was sent in that much more than a second arrives in one."""


class Pace(Suite):
    """The first of the location's numbers, counted at the origin."""

    @pytest.mark.exhaustive
    def test_two_runs_side_by_side_keep_the_pace(self, origin: Any, first_load: Warehouse[Any], tmp_path: Path) -> None:
        pace = max(2, 2 * int(first_load.origin.requests()["total"]) // SECONDS)
        settings = {"INGEST_LIMITS_DIR": str(tmp_path / "limits"), variable(self.location.numbers[0]): str(pace)}
        runs = [self._load(Warehouse(self.location, origin, tmp_path / name, **settings)) for name in ("one", "two")]
        assert [run.wait(timeout=240) for run in runs] == [0, 0]
        requests = origin.requests()
        assert requests["total"] > 2 * pace
        assert requests["total"] - 1 <= pace * (requests["seconds"] + LATE)
        assert pace / 4 < requests["max_per_second"] <= pace * (1 + LATE) + 1

    def _load(self, warehouse: Warehouse[Any]) -> subprocess.Popen[bytes]:
        location = self.location
        known = vars(import_module(f"{location.module}.source")).items()
        groups = {group: name for name, value in known for group, load in location.groups.items() if value is load}
        script = LOAD.format(module=location.module, name=location.name, groups=groups)
        return subprocess.Popen([sys.executable, "-c", script], env=os.environ | warehouse.settings)
