"""Puts what the webserver reads in its place.

python -m ingest_host.access.activate                 `access.yaml`, where it is valid
python -m ingest_host.access.activate client-secret   the standard input, as the login's client secret
"""

import sys
from pathlib import Path

from ingest_host.access.policy import AccessError
from ingest_host.access.settings import ACTIVE, CLIENT_SECRET, GIVEN, Settings

SECRETS = Path("/secrets/access")


def activate(given: Path = GIVEN, active: Path = ACTIVE) -> str:
    """Copies the file for the webserver, which reads it at the next request; raises ``SystemExit`` with one line.

    The one in force stays where the new one is not valid.
    """
    try:
        settings = Settings(given)
        login = settings.describe(settings.load())
    except AccessError as error:
        raise SystemExit(str(error)) from None
    _replace(active, given.read_text(), 0o444)
    return login


def store_client_secret(text: str, folder: Path = SECRETS) -> None:
    """Raises ``SystemExit`` where there is none."""
    if not text.strip():
        raise SystemExit("nothing came on the standard input: the client secret stays as it was")
    _replace(folder / CLIENT_SECRET, text.strip(), 0o400)


def _replace(file: Path, text: str, mode: int) -> None:
    half = file.with_suffix(".new")
    half.unlink(missing_ok=True)
    half.touch(0o600)
    half.write_text(text)
    half.chmod(mode)
    half.replace(file)


def main() -> None:
    if sys.argv[1:] == ["client-secret"]:
        store_client_secret(sys.stdin.read())
        print("the client secret is stored; the next login uses it")
    else:
        print(activate())


if __name__ == "__main__":
    main()
