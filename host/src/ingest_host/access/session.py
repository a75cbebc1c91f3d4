"""Sessions of people who logged in: a signed cookie that expires, and is invalid at once after a logout.

The key and the list of ended sessions live as long as the webserver: a cookie from before a restart or a logout
is worthless, and nothing about sessions has to be stored.
"""

import secrets
import time
from dataclasses import dataclass, field

from itsdangerous import BadData, URLSafeTimedSerializer

SECONDS = 8 * 3600
"""A working day. Roles are looked up on each request, groups only at login."""
PLAIN_COOKIE = "ingest_session"
SECURE_COOKIE = "__Host-ingest_session"
"""The prefix keeps other hosts of the same domain from setting it: RFC 6265bis."""


@dataclass(frozen=True)
class Session:
    """Who logged in, and their groups; a logout ends the session with this ``id``."""

    name: str
    groups: tuple[str, ...]
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))


@dataclass
class Sessions:
    key: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    seconds: int = SECONDS
    _ended: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._signer = URLSafeTimedSerializer(self.key, salt="session")

    def cookie(self, session: Session) -> str:
        return self._signer.dumps([session.id, session.name, session.groups])

    def read(self, cookie: str) -> Session | None:
        """Returns the session, or None if the cookie is forged, has expired, or was ended."""
        try:
            id_, name, groups = self._signer.loads(cookie, max_age=self.seconds)
        except BadData:
            return None
        return None if id_ in self._ended else Session(name, tuple(groups), id_)

    def end(self, session: Session) -> None:
        now = time.monotonic()
        self._ended = {id_: at for id_, at in self._ended.items() if now - at < self.seconds}
        self._ended[session.id] = now
