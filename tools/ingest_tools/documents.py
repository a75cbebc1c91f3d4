"""Generates parts of the documents: a page for each location's tables, and the command's help in the README."""

import os
import re
import subprocess
from pathlib import Path

import click

from ingest_tools.local import Refused
from ingest_tools.options import LOCATIONS as NAMES
from ingest_tools.projects import LOCATIONS, ROOT, TOOLS, Project

PAGES = ROOT / "docs" / "tables"
README = ROOT / "README.md"
WIDTH = 110
"""Columns of the help."""
_HELP = re.compile(r"(?<=```\n)Usage: ingest .*?(?=```\n)", re.DOTALL)


def with_help(text: str, command: click.Command) -> str:
    """The README's text with the help of the command in its place."""
    told = command.make_context("ingest", [], terminal_width=WIDTH).get_help()
    return _HELP.sub(lambda _: f"{told}\n", text)


def pages() -> list[str]:
    """The locations that have a page."""
    return sorted(page.stem for page in PAGES.glob("*.md"))


@click.command(epilog="Example: ingest table-docs github")
@click.argument("locations", type=NAMES, nargs=-1, metavar="[LOCATION]...")
@click.option("--check", is_flag=True, help="Write nothing; fail if a page is stale.")
def table_docs_command(locations: tuple[str, ...], *, check: bool) -> None:
    """Write docs/tables/ from the declarations."""
    for name in locations or pages():
        options = ["--check"] if check else []
        command: list[str | Path] = [Project(LOCATIONS / name).python, "-m", "ingest_tools.table_docs", name, *options]
        if subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(TOOLS)}, check=False).returncode:
            raise Refused(f"docs/tables/{name}.md: see above")
