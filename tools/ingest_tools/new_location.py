"""Creates a complete, green code location from ``templates/`` and registers it.

If a step fails, nothing remains.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from ingest_tools import registrations
from ingest_tools.local import Refused, Stopped
from ingest_tools.lock import compile_lock
from ingest_tools.projects import LOCATIONS, ROOT, Project, locations
from ingest_tools.sync import sync

TEMPLATES = ROOT / "templates"
PARTS = {"rest": "rest", "sql": "sql", "files": "files", "component": "rest"}
"""What each style adds to ``templates/location``."""
BIN = Path(sys.executable).parent
_DAGSTER = re.compile(r"^dagster==(\S+)", re.MULTILINE)


def create(name: str, style: str) -> None:
    """Renders, registers, locks, sets up and tests the location; raises :class:`Refused`."""
    folder = LOCATIONS / name
    with _all_or_nothing(name):
        print(f"writing locations/{name}", flush=True)
        render(name, style, folder)
        registrations.register(name)
        project = Project(folder)
        print("locking its versions", flush=True)
        _step("its versions cannot be locked", lambda: write_locks(project))
        _step("its environment cannot be set up", lambda: _set_up(project))  # which says that it begins
        print("testing it: this takes a minute or more", flush=True)
        _step("its tests fail", lambda: _run([project.python, "-m", "pytest", "--disable-warnings", "tests"], folder))


def check_name(name: str) -> None:
    """Raises :class:`Refused` if the name is not valid or already taken."""
    if problem := registrations.name_problem(name):
        raise Refused(problem)
    if (LOCATIONS / name).exists():
        raise Refused(f"locations/{name} already exists: choose another name")
    if files := registrations.registered(name):
        raise Refused(f"{', '.join(files)} already names {name}: `ingest remove-location {name}` removes it")


def render(name: str, style: str, folder: Path) -> None:
    """Writes the location's files, without locks, to ``folder``; raises :class:`Refused`."""
    for part in ("location", PARTS[style]):
        answers = [f"--data={key}={value}" for key, value in {"name": name, "style": style, "part": part}.items()]
        _run([BIN / "copier", "copy", "--quiet", "--defaults", "--overwrite", *answers, TEMPLATES, folder], ROOT)
    # The name's alphabetical position decides the order of imports, its length where lines break.
    _run([BIN / "ruff", "check", "--fix-only", "--quiet", folder], ROOT)
    _run([BIN / "ruff", "format", "--quiet", folder], ROOT)


def write_locks(project: Project) -> None:
    """Locks the versions of the location with the newest dagster, which is never newer than the host's."""
    model = max((other for other in locations() if other.folder != project.folder), key=_dagster, default=None)
    for lock in project.locks:
        known = model.folder / lock.name if model else ROOT / "host" / lock.name
        shutil.copy(known, lock)
        compile_lock(project, lock, lock)


def _dagster(project: Project) -> tuple[int, ...]:
    lock = project.folder / "requirements.lock"
    found = _DAGSTER.search(lock.read_text()) if lock.exists() else None
    return tuple(int(part) for part in re.findall(r"\d+", found[1])) if found else ()


def _set_up(project: Project) -> None:
    sync(project)
    (project.folder / ".venv" / ".synced").touch()  # the file that make checks


def _step(otherwise: str, do: Callable[[], None]) -> None:
    """Runs a step; raises :class:`Refused` if it fails."""
    try:
        do()
    except Refused as error:
        raise Refused(f"{otherwise} ({error}): the new location was removed again") from None


def _run(command: list[str | Path], folder: Path) -> None:
    """Runs a program that writes to the screen; raises :class:`Refused` if it fails."""
    done = subprocess.run(command, cwd=folder, check=False)
    if done.returncode:
        raise Refused(f"{Path(command[0]).name} failed: see above")


@contextmanager
def _all_or_nothing(name: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        shutil.rmtree(LOCATIONS / name, ignore_errors=True)
        registrations.unregister(name)
        raise


@click.command(epilog="Example: ingest new-location zendesk")
@click.argument("name")
@click.option(
    "--style",
    type=click.Choice([*PARTS]),
    default="rest",
    show_default=True,
    help="rest: an API; sql: tables of a database; files: CSV, JSON Lines, Parquet; component: rest with YAML assets.",
)
def new_location_command(name: str, style: str) -> None:
    """Create a location, tested and registered."""
    check_name(name)
    try:
        create(name, style)
    except KeyboardInterrupt:
        raise Stopped(f"\nstopped: locations/{name} was removed again") from None
    print(f"\nlocations/{name} is ready, and its tests pass. Its README says what to change first. Next:")
    print(f"  make ingest ONLY={name}")
    print(f"  make deploy LOCATION={name}")
    print("  make check")
