"""The real webserver on a real instance with two real code locations; requests are sent with Starlette's client."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import yaml
from dagster import DagsterInstance
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import CompositeTarget, PythonFileTarget
from starlette.testclient import TestClient

from ingest_host.access import audit
from ingest_host.access.audit import PostgresTrail
from ingest_host.access.coordinator import mark_runs
from ingest_host.access.settings import Settings
from ingest_host.access.webserver import build_app

LOCATIONS = Path(__file__).parent / "locations"
REPOSITORY = "__repository__"
HOME = """\
run_coordinator:
  module: dagster._core.run_coordinator.queued_run_coordinator
  class: QueuedRunCoordinator
telemetry: {enabled: false}
"""
ROLES: dict[str, Any] = {
    "viewer": "viewer",
    "launcher_of_stripe": {"launcher": ["stripe"]},
    "stripe": {"editor": ["stripe"]},
    "github": {"editor": ["github"]},
    "both": {"editor": ["github", "stripe"]},
    "editor": "editor",
    "admin": "admin",
}
"""Names of tokens, each with its role."""


def token(name: str) -> str:
    return f"secret-of-{name}"


def tokens(ends: date = date(2099, 1, 1)) -> list[dict[str, Any]]:
    return [
        {"name": name, "sha256": hashlib.sha256(token(name).encode()).hexdigest(), "role": role, "ends": ends}
        for name, role in ROLES.items()
    ]


@dataclass
class Answer:
    """A GraphQL answer."""

    status: int
    body: Any

    @property
    def text(self) -> str:
        return str(self.body)

    @property
    def data(self) -> Any:
        assert self.body.get("errors") is None, self.body
        return self.body["data"]


@dataclass
class Served:
    """The webserver, and what it is connected to."""

    client: TestClient
    instance: DagsterInstance
    context: WorkspaceProcessContext
    settings: Settings
    rows: Any
    headers: dict[str, str] = field(default_factory=dict)

    def access(self, **entries: Any) -> None:
        """Activates another `access.yaml`."""
        text = yaml.safe_dump(entries, default_flow_style=False)
        self.settings.file.write_text(yaml.safe_dump(yaml.safe_load(text)))
        before = self.settings.file.stat().st_mtime_ns
        os.utime(self.settings.file, ns=(before, before + 1_000_000 * (1 + len(self.trail()))))

    def ask(self, who: str | None, query: str, **variables: Any) -> Answer:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token(who)}"} if who else {})
        body = json.dumps({"query": query, "variables": variables})
        answer = self.client.post("/graphql", content=body, headers=headers)
        return Answer(answer.status_code, answer.json())

    def trail(self) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = self.rows(
            "SELECT who, how, action, locations, outcome FROM public.trail ORDER BY id"
        )
        return found

    def selector(self, location: str, **more: Any) -> dict[str, Any]:
        return {"repositoryLocationName": location, "repositoryName": REPOSITORY, **more}

    def schedule(self, location: str) -> Any:
        found = self.context.create_request_context().get_code_location(location).get_repository(REPOSITORY)
        return next(iter(found.get_schedules()))

    def sensor(self, location: str) -> Any:
        found = self.context.create_request_context().get_code_location(location).get_repository(REPOSITORY)
        return next(iter(found.get_sensors()))


@pytest.fixture(scope="session")
def trail_database(postgres: str) -> str:
    """Sets up the audit trail's database as on the platform; returns the folder of its socket."""
    with closing(psycopg2.connect(host=postgres, user="postgres", dbname="postgres")) as database:
        database.autocommit = True
        cursor = database.cursor()
        cursor.execute("DROP DATABASE IF EXISTS audit")
        cursor.execute("DROP ROLE IF EXISTS audit")
        cursor.execute("CREATE ROLE audit LOGIN PASSWORD 'audit'")
        cursor.execute("CREATE DATABASE audit")
    with closing(psycopg2.connect(host=postgres, user="postgres", dbname="audit")) as database:
        database.autocommit = True
        audit.set_up(database)
        audit.set_up(database)  # may run again
    return postgres


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkspaceProcessContext]:
    """Two code locations, each in a server of its own."""
    home = tmp_path_factory.mktemp("dagster")
    (home / "dagster.yaml").write_text(HOME)
    target = [
        PythonFileTarget(str(LOCATIONS / f"{name}.py"), None, None, location_name=name) for name in ("github", "stripe")
    ]
    with (
        DagsterInstance.from_config(str(home)) as instance,
        WorkspaceProcessContext(instance, CompositeTarget(target), version="0", read_only=True) as context,
    ):
        mark_runs(instance)
        yield context


@pytest.fixture
def served(workspace: WorkspaceProcessContext, trail_database: str, tmp_path: Path) -> Iterator[Served]:
    """A webserver with a login at a provider, which only the tests of the login contact."""
    settings = Settings(tmp_path / "access.yaml", host="127.0.0.1", port="3000", secrets=tmp_path)
    settings.file.write_text(
        yaml.safe_dump(
            {
                "url": "http://ingest.test",
                "login": {"openid": {"issuer": "https://login.test", "client_id": "ingest"}},
                "groups": ROLES,
                "tokens": tokens(),
            }
        )
    )

    def rows(statement: str) -> list[tuple[Any, ...]]:
        with closing(psycopg2.connect(host=trail_database, user="postgres", dbname="audit")) as database:
            cursor = database.cursor()
            cursor.execute(statement)
            return cursor.fetchall()

    with closing(psycopg2.connect(host=trail_database, user="postgres", dbname="audit")) as database:
        database.autocommit = True
        database.cursor().execute(
            "ALTER TABLE public.trail DISABLE TRIGGER ALL; TRUNCATE public.trail;"
            "ALTER TABLE public.trail ENABLE TRIGGER ALL"
        )
    trail = PostgresTrail(host=trail_database, user="audit", password="audit", dbname="audit")
    app = build_app(workspace, settings, trail, 2000)
    with TestClient(app, base_url="http://ingest.test", follow_redirects=False) as client:
        yield Served(client, workspace.instance, workspace, settings, rows)
