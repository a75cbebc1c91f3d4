"""Creates what must exist before the services start: passwords, databases, logins, schemas.

Every command may run again at any time: it keeps what exists and creates what is missing.

    python -m ingest_host.setup secrets             passwords of Postgres and Dagster's storage
    python -m ingest_host.setup platform            databases, logins, Dagster's schema, the workspace
    python -m ingest_host.setup ready               waits until the platform is set up
    python -m ingest_host.setup location NAME       a location's logins, schema and secrets
    python -m ingest_host.setup sandbox NAME        points a location at the sandbox
    python -m ingest_host.setup secret NAME SETTING stores the text on standard input
    python -m ingest_host.setup analyst NAME        a login for a person or a BI tool; analyst-out removes it
    python -m ingest_host.setup alerts              stores standard input as the addresses of the platform's alerts
"""

import configparser
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg2

from ingest_host import analysts, roles, storage
from ingest_host.access.activate import activate
from ingest_host.files import write_whole

ACCESS = Path("/secrets/access")
"""What only the webserver has, at /run/access."""
DAGSTER = Path("/secrets/dagster")
"""What webserver and daemon have at /run/secrets."""
MONITOR = Path("/secrets/monitor")
"""What the monitor has at /run/secrets."""
DOOR = Path("/secrets/door")
"""What PgBouncer has at /run/secrets."""
SERVER = Path("/secrets/server")
"""What a location's code server has at /run/secrets."""
RUNS = Path("/secrets/runs")
"""What a location's runs have at /run/secrets."""

RUN_FILES = Path("/var/lib/runs")
"""A folder for each location: what its runs print, and the pace of API calls that they share."""

WORKSPACE = Path("/opt/dagster/given/workspace.yaml")
SERVED_WORKSPACE = Path("/opt/dagster/workspace/workspace.yaml")

READY_SECONDS = 300

BY_ALL = 0o444
"""Mode of a file in a volume that a container with another user mounts."""
BY_OWNER = 0o400
NAME = re.compile(r"(?!pg_)(?!.*_raw)[a-z][a-z0-9_]{0,29}")
"""Without `_raw`, so that no two locations can have a schema of the same name."""
PLATFORM_ROLES = ("analyst", "audit", "dagster", "door", "monitor", "platform", "postgres")
"""Roles and schemas that a location of the same name would take over."""
SERVICE = "pg_service.conf"
OLD_LOGIN = "pgpass"
"""Where older versions of the platform kept the single password of Dagster's storage."""
SETTING = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+")
ALERTS = "alerts.to"
SANDBOX = ".sandbox"
"""Lists the settings that point a location at the sandbox."""


def make_secrets() -> None:
    """Creates the missing passwords; there is no default anywhere."""
    if (DAGSTER / OLD_LOGIN).exists():  # in older versions, every location had this one
        for file in (DAGSTER / OLD_LOGIN, roles.PLATFORM / "dagster-password"):
            file.unlink(missing_ok=True)
    (roles.PLATFORM / "platform-password").unlink(missing_ok=True)  # of an older version, next to the superuser's
    for name in ("postgres", "dagster", "analyst", "audit", "monitor", analysts.DOOR):
        _password(roles.password_file(name), BY_ALL)
    _password(roles.password_file("platform"))
    _password(DAGSTER / "launch-token")
    _write_service(DAGSTER, "dagster", roles.password_file("dagster").read_text())
    _write_service(MONITOR, "monitor", roles.password_file("monitor").read_text())
    door = roles.password_file(analysts.DOOR).read_text()
    write_whole(DOOR / "userlist.txt", f'"{analysts.DOOR}" "{door}"\n', BY_OWNER)
    write_whole(MONITOR / "watch-token", _password(DAGSTER / "watch-token"), BY_OWNER)
    password = roles.password_file("audit").read_text()
    write_whole(ACCESS / "pgpass", f"{roles.HOST}:5432:audit:audit:{password}\n", BY_OWNER)


def set_up_platform() -> None:
    """Sets up databases and logins, Dagster's tables and what a location may do with them, and the workspace."""
    activate()
    roles.set_up_server()
    subprocess.run(["dagster", "instance", "migrate"], check=True)  # noqa: S607
    roles.set_up_storage()
    shutil.copyfile(WORKSPACE, SERVED_WORKSPACE)


def wait_until_ready() -> None:
    """Waits until this version's set-up of the platform is done; raises ``SystemExit`` if it takes too long."""
    problem, until = "it was set up by another version", time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        try:
            with closing(psycopg2.connect("service=dagster", connect_timeout=5)) as opened:
                if storage.is_walled_off(opened):
                    return
        except psycopg2.OperationalError as error:  # Postgres is starting, or does not know the login yet
            problem = str(error).strip()
        time.sleep(1)
    raise SystemExit(f"the storage is not ready after {READY_SECONDS} s: {problem}")


