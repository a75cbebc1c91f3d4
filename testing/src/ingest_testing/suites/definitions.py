"""What Dagster sees of a location: no definition changes by accident."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.freshness import TimeWindowFreshnessPolicy

from ingest_shared.tables import UNDECLARED, AnyTable
from ingest_testing.runs import load_definitions
from ingest_testing.suites.suite import Suite

SNAPSHOT = "definitions.txt"
RENEW = "RENEW_SNAPSHOT"

LOAD_WITHOUT_NETWORK = """
import json, socket, time

def refuse(*args):
    raise AssertionError(f"the network was used: {{args}}")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
started = time.process_time()
import {module}.definitions
imported = time.process_time() - started
jobs = [job.name for job in {module}.definitions.defs().resolve_all_job_defs()]
print(json.dumps({{"seconds": imported, "jobs": jobs}}))
"""


class Definitions(Suite):
    """Definitions load anywhere, fast, and match the snapshot."""

    @classmethod
    def load_in_a_new_process(cls, folder: Path) -> subprocess.CompletedProcess[str]:
        """Loads the definitions without settings or network; prints the seconds and the jobs."""
        command = [sys.executable, "-c", LOAD_WITHOUT_NETWORK.format(module=cls.location.module)]
        # The search path for code is not a setting.
        environment = {name: value for name, value in os.environ.items() if name == "PYTHONPATH"}
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)

    @pytest.fixture(scope="class")
    @classmethod
    def loaded(cls, tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
        return cls.load_in_a_new_process(tmp_path_factory.mktemp("loaded"))

    def test_definitions_load_with_an_empty_environment_and_no_network(
        self, loaded: subprocess.CompletedProcess[str]
    ) -> None:
        assert loaded.returncode == 0, loaded.stderr
        assert loaded.stderr == ""
        assert f"{self.location.name}_ingest" in json.loads(loaded.stdout)["jobs"]

    def test_importing_the_location_takes_under_two_seconds(
        self, loaded: subprocess.CompletedProcess[str], tmp_path: Path
    ) -> None:
        seconds = json.loads(loaded.stdout)["seconds"]
        for _ in range(2):  # the best of three, as the machine may be busy with other things
            if seconds >= 2:
                seconds = json.loads(self.load_in_a_new_process(tmp_path).stdout)["seconds"]
        assert seconds < 2

    def test_the_definitions_are_those_of_the_snapshot(self, request: pytest.FixtureRequest) -> None:
        found = "\n".join(described(load_definitions(self.location))) + "\n"
        snapshot = request.path.with_name(SNAPSHOT)
        if os.environ.get(RENEW):
            snapshot.write_text(found)
        assert found == snapshot.read_text(), (
            f"the definitions differ from {SNAPSHOT}: if that is intended, "
            f"run `{RENEW}=1 pytest -k snapshot` and commit the file"
        )


class Assets(Suite):
    """Each table and child table is an asset, with its columns, and in its jobs."""

    @pytest.fixture(scope="class")
    @classmethod
    def definitions(cls) -> dg.Definitions:
        return load_definitions(cls.location)

    def test_a_job_selects_its_assets(self, job: str, definitions: dg.Definitions) -> None:
        selected = definitions.resolve_job_def(f"{self.location.name}_{job}").asset_layer.executable_asset_keys
        groups = [group for group in self.location.groups if self.location.job_of(group) == job and job != "ingest"]
        roots = self.location.tables_of(groups[0]) if groups else list(self.location.tables)
        tables = [table.name for root in roots for table in self.location.tables[root].with_children]
        others = self.location.other_assets if job == "ingest" else ()
        assert selected == {dg.AssetKey([self.location.name, name]) for name in (*tables, *others)}

    def test_asset_keys_begin_with_the_name_of_the_location(self, definitions: dg.Definitions) -> None:
        """Dagster's storage accepts a location's events only for such assets."""
        keys = definitions.get_repository_def().asset_graph.materializable_asset_keys
        assert {key.path[0] for key in keys} == {self.location.name}

    def test_the_ui_tells_every_column_with_its_type_and_description(
        self, any_table: AnyTable, definitions: dg.Definitions
    ) -> None:
        key = dg.AssetKey([self.location.name, any_table.name])
        columns = definitions.get_repository_def().asset_graph.get(key).metadata["dagster/column_schema"].columns
        assert [column.name for column in columns] == [c.name for c in any_table.columns] + [UNDECLARED]
        assert all(column.type and column.description for column in columns)


def described(definitions: dg.Definitions) -> Iterator[str]:
    """Everything that schedules, people or other teams rely on."""
    repository = definitions.get_repository_def()
    graph = repository.asset_graph
    for key in sorted(graph.materializable_asset_keys):
        node = graph.get(key)
        tags = {name: value for name, value in node.tags.items() if not name.startswith("dagster/")}
        yield f"asset {key.to_user_string()}"
        yield f"    group {node.group_name}; tags {tags}; kinds {sorted(node.kinds)}; owners {sorted(node.owners)}"
        yield f"    pools {sorted(node.pools or ())}; upstream {sorted(map(str, node.parent_keys))}"
        yield f"    table {node.metadata.get('dagster/table_name')}; stale after {stale_after(node.freshness_policy)}"
        yield f"    checks {sorted(check.name for check in node.check_keys)}"
    for job in sorted(repository.get_all_jobs(), key=lambda job: job.name):
        if job.name.startswith("__"):  # Dagster's own, of all assets
            continue
        yield f"job {job.name}"
        yield f"    executor {job.executor_def.name}"
        yield f"    steps {sorted(job.graph.node_dict)}"
        yield f"    assets {sorted(key.to_user_string() for key in job.asset_layer.executable_asset_keys)}"
        yield f"    retries {retries(job)}; owners {list(job.owners or ())}"
    for schedule in sorted(repository.schedule_defs, key=lambda schedule: schedule.name):
        yield f"schedule {schedule.name}"
        yield f"    job {schedule.job_name}; at {schedule.cron_schedule} {schedule.execution_timezone}"
        yield f"    {schedule.default_status.value}"
    for sensor in sorted(repository.sensor_defs, key=lambda sensor: sensor.name):
        yield f"sensor {sensor.name}"
        yield f"    {sensor.description}"
        yield f"    {sensor.default_status.value}"


def retries(job: dg.JobDefinition) -> str:
    policy = job.op_retry_policy
    return f"{policy.max_retries}, after {policy.delay} s, {policy.backoff}, {policy.jitter}" if policy else "none"


def stale_after(policy: object) -> str:
    if not isinstance(policy, TimeWindowFreshnessPolicy):
        return "no time"
    window = policy.fail_window.to_timedelta()
    return f"{window.total_seconds() / 3600:g} hours"
