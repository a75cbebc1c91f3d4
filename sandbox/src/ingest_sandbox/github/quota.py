"""GitHub's primary rate limits: requests an hour for each token, and points of GraphQL.

See https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api.
"""

from collections.abc import Sequence
from dataclasses import dataclass

_HOUR = 3_600
_WITHOUT_TOKEN = 60


@dataclass(slots=True)
class Quota:
    """What one token has used of its hour. `resets_at` is in epoch seconds."""

    limit: int
    resets_at: int
    resource: str = "core"
    used: int = 0

    def state(self) -> dict[str, int | str]:
        return {
            "limit": self.limit,
            "used": self.used,
            "remaining": self.limit - self.used,
            "reset": self.resets_at,
            "resource": self.resource,
        }

    def headers(self) -> dict[str, str]:
        return {f"X-RateLimit-{name.title()}": str(value) for name, value in self.state().items()}


class Quotas:
    """The quotas of all tokens for each resource, and one for all requests without a token."""

    def __init__(self, tokens: Sequence[str], limit: int) -> None:
        self.tokens = frozenset(tokens)
        self._limit = limit
        self._quotas: dict[tuple[str | None, str], Quota] = {}

    def of(self, token: str | None, now: int, resource: str = "core") -> Quota:
        """The quota of a token in the hour of its first request; a new one after that hour."""
        quota = self._quotas.get((token, resource))
        if quota is None or quota.resets_at <= now:
            limit = _WITHOUT_TOKEN if token is None else self._limit
            quota = self._quotas[token, resource] = Quota(limit, now + _HOUR, resource)
        return quota
