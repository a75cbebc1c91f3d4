"""Makes a code location, whole and green, from ``templates/location``, and names it where it must be named.

    NAME=zendesk [STYLE=python|component] new_location.py

Where a step fails, nothing is left of it.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import registrations
from local import Refused, end_in_order
from lock import compile_lock
from projects import LOCATIONS, ROOT, Project, locations
from sync import sync

TEMPLATE = ROOT / "templates" / "location"
STYLES = ("python", "component")
TOOLS = Path(sys.executable).parent
_DAGSTER = re.compile(r"^dagster==(\S+)", re.MULTILINE)


def create(name: str, style: str) -> None:
    """Renders, registers, locks, sets up and tests the location; raises :class:`Refused`."""
    folder = LOCATIONS / name
    with _all_or_nothing(name):
        render(name, style, folder)
        registrations.register(name)
        project = Project(folder)
        _step("its versions cannot be locked", lambda: write_locks(project))
        _step("its environment cannot be set up", lambda: _set_up(project))
        _step("its tests fail", lambda: _run([project.python, "-m", "pytest", "--disable-warnings", "tests"], folder))


def refusal(name: str, style: str) -> str | None:
    """Why there will be no such location, in a line; None where nothing stands against it."""
    if not name:
        return "which location? Name it: make new-location NAME=zendesk"
    if problem := registrations.name_problem(name):
        return problem
    if style not in STYLES:
        return f"STYLE={style}: choose {' or '.join(STYLES)}"
    if (LOCATIONS / name).exists():
        return f"there is a locations/{name} already"
    if files := registrations.registered(name):
        return f"{', '.join(files)} names {name} already: `make remove-location NAME={name}` takes it out"
    return None


def render(name: str, style: str, folder: Path) -> None:
    """Writes the location's files, without locks, to ``folder``; raises :class:`Refused`."""
    answers = [f"--data={key}={value}" for key, value in {"name": name, "style": style}.items()]
    _run([TOOLS / "copier", "copy", "--quiet", "--defaults", *answers, TEMPLATE, folder], ROOT)
    # Where a name stands in the alphabet decides the order of imports, its length where lines break.
    _run([TOOLS / "ruff", "check", "--fix-only", "--quiet", folder], ROOT)
    _run([TOOLS / "ruff", "format", "--quiet", folder], ROOT)


def write_locks(project: Project) -> None:
    """Locks the versions that the location with the newest dagster has: never newer than the host's."""
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
    (project.folder / ".venv" / ".synced").touch()  # what make looks at


def _step(otherwise: str, do: Callable[[], None]) -> None:
    """Does it; raises :class:`Refused` where it fails."""
    try:
        do()
    except (SystemExit, subprocess.CalledProcessError, Refused):
        raise Refused(f"{otherwise}, see above: the new location was removed again") from None


def _run(command: list[str | Path], folder: Path) -> None:
    """Runs a program that writes to the screen; raises :class:`Refused` where it fails."""
    done = subprocess.run(command, cwd=folder, check=False)
    if done.returncode:
        raise Refused(f"{Path(command[0]).name} failed, see above: the new location was removed again")


@contextmanager
def _all_or_nothing(name: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        shutil.rmtree(LOCATIONS / name, ignore_errors=True)
        registrations.unregister(name)
        raise


def main() -> int:
    """0 when the location is there and green, else 1 and one line."""
    end_in_order()
    name = os.environ.get("NAME", "").strip()
    style = os.environ.get("STYLE", "").strip() or STYLES[0]
    try:
        if problem := refusal(name, style):
            raise Refused(problem)
        create(name, style)
    except Refused as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nstopped: nothing is left of locations/{name}", file=sys.stderr)
        return 130
    print(f"\nlocations/{name} is there, and its tests pass. Its README says what to change first. Next:")
    print(f"  make ingest ONLY={name}")
    print(f"  make deploy LOCATION={name}")
    print("  make check")
    return 0


if __name__ == "__main__":
    sys.exit(main())
