"""Who may do what on the platform: activates `access.yaml`, makes and revokes the tokens in it.

access.py                                                        activate it
NAME=ci ROLE=editor [LOCATIONS="github stripe"] [DAYS=90] access.py token     make a token, and show it once
REVOKE=ci access.py token                                        revoke it
echo "$SECRET" | access.py client-secret                         store the client secret of the login
"""

import hashlib
import os
import re
import secrets
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import audit
from engine import Deployment, EngineError
from images import location_names
from local import Refused

FILE = "access.yaml"
ROLES = ("viewer", "launcher", "editor", "admin")
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")
DAYS = 90


def activate(deployment: Deployment) -> str:
    """Has the webserver read the file, at its next request; raises :class:`Refused` where it is not valid."""
    return _in_setup(deployment, "setup", "activate", text="")


def make_token(file: Path, name: str, role: str, locations: list[str], days: str, today: date) -> str:
    """Adds the token's digest to the file and gives the token, which stands nowhere; raises :class:`Refused`."""
    if not NAME.fullmatch(name):
        raise Refused(f"NAME={name}: a token's name is made of a-z, 0-9, and _.- between them")
    if role not in ROLES:
        raise Refused(f"ROLE={role}: choose one of {', '.join(ROLES)}")
    if role in ("viewer", "admin") and locations:
        raise Refused(f"ROLE={role} covers every location: leave LOCATIONS out")
    if unknown := [one for one in locations if one not in location_names()]:
        raise Refused(f"LOCATIONS={' '.join(unknown)}: choose from {', '.join(location_names())}")
    if not days.isdecimal() or not 0 < int(days) <= 366:
        raise Refused(f"DAYS={days}: how long it is valid, 1 to 366 days")
    text = file.read_text()
    if _entry(name).search(text):
        raise Refused(f"there is a token {name} already: revoke it with `make token REVOKE={name}`, or choose another")
    token = f"ingest_{secrets.token_urlsafe(32)}"
    allowed = f"{{{role}: [{', '.join(locations)}]}}" if locations else role
    digest, ends = hashlib.sha256(token.encode()).hexdigest(), today + timedelta(days=int(days))
    entry = f"  - {{name: {name}, role: {allowed}, ends: {ends}, sha256: {digest}}}\n"
    lines = re.compile(r"^tokens:[ ]*(\[\])?[ ]*\n", re.MULTILINE)
    if not lines.search(text):
        raise Refused(f"{file.name} has no line `tokens:` of its own: add one at its end")
    _replace(file, lines.sub(lambda _: f"tokens:\n{entry}", text, count=1))
    return token


def revoke_token(file: Path, name: str) -> None:
    """Takes it out of the file; raises :class:`Refused`."""
    text, found = _entry(name).subn("", file.read_text())
    if not found:
        raise Refused(f"REVOKE={name}: {file.name} has no such token")
    _replace(file, text)


def _entry(name: str) -> re.Pattern[str]:
    return re.compile(rf"^  - \{{name: {re.escape(name)}, .*\n", re.MULTILINE)


def _replace(file: Path, text: str) -> None:
    half = file.with_suffix(".new")
    half.write_text(text)
    half.replace(file)


def _in_setup(deployment: Deployment, service: str, *command: str, text: str) -> str:
    module = ["python", "-m", "ingest_host.access.activate", *command[1:]]
    try:
        return deployment.compose("run", "--rm", "--no-TTY", "--no-deps", service, *module, text=text)
    except EngineError as error:
        raise Refused(str(error).partition(": ")[2] or str(error)) from None


def _token(deployment: Deployment) -> None:
    file, setting = deployment.tree / FILE, os.environ.get
    if name := setting("REVOKE", ""):
        revoke_token(file, name)
        print(f"the token {name} is revoked")
    else:
        name, locations = setting("NAME", ""), setting("LOCATIONS", "").split()
        days = setting("DAYS") or str(DAYS)
        token = make_token(file, name, setting("ROLE", ""), locations, days, datetime.now(UTC).date())
        print(f"INGEST_TOKEN={token}")
        print(f"it is shown this once; {FILE} has its digest: commit that", file=sys.stderr)
    action = "revoke token" if setting("REVOKE") else "make token"
    activate(deployment)
    audit.record(deployment, action, "", "done", name=name)


def main() -> int:
    """0 when it is done, else 1 and one line that says why not."""
    deployment, command = Deployment.here(), sys.argv[1:]
    try:
        if command == ["token"]:
            _token(deployment)
        elif command == ["client-secret"]:
            print(_in_setup(deployment, "secrets", "activate", "client-secret", text=sys.stdin.read()))
            audit.record(deployment, "client secret", "", "done")
        else:
            print(activate(deployment))
            audit.record(deployment, "activate access.yaml", "", "done")
    except (Refused, EngineError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
