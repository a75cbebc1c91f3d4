"""The active settings: `access.yaml` as it was activated, and the address at which the UI is published."""

import logging
import os
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from ingest_host.access.policy import Access, AccessError, OpenID, read

logger = logging.getLogger("ingest.access")

GIVEN = Path("/opt/dagster/given/access.yaml")
ACTIVE = Path("/opt/dagster/access/access.yaml")
SECRETS = Path("/run/access")
"""What only the webserver has: the password of the audit trail, and the client secret of the login."""
CLIENT_SECRET = "client-secret"  # noqa: S105, the name of a file
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


@dataclass
class Settings:
    """Reads the file again when it has changed; if it is not valid, the previous settings stay active."""

    file: Path = ACTIVE
    host: str = field(default_factory=lambda: os.environ.get("INGEST_HOST") or "127.0.0.1")
    port: str = field(default_factory=lambda: os.environ.get("INGEST_PORT") or "3000")
    secrets: Path = SECRETS
    _read: tuple[int, Access] | None = None
    _refused: int = 0

    def load(self) -> Access:
        """Returns the active settings; raises :class:`AccessError` only if there were none before."""
        try:
            changed = self.file.stat().st_mtime_ns
            if self._read and changed in (self._read[0], self._refused):
                return self._read[1]
            access = self._checked(read(self.file.read_text()))
        except FileNotFoundError:
            if not self._read:
                raise AccessError("no access.yaml is active: run `make access`") from None
            return self._read[1]
        except AccessError as error:
            if not self._read:
                raise
            self._refused = changed
            logger.error("%s; the previous settings stay active", error)
            return self._read[1]
        self._read = (changed, access)
        return access

    def _checked(self, access: Access) -> Access:
        if access.login is None and not self.is_local:
            raise AccessError(
                f"INGEST_HOST={self.host} publishes the UI beyond this machine, and access.yaml has no `login`:"
                " describe one there and run `make access`, or remove INGEST_HOST from .env"
            )
        if access.login is None and access.is_https:  # what the service `tls` publishes
            raise AccessError(
                f"access.yaml: url is {access.url}, which others can reach, and there is no `login`:"
                " describe one there, or remove url"
            )
        return access

    @property
    def is_local(self) -> bool:
        try:
            return ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def client_secret(self) -> str | None:
        file = self.secrets / CLIENT_SECRET
        return file.read_text() if file.exists() else None

    def hosts(self, access: Access) -> dict[str, str]:
        """Returns the host names that the UI answers to, each with the origin of its pages."""
        port = "" if self.port == "80" else f":{self.port}"
        names = {f"{name}{port}": f"http://{name}{port}" for name in (*LOOPBACK, self.host)}
        if access.url:
            names[urlsplit(access.url).netloc] = access.url
        return names

    def describe(self, access: Access) -> str:
        """Returns one line about who is let in, for the log and for `make status`."""
        if access.login is None:
            return "no login: anyone on this machine may do everything, and the UI stays on the loopback"
        kind = f"login at {access.login.issuer}" if isinstance(access.login, OpenID) else "login by a trusted proxy"
        return f"{kind}; the UI is at {access.url or self.host}"
