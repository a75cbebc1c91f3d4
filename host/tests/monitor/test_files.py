"""deploy/monitoring: Prometheus itself reads the files, and they use only metrics that the monitor has."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ingest_host.monitor.metrics import Metrics
from ingest_host.monitor.seen import Instigator, Load
from tests.monitor.test_problems import NOW, well

FOLDER = Path(__file__).parents[3] / "deploy" / "monitoring"


def promtool(*arguments: str) -> None:
    if not shutil.which("promtool"):
        if os.environ.get("REQUIRE_PROMTOOL") == "1":
            pytest.fail("promtool is not installed: apt-get install prometheus")
        pytest.skip("promtool is not installed, so Prometheus' rules were NOT checked: apt-get install prometheus")
    done = subprocess.run(["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_the_configuration() -> None:
    promtool("check", "config", "prometheus.yml")


def test_the_rules_ring_when_they_should() -> None:
    promtool("test", "rules", "rules.test.yml")


@pytest.mark.parametrize("file", ["rules.yml", "dashboard.json"])
def test_every_number_that_is_asked_for_is_told(file: str) -> None:
    seen = well(
        runs=[("github", "SUCCESS", 1)],
        successes=[("github", "github_ingest", NOW)],
        instigators=[Instigator("github", "hourly", "SCHEDULE", ("0 * * * *",), NOW, failing=True, failures=1)],
        loads={"github": Load(quota_left=1)},
        waiting=[("github_activity", NOW, 1)],
    )
    told = {metric.name for metric in Metrics(lambda: seen).collect() if metric.samples}
    asked = set(re.findall(r"ingest_\w+", (FOLDER / file).read_text()))
    assert asked <= told
    assert asked
