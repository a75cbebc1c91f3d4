"""What several commands are told, and how."""

import click

from ingest_tools.images import location_names

LOCATIONS = click.Choice(location_names())

location = click.argument("location", type=LOCATIONS, metavar="LOCATION")
locations = click.argument("locations", type=LOCATIONS, metavar="[LOCATION]...", nargs=-1)
to_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
