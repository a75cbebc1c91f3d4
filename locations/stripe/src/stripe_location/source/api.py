"""Stripe's API: https://docs.stripe.com/api"""

import json
from datetime import UTC, datetime

import requests

from ingest_shared.errors import SettingError
from ingest_shared.http import Api, retry_after
from ingest_shared.settings import secret_setting, text_setting

API_BASE = "https://api.stripe.com"
API_VERSION = "2025-03-31.basil"
"""Pinned: the table descriptions are written for it. Upgrade both together."""
CALLS_PER_SECOND = {"live": 90.0, "test": 22.0}
"""A little under Stripe's limits of 100 and 25: https://docs.stripe.com/rate-limits"""
IN_FLIGHT = 16


class Stripe(Api):
    """The API under one key."""

    name = "Stripe"

    def too_fast(self, response: requests.Response) -> float | None:
        if response.status_code != 429:
            return None
        return retry_after(response) or 2.0

    def reason(self, response: requests.Response) -> str:
        try:
            return str(response.json()["error"]["message"])
        except (json.JSONDecodeError, KeyError, TypeError):
            return response.text[:200]


def connect() -> Stripe:
    """The API under the configured address and key; raises :class:`SettingError`."""
    url = text_setting("sources.stripe.api_base", API_BASE)
    key = secret_setting("sources.stripe.api_key", f"{url} is read with a secret or restricted key")
    mode = "live" if "_live_" in key else "test"
    return Stripe(
        url,
        headers={"Authorization": f"Bearer {key}", "Stripe-Version": API_VERSION},
        calls_per_second=CALLS_PER_SECOND[mode] if url == API_BASE else 1000.0,
        in_flight=IN_FLIGHT,
        url_setting="sources.stripe.api_base",
        credential_setting="sources.stripe.api_key",
    )


def start_of_history(account_created: int, now: int) -> int:
    """From which second since 1970 to load: ``sources.stripe.start_date``, or the account's birth.

    Raises :class:`SettingError` for what is no date, or not before ``now``.
    """
    value = text_setting("sources.stripe.start_date", "")
    if not value:
        return account_created
    try:
        start = datetime.fromisoformat(value)
    except ValueError:
        raise SettingError(f"sources.stripe.start_date is {value!r}; write it as a date like 2024-01-31") from None
    seconds = int((start if start.tzinfo else start.replace(tzinfo=UTC)).timestamp())
    if seconds >= now:
        raise SettingError(f"sources.stripe.start_date is {value!r}, which is still to come; set it to a past date")
    return seconds
