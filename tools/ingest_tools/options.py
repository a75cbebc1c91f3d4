"""Arguments and options that several commands share."""

import sys

import click

from ingest_tools.images import location_names
from ingest_tools.local import Refused
from ingest_tools.projects import LOCATIONS as FOLDER
from ingest_tools.projects import Project

LOCATIONS = click.Choice(location_names())

location = click.argument("location", type=LOCATIONS, metavar="LOCATION")
locations = click.argument("locations", type=LOCATIONS, metavar="[LOCATION]...", nargs=-1)
DOCKER, KUBERNETES = "docker", "kubernetes"
on = click.option(
    "--on",
    "engine",
    type=click.Choice([DOCKER, KUBERNETES]),
    default=DOCKER,
    show_default=True,
    help="Where the platform runs.",
)
to_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def existing(name: str, style: str = "rest") -> Project:
    """The project of a location; raises :class:`Refused` with the command that creates it."""
    if name not in location_names():
        raise Refused(f"there is no locations/{name}: `ingest new-location {name} --style {style}` creates it")
    return Project(FOLDER / name)


def standard_input() -> str:
    """The text on standard input; raises :class:`Refused` if it is not text."""
    try:
        return sys.stdin.read()
    except UnicodeDecodeError:
        raise Refused("standard input is not UTF-8 text: nothing was stored") from None
