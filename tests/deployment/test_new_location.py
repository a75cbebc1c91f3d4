"""Locations that are made on a running platform: from a command to rows in the warehouse, and gone again."""

import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ingest_tools import versions
from ingest_tools.deploy import Deploy
from ingest_tools.engine import docker, inspect
from measured import measured
from tree import Copy

from .conftest import Tested

pytestmark = pytest.mark.docker

OLDER = Path(__file__).parent / "older.lock"
"""Really other versions of dagster and dlt than the locations have: `make lock` leaves it alone."""

VERSIONS = "import dagster, dlt; print(dagster.__version__, dlt.__version__)"


MEMORY = """
from glob import glob

lines = [line for file in glob("/proc/[0-9]*/status") for line in open(file)]
print(sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) // 1024)
"""
"""MiB of anonymous memory: pages of files belong to whichever container read them first."""


@dataclass
class Made:
    """Locations that are made and deployed here: the seconds that each took, and the MiB that its server has then."""

    platform: Tested
    tree: Copy
    names: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)

    def deploy(self, name: str, lock: Path | None = None) -> None:
        started = time.monotonic()
        self.tree.make(name, "rest")
        if lock:
            (self.tree.root / "locations" / name / "requirements.lock").write_text(lock.read_text())
        self.names.append(name)
        Deploy(name, self.platform).deploy(tests=False)
        self.seconds[name] = time.monotonic() - started
        self.memory[name] = int(docker("exec", f"{self.platform.project}-{name}-1", "python", "-c", MEMORY))

    def remove(self) -> None:
        while self.names:
            remove(self.platform, self.names[-1])
            assert self.tree.ingest("remove-location", self.names.pop()).returncode == 0
        self.platform.compose("up", "--no-deps", "--exit-code-from", "setup", "setup")
        self.platform.platform.reload_workspace()


@pytest.fixture(scope="module")
def made(platform: Tested, tree: Copy) -> Iterator[Made]:
    """They are gone from the platform afterwards."""
    made = Made(platform, tree)
    yield made
    if made.names:
        made.remove()


def remove(platform: Tested, name: str) -> None:
    project = platform.project
    labels = [f"--filter=label=com.docker.compose.service={name}{part}" for part in ("", "-setup", "-sandbox")]
    found = platform.run_containers(f"label=ingest.location={name}")
    for label in labels:
        found += docker("ps", "--all", "--quiet", label, f"--filter=label=com.docker.compose.project={project}").split()
    docker("rm", "--force", "--volumes", *{container[:12] for container in found})
    network = f"{project}_{name}"
    for container in inspect(network)["Containers"]:
        docker("network", "disconnect", network, container)
    docker("network", "rm", network)
    docker("volume", "rm", f"{project}_{name}-secrets", f"{project}_{name}-server-secrets")
    docker("image", "rm", *docker("image", "ls", "--quiet", f"ingest-{name}").split())


def test_a_new_location_is_served_and_loads_its_rows(platform: Tested, made: Made) -> None:
    hosts = {service: platform.inspect(service)["Id"] for service in ("webserver", "daemon", "github", "stripe")}
    started = time.monotonic()
    made.deploy("zendesk")
    platform.succeed("zendesk", "zendesk_ingest")
    measured(f"from its deploy to the first rows of a new location: {time.monotonic() - started:.1f} s")
    rows = platform.sql("warehouse", "SELECT count(*) FROM zendesk_raw.items")
    held = platform.origin.ask("GET", "objects/example/items")
    assert rows == [[str(len(held))]]
    assert {service: platform.inspect(service)["Id"] for service in hosts} == hosts
    assert time.monotonic() - started < 300


def test_a_location_of_the_same_versions_shares_what_is_made_of_them(platform: Tested, made: Made) -> None:
    """Its lock is github's, but for the comments."""
    if "zendesk" not in made.names:
        made.deploy("zendesk")
    names = (platform.image("github"), platform.image("zendesk"), versions.BASE)
    github, zendesk, base = [inspect(name)["RootFS"]["Layers"] for name in names]
    assert len(set(github) & set(zendesk) - set(base)) > 1  # the user's layer, and that of the versions


def test_locations_of_other_versions_are_served_by_the_same_host(platform: Tested, made: Made) -> None:
    made.deploy("older", OLDER)
    platform.succeed_together({"older": "older_ingest", "github": "github_catalog_ingest"})
    told = [
        platform.compose("exec", "-T", "github", "python", "-c", VERSIONS),
        docker("exec", f"{platform.project}-older-1", "python", "-c", VERSIONS),
    ]
    measured(f"dagster and dlt of two locations on one host: {' and '.join(told)}")
    (dagster, dlt), (older_dagster, older_dlt) = (version.split() for version in told)
    assert older_dagster != dagster
    assert older_dlt != dlt


@pytest.mark.parametrize("count", [3, pytest.param(10, marks=pytest.mark.many)])
def test_more_locations_at_once(platform: Tested, made: Made, count: int) -> None:
    """Memory grows with each of the same versions by the same, and the UI answers."""
    names = ["zendesk", *(f"many_{number}" for number in range(1, count))]
    for name in names:
        if name not in made.names:
            made.deploy(name)
    seconds, memory = [[told[name] for name in names] for told in (made.seconds, made.memory)]
    started = time.monotonic()
    unloaded = [one for one in platform.platform.locations().values() if not one.loaded]
    assert unloaded == []
    answered = time.monotonic() - started
    with urllib.request.urlopen(f"{platform.platform.url}/server_info", timeout=10) as answer:  # noqa: S310
        assert answer.status == 200
    measured(f"{count} locations: {min(memory)} to {max(memory)} MiB each, deployed in {min(seconds):.1f} to")
    measured(f"{max(seconds):.1f} s each; the UI told of {len(platform.platform.locations())} in {answered:.2f} s")
    assert max(memory) < 1.3 * min(memory)
    assert answered < 5


def test_removed_they_leave_no_trace_in_git(platform: Tested, made: Made, tree: Copy) -> None:
    made.remove()
    assert tree.git("status", "--porcelain") == ""
    assert platform.platform.locations().keys() == {"github", "stripe"}
