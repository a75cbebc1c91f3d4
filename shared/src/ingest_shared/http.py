"""The HTTP client of a source: one credential, one limiter, bounded retries, nothing swallowed.

A location subclasses :class:`Api` with what its API does differently: how it says "too fast" and
how much quota is left. The session is dlt's requests client, which pools connections:
https://dlthub.com/docs/general-usage/http/requests
"""

import logging
import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import msgspec
import requests
from dlt.sources.helpers.requests import Client

from ingest_shared.errors import ApiError, NotJson, SettingError

T = TypeVar("T")
logger = logging.getLogger("ingest")

ATTEMPTS = 5
"""Tries of one request before the API counts as down; with the back-off below about 15 s."""
FIRST_BACKOFF = 1.0
"""Seconds before the second try, doubled for each one after it, with jitter."""
TIMEOUT = (10.0, 60.0)
"""Seconds to connect and seconds between two bytes of an answer."""
LONGEST_WAIT = 3700.0
"""Seconds that an API may ask to wait; GitHub's hourly quota is the longest that is known."""
WAITS = 30
"""Times in a row that one request may be told to wait."""

_BROKEN = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
)


@dataclass
class Usage:
    """What one resource asked of the API: requests, bytes of their bodies, and the quota left."""

    api_calls: int = 0
    api_bytes: int = 0
    quota_left: int | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count(self, response: requests.Response, quota_left: int | None) -> None:
        with self._lock:
            self.api_calls += 1
            self.api_bytes += len(response.content)
            if quota_left is not None:
                self.quota_left = quota_left


@dataclass(frozen=True)
class Answer(Generic[T]):
    """A response that was understood. ``value`` is None when nothing changed (304)."""

    value: T | None
    headers: Mapping[str, str]
    links: Mapping[str, str]


class Limiter:
    """Keeps every thread that shares a credential under the API's rate, and waits when told to."""

    def __init__(self, calls_per_second: float) -> None:
        self._interval = 1.0 / calls_per_second
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> None:
        """Blocks until the next call may be sent."""
        with self._lock:
            now = time.monotonic()
            at = max(now, self._next)
            self._next = at + self._interval
        time.sleep(max(0.0, at - now))

    def pause(self, seconds: float) -> None:
        """No call is sent for so many seconds, by any thread."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)


class Api:
    """An API under one credential.

    ``url_setting`` and ``credential_setting`` are the names that error messages give to a person.
    """

    name = "the API"

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        calls_per_second: float,
        in_flight: int,
        url_setting: str,
        credential_setting: str,
    ) -> None:
        _check(url, url_setting, headers, credential_setting)
        self.url = url.rstrip("/")
        self.in_flight = in_flight
        self.limiter = Limiter(calls_per_second)
        self._url_setting = url_setting
        self._credential_setting = credential_setting
        self._headers = dict(headers)
        self._client = Client(
            request_timeout=TIMEOUT,
            max_connections=in_flight,
            raise_for_status=False,
            request_max_attempts=1,
            session_attrs=_environment(self.url),
        )

    def too_fast(self, response: requests.Response) -> float | None:
        """Seconds to wait when the response says that calls come too fast, else None."""
        if response.status_code != 429:
            return None
        return retry_after(response) or 1.0

    def quota_left(self, response: requests.Response) -> int | None:
        """Calls left in the API's current window, where it says so."""
        return None

    def reason(self, response: requests.Response) -> str:
        """What the API says went wrong, in its own words."""
        return response.text[:200]

    def get(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        parse: Callable[[bytes], T],
        usage: Usage,
        headers: Mapping[str, str] | None = None,
    ) -> Answer[T]:
        """Gets ``path`` (or a full URL of the API's own) and parses its body.

        Retries a broken connection, a 5xx and a body that is not JSON; waits as long as the API
        asks. Raises :class:`SettingError` for a refused credential, :class:`ApiError` otherwise.
        """
        url = path if path.startswith(("http://", "https://")) else f"{self.url}/{path.lstrip('/')}"
        problem: Exception | str = ""
        tries = waits = 0
        while tries < ATTEMPTS:
            self.limiter.wait()
            try:
                response = self._client.session.get(url, params=params, headers={**self._headers, **(headers or {})})
                usage.count(response, self.quota_left(response))
                if (seconds := self.too_fast(response)) is not None:
                    waits += 1
                    self._wait(seconds, waits, url)
                    continue
                if response.status_code < 500:
                    return self._answer(response, parse)
                problem = f"{response.status_code}: {self._reason_line(response)}"
            except _BROKEN as error:
                problem = f"{type(error).__name__}: {_cause(error)}"
            except NotJson as error:
                problem = error
            tries += 1
            if tries < ATTEMPTS:
                seconds = FIRST_BACKOFF * 2 ** (tries - 1) * random.uniform(0.5, 1.0)
                logger.warning("%s: try %d of %d failed (%s)", self.name, tries, ATTEMPTS, problem)
                time.sleep(seconds)
        if isinstance(problem, NotJson):
            raise NotJson(f"{problem}; {url} answered so {ATTEMPTS} times: is `{self._url_setting}` right?")
        raise ApiError(
            f"{self.name} did not answer {url} in {ATTEMPTS} tries ({problem}); "
            f"check `{self._url_setting}` and whether the API is up"
        )

    def _answer(self, response: requests.Response, parse: Callable[[bytes], T]) -> Answer[T]:
        links = {name: link["url"] for name, link in response.links.items()}
        if response.status_code == 304:
            return Answer(None, response.headers, links)
        if response.ok:
            return Answer(parse(response.content), response.headers, links)
        reason = self._reason_line(response)
        if response.status_code == 401:
            raise SettingError(
                f"{self.name} refused the credential ({reason}); "
                f"set a valid one in {setting_help(self._credential_setting)}"
            )
        raise ApiError(
            f"{self.name} answered {response.status_code} to {response.url} ({reason})",
            status=response.status_code,
            retry=False,
        )

    def _reason_line(self, response: requests.Response) -> str:
        return " ".join(self.reason(response).split())

    def _wait(self, seconds: float, waits: int, url: str) -> None:
        if seconds > LONGEST_WAIT:
            raise ApiError(f"{self.name} asks to wait {seconds:.0f} s before {url}: longer than a run should last")
        if waits > WAITS:
            raise ApiError(
                f"{self.name} asked {WAITS} times in a row to wait before {url}; is another user on the quota?"
            )
        if seconds > 2:
            until = time.strftime("%H:%M:%S", time.gmtime(time.time() + seconds))
            logger.warning("%s: rate limit reached, waiting %.0f s, until %s UTC", self.name, seconds, until)
        self.limiter.pause(seconds)


