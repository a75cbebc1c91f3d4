"""An older platform's volumes after this version's set-up: everything is there, and the walls stand.

Then the superuser set up everything, a location made schemas as it liked, and every code server and run signed in
to Dagster's storage as ``dagster``.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
import yaml

from ingest_host import roles

from .conftest import INSTANCE, PASSWORD, Platform, refused, server, set_up

PASSWORDS = {name: f"older-{name}" for name in ("postgres", "dagster", "analyst", "github")}
SERVER = [
    "REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC",
    *(f"CREATE ROLE {name} NOINHERIT LOGIN PASSWORD '{PASSWORDS[name]}'" for name in ("dagster", "analyst", "github")),
    "CREATE DATABASE dagster OWNER dagster",
    "CREATE DATABASE warehouse OWNER postgres",
    "REVOKE ALL ON DATABASE dagster FROM PUBLIC",
    "REVOKE ALL ON DATABASE warehouse FROM PUBLIC",
    "GRANT CONNECT ON DATABASE warehouse TO analyst",
    "GRANT CONNECT, CREATE, TEMPORARY ON DATABASE warehouse TO github",
]
WAREHOUSE = [
    "REVOKE ALL ON SCHEMA public FROM PUBLIC",
    "CREATE SCHEMA github_raw AUTHORIZATION github",
    "GRANT USAGE ON SCHEMA github_raw TO analyst",
    "ALTER DEFAULT PRIVILEGES FOR ROLE github IN SCHEMA github_raw GRANT SELECT ON TABLES TO analyst",
    "SET ROLE github",
    "CREATE TABLE github_raw.issues AS SELECT 1 AS id",
    "CREATE SCHEMA github_raw_staging_github_activity",
    "CREATE TABLE github_raw_staging_github_activity.issues AS SELECT 1 AS id",
]
BODY = {
    "external_pipeline_origin": {
        "external_repository_origin": {"repository_location_origin": {"location_name": "github"}}
    }
}
HISTORY = [
    "SET ROLE dagster",
    "INSERT INTO public.runs (run_id, pipeline_name, status, run_body)"
    f" VALUES ('of-before', 'github_ingest', 'SUCCESS', '{json.dumps(BODY)}')",
    "INSERT INTO public.event_logs (run_id, event, dagster_event_type, timestamp, asset_key)"
    """ VALUES ('of-before', '{}', 'ASSET_MATERIALIZATION', now(), '["github", "issues"]')""",
]


def execute(socket: str, database: str, statements: list[str]) -> None:
    with closing(psycopg2.connect(host=socket, user="postgres", dbname=database)) as opened:
        opened.autocommit = True
        for statement in statements:
            opened.cursor().execute(statement)


def make_older(socket: str, folder: Path) -> None:
    """Creates what such a platform left in its volumes."""
    execute(socket, "postgres", SERVER)
    execute(socket, "warehouse", WAREHOUSE)
    url = f"postgresql+psycopg2://dagster:{PASSWORDS['dagster']}@/dagster?host={socket}"
    (folder / "home").mkdir()
    home = INSTANCE | {"storage": {"postgres": {"postgres_url": url}}}
    (folder / "home" / "dagster.yaml").write_text(yaml.safe_dump(home))
    command = [sys.executable, "-m", "dagster", "instance", "migrate"]
    subprocess.run(command, env={"DAGSTER_HOME": str(folder / "home")}, check=True, capture_output=True)
    execute(socket, "dagster", HISTORY)
    files = {f"platform/{name}-password": PASSWORDS[name] for name in ("postgres", "dagster", "analyst")}
    pgpass = f"postgres:5432:dagster:dagster:{PASSWORDS['dagster']}\n"
    files |= {f"{where}/pgpass": pgpass for where in ("dagster", "github/runs", "github/server")}
    files |= {f"github/runs/{PASSWORD}": PASSWORDS["github"], "github/runs/sources--github--access-token": "token"}
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("older")
    with server() as socket, pytest.MonkeyPatch.context() as patch:
        make_older(socket, folder)
        platform = set_up(socket, folder, patch)
        platform.location("github")
        platform.location("stripe")
        yield platform


def test_the_rows_are_there_and_the_location_goes_on_loading(upgraded: Platform) -> None:
    upgraded.sql("github", "INSERT INTO github_raw.issues VALUES (2)")
    upgraded.sql("github", "SELECT platform.make_schema('github_raw_staging_github_activity')")
    upgraded.sql("github", "DELETE FROM github_raw_staging_github_activity.issues")
    assert upgraded.sql("analyst", "SELECT id FROM github_raw.issues ORDER BY id") == [(1,), (2,)]


def test_a_team_puts_in_no_secret_again(upgraded: Platform) -> None:
    assert (upgraded.folder / "github/runs/sources--github--access-token").read_text() == "token"
    assert (upgraded.folder / "github/runs" / PASSWORD).read_text() == PASSWORDS["github"]


@pytest.mark.parametrize("login", ["dagster", "dagster-github"])
def test_the_history_is_there_for_the_host_and_its_location(upgraded: Platform, login: str) -> None:
    assert upgraded.sql(login, "SELECT run_id FROM public.runs", "dagster") == [("of-before",)]
    assert upgraded.sql(login, "SELECT run_id FROM public.event_logs", "dagster") == [("of-before",)]


def test_another_location_sees_none_of_it(upgraded: Platform) -> None:
    assert upgraded.sql("dagster-stripe", "SELECT run_id FROM public.runs", "dagster") == []
    with refused("permission denied"):
        upgraded.sql("stripe", "SELECT * FROM github_raw.issues")


def test_the_password_that_all_had_opens_nothing(upgraded: Platform) -> None:
    assert [str(file.relative_to(upgraded.folder)) for file in upgraded.folder.rglob("pgpass")] == ["access/pgpass"]
    with refused("password authentication failed"):
        psycopg2.connect(host=roles.HOST, dbname="dagster", user="dagster", password=PASSWORDS["dagster"])


def test_a_location_makes_no_schema_any_more(upgraded: Platform) -> None:
    with refused("permission denied for database"):
        upgraded.sql("github", "CREATE SCHEMA ours")
    with refused("permission denied"):
        upgraded.sql("github", "SELECT 1", "audit")
