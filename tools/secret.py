"""Stores a secret of a location's runs on the platform, from the standard input; nothing is restarted.

echo "$TOKEN" | LOCATION=github NAME=sources.github.access_token secret.py
echo "$ADDRESS" | LOCATION=platform NAME=alerts.to secret.py     whom the monitor alerts
"""

import os
import re
import subprocess
import sys

import audit
from engine import Deployment, EngineError
from images import location_names
from local import Refused

OTHER_SECTIONS = ("alerts.", "extract.", "normalize.", "load.")
"""What a team sets beside its source. Where rows go, and as whom, is the platform's."""
PLATFORM = "platform"
ALERTS = "alerts.to"
SETTING = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")


def checked(location: str, setting: str) -> None:
    """Raises :class:`Refused` for a location or a setting that there cannot be."""
    if location == PLATFORM:
        if setting != ALERTS:
            raise Refused(f"NAME={setting!r}: the platform itself has one setting, {ALERTS}")
        return
    if location not in location_names():
        raise Refused(f"LOCATION={location}: choose one of {', '.join([*location_names(), PLATFORM])}")
    if not setting:
        raise Refused(f"NAME is not set: NAME=sources.{location}.access_token, or as its README names it")
    own = (f"sources.{location}.", *OTHER_SECTIONS)
    if not SETTING.fullmatch(setting) or not setting.startswith(own):
        raise Refused(f"NAME={setting!r}: the settings of {location} begin with {', '.join(own)}")


def main() -> int:
    """What the container that writes it says; 1 and one line where it is not asked to."""
    location, setting = os.environ.get("LOCATION", ""), os.environ.get("NAME", "")
    try:
        checked(location, setting)
    except Refused as error:
        print(error, file=sys.stderr)
        return 1
    service, command = (
        ("secrets", ["alerts"]) if location == PLATFORM else (f"{location}-setup", ["secret", location, setting])
    )
    run = ["docker", "compose", "run", "--rm", "--no-TTY", "--no-deps", service]
    store = ["python", "-m", "ingest_host.setup", *command]
    deployment = Deployment.here()
    environment = os.environ | {"COMPOSE_PROJECT_NAME": deployment.project}
    stored = subprocess.run([*run, *store], env=environment, check=False).returncode == 0
    try:
        audit.record(deployment, "secret", location, "done" if stored else "failed", name=setting)
    except EngineError as error:
        print(f"the audit trail could not be written: {error}", file=sys.stderr)
        return 1
    return 0 if stored else 1


if __name__ == "__main__":
    sys.exit(main())
