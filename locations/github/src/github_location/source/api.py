"""GitHub's REST API: https://docs.github.com/en/rest"""

import json
import re
import time

import requests

from ingest_shared.errors import SettingError
from ingest_shared.http import Api, retry_after, setting_help
from ingest_shared.settings import list_setting, secret_setting, text_setting

API_URL = "https://api.github.com"
API_VERSION = "2022-11-28"
"""Pinned: the table descriptions are written for it. Upgrade both together."""
CALLS_PER_SECOND = 15.0
"""GitHub's secondary limit is 900 points a minute, and a GET costs one."""
IN_FLIGHT = 16
"""Requests at a time; GitHub allows 100, and slows clients that come near."""
RECONCILE_DAYS = "7"

_NAME = re.compile(r"[\w.-]+/([\w.-]+|\*)")


class GitHub(Api):
    """The API under one token; it waits for the primary and the secondary rate limit.

    https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
    """

    name = "GitHub"

    def too_fast(self, response: requests.Response) -> float | None:
        if response.status_code not in (403, 429):
            return None
        if (seconds := retry_after(response)) is not None:
            return seconds
        if response.headers.get("X-RateLimit-Remaining") == "0":
            return max(1.0, float(response.headers["X-RateLimit-Reset"]) - time.time() + 1.0)
        return 60.0 if "secondary rate limit" in self.reason(response) or response.status_code == 429 else None

    def quota_left(self, response: requests.Response) -> int | None:
        left = response.headers.get("X-RateLimit-Remaining")
        return int(left) if left else None

    def reason(self, response: requests.Response) -> str:
        try:
            return str(response.json()["message"])
        except (json.JSONDecodeError, KeyError, TypeError):
            return response.text[:200]


def connect() -> GitHub:
    """The API under the configured address and token; raises :class:`SettingError`."""
    url = text_setting("sources.github.api_url", API_URL)
    token = secret_setting("sources.github.access_token", f"{url} is read with a token")
    return GitHub(
        url,
        headers={
            "Authorization": f"Bearer {token}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": API_VERSION,
        },
        calls_per_second=CALLS_PER_SECOND if url == API_URL else 1000.0,
        in_flight=IN_FLIGHT,
        url_setting="sources.github.api_url",
        credential_setting="sources.github.access_token",
    )


def configured_repositories() -> list[str]:
    """``sources.github.repositories``, a list of ``owner/name`` or ``owner/*``, checked."""
    names = list_setting("sources.github.repositories")
    if not names:
        raise SettingError(
            "sources.github.repositories is not set: it lists what to mirror, as owner/name or owner/*; "
            f"set {setting_help('sources.github.repositories')}"
        )
    for name in names:
        if not _NAME.fullmatch(name):
            raise SettingError(f"sources.github.repositories has {name!r}, which is neither owner/name nor owner/*")
    return list(dict.fromkeys(names))


def reconcile_seconds() -> int:
    """``sources.github.reconcile_days`` in seconds: how often issues and comments are read whole."""
    value = text_setting("sources.github.reconcile_days", RECONCILE_DAYS)
    if not value.isdigit():
        raise SettingError(f"sources.github.reconcile_days is {value!r}; write it as a whole number of days")
    return int(value) * 86_400
