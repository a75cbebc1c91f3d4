"""Stores a secret of a location's runs on the platform, from the standard input; nothing is restarted.

echo "$TOKEN" | LOCATION=github NAME=sources.github.access_token secret.py
"""

import os
import subprocess
import sys

import audit
from engine import Deployment, EngineError
from images import location_names
from local import Refused


def checked(location: str, setting: str) -> None:
    """Raises :class:`Refused` for a location or a setting that there cannot be."""
    if location not in location_names():
        raise Refused(f"LOCATION={location}: there are {', '.join(location_names())}")
    if not setting:
        raise Refused(f"NAME is not set: NAME=sources.{location}.access_token, or as its README names it")
    section = setting.split(".")[:2]
    if section[0] == "sources" and section != ["sources", location]:
        raise Refused(f"NAME={setting}: the settings of {location} begin with sources.{location}.")


def main() -> int:
    """What the container that writes it says; 1 and one line where it is not asked to."""
    location, setting = os.environ.get("LOCATION", ""), os.environ.get("NAME", "")
    try:
        checked(location, setting)
    except Refused as error:
        print(error, file=sys.stderr)
        return 1
    run = ["docker", "compose", "run", "--rm", "--no-TTY", "--no-deps", f"{location}-setup"]
    store = ["python", "-m", "ingest_host.setup", "secret", location, setting]
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
