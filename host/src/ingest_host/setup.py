"""What must be there before the services start: passwords, databases, roles, schemas.

Every command may run again at any time: what is there stays, what is missing is made.

    python -m ingest_host.setup secrets             passwords of Postgres and Dagster's storage
    python -m ingest_host.setup platform            databases, roles, Dagster's schema, the workspace
    python -m ingest_host.setup location NAME       a location's role, schema and secrets
    python -m ingest_host.setup sandbox NAME        points a location at the sandbox
    python -m ingest_host.setup secret NAME SETTING stores what stands in the standard input
"""

import os
import re
import secrets
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg2
from psycopg2.extensions import connection
from psycopg2.sql import SQL, Identifier, Literal

PLATFORM = Path("/secrets/platform")
"""Passwords that only Postgres and these commands read."""
DAGSTER = Path("/secrets/dagster")
"""What webserver and daemon have at /run/secrets."""
SERVER = Path("/secrets/server")
"""What a location's code server has at /run/secrets."""
RUNS = Path("/secrets/runs")
"""What a location's runs have at /run/secrets."""

WORKSPACE = Path("/opt/dagster/given/workspace.yaml")
SERVED_WORKSPACE = Path("/opt/dagster/workspace/workspace.yaml")

BY_ALL = 0o444
"""For a volume that a container with another user mounts."""
BY_OWNER = 0o400
"""libpq refuses a PGPASSFILE that others may read."""
NAME = re.compile(r"[a-z][a-z0-9_]{0,29}")
SANDBOX = ".sandbox"
"""Lists the settings that point a location at the sandbox."""


def make_secrets() -> None:
    """Makes the passwords that are missing; no default stands anywhere."""
    for name in ("postgres-password", "dagster-password", "analyst-password"):
        _password(PLATFORM / name)
    _write_pgpass(DAGSTER)


def set_up_platform() -> None:
    """Databases ``dagster`` and ``warehouse``, the roles of Dagster and of analysts, Dagster's tables."""
    with closing(_connect("postgres")) as database:
        _role(database, "dagster", (PLATFORM / "dagster-password").read_text())
        _role(database, "analyst", (PLATFORM / "analyst-password").read_text())
        _database(database, "dagster", "dagster")
        _database(database, "warehouse", "postgres")
        _run(database, "GRANT CONNECT ON DATABASE warehouse TO analyst")
    with closing(_connect("warehouse")) as warehouse:
        _run(warehouse, "REVOKE ALL ON SCHEMA public FROM PUBLIC")
    shutil.copyfile(WORKSPACE, SERVED_WORKSPACE)
    subprocess.run(["dagster", "instance", "migrate"], check=True)  # noqa: S607


def set_up_location(name: str) -> None:
    """Role and schema of a location in the warehouse, which analysts may read, and its secrets."""
    password = _password(RUNS / "destination--postgres--credentials--password")
    _write_pgpass(RUNS)
    _write_pgpass(SERVER)
    leave_sandbox()
    with closing(_connect("warehouse")) as warehouse:
        role, schema = Identifier(name), Identifier(f"{name}_raw")
        _role(warehouse, name, password)
        # dlt makes a schema of its own for what it stages.
        _run(warehouse, "GRANT CONNECT, CREATE, TEMPORARY ON DATABASE warehouse TO {}", role)
        _run(warehouse, "CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}", schema, role)
        _run(warehouse, "GRANT USAGE ON SCHEMA {} TO analyst", schema)
        _run(warehouse, "GRANT SELECT ON ALL TABLES IN SCHEMA {} TO analyst", schema)
        _run(
            warehouse,
            "ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA {} GRANT SELECT ON TABLES TO analyst",
            role,
            schema,
        )


def enter_sandbox(name: str) -> None:
    """Takes the settings ``SOURCES__*`` of the environment for the runs, if there are none of its own."""
    settings = {variable: value for variable, value in os.environ.items() if variable.startswith("SOURCES__")}
    files = {_file(variable.lower().replace("__", ".")): value for variable, value in settings.items()}
    if own := sorted(file for file in files if (RUNS / file).exists()):
        print(f"{name} keeps its own settings ({', '.join(own)}) and is not pointed at the sandbox")
        return
    (RUNS / SANDBOX).write_text("\n".join(files))
    for file, value in files.items():
        _write(RUNS / file, value, BY_OWNER)


def leave_sandbox() -> None:
    """Takes back what :func:`enter_sandbox` set."""
    marker = RUNS / SANDBOX
    if marker.exists():
        for file in marker.read_text().split():
            (RUNS / file).unlink(missing_ok=True)
        marker.unlink()


def store_secret(name: str, setting: str) -> None:
    """Stores the standard input as a setting of the location's runs, ``alerts.*`` of its code server's."""
    if not re.fullmatch(r"[a-z0-9_]+(\.[a-z0-9_]+)+", setting):
        raise SystemExit(f"{setting!r} is no setting: write it as sources.{name}.access_token")
    value = sys.stdin.read().strip()
    if not value:
        raise SystemExit(f"nothing came on the standard input: {setting} stays as it was")
    leave_sandbox()
    folder = SERVER if setting.startswith("alerts.") else RUNS
    _write(folder / _file(setting), value, BY_OWNER)
    print(f"{name}: {setting} is stored; the next run reads it")


def _file(setting: str) -> str:
    """dlt's name of a setting below /run/secrets."""
    return setting.replace(".", "--").replace("_", "-")


def _password(file: Path) -> str:
    if not file.exists():
        _write(file, secrets.token_urlsafe(32), BY_ALL if file.parent == PLATFORM else BY_OWNER)
    return file.read_text()


def _write_pgpass(folder: Path) -> None:
    password = (PLATFORM / "dagster-password").read_text()
    _write(folder / "pgpass", f"postgres:5432:dagster:dagster:{password}\n", BY_OWNER)


def _write(file: Path, text: str, mode: int) -> None:
    """Writes it whole or not at all."""
    half = file.with_suffix(".new")
    half.unlink(missing_ok=True)
    half.touch(0o600)
    half.write_text(text)
    half.chmod(mode)
    half.replace(file)


def _connect(database: str) -> connection:
    password = (PLATFORM / "postgres-password").read_text()
    opened = psycopg2.connect(host="postgres", user="postgres", password=password, dbname=database)
    opened.autocommit = True
    return opened


def _role(database: connection, name: str, password: str) -> None:
    with database.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name])
        if cursor.fetchone() is None:
            cursor.execute(SQL("CREATE ROLE {} NOINHERIT").format(Identifier(name)))
        cursor.execute(SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(Identifier(name), Literal(password)))


def _database(database: connection, name: str, owner: str) -> None:
    with database.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
        if cursor.fetchone() is None:
            cursor.execute(SQL("CREATE DATABASE {} OWNER {}").format(Identifier(name), Identifier(owner)))
        cursor.execute(SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(Identifier(name)))


def _run(database: connection, statement: str, *names: Identifier) -> None:
    with database.cursor() as cursor:
        cursor.execute(SQL(statement).format(*names))


def main() -> int:
    command, *arguments = sys.argv[1:]
    commands = {
        "secrets": make_secrets,
        "platform": set_up_platform,
        "location": set_up_location,
        "sandbox": enter_sandbox,
        "secret": store_secret,
    }
    if command not in ("secrets", "platform") and not NAME.fullmatch(arguments[0]):
        raise SystemExit(f"{arguments[0]!r} is no name of a location")
    commands[command](*arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
