"""Sessions of people who logged in: a signed cookie, with an end, and over at once after a logout.

The key lives as long as the webserver, and with it the list of sessions that were ended: a cookie from before
a restart or a logout is worthless, and nothing about sessions has to be stored.
"""

import secrets
import time
from dataclasses import dataclass, field

from itsdangerous import BadData, URLSafeTimedSerializer

SECONDS = 8 * 3600
"""A working day; roles are looked up with each request, groups only at login."""
PLAIN_COOKIE = "ingest_session"
SECURE_COOKIE = "__Host-ingest_session"
"""The prefix keeps other hosts of the same domain from setting it: RFC 6265bis."""


@dataclass(frozen=True)
class Session:
    """Who logged in, with which groups; ``id`` is what a logout ends."""

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
        """The session, or None where the cookie is forged, too old, or was ended."""
        try:
            id_, name, groups = self._signer.loads(cookie, max_age=self.seconds)
        except BadData:
            return None
        return None if id_ in self._ended else Session(name, tuple(groups), id_)

    def end(self, session: Session) -> None:
        now = time.monotonic()
        self._ended = {id_: at for id_, at in self._ended.items() if now - at < self.seconds}
        self._ended[session.id] = now
