"""An App, and the organization in which it is installed.

It proves itself with a JSON Web Token that it signs, and gets a token that lasts an hour. See
https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app.
"""

from dataclasses import dataclass, field
from typing import Any

import jwt

from .. import wire

APP_ID = 700_001
INSTALLATION_ID = 50_700_001
_LASTS = 3_600
_LONGEST = 660
"""Seconds from the beginning to the end of a JSON Web Token: ten minutes, and one for the clocks."""


@dataclass
class Installation:
    """The one installation of the one App; without its public `key`, in PEM, there is none."""

    key: bytes | None
    ends: dict[str, int] = field(default_factory=dict)
    """The end of each token that was issued, in epoch seconds of the world."""

    def proves(self, token: str | None) -> bool:
        """Whether a JSON Web Token is one of the App's own, and valid now."""
        try:
            claims = jwt.decode(
                token or "", self.key or b"", algorithms=["RS256"], options={"require": ["iat", "exp", "iss"]}
            )
        except (jwt.InvalidTokenError, jwt.InvalidKeyError, ValueError):
            return False
        return str(claims["iss"]) == str(APP_ID) and claims["exp"] - claims["iat"] <= _LONGEST

    def issue(self, now: int) -> dict[str, Any]:
        """A new token; those before it stay valid until their end."""
        token = f"ghs_sandbox{len(self.ends) + 1}"
        self.ends[token] = now + _LASTS
        return {"token": token, "expires_at": wire.iso(self.ends[token]), "repository_selection": "all"}

    def has_issued(self, token: str | None, now: int) -> bool:
        """Whether a token is one of these, and valid now."""
        return self.ends.get(token or "", 0) > now
