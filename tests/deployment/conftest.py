"""A platform of the tests' own: built from a copy of the tree, on free ports, with the sandbox, gone afterwards."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest

from ingest_tools.dagster_api import Run, wait_for
from ingest_tools.deploy import Deploy
from ingest_tools.engine import Deployment, docker
from origin import Origin, assert_equal
from tree import Copy, committed

PROJECT = "ingest-test"
SUBNETS = "10.214"
"""Not the default, so that another platform can run alongside the tests'."""
SIZE = "0.25"
JOBS = {"github": "github_ingest", "stripe": "stripe_ingest"}
TOLD = """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  assetMaterializations(limit: 5) { runId metadataEntries { label ... on IntMetadataEntry { intValue } } } } } }"""


@dataclass(frozen=True)
class Tested(Deployment):
    """The platform under test, and how long it took to come up."""

    __test__ = False
    seconds_to_up: float = 0.0
    loaded_since: dict[str, int] = field(default_factory=dict)
    renamed: set[int] = field(default_factory=set)

    @property
    def origin(self) -> Origin:
        return Origin(f"http://{self.address('sandbox')}:8099", self.renamed)

    def image(self, location: str) -> str:
        """The active image."""
        one = Deploy(location, self)
        return one.image(one.tag)

    def ingest(self, *arguments: str, text: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
        """The command `ingest`, as whoever runs the platform would call it in its folder."""
        environment = os.environ | self.remembered() | self.settings | settings
        environment["COMPOSE_PROJECT_NAME"] = self.project
        command, folder = [sys.executable, "-m", "ingest_tools", *arguments], self.tree / "tools"
        return subprocess.run(
            command, cwd=folder, env=environment, input=text, capture_output=True, text=True, check=False
        )

    def load_all(self) -> None:
        """Loads everything for the first time, and keeps when that began by the origin's clock."""
        for location in JOBS:
            self.wait_until_loaded(location)  # the UI does not wait for it
            self.loaded_since[location] = self.origin.now()
        self.succeed_together(JOBS)

    def wait_until_loaded(self, location: str) -> None:
        wait_for(lambda: self.platform.locations()[location].loaded, f"{location} to be loaded", 60)

    def succeed(self, location: str, job: str) -> str:
        """Runs a job until it succeeds; returns the id of the run."""
        (run,) = self.succeed_together({location: job})
        return run.id

    def succeed_together(self, jobs: dict[str, str]) -> list[Run]:
        """Runs a job of each location at the same time, until all succeed."""
        launched = [self.platform.launch(location, job) for location, job in jobs.items()]
        runs = [self.platform.ended(run_id) for run_id in launched]
        assert {run.id: self.logs_of(run.container) for run in runs if run.status != "SUCCESS"} == {}
        return runs

    def told(self, run_id: str, *asset: str) -> dict[str, int]:
        """Returns the numbers that a run reported when it materialized an asset."""
        found = self.platform.query(TOLD, key={"path": asset})["assetNodeOrError"]["assetMaterializations"]
        (of_run,) = [one for one in found if one["runId"] == run_id]
        entries = of_run["metadataEntries"]
        return {entry["label"]: entry["intValue"] for entry in entries if entry.get("intValue") is not None}

    def assert_mirrors(self, location: str) -> None:
        """Asserts that the location's schema, as an analyst reads it, equals the sandbox."""
        address = f"postgresql://analyst:{self.secret('analyst-password')}@{self.address('postgres')}/warehouse"
        assert_equal(location, self.origin, address, self.loaded_since[location])

    def wait_for_run(self, tag: str, value: str, seconds: float) -> Run:
        """Returns the newest run with the tag, as soon as there is one."""
        wanted = [{"key": tag, "value": value}]
        return wait_for(lambda: next(iter(self.platform.runs(1, tags=wanted)), None), f"a run with {tag}", seconds)

    def remove_container(self, run_id: str) -> None:
        """Removes a run's container, as `purge` does."""
        docker("rm", "--force", "--volumes", self.platform.run(run_id).container)

    def logs_of(self, container: str) -> str:
        return docker("logs", "--tail", "40", container) if container else "there was no container"

    def sql(self, database: str, statement: str) -> list[list[str]]:
        """Returns the rows of a query as the superuser, each value as text."""
        command = ["psql", "--username=postgres", f"--dbname={database}", "--no-psqlrc", "--tuples-only"]
        out = self.compose("exec", "-T", "postgres", *command, "--csv", "--command", statement)
        return [line.split(",") for line in out.splitlines()]

    def secret(self, name: str) -> str:
        """Returns a password of the platform."""
        command = ["run", "--rm", "-T", "--no-deps", "secrets", "cat", f"/secrets/platform/{name}"]
        return self.compose(*command)

    def remove(self) -> None:
        if left := self.run_containers():
            docker("rm", "--force", "--volumes", *left)
        self.compose("--profile=*", "down", "--volumes", "--remove-orphans", "--timeout", "5")


def free_port() -> str:
    """Returns a port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """What the platform is built from; tests change it as teams do."""
    return committed(tmp_path_factory.mktemp("tree"), PROJECT)


@pytest.fixture(scope="session")
def platform(tree: Copy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tested]:
    """A platform built from a tree, loaded once."""
    env_file = tmp_path_factory.mktemp("deployment") / ".env"
    settings = {
        "INGEST_PORT": free_port(),
        "INGEST_METRICS_PORT": free_port(),
        "INGEST_SUBNETS": SUBNETS,
        "INGEST_DISK_FREE": "0",  # how full this machine is, is not what the tests are about
        "SANDBOX_SIZE": SIZE,
    }
    tested = Tested(PROJECT, settings, env_file, tree.root)
    # What Compose builds before anything is deployed; stripe has the tag that a deploy would give it.
    tags = {"HOST": PROJECT, "GITHUB": PROJECT, "STRIPE": Deploy("stripe", tested).new_tag()}
    env_file.write_text("".join(f"{name}_TAG={tag}\n" for name, tag in tags.items()))
    tested.remove()
    tested.compose("--profile", "sandbox", "build", "--quiet")
    started = time.monotonic()
    try:
        tested.compose("--profile", "sandbox", "up", "--detach", "--wait")
        tested = replace(tested, seconds_to_up=time.monotonic() - started)
        tested.load_all()
        yield tested
    finally:
        tested.remove()
