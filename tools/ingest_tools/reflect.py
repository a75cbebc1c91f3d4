"""Writes the tables of a location that mirrors a database, from the database's own catalog.

:mod:`ingest_shared.databases.reflect` does the work, in the location's environment.
"""

import subprocess
from pathlib import Path

import click

from ingest_tools.options import existing


@click.command(
    epilog="Example: ingest reflect crm public.orders --cursor updated_at",
    context_settings={"ignore_unknown_options": True},
)
@click.argument("location")
@click.argument("tables", metavar="[TABLE]... [SETTING]...", nargs=-1, type=click.UNPROCESSED)
def reflect_command(location: str, tables: tuple[str, ...]) -> int:
    """Declare tables of a database, with the columns that they have there."""
    project = existing(location, style="sql")
    command: list[str | Path] = [project.python, "-m", "ingest_shared.databases.reflect", location, *tables]
    return subprocess.run(command, cwd=project.folder, check=False).returncode
