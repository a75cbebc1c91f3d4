"""Stores a secret for a location's runs on the platform, read from standard input; nothing restarts."""

import re
from fnmatch import fnmatchcase
from pathlib import Path

import click

from ingest_tools import audit
from ingest_tools.cluster import Cluster
from ingest_tools.engine import Deployment
from ingest_tools.local import Refused
from ingest_tools.options import KUBERNETES, LOCATIONS, on, standard_input
from ingest_tools.projects import ROOT

PLATFORM = "platform"
ALERTS = "alerts.to"
OTHERS = (ALERTS, "extract.*", "normalize.*", "load.*")
"""What a team can set in addition to its source's settings. The platform decides where rows go, and as which user."""
SETTING = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")


def settings_of(location: str, root: Path = ROOT) -> list[str]:
    """The settings that the location may have, where ``*`` stands for any name.

    Those of its source are the table in its README; without one, any.
    """
    own, readme = f"sources.{location}.", root / "locations" / location / "README.md"
    rows = re.findall(rf"^\| (`{own}[^|]*) \|", readme.read_text(), re.MULTILINE) if readme.is_file() else []
    names = [name.removeprefix(own) for row in rows for name in re.findall("`(.+?)`", row)]
    return [*(f"{own}{name}" for name in names or ["*"]), *OTHERS]


def checked(location: str, setting: str, root: Path = ROOT) -> None:
    """Raises :class:`Refused` if the location cannot have this setting."""
    if location == PLATFORM:
        if setting != ALERTS:
            raise Refused(f"{setting!r} is not a setting of the platform: its only setting is {ALERTS}")
        return
    known = settings_of(location, root)
    if not SETTING.fullmatch(setting) or not any(fnmatchcase(setting, one) for one in known):
        raise Refused(
            f"{setting!r} is not a setting of {location}: choose from {', '.join(known)}, "
            f"or add it to the table in locations/{location}/README.md"
        )


@click.command(epilog='Example: echo "$TOKEN" | ingest secret github sources.github.access_token')
@click.argument("location", type=click.Choice([*LOCATIONS.choices, PLATFORM]), metavar="LOCATION")
@click.argument("setting")
@on
def secret_command(location: str, setting: str, engine: str) -> None:
    """Store a location's secret, read from standard input.

    LOCATION platform has one setting, alerts.to: the addresses that the monitor alerts.
    """
    checked(location, setting)
    if engine == KUBERNETES:
        if location == PLATFORM:
            raise Refused(f"{setting} alerts nobody on Kubernetes: the monitor does not run there")
        cluster = Cluster.here()
        with audit.recorded(cluster, "secret", location, lambda: {"name": setting}):
            print(cluster.store(location, setting, standard_input()))
        return
    service, command = (
        ("secrets", ["alerts"]) if location == PLATFORM else (f"{location}-setup", ["secret", location, setting])
    )
    deployment = Deployment.here()
    with audit.recorded(deployment, "secret", location, lambda: {"name": setting}):
        print(deployment.one_shot(service, "ingest_host.setup", *command, text=standard_input()))
