"""The lock files: hashes for everything, no registry, one dagster rule."""

import re
from pathlib import Path

import pytest

from ingest_tools.projects import ROOT, Project, locations, projects

LOCKS = [lock for project in projects() for lock in project.locks]
HOST = Project(ROOT / "host")
_PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)(?:\[[^]]*\])?==(\S+)", re.MULTILINE)

Version = tuple[int, ...]


def pins(lock: Path) -> dict[str, str]:
    """The versions that a lock names; of several for different machines, the last."""
    return dict(_PIN.findall(lock.read_text()))


def version(text: str) -> Version:
    return tuple(int(part) for part in re.findall(r"\d+", text))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: str(lock.relative_to(ROOT)))
class TestLock:
    """What every lock is."""

    def test_has_a_hash_for_every_package(self, lock: Path) -> None:
        entries = re.split(r"\n(?=[a-z0-9])", lock.read_text())
        packages = [entry for entry in entries if _PIN.match(entry)]
        assert packages
        assert [entry.split()[0] for entry in packages if "--hash=sha256:" not in entry] == []

    def test_names_no_registry_and_no_folder(self, lock: Path) -> None:
        lines = lock.read_text().splitlines()
        assert [line for line in lines if "://" in line or " @ " in line or line.startswith(("-", "/"))] == []

    def test_locks_every_package_by_version(self, lock: Path) -> None:
        lines = [line for line in lock.read_text().splitlines() if line and line[0] not in " #"]
        assert [line for line in lines if not _PIN.match(line)] == []


@pytest.mark.parametrize("project", projects(), ids=lambda project: project.name)
def test_tests_run_with_the_versions_that_are_deployed(project: Project) -> None:
    if len(project.locks) == 2:
        runtime, development = map(pins, project.locks)
        assert {name: development.get(name) for name in runtime} == runtime


@pytest.mark.parametrize("location", locations(), ids=lambda location: location.folder.name)
def test_the_hosts_dagster_is_at_least_the_locations(location: Project) -> None:
    """A webserver reads what an older code server says, not what a newer one says."""
    host, own = (version(pins(project.locks[0])["dagster"]) for project in (HOST, location))
    assert host >= own, "upgrade the host first"


def test_only_the_host_can_start_containers() -> None:
    assert [lock for lock in LOCKS if "dagster-docker" in pins(lock)] == HOST.locks


def test_postgres_can_be_reached_with_the_driver_that_dagster_brings() -> None:
    """SQLAlchemy 2.1 makes psycopg 3 the default; dagster-postgres brings psycopg2."""
    for lock in LOCKS:
        assert version(pins(lock).get("sqlalchemy", "2.0")) < (2, 1), lock