def _check(url: str, url_setting: str, headers: Mapping[str, str], credential_setting: str) -> None:
    """Raises :class:`SettingError` for what no request can be made of; never with the credential in it."""
    try:
        parts = urlsplit(url)
        complete = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        complete = False
    if not complete or any(character.isspace() for character in url):
        raise SettingError(f"{url_setting} is {url!r}; write it as https://host/path, in {setting_help(url_setting)}")
    if not all(value.isascii() and value.isprintable() for value in headers.values()):
        raise SettingError(
            f"{credential_setting} holds a character that no credential has, like a line break or a typographic "
            f"quotation mark; set it anew in {setting_help(credential_setting)}"
        )


def _environment(url: str) -> dict[str, Any]:
    """What a session takes from the environment, read once and not for every call: proxies, certificates.

    A ``.netrc`` stays unread: it would take the place of the credential.
    """
    settings = requests.Session().merge_environment_settings(url, {}, None, None, None)
    return {"trust_env": False, "proxies": settings["proxies"], "verify": settings["verify"]}


def retry_after(response: requests.Response) -> float | None:
    """Seconds named by the ``Retry-After`` header, given as seconds or as a date; None for neither."""
    value = response.headers.get("Retry-After", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def json_as(type_: type[T]) -> Callable[[bytes], T]:
    """A parser of bodies into ``type_``; what does not fit is :class:`NotJson`, which is retried."""
    decoder = msgspec.json.Decoder(type_)

    def parse(body: bytes) -> T:
        try:
            return decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise NotJson(f"expected {type_}, and the API sent a body that is none ({error})") from None

    return parse


def server_time(headers: Mapping[str, str]) -> int:
    """The API's own clock, from the ``Date`` header, in whole seconds since 1970."""
    date = headers.get("Date")
    return int(parsedate_to_datetime(date).timestamp() if date else time.time())


def setting_help(setting: str) -> str:
    """How to set a setting: its name, its environment variable and its file under /run/secrets.

    A deployment that has a command for it names it in ``INGEST_SECRET_COMMAND``.
    """
    if command := os.environ.get("INGEST_SECRET_COMMAND"):
        return f"`{setting}` ({command.format(setting=setting)})"
    variable = setting.upper().replace(".", "__")
    secret = setting.replace(".", "--").replace("_", "-")
    return f"`{setting}` (environment {variable}, .dlt/secrets.toml, or /run/secrets/{secret})"


def _cause(error: BaseException) -> str:
    """The innermost reason of a chain of wrapped connection errors."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return str(error)
