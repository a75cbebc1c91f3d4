"""Compares the tables of every location with what its vendor publishes of them.

A location has the vendor's word in ``tests/vendor.py``, or there is none to compare with.
"""

import subprocess

import click

from ingest_tools.images import location_names
from ingest_tools.options import locations as chosen
from ingest_tools.projects import LOCATIONS, Project


def keeps(location: Project) -> bool:
    """Prints where the tables and the vendor differ; whether they do not."""
    print(f"{location.name}: ", end="", flush=True)
    if not (location.folder / "tests" / "vendor.py").exists():
        print("the vendor publishes no schema")
        return True
    done = subprocess.run([location.python, "-m", "tests.vendor"], cwd=location.folder, check=False)
    return done.returncode == 0


@click.command(epilog="Example: ingest contract github")
@chosen
def contract_command(locations: tuple[str, ...]) -> int:
    """Compare the tables with what each vendor publishes of them."""
    kept = [keeps(Project(LOCATIONS / name)) for name in locations or location_names()]
    return 0 if all(kept) else 1
