"""Activates the settings that the webserver reads.

python -m ingest_host.access.activate                 `access.yaml`, if it is valid
python -m ingest_host.access.activate client-secret   standard input, as the login's client secret
"""

import sys
from pathlib import Path
from urllib.parse import urlsplit

from ingest_host.access.policy import Access, AccessError
from ingest_host.access.settings import ACTIVE, CLIENT_SECRET, GIVEN, Settings
from ingest_host.files import write_whole

SECRETS = Path("/secrets/access")
TLS = "tls.env"
"""The file next to the active one that host/front/tls reads."""


def activate(given: Path = GIVEN, active: Path = ACTIVE) -> str:
    """Copies the file for the webserver, which reads it at the next request; returns one line about who is let in.

    If the new file is not valid, raises ``SystemExit`` with one line, and the active file stays.
    """
    try:
        settings = Settings(given)
        access = settings.load()
    except AccessError as error:
        raise SystemExit(str(error)) from None
    write_whole(active, given.read_text(), 0o444)
    _activate_tls(access, active.with_name(TLS))
    return settings.describe(access)


def _activate_tls(access: Access, file: Path) -> None:
    """Writes the host name and the issuer for the service `tls`, which has nothing to serve without https."""
    if access.is_https:
        lines = f"UI_URL={access.url}\nUI_HOST={urlsplit(access.url).hostname}\nUI_ISSUER={access.tls}\n"
        write_whole(file, lines, 0o444)
    else:
        file.unlink(missing_ok=True)


def store_client_secret(text: str, folder: Path = SECRETS) -> None:
    """Stores the secret; raises ``SystemExit`` if it is empty."""
    if not text.strip():
        raise SystemExit("standard input is empty: the client secret was not changed")
    write_whole(folder / CLIENT_SECRET, text.strip(), 0o400)


def main() -> None:
    if sys.argv[1:] == ["client-secret"]:
        store_client_secret(sys.stdin.read())
        print("the client secret is stored; the next login uses it")
    else:
        print(activate())


if __name__ == "__main__":
    main()
