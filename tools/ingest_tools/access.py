"""Who may do what on the platform: activates `access.yaml`, creates and revokes the tokens in it."""

import hashlib
import re
import secrets
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import click

from ingest_tools import audit
from ingest_tools.engine import Deployment
from ingest_tools.local import Refused
from ingest_tools.options import LOCATIONS, standard_input

FILE = "access.yaml"
ROLES = ("viewer", "launcher", "editor", "admin")
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")
MODULE = "ingest_host.access.activate"


def activate(deployment: Deployment) -> str:
    """Makes the webserver read the file at its next request; raises :class:`Refused` if the file is not valid."""
    return deployment.one_shot("setup", MODULE)


def make_token(file: Path, name: str, role: str, locations: Sequence[str], ends: date) -> str:
    """Adds the token's digest to the file and returns the token, which is stored nowhere; raises :class:`Refused`."""
    if not NAME.fullmatch(name):
        raise Refused(f"{name!r} is not a valid token name: use a-z and 0-9, with _ . - in between")
    if role in ("viewer", "admin") and locations:
        raise Refused(f"--role={role} covers every location: leave out --location")
    text = file.read_text()
    if _entry(name).search(text):
        raise Refused(
            f"a token {name} already exists: revoke it with `ingest token {name} --revoke`, or choose another name"
        )
    token = f"ingest_{secrets.token_urlsafe(32)}"
    allowed = f"{{{role}: [{', '.join(locations)}]}}" if locations else role
    digest = hashlib.sha256(token.encode()).hexdigest()
    entry = f"  - {{name: {name}, role: {allowed}, ends: {ends}, sha256: {digest}}}\n"
    lines = re.compile(r"^tokens:[ ]*(\[\])?[ ]*\n", re.MULTILINE)
    if not lines.search(text):
        raise Refused(f"{file.name} has no line `tokens:`: add one at the end")
    _replace(file, lines.sub(lambda _: f"tokens:\n{entry}", text, count=1))
    return token


def revoke_token(file: Path, name: str) -> None:
    """Removes it from the file; raises :class:`Refused`."""
    text, found = _entry(name).subn("", file.read_text())
    if not found:
        raise Refused(f"{file.name} has no token {name!r}")
    _replace(file, text)


def _entry(name: str) -> re.Pattern[str]:
    return re.compile(rf"^  - \{{name: {re.escape(name)}, .*\n", re.MULTILINE)


def _replace(file: Path, text: str) -> None:
    half = file.with_suffix(".new")
    half.write_text(text)
    half.replace(file)


@click.command(epilog="Example: ingest access")
def access_command() -> None:
    """Activate access.yaml: who may do what in the UI."""
    deployment = Deployment.here()
    print(activate(deployment))
    audit.record(deployment, "activate access.yaml", "", "done")


@click.command(epilog="Example: ingest token ci --role editor --location github --days 30")
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), default="viewer", show_default=True)
@click.option("--location", "locations", type=LOCATIONS, multiple=True, help="Where the role applies; may be repeated.")
@click.option("--days", type=click.IntRange(1, 366), default=90, show_default=True, help="How long the token is valid.")
@click.option("--revoke", is_flag=True, help="Revoke the token of that name.")
def token_command(name: str, role: str, locations: tuple[str, ...], days: int, *, revoke: bool) -> None:
    """Create a token for a machine, or revoke one."""
    deployment = Deployment.here()
    file = deployment.tree / FILE
    if revoke:
        revoke_token(file, name)
        print(f"the token {name} is revoked")
    else:
        token = make_token(file, name, role, locations, datetime.now(UTC).date() + timedelta(days=days))
        print(f"INGEST_TOKEN={token}")
        print(f"it is shown only once; {FILE} now contains its digest: commit the file", file=sys.stderr)
    activate(deployment)
    audit.record(deployment, "revoke token" if revoke else "make token", "", "done", name=name)


@click.command(epilog='Example: echo "$SECRET" | ingest client-secret')
def client_secret_command() -> None:
    """Store the login's client secret, read from standard input."""
    deployment = Deployment.here()
    print(deployment.one_shot("secrets", MODULE, "client-secret", text=standard_input()))
    audit.record(deployment, "client secret", "", "done")
