"""Sets up a project's environment: exactly what its lock says, and the code itself, editable."""

import os
import subprocess
import sys
from pathlib import Path

import click

from ingest_tools.local import Refused
from ingest_tools.projects import ROOT, Project, projects

UV = Path(sys.executable).with_name("uv")


def sync(project: Project) -> None:
    """Makes ``.venv`` equal to the lock; raises :class:`Refused` when that fails."""
    print(f"setting up {project.name}", flush=True)
    environment = project.folder / ".venv"
    if not project.python.exists():
        _uv("venv", "--clear", "--python", sys.executable, environment)
    _uv("pip", "sync", "--require-hashes", "--python", project.python, project.dev_lock)
    own = [*project.path_dependencies.values(), *([project.folder] if project.is_package else [])]
    if own:
        # The build backend is in the lock, so nothing is fetched without a hash.
        options = ("--no-deps", "--no-build-isolation", "--python", project.python)
        _uv("pip", "install", *options, *(part for folder in own for part in ("-e", folder)))


def _uv(*arguments: str | Path) -> None:
    environment = os.environ | {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1"}
    # The locks describe the environments completely.
    environment.pop("VIRTUAL_ENV", None)
    if subprocess.run([UV, *arguments, "--quiet"], env=environment, check=False).returncode:
        raise Refused(f"uv {arguments[0]} failed: see above")


@click.command(hidden=True, epilog="Example: ingest sync locations/github")
@click.argument("project", type=click.Choice([one.name for one in projects() if not one.is_root]), metavar="PROJECT")
def sync_command(project: str) -> None:
    """Set up the environment of a project; make calls this if one is outdated."""
    sync(Project(ROOT / project))
