"""Locations that are made on a running platform: from a command to rows in the warehouse, and gone again."""

import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ingest_tools.deploy import Deploy
from ingest_tools.engine import docker, inspect
from measured import measured
from tree import Copy

from .conftest import Tested

pytestmark = pytest.mark.docker

OLDER = Path(__file__).parent / "older.lock"
"""Really other versions of dagster and dlt than the locations have: `make lock` leaves it alone."""

Deployed = Callable[..., str]


@pytest.fixture
def deployed(platform: Tested, tree: Copy) -> Iterator[Deployed]:
    """Makes and deploys locations, which are gone from the platform afterwards."""
    names = []

    def deploy(name: str, lock: Path | None = None) -> str:
        tree.make(name, "rest")
        if lock:
            (tree.root / "locations" / name / "requirements.lock").write_text(lock.read_text())
        names.append(name)
        return Deploy(name, platform).deploy(tests=False)

    yield deploy
    for name in names:
        remove(platform, name)
        assert tree.ingest("remove-location", name).returncode == 0
    platform.compose("up", "--no-deps", "--exit-code-from", "setup", "setup")
    platform.platform.reload_workspace()


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


def test_a_new_location_is_served_and_loads_its_rows(platform: Tested, deployed: Deployed) -> None:
    hosts = {service: platform.inspect(service)["Id"] for service in ("webserver", "daemon", "github", "stripe")}
    started = time.monotonic()
    deployed("zendesk")
    platform.succeed("zendesk", "zendesk_ingest")
    measured(f"from its deploy to the first rows of a new location: {time.monotonic() - started:.1f} s")
    rows = platform.sql("warehouse", "SELECT count(*) FROM zendesk_raw.items")
    held = platform.origin.ask("GET", "objects/example/items")
    assert rows == [[str(len(held))]]
    assert {service: platform.inspect(service)["Id"] for service in hosts} == hosts
    assert time.monotonic() - started < 300


def test_removed_it_leaves_no_trace_in_git(platform: Tested, tree: Copy) -> None:
    assert tree.git("status", "--porcelain") == ""
    assert platform.platform.locations().keys() == {"github", "stripe"}


def test_locations_of_other_versions_are_served_by_the_same_host(platform: Tested, deployed: Deployed) -> None:
    deployed("older", OLDER)
    platform.succeed("older", "older_ingest")
    platform.succeed("github", "github_catalog_ingest")
    versions = [
        platform.compose("exec", "-T", "github", "python", "-c", VERSIONS),
        docker("exec", f"{platform.project}-older-1", "python", "-c", VERSIONS),
    ]
    measured(f"dagster and dlt of two locations on one host: {' and '.join(versions)}")
    (dagster, dlt), (older_dagster, older_dlt) = (version.split() for version in versions)
    assert older_dagster != dagster
    assert older_dlt != dlt


VERSIONS = "import dagster, dlt; print(dagster.__version__, dlt.__version__)"


MEMORY = """
from glob import glob

lines = [line for file in glob("/proc/[0-9]*/status") for line in open(file)]
print(sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) // 1024)
"""
"""MiB of anonymous memory: pages of files belong to whichever container read them first."""


@pytest.mark.parametrize("count", [3, pytest.param(10, marks=pytest.mark.many)])
def test_more_locations_at_once(platform: Tested, deployed: Deployed, count: int) -> None:
    """Memory grows with each by the same, and the UI answers."""
    seconds, memory = [], []
    for number in range(count):
        started = time.monotonic()
        deployed(f"many_{number}")
        seconds.append(time.monotonic() - started)
        memory.append(int(docker("exec", f"{platform.project}-many_{number}-1", "python", "-c", MEMORY)))
    started = time.monotonic()
    unloaded = [one for one in platform.platform.locations().values() if not one.loaded]
    assert unloaded == []
    answered = time.monotonic() - started
    with urllib.request.urlopen(f"{platform.platform.url}/server_info", timeout=10) as answer:  # noqa: S310
        assert answer.status == 200
    measured(f"{count} locations: {min(memory):.0f} to {max(memory):.0f} MiB each, deployed in {min(seconds):.1f} to")
    measured(f"{max(seconds):.1f} s each; the UI told of {len(platform.platform.locations())} in {answered:.2f} s")
    assert max(memory) < 1.3 * min(memory)
    assert answered < 5
