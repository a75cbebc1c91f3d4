"""The HTTP client of a source: credentials and their limits, bounded retries, no swallowed errors.

A location subclasses :class:`Api` for what its API does differently, such as how it says "too fast" and
how much quota is left.
"""

import logging
import random
import re
import threading
import time
from codecs import BOM_UTF8
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

import msgspec
import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from ingest_shared.errors import ApiError, NotJson, QuotaSpent, SettingError
from ingest_shared.reading.ceilings import Ceiling
from ingest_shared.reading.credentials import Credential, Credentials
from ingest_shared.reading.limits import Limit
from ingest_shared.settings import number_setting, secret_setting, setting_help, text_setting
from ingest_shared.tables import names_of

logger = logging.getLogger("ingest")

ATTEMPTS = 5
"""Tries of one request before the API counts as down: about 15 s with the backoff below."""
UNANSWERED = 20
"""Requests of one resource that may fail in every try, one after the other, before it sends no more, besides those in
flight. Otherwise a list per row of an API that is down takes 15 s for each of its rows."""
FIRST_BACKOFF = 1.0
"""Seconds before the second try, doubled before each further try, with jitter."""
LONGEST_BACKOFF = 60.0
"""Longest wait in seconds after "too fast" if the API does not say how long: it starts at 1 and doubles."""
TIMEOUT = (10.0, 60.0)
"""Seconds to connect, and seconds between two bytes of a response."""
LONGEST_WAIT = 3700.0
"""Longest wait in seconds that an API may ask for, unless set; GitHub's hourly quota is the longest one known."""
WAITS = 30
"""Most times in a row that one request may be told to wait."""

NO_CONTENT = 204
"""How some APIs, such as Zoho's, say that a list is empty: https://www.zoho.com/crm/developer/docs/api/v8/status-codes.html."""
NOT_MODIFIED = 304
UNAUTHORIZED = 401
NOT_FOUND = 404
TOO_MANY = 429
SERVER_ERROR = 500

_ESCAPED = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[dD][89a-fA-F][0-9a-fA-F]{2}|.)", re.DOTALL
)
"""In JSON: a surrogate pair, half of one, or any other escape."""
_LONE = len(rb"\ud83d")
_BROKEN = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
    requests.TooManyRedirects,
    urllib3.exceptions.HTTPError,
)


