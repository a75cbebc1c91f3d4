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
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg2
from psycopg2.extensions import connection, encrypt_password
from psycopg2.sql import SQL, Identifier, Literal

from ingest_host.access import audit
from ingest_host.access.activate import activate

PLATFORM = Path("/secrets/platform")
"""Passwords that only Postgres and these commands read."""
ACCESS = Path("/secrets/access")
"""What the webserver alone has, at /run/access."""
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
NAME = re.compile(r"(?!pg_)[a-z][a-z0-9_]{0,29}")
PLATFORM_ROLES = ("analyst", "audit", "dagster", "postgres")
"""Roles that a location of that name would take over."""
SETTING = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+")
SANDBOX = ".sandbox"
"""Lists the settings that point a location at the sandbox."""


def make_secrets() -> None:
    """Makes the passwords that are missing; no default stands anywhere."""
    for name in ("postgres-password", "dagster-password", "analyst-password"):
        _password(PLATFORM / name)
    _write_pgpass(DAGSTER)
    password = _password(PLATFORM / "audit-password")
    _write(ACCESS / "pgpass", f"postgres:5432:{audit.DATABASE}:{audit.ROLE}:{password}\n", BY_OWNER)


def set_up_platform() -> None:
    """Databases ``dagster`` and ``warehouse``, the roles of Dagster and of analysts, Dagster's tables."""
    with closing(_connect("postgres")) as database:
        _run(database, "REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC")
        _role(database, "dagster", (PLATFORM / "dagster-password").read_text())
        _role(database, "analyst", (PLATFORM / "analyst-password").read_text())
        _database(database, "dagster", "dagster")
        _role(database, audit.ROLE, (PLATFORM / "audit-password").read_text())
        _database(database, "warehouse", "postgres")
        _database(database, audit.DATABASE, "postgres")
        _run(database, "GRANT CONNECT ON DATABASE warehouse TO analyst")
    with closing(_connect("warehouse")) as warehouse:
        _run(warehouse, "REVOKE ALL ON SCHEMA public FROM PUBLIC")
    with closing(_connect(audit.DATABASE)) as trail:
        audit.set_up(trail)
    activate()
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
        # Two locations that grant themselves rights in the database at once: "tuple concurrently updated".
        _run(warehouse, "SELECT pg_advisory_lock(1)")
        _role(warehouse, name, password)
        # dlt makes a schema of its own for what it stages.
        _run(warehouse, "GRANT CONNECT, CREATE, TEMPORARY ON DATABASE warehouse TO {}", role)
        _run(warehouse, "CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}", schema, role)
        _must_own(warehouse, name, f"{name}_raw")
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
    leave_sandbox()
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
    if not SETTING.fullmatch(setting):
        raise SystemExit(f"{setting!r} is no setting: write it as sources.{name}.access_token")
    try:
        value = sys.stdin.buffer.read().decode().strip()
    except UnicodeDecodeError:
        raise SystemExit(f"what came on the standard input is no text: {setting} stays as it was") from None
    if not value:
        raise SystemExit(f"nothing came on the standard input: {setting} stays as it was")
    if setting.startswith("sources."):
        leave_sandbox()
    folder, reader = (SERVER, "alert") if setting.startswith("alerts.") else (RUNS, "run")
    _write(folder / _file(setting), value, BY_OWNER)
    print(f"{name}: {setting} is stored; the next {reader} reads it")


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
        # Postgres logs a statement that fails: the password itself does not stand in it.
        verifier = encrypt_password(password, name, algorithm="scram-sha-256", scope=database)
        cursor.execute(SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(Identifier(name), Literal(verifier)))


def _database(database: connection, name: str, owner: str) -> None:
    with database.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
        if cursor.fetchone() is None:
            cursor.execute(SQL("CREATE DATABASE {} OWNER {}").format(Identifier(name), Identifier(owner)))
        cursor.execute(SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(Identifier(name)))


def _must_own(database: connection, role: str, schema: str) -> None:
    """A role may make schemas: one that another made first under this name is not taken for our own."""
    with database.cursor() as cursor:
        cursor.execute("SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = %s", [schema])
        (owner,) = cursor.fetchone() or ("nobody",)
    if owner != role:
        raise SystemExit(f"the schema {schema} belongs to {owner}, not to {role}: look at it, drop or rename it")


def _run(database: connection, statement: str, *names: Identifier) -> None:
    with database.cursor() as cursor:
        cursor.execute(SQL(statement).format(*names))


def main() -> int:
    """0 when it is done; raises ``SystemExit`` with one line where the command makes no sense."""
    commands: dict[str, tuple[Callable[..., None], int]] = {
        "secrets": (make_secrets, 0),
        "platform": (set_up_platform, 0),
        "location": (set_up_location, 1),
        "sandbox": (enter_sandbox, 1),
        "secret": (store_secret, 2),
    }
    command, *arguments = sys.argv[1:] or [""]
    do, takes = commands.get(command, (None, 0))
    if do is None or len(arguments) != takes:
        raise SystemExit("say one of: secrets, platform, location NAME, sandbox NAME, secret NAME SETTING")
    if arguments and (not NAME.fullmatch(arguments[0]) or arguments[0] in PLATFORM_ROLES):
        raise SystemExit(f"{arguments[0]!r} is no name of a location")
    do(*arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
