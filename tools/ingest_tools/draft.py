"""Drafts tables from the OpenAPI document of an API.

:mod:`ingest_shared.openapi` does the work, in the location's environment.
"""

import subprocess
import sys
from pathlib import Path

import click

from ingest_tools.options import existing


@click.command(epilog="Example: ingest draft github openapi.yaml /tickets")
@click.argument("location")
@click.argument("document", type=click.Path(path_type=Path))
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
def draft_command(location: str, document: Path, paths: tuple[str, ...]) -> int:
    """Draft tables, and how their lists are read, from an API's OpenAPI document."""
    project = existing(location)
    command: list[str | Path] = [project.python, "-m", "ingest_shared.openapi", document.absolute(), *paths]
    drafted = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if drafted.returncode == 0:
        ruff = Path(sys.executable).parent / "ruff"
        subprocess.run([ruff, "format", "--quiet", "-"], input=drafted.stdout, text=True, check=True)
    return drafted.returncode
