"""Stripe's rate limits: requests a second for each account, and for each endpoint.

https://docs.stripe.com/rate-limits: 100 a second in live mode and 25 in a sandbox, and 25 for
each endpoint (20 for files), which is a named operation: a method and the template of a path.
The answer beyond it is 429 with the limit in `Stripe-Rate-Limited-Reason`, and without `Retry-After`.
"""

import time
from collections.abc import Callable

from ..traffic import Window

RATE_LIMITED = "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits."
_LIVE, _ENDPOINT, _FILES = 100, 25, 20


class Limits:
    """What the modes of one account have used of their last second; `test` is the limit of test mode."""

    def __init__(self, test: int = 25, clock: Callable[[], float] = time.monotonic) -> None:
        self._test = test
        self._clock = clock
        self._windows: dict[tuple[bool, str], Window] = {}

    def exceeded(self, endpoint: str, *, live: bool) -> str | None:
        """The limit that refuses a request to this endpoint, or None: then it is counted."""
        now = self._clock()
        limits = {
            "global-rate": ("", _LIVE if live else self._test),
            "endpoint-rate": (endpoint, _FILES if "/v1/files" in endpoint else _ENDPOINT),
        }
        windows = [self._windows.setdefault((live, name), Window(1)) for name, _ in limits.values()]
        for window, (reason, (_, limit)) in zip(windows, limits.items(), strict=True):
            if window.count(now) >= limit:
                return reason
        for window in windows:
            window.add(now)
        return None