def set_up_location(name: str) -> None:
    """Creates a location's logins, its schema in the warehouse and its secrets."""
    for folder in (RUNS, SERVER):
        (folder / OLD_LOGIN).unlink(missing_ok=True)
    password = _password(RUNS / "destination--postgres--credentials--password")
    service = configparser.RawConfigParser()
    service.read(RUNS / SERVICE)
    storage_password = service.get("dagster", "password", fallback=secrets.token_urlsafe(32))
    for folder in (RUNS, SERVER):
        _write_service(folder, storage.LOGIN.format(name), storage_password)
    leave_sandbox()
    (RUN_FILES / name).mkdir(exist_ok=True)
    roles.set_up_location(name, password, storage_password)


def enter_sandbox(name: str) -> None:
    """Stores the environment's settings ``SOURCES__*`` for the runs, unless the location has its own."""
    leave_sandbox()
    settings = {variable: value for variable, value in os.environ.items() if variable.startswith("SOURCES__")}
    files = {_file(variable.lower().replace("__", ".")): value for variable, value in settings.items()}
    if own := sorted(file for file in files if (RUNS / file).exists()):
        print(f"{name} keeps its own settings ({', '.join(own)}) and is not pointed at the sandbox")
        return
    (RUNS / SANDBOX).write_text("\n".join(files))
    for file, value in files.items():
        write_whole(RUNS / file, value, BY_OWNER)


def store_alerts() -> None:
    """Stores standard input as the addresses that the monitor sends alerts to."""
    write_whole(MONITOR / _file(ALERTS), _given(ALERTS), BY_OWNER)
    print(f"platform: {ALERTS} is stored; the next alert reads it")


def let_analyst_in(name: str) -> None:
    """Prints the login and its password, which is not stored: `make analyst` reads the line."""
    print("LOGIN", *roles.let_analyst_in(name))


def put_analyst_out(name: str) -> None:
    """Removes the login; raises ``SystemExit`` if there is none."""
    if not roles.put_analyst_out(name):
        raise SystemExit(f"there is no analyst {name}")
    print(f"{name} no longer has a login")


def _given(setting: str) -> str:
    """Returns the text on standard input; raises ``SystemExit`` if it is empty or not UTF-8."""
    try:
        value = sys.stdin.buffer.read().decode().strip()
    except UnicodeDecodeError:
        raise SystemExit(f"standard input is not UTF-8 text: {setting} was not changed") from None
    if not value:
        raise SystemExit(f"standard input is empty: {setting} was not changed")
    return value


def leave_sandbox() -> None:
    """Removes what :func:`enter_sandbox` stored."""
    marker = RUNS / SANDBOX
    if marker.exists():
        for file in marker.read_text().split():
            (RUNS / file).unlink(missing_ok=True)
        marker.unlink()


def store_secret(name: str, setting: str) -> None:
    """Stores standard input as a setting of the location's runs, or for ``alerts.*``, of its code server."""
    if not SETTING.fullmatch(setting):
        raise SystemExit(f"{setting!r} is not a setting: write it as sources.{name}.access_token")
    value = _given(setting)
    if setting.startswith("sources."):
        leave_sandbox()
    folder, reader = (SERVER, "alert") if setting.startswith("alerts.") else (RUNS, "run")
    write_whole(folder / _file(setting), value, BY_OWNER)
    print(f"{name}: {setting} is stored; the next {reader} reads it")


def _file(setting: str) -> str:
    """Returns dlt's file name of a setting below /run/secrets."""
    return setting.replace(".", "--").replace("_", "-")


def _password(file: Path, mode: int = BY_OWNER) -> str:
    if not file.exists():
        write_whole(file, secrets.token_urlsafe(32), mode)
    return file.read_text()


def _write_service(folder: Path, user: str, password: str) -> None:
    """Writes what ``service=dagster`` in dagster.yaml refers to in a container that mounts the folder.

    https://www.postgresql.org/docs/17/libpq-pgservice.html
    """
    text = f"[dagster]\nhost={roles.HOST}\ndbname=dagster\nuser={user}\npassword={password}\n"
    write_whole(folder / SERVICE, text, BY_OWNER)


def main() -> int:
    """Returns 0 when it is done; raises ``SystemExit`` with one line if the command is not valid."""
    commands: dict[str, tuple[Callable[..., None], int]] = {
        "secrets": (make_secrets, 0),
        "platform": (set_up_platform, 0),
        "location": (set_up_location, 1),
        "sandbox": (enter_sandbox, 1),
        "secret": (store_secret, 2),
        "alerts": (store_alerts, 0),
        "analyst": (let_analyst_in, 1),
        "analyst-out": (put_analyst_out, 1),
        "ready": (wait_until_ready, 0),
    }
    command, *arguments = sys.argv[1:] or [""]
    do, takes = commands.get(command, (None, 0))
    if do is None or len(arguments) != takes:
        raise SystemExit(f"choose one of {', '.join(commands)}, with its arguments")
    of_location = arguments and not command.startswith("analyst")
    if of_location and (not NAME.fullmatch(arguments[0]) or arguments[0] in PLATFORM_ROLES):
        raise SystemExit(f"{arguments[0]!r} is not a valid location name")
    do(*arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
