"""Compares the tables of every location with the schema that its vendor publishes.

A location's ``tests/vendor.py`` provides the vendor's schema; without that file, there is nothing to compare with.
"""

import subprocess

import click

from ingest_tools.images import location_names
from ingest_tools.options import locations as chosen
from ingest_tools.projects import LOCATIONS, Project


def keeps(location: Project) -> bool:
    """Prints where the tables and the vendor's schema differ; returns whether they agree."""
    print(f"{location.name}: ", end="", flush=True)
    if not (location.folder / "tests" / "vendor.py").exists():
        print("the vendor publishes no schema")
        return True
    done = subprocess.run([location.python, "-m", "tests.vendor"], cwd=location.folder, check=False)
    return done.returncode == 0


@click.command(epilog="Example: ingest contract github")
@chosen
def contract_command(locations: tuple[str, ...]) -> int:
    """Compare the tables with the schemas that the vendors publish."""
    kept = [keeps(Project(LOCATIONS / name)) for name in locations or location_names()]
    return 0 if all(kept) else 1