@dataclass
class Usage:
    """One resource's use of the API: requests, bytes of response bodies, and the quota left."""

    api_calls: int = 0
    api_bytes: int = 0
    quota_left: int | None = None
    unanswered: int = 0
    """The requests that failed in every try since the last success."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count(self, body: bytes, quota_left: int | None) -> None:
        with self._lock:
            self.api_calls += 1
            self.api_bytes += len(body)
            if quota_left is not None:
                self.quota_left = quota_left

    def end(self, *, answered: bool) -> None:
        """Records how a request ended, after all its tries."""
        with self._lock:
            self.unanswered = 0 if answered else self.unanswered + 1


@dataclass(frozen=True)
class Response:
    """A successful response: its JSON body (empty for a 204), its headers, and the addresses of its ``Link`` header."""

    body: bytes
    headers: Mapping[str, str]
    links: Mapping[str, str]
    status: int = 200
    url: str = ""
    """The address that it came from; links in it are relative to this."""


class Api:
    """An API, used with one credential or with several.

    ``auth`` defines how the credential is sent: one of requests' classes, or of dlt's, which also renew a token before
    it expires: https://dlthub.com/docs/general-usage/http/rest-client#authentication Of several credentials, one that
    the API refuses is left out, and one whose quota is spent is used again later. ``longest_wait`` is the longest
    single wait for the rate, in seconds. ``url_setting`` and ``credential_setting`` are the names that error messages
    show. ``deletes_believed`` is the share of a list's rows that may be missing from one reading; if more are missing,
    the list is read once more before they count as deleted.
    """

    name = "the API"
    reason_at = ""
    """The path of the error message in the JSON of a refusal: ``error.message``, or ``errors.0.detail`` in a list."""
    not_for_long: tuple[int, ...] = ()
    """Statuses below 500 that are retried like a 5xx."""
    unseen: tuple[int, ...] = ()
    """Statuses that may mean that another credential can see what this one cannot."""

    def __init__(
        self,
        url: str,
        *,
        auth: AuthBase | Sequence[AuthBase],
        headers: Mapping[str, str] | None = None,
        calls_per_second: float,
        in_flight: int,
        url_setting: str,
        credential_setting: str,
        deletes_believed: float = 0.1,
        longest_wait: float | None = None,
    ) -> None:
        _check_address(url, url_setting)
        self.url = url.rstrip("/")
        self.in_flight = in_flight
        self.deletes_believed = deletes_believed
        auths = [auth] if isinstance(auth, AuthBase) else auth
        fault = (
            f"{credential_setting} contains a character that cannot be in a credential, such as a line break or a "
            f"curly quotation mark; set it again in {setting_help(credential_setting)}"
        )
        self.credentials = Credentials(auths, self.url, calls_per_second, credential_setting, fault)
        self.identity = self.credentials.first.identity
        self._longest_wait = LONGEST_WAIT if longest_wait is None else longest_wait
        self._origin = _origin(url)
        self._headers = dict(headers or {})
        self._url_setting = url_setting
        self._credential_setting = credential_setting
        self._hooks = {"response": self._stay}
        self._session = _session(self.url, in_flight)

    @classmethod
    def configured(
        cls,
        section: str,
        url: str,
        *,
        auth: Callable[[str], AuthBase],
        credential: str = "access_token",
        calls_per_second: float,
        **options: Any,
    ) -> Self:
        """The API as the settings ``api_url``, ``calls_per_second`` and ``credential`` of a section describe it.

        ``url`` and ``calls_per_second`` apply if they are not set; ``options`` are those of :class:`Api`. If each
        customer has an address, ``url`` is its form, ``https://{company}.freshdesk.com``, and ``api_url`` must be set.
        Raises :class:`SettingError`.
        """
        form, url = url, text_setting(f"{section}.api_url", url)
        if url == form and "{" in form:
            setting = f"{section}.api_url"
            raise SettingError(f"{setting} is not set: it is your own address, {form}; set {setting_help(setting)}")
        secret = secret_setting(f"{section}.{credential}", f"{url} is read with it")
        return cls(
            url,
            auth=auth(secret),
            calls_per_second=number_setting(f"{section}.calls_per_second", calls_per_second),
            url_setting=f"{section}.api_url",
            credential_setting=f"{section}.{credential}",
            **options,
        )

    def limits(self, method: str, url: str) -> Sequence[Limit]:
        """The rates that a request counts against, in addition to its credential's."""
        return ()

    def ceilings(self, method: str, url: str) -> Sequence[Ceiling]:
        """The per-second limits that a request counts against, if the API refuses whatever exceeds them."""
        return ()

    def renew(self, auth: AuthBase, response: requests.Response) -> bool:
        """Whether a credential that was refused before it expired has been replaced by a new one."""
        return False

    def status_of(self, response: requests.Response) -> int:
        """The actual status of a response with 200, for an API that puts errors into its JSON."""
        return response.status_code

    def too_fast(self, response: requests.Response) -> float | None:
        """Seconds to wait if calls come too fast, 0 if the response does not say how long; otherwise None."""
        return retry_after(response) or 0.0 if response.status_code == 429 else None

    def quota_left(self, response: requests.Response) -> int | None:
        """Calls left in the API's current window, if the response reports them."""
        return None

    def reason(self, response: requests.Response) -> str:
        """The API's own error message: by default the value at ``reason_at``, or else the beginning of the response."""
        try:
            found: Any = response.json()
            for name in names_of(self.reason_at):
                found = found[int(name) if isinstance(found, list) else name]
        except (ValueError, LookupError, TypeError):
            return response.text[:200]
        return str(found)

    def get(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        usage: Usage,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Requests ``path``, or a full address on the API's host.

        Retries a broken connection, a 5xx and a body that is not JSON, unless that has not helped
        the last requests of this ``usage``; waits as long as the API asks. Raises :class:`SettingError` for a
        refused credential, :class:`QuotaSpent` if it would have to wait too long, :class:`ApiError` otherwise.
        """
        return self._send("GET", path, usage, params=params, headers=headers)

    def post(self, path: str, body: Mapping[str, Any], *, usage: Usage) -> Response:
        """Posts ``body`` as JSON, for a search or a GraphQL query; otherwise like :meth:`get`."""
        return self._send("POST", path, usage, json=body)

    def get_if_changed(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        etag: str | None,
        was_last: bool = True,
        usage: Usage,
    ) -> Response | None:
        """Like :meth:`get`; None if the API says that the page still has this ``etag``.

        An ETag stands for the rows of a page, not for its ``Link`` header (GitHub's does not cover
        it: app-sre/github-mirror#113), so a page that ``was_last`` has changed if it now has a next one.
        """
        if etag:
            response = self._send("GET", path, usage, params=params, headers={"If-None-Match": etag})
            if response.status != NOT_MODIFIED:
                return response
            if not was_last or "next" not in response.links:
                return None
        return self.get(path, params, usage=usage)

    def _send(self, method: str, path: str, usage: Usage, **what: Any) -> Response:
        """Sends one request, with retries where they can help; returns a success or a 304."""
        url = self._address(path)
        if usage.unanswered >= UNANSWERED + self.in_flight:
            raise ApiError(
                f"{self.name} answered none of the last {usage.unanswered} requests for this table, so {url} was not "
                f"requested; check `{self._url_setting}` and whether the API is up",
                status=SERVER_ERROR,
            )
        what["headers"] = {**self._headers, **(what.get("headers") or {})}
        problem = ""
        status: int | None = None
        tries = waits = 0
        unseen_by: list[Credential] = []
        while tries < ATTEMPTS:
            credential = self._wait(method, url, unseen_by)
            try:
                response, body, has_json = self._try(method, url, credential, usage, what)
                if (seconds := self.too_fast(response)) is not None:
                    waits += 1
                    self._check_waits(waits, url, response)
                    credential.pause(seconds or min(2.0 ** (waits - 1), LONGEST_BACKOFF))
                    continue
                status = response.status_code
                if status in self.unseen and self.credentials.has_other((*unseen_by, credential)):
                    unseen_by.append(credential)
                    continue
                if status < SERVER_ERROR and status not in self.not_for_long:
                    if status == UNAUTHORIZED and self._has_replaced(credential, response, tries):
                        tries += 1
                        continue
                    if not response.ok:
                        usage.end(answered=True)
                        self._check(response)
                    if status in (NO_CONTENT, NOT_MODIFIED) or has_json or _is_json(body := _mended(body)):
                        usage.end(answered=True)
                        return Response(body, response.headers, _links(response), status, response.url)
                    kind = response.headers.get("Content-Type", "none")
                    problem = f"the response body is empty or not valid JSON; its Content-Type is {kind}"
                else:
                    problem = f"{status}: {self._reason_line(response)}"
            except _BROKEN as error:
                # What breaks after it has begun is this response, and not the API.
                has_begun = not isinstance(error, requests.ConnectionError | requests.Timeout)
                status, problem = SERVER_ERROR if has_begun else None, f"{type(error).__name__}: {_cause(error)}"
            tries += 1
            if tries < ATTEMPTS:
                seconds = FIRST_BACKOFF * 2 ** (tries - 1) * random.uniform(0.5, 1.0)
                logger.warning("%s: try %d of %d failed (%s)", self.name, tries, ATTEMPTS, problem)
                time.sleep(seconds)
        usage.end(answered=False)
        if status is not None and status < SERVER_ERROR and status not in self.not_for_long:
            raise NotJson(f"{self.name}: {problem}, {ATTEMPTS} times at {url}; check `{self._url_setting}`")
        raise ApiError(
            f"{self.name} did not answer {url} in {ATTEMPTS} tries ({problem}); "
            f"check `{self._url_setting}` and whether the API is up",
            status=status,
        )

    def _try(
        self, method: str, url: str, credential: Credential, usage: Usage, what: Mapping[str, Any]
    ) -> tuple[requests.Response, bytes, bool]:
        """One response, with the status that it means, its body, and whether that is JSON."""
        with ExitStack() as counted:
            for ceiling in self.ceilings(method, url):
                counted.enter_context(ceiling.call())
            response = self._session.request(
                method, url, auth=credential.auth, hooks=self._hooks, timeout=TIMEOUT, stream=True, **what
            )
        # In one piece: requests reads 10 kB at a time, and waits for the other threads each time.
        body: bytes = response.raw.read(decode_content=True) if response.ok else response.content
        response._content = body  # so that hooks can inspect a success, too
        if (has_json := _is_json(body)) and response.ok:
            response.status_code = self.status_of(response)
        usage.count(body, self.quota_left(response))
        return response, body, has_json

    def _wait(self, method: str, url: str, unseen_by: Sequence[Credential]) -> Credential:
        """Blocks until a request may be sent, and returns the credential for it.

        If a pause begins in the meantime, it waits again: another credential may take over. After the pause, all
        requests take turns again; otherwise those that were held up would be sent at once.
        """
        while True:
            credential = self._pick(url, unseen_by)
            if seconds := credential.paused_for:
                time.sleep(seconds)
            for limit in self.limits(method, url):
                limit.wait()
            credential.limit.take_turn()
            if not credential.paused_for:
                return credential

    def _address(self, path: str) -> str:
        """The address of a path. The credential is sent only to the API's own host, wherever a link points."""
        if not path.startswith(("http://", "https://")):
            return f"{self.url}/{path.lstrip('/')}"
        if _origin(path) != self._origin:
            raise ApiError(
                f"{self.name} links to {path}, which is not on the host of `{self._url_setting}` ({self.url}); "
                "the credential is not sent there",
                retry=False,
            )
        return path

    def _stay(self, response: requests.Response, **_: Any) -> None:
        """Refuses redirects to other hosts, like links; requests would send the credential there."""
        if response.is_redirect:
            self._address(urljoin(response.url, response.headers["Location"]))

    def _check(self, response: requests.Response) -> None:
        """Raises the error that an unsuccessful response stands for."""
        reason = self._reason_line(response)
        if response.status_code == UNAUTHORIZED:
            raise SettingError(
                f"{self.name} refused the credential ({reason}); "
                f"set a valid one in {setting_help(self._credential_setting)}"
            )
        raise ApiError(
            # Without the query, in which some APIs expect the credential.
            f"{self.name} answered {response.status_code} to {response.url.partition('?')[0]} ({reason})",
            status=response.status_code,
            reason=reason,
            retry=False,
        )

    def _reason_line(self, response: requests.Response) -> str:
        return " ".join(self.reason(response).split())

    def _pick(self, url: str, without: Sequence[Credential]) -> Credential:
        """The credential for a request; logs how long it must wait, and raises :class:`QuotaSpent` if that is too
        long."""
        credential = self.credentials.pick(url.partition("?")[0], without)
        if (seconds := credential.paused_for) > 2:
            until = time.time() + seconds
            at = time.strftime("%H:%M:%S", time.gmtime(until))
            if seconds > self._longest_wait:
                raise QuotaSpent(
                    f"{self.name} asks to wait {seconds:.0f} s before {url}, until {at} UTC: too long for a run",
                    status=TOO_MANY,
                    reason=f"the rate limit is reached until {at} UTC; the next run continues",
                    retry=False,
                )
            if credential.is_news(until):
                logger.warning("%s: rate limit reached, waiting %.0f s, until %s UTC", self.name, seconds, at)
        return credential

    def _has_replaced(self, credential: Credential, response: requests.Response, tries: int) -> bool:
        """Whether a refused request can be sent again, with a renewed credential or another one."""
        if not tries and self.renew(credential.auth, response):
            return True
        return self.credentials.leave_out(credential, f"{self.name}: {self._reason_line(response)}")

    def _check_waits(self, waits: int, url: str, response: requests.Response) -> None:
        if waits > WAITS:
            raise ApiError(
                f"{self.name} refused {url} as too fast {WAITS} times in a row ({self._reason_line(response)}); "
                "check whether something else uses the quota, or whether it is spent for the day"
            )


def _check_address(url: str, url_setting: str) -> None:
    """Raises :class:`SettingError` for an invalid address."""
    try:
        parts = urlsplit(url)
        complete = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        complete = False
    if not complete or any(character.isspace() for character in url):
        raise SettingError(f"{url_setting} is {url!r}; write it as https://host/path, in {setting_help(url_setting)}")


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _links(response: requests.Response) -> dict[str, str]:
    """The addresses of the ``Link`` header, without those that are marked as empty.

    Sentry always names a next page: https://docs.sentry.io/api/pagination/
    """
    links = response.links.items()
    return {name: urljoin(response.url, link["url"]) for name, link in links if link.get("results") != "false"}


def _is_json(body: bytes) -> bool:
    """Whether the body is one complete JSON text that is not nested too deeply to parse; builds no values."""
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _mended(body: bytes) -> bytes:
    """JSON for strict readers: without a byte order mark, and with U+FFFD for half of a surrogate pair.

    A text contains half of a pair if its writer cut it within an emoji:
    https://www.rfc-editor.org/rfc/rfc8259#section-8
    """
    return _ESCAPED.sub(lambda found: rb"\ufffd" if len(found[0]) == _LONE else found[0], body.removeprefix(BOM_UTF8))


def _session(url: str, connections: int) -> requests.Session:
    """A session for this many threads; proxies and certificates are read from the environment once.

    A ``.netrc`` is not read: it would replace the credential.
    """
    session = requests.Session()
    settings = session.merge_environment_settings(url, {}, None, None, None)
    session.trust_env, session.proxies, session.verify = False, settings["proxies"], settings["verify"]
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=connections))
    return session


def retry_after(response: requests.Response) -> float | None:
    """The seconds of the ``Retry-After`` header, which is a number or a date; None if it is neither."""
    value = response.headers.get("Retry-After", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def server_time(headers: Mapping[str, str]) -> int:
    """The API's own clock, from the ``Date`` header, in whole seconds since 1970."""
    date = headers.get("Date")
    return int(parsedate_to_datetime(date).timestamp() if date else time.time())


def _cause(error: BaseException) -> str:
    """The innermost cause of a chain of wrapped connection errors."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return str(error)
