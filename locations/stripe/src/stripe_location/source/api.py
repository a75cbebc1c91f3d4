"""Stripe's API: https://docs.stripe.com/api"""

import re
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from dlt.sources.helpers.rest_client.auth import BearerTokenAuth

from ingest_shared.errors import SettingError
from ingest_shared.reading.api import Api
from ingest_shared.reading.ceilings import Ceiling, ceiling
from ingest_shared.reading.limits import Limit
from ingest_shared.settings import list_setting, number_setting, secret_setting, text_setting

API_BASE = "https://api.stripe.com"
API_VERSION = "2026-10-28.endive"
"""Pinned: the table descriptions are written for it. docs/team.md says how to upgrade it."""
PACE = 0.95
"""Share of a limit that all runs on a machine use together; the rest is a margin for differences in Stripe's counting.
The ceiling holds calls that arrive late to the limit itself."""
CALLS_PER_SECOND = {"live": PACE * 100, "test": PACE * 25}
"""A little under Stripe's limits of an account: https://docs.stripe.com/rate-limits"""
CALLS_PER_SECOND_PER_ENDPOINT = PACE * 25
"""A little under Stripe's limit for each endpoint."""
FILES_PER_SECOND = PACE * 20
"""A little under the limit for files."""
IN_FLIGHT = 48
"""Requests at a time, of all lists together: enough for 95 a second that take half a second each."""
DELETES_BELIEVED = 0.1
"""Share of a list's rows that may vanish at once; if more vanish, the list is read once more."""
EARLIEST = int(datetime(2010, 1, 1, tzinfo=UTC).timestamp())
"""Earlier than any object of Stripe. An account's own ``created`` may be later than its objects."""

_ID = re.compile(r"(/v1/(?:(?:checkout|radar)/[^/]+|(?!checkout/|radar/)[^/]+))/[^/]+")


class Stripe(Api):
    """The API with one key, at the pace that Stripe allows an account and each endpoint."""

    name = "Stripe"
    reason_at = "error.message"
    not_for_long = (409,)  # another request held a lock: https://docs.stripe.com/rate-limits#object-lock-timeouts

    def __init__(self, url: str, key: str, **settings: Any) -> None:
        super().__init__(url, auth=BearerTokenAuth(key), **settings)
        self.mode = mode_of(key)
        self._per_endpoint = number_setting(
            "sources.stripe.calls_per_second_per_endpoint", CALLS_PER_SECOND_PER_ENDPOINT
        )
        self._account = ceiling(self.identity, round(settings["calls_per_second"] / PACE))
        self._endpoints: dict[str, tuple[Limit, Ceiling]] = {}
        self._lock = threading.Lock()

    def limits(self, method: str, url: str) -> Sequence[Limit]:
        return (self._endpoint(method, url)[0],)

    def ceilings(self, method: str, url: str) -> Sequence[Ceiling]:
        return (self._endpoint(method, url)[1], self._account)

    def _endpoint(self, method: str, url: str) -> tuple[Limit, Ceiling]:
        endpoint = f"{method} {endpoint_of(urlsplit(url).path)}"
        with self._lock:
            if endpoint not in self._endpoints:
                pace = min(self._per_endpoint, FILES_PER_SECOND) if "/v1/files" in endpoint else self._per_endpoint
                name = f"{self.identity} {endpoint}"
                self._endpoints[endpoint] = Limit(name, pace), ceiling(name, round(pace / PACE))
        return self._endpoints[endpoint]


def endpoint_of(path: str) -> str:
    """The named operation that a path belongs to: the path without the id of an object."""
    return _ID.sub(r"\1/:id", path)


def connect() -> Stripe:
    """The API at the configured address with the configured key; raises :class:`SettingError`."""
    url = text_setting("sources.stripe.api_base", API_BASE)
    key = secret_setting("sources.stripe.api_key", f"{url} is read with a secret or restricted key")
    return Stripe(
        url,
        key,
        headers={"Stripe-Version": API_VERSION},
        calls_per_second=number_setting("sources.stripe.calls_per_second", CALLS_PER_SECOND[mode_of(key)]),
        in_flight=IN_FLIGHT,
        url_setting="sources.stripe.api_base",
        credential_setting="sources.stripe.api_key",
        deletes_believed=number_setting("sources.stripe.deletes_believed", DELETES_BELIEVED),
    )


def tables_left_out() -> set[str]:
    """``sources.stripe.without``, the tables that are not loaded."""
    return set(list_setting("sources.stripe.without"))


def connected_accounts() -> list[str]:
    """``sources.stripe.connected_accounts``: ids of the accounts that are loaded as well, or ``all``."""
    return list_setting("sources.stripe.connected_accounts")


def reads_test_clocks() -> bool:
    """``sources.stripe.test_clocks``: whether objects of test clocks are loaded, ``always`` or ``never``."""
    value = text_setting("sources.stripe.test_clocks", "never")
    if value not in ("always", "never"):
        raise SettingError(f"sources.stripe.test_clocks is {value!r}; set it to 'always' or 'never'")
    return value == "always"


def mode_of(key: str) -> str:
    """The mode of a key, live or test; the two share nothing but the account."""
    return "live" if "_live_" in key else "test"


def start_of_history(now: int) -> int:
    """The beginning of the history, in seconds since 1970: ``sources.stripe.start_date``, or the beginning of Stripe
    itself.

    Raises :class:`SettingError` for an invalid date or one that is not before ``now``.
    """
    value = text_setting("sources.stripe.start_date", "")
    if not value:
        return EARLIEST
    try:
        start = datetime.fromisoformat(value)
    except ValueError:
        raise SettingError(f"sources.stripe.start_date is {value!r}; write it as a date like 2024-01-31") from None
    seconds = int((start if start.tzinfo else start.replace(tzinfo=UTC)).timestamp())
    if seconds >= now:
        raise SettingError(f"sources.stripe.start_date is {value!r}, which is in the future; set it to a past date")
    return seconds
