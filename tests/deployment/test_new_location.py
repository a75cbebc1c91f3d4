"""Locations that are created on a running platform: from a command to rows in the warehouse, and their removal."""

import csv
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ingest_tools import versions
from ingest_tools.dagster_api import wait_for
from ingest_tools.deploy import Deploy
from ingest_tools.deploy_host import DeployHost
from ingest_tools.engine import EngineError, docker, inspect
from ingest_tools.up import start
from measured import measured
from tree import Copy

from .conftest import Tested
from .test_deploy_host import lasting

pytestmark = pytest.mark.docker

OLDER = Path(__file__).parent / "older.lock"
"""Really other versions of dagster and dlt than the locations have: `make lock` leaves it alone."""

VERSIONS = "import dagster, dlt; print(dagster.__version__, dlt.__version__)"


STYLES = {"zendesk": "rest", "crm": "sql", "shop": "files", "helpdesk": "component"}
LOADED = {"crm": "customers"}
"""The table that a test looks at, where it is not ``items``."""
DATABASE = "postgresql://postgres:test@origin:5432/postgres"
ROWS = """
INSERT INTO customers SELECT i, 'Customer ' || i, '{"town": "Ü"}', NULL, now() FROM generate_series(1, 1000) AS i;
INSERT INTO orders SELECT gen_random_uuid(), id, 'open', id, '2026-01-31', '{new}', now() FROM customers;
INSERT INTO order_lines SELECT id, 1, 'Ladder', 2, 89.9 FROM orders;
"""
"""For the tables that a location has which mirrors a database and was just made."""

MEMORY = """
from glob import glob

lines = [line for file in glob("/proc/[0-9]*/status") for line in open(file)]
print(sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) // 1024)
"""
"""MiB of anonymous memory: pages of files belong to whichever container read them first."""


@dataclass
class Made:
    """Locations that are created and deployed here: the seconds that each took, and the MiB of its server."""

    platform: Tested
    tree: Copy
    names: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)

    def deploy(self, name: str, lock: Path | None = None) -> None:
        """Creates and deploys it, unless it exists."""
        if name in self.names:
            return
        started = time.monotonic()
        self.tree.make(name, STYLES.get(name, "rest"))
        if STYLES.get(name) == "sql":  # which a deploy reads, as a run does
            done = self.platform.ingest("secret", name, f"sources.{name}.credentials", text=DATABASE)
            assert done.returncode == 0, done.stderr
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
    """They are removed from the platform afterwards."""
    made = Made(platform, tree)
    yield made
    if made.names:
        made.remove()


def remove(platform: Tested, name: str) -> None:
    project = platform.project
    parts = ("", "-setup", "-sandbox", "-origin")
    labels = [f"--filter=label=com.docker.compose.service={name}{part}" for part in parts]
    found = platform.run_containers(f"label=ingest.location={name}")
    for label in labels:
        found += docker("ps", "--all", "--quiet", label, f"--filter=label=com.docker.compose.project={project}").split()
    if found:
        docker("rm", "--force", "--volumes", *{container[:12] for container in found})
    network = f"{project}_{name}"
    for container in inspect(network)["Containers"]:
        docker("network", "disconnect", network, container)
    docker("network", "rm", network)
    docker("volume", "rm", f"{project}_{name}-secrets", f"{project}_{name}-server-secrets")
    docker("image", "rm", *docker("image", "ls", "--format={{.Repository}}:{{.Tag}}", f"ingest-{name}").split())


def give_database(platform: Tested, tree: Copy, name: str) -> None:
    """Starts the PostgreSQL that a location mirrors and only it can reach; both are removed together."""
    folder = tree.root / "locations" / name / "tests"
    container = f"{platform.project}-{name}-origin"
    labels = {"project": platform.project, "service": f"{name}-origin"}
    run = ["run", "--detach", f"--name={container}", f"--network={platform.project}_{name}", "--network-alias=origin"]
    run += [f"--label=com.docker.compose.{key}={value}" for key, value in labels.items()]
    run += ["--env=POSTGRES_PASSWORD=test", "--tmpfs=/var/lib/postgresql/data"]
    docker(*run, platform.inspect("postgres")["Config"]["Image"])
    ready = ("exec", container, "pg_isready", "--quiet", "--host=127.0.0.1", "--username=postgres")
    wait_for(lambda: answers(*ready), "the origin to start", 60, 0.2)
    fill = ("exec", "--interactive", container, "psql", "--username=postgres", "--set=ON_ERROR_STOP=1", "--quiet")
    docker(*fill, text=(folder / "database.sql").read_text() + ROWS)


def answers(*command: str) -> bool:
    try:
        docker(*command)
    except EngineError:
        return False
    return True


def expected_rows(platform: Tested, tree: Copy, name: str) -> int:
    """Returns how many rows the origin of a new location has."""
    match STYLES[name]:
        case "sql":
            return 1000
        case "files":
            files = (tree.root / "locations" / name).glob("src/*/sample/items/*.csv")
            return sum(len(list(csv.DictReader(file.open()))) for file in files)
    return len(platform.origin.ask("GET", "objects/example/items"))


@pytest.mark.parametrize("name", STYLES)
def test_a_new_location_is_served_and_loads_its_rows(platform: Tested, made: Made, tree: Copy, name: str) -> None:
    """Of each style, and the others notice nothing."""
    others = ["webserver", "daemon", "github", "stripe"]
    hosts = {service: platform.inspect(service)["Id"] for service in others}
    started = time.monotonic()
    made.deploy(name)
    if STYLES[name] == "sql":
        give_database(platform, tree, name)
    platform.succeed(name, f"{name}_ingest")
    measured(f"{STYLES[name]}: from its template to the first rows on the platform: {time.monotonic() - started:.1f} s")
    rows = platform.sql("warehouse", f"SELECT count(*) FROM {name}_raw.{LOADED.get(name, 'items')}")
    assert rows == [[str(expected_rows(platform, tree, name))]]
    assert {service: platform.inspect(service)["Id"] for service in hosts} == hosts
    assert time.monotonic() - started < 300


def test_a_location_of_the_same_versions_shares_what_is_made_of_them(platform: Tested, made: Made) -> None:
    """Its lock is the same as github's, except for the comments."""
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


@pytest.mark.parametrize("count", [4, pytest.param(10, marks=pytest.mark.many)])
def test_more_locations_at_once(platform: Tested, made: Made, count: int) -> None:
    """Memory grows with each by the same, whatever it mirrors, and the UI answers."""
    names = [*STYLES, *(f"many_{number}" for number in range(4, count))]
    for name in names:
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


def test_make_up_after_a_removal_restarts_nobody_else(platform: Tested, tree: Copy) -> None:
    host = DeployHost(platform)
    host.keep(host.tag)  # as `make up` does
    before = lasting(platform)
    tree.make("brief", "rest")
    docker("tag", platform.image("github"), "ingest-brief:local")  # it need not serve
    platform.compose("create", "--no-recreate", "brief")
    assert "brief" in platform.containers()
    assert tree.ingest("remove-location", "brief").returncode == 0
    try:
        start(host, sandbox=True)
        assert lasting(platform) == before
    finally:
        remove(platform, "brief")


def test_removed_they_leave_no_trace_in_git(platform: Tested, made: Made, tree: Copy) -> None:
    made.remove()
    assert tree.git("status", "--porcelain") == ""
    assert platform.platform.locations().keys() == {"github", "stripe"}
