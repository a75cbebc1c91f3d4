"""Grants an analyst access to the warehouse, or revokes it."""

import re
import sys

import click

from ingest_tools import audit
from ingest_tools.engine import LOOPBACK, Deployment
from ingest_tools.local import Refused

LOGIN = re.compile(r"^LOGIN (\S+) (\S+)$", re.MULTILINE)
"""What the set-up prints for a new login: its role and its password."""


@click.command(epilog="Example: ingest analyst ana")
@click.argument("name")
@click.option("--revoke", is_flag=True, help="Revoke the login.")
def analyst_command(name: str, *, revoke: bool) -> None:
    """Give a person or a BI tool read access to the warehouse.

    Prints the address with a password, which is shown only this once. An existing login gets a new password.
    """
    deployment = Deployment.here()
    deployment.container("postgres")
    told = deployment.one_shot("setup", "ingest_host.setup", "analyst-out" if revoke else "analyst", name)
    audit.record(deployment, "analyst", "", "done", **{"revoked" if revoke else "name": name})
    if revoke:
        print(told.splitlines()[-1])
        return
    found = LOGIN.search(told)
    if not found:
        raise Refused(f"the set-up did not print a login: {told}")
    address = deployment.setting("INGEST_WAREHOUSE") or f"{LOOPBACK}:5432"
    print(f"postgresql://{found[1]}:{found[2]}@{address}/warehouse?sslmode=require")
    if "warehouse" not in deployment.setting("COMPOSE_PROFILES").split(","):
        print(
            "the port is closed: to open it, add COMPOSE_PROFILES=warehouse to .env and run `make up`", file=sys.stderr
        )
