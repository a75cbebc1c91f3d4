"""Lets an analyst into the warehouse, or out: NAME=ana analyst.py, or REVOKE=ana.

The password is shown once. NAME of one who has a login gets another password.
"""

import os
import re
import sys

import audit
from engine import LOOPBACK, Deployment, EngineError

LOGIN = re.compile(r"^LOGIN (\S+) (\S+)$", re.MULTILINE)
"""What the set-up prints of a new login: its role and its password."""


def main() -> int:
    """0 when it is done, else 1 and one line."""
    name, gone = os.environ.get("NAME", ""), os.environ.get("REVOKE", "")
    if bool(name) == bool(gone):
        print("say NAME=ana to let somebody in, or REVOKE=ana", file=sys.stderr)
        return 1
    deployment = Deployment.here()
    command = ["python", "-m", "ingest_host.setup", *(["analyst", name] if name else ["analyst-out", gone])]
    try:
        told = deployment.compose("run", "--rm", "--no-TTY", "--no-deps", "setup", *command)
        audit.record(deployment, "analyst", "", "done", **({"name": name} if name else {"revoked": gone}))
    except EngineError as error:
        print(error.output.strip().splitlines()[-1] if error.output else error, file=sys.stderr)
        return 1
    if not name:
        print(told.splitlines()[-1])
        return 0
    found = LOGIN.search(told)
    if not found:
        print(told, file=sys.stderr)
        return 1
    address = deployment.setting("INGEST_WAREHOUSE") or f"{LOOPBACK}:5432"
    print(f"postgresql://{found[1]}:{found[2]}@{address}/warehouse?sslmode=require")
    if "warehouse" not in deployment.setting("COMPOSE_PROFILES").split(","):
        print("the port is closed: COMPOSE_PROFILES=warehouse in .env and `make up` open it", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
