"""GitHub's REST API, https://docs.github.com/en/rest, and GraphQL API, https://docs.github.com/en/graphql"""

import re
import threading
import time
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
import requests
from requests.auth import AuthBase

from github_location.source.auth import HEADERS, Anonymous, InstallationAuth, configured_auths
from ingest_shared.errors import ApiError, SettingError
from ingest_shared.reading.api import LONGEST_WAIT, UNAUTHORIZED, Api, Response, Usage, retry_after
from ingest_shared.reading.limits import pace_of_each
from ingest_shared.settings import list_setting, number_setting, setting_help, text_setting

API_URL = "https://api.github.com"
CALLS_PER_SECOND = 14.0
"""GitHub's secondary limit is 900 points a minute, and a GET costs one; this leaves room for calls that arrive late."""
IN_FLIGHT = 16
"""Requests at a time; GitHub allows 100 and slows down clients that come close."""
IN_FLIGHT_TOGETHER = 64
"""Requests at a time of all shards together, which also share the pace."""
DELETES_BELIEVED = 0.1
"""Share of a list's rows that may vanish at once; if more vanish, the list is read once more."""
PART = 25
"""Rows of a smaller page, for lists of which GitHub needs too long for 100:
https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api#timeouts"""
WAIT = 60.0
"""Seconds to wait when GitHub limits the rate without saying for how long."""

KINDS = {"archived", "forks"}
"""Kinds of repositories that may be left out."""

INSTALLED = "*"
"""The entry that means all repositories of the App's installation."""

_NAME = re.compile(r"\*|\w[\w.-]*/([\w.-]+|\*)|-\w[\w.-]*/[\w.-]+")
_TOO_FAST = ("secondary rate limit", "abuse detection", "rate limit exceeded", "rate limit already exceeded")
"""Phrases, in lower case, of a 403 that is not about missing permission."""


class _Limited(Api):
    """One of GitHub's APIs with its credentials; it waits for the primary and secondary rate limits of each.

    https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
    """

    name = "GitHub"
    reason_at = "message"

    def too_fast(self, response: requests.Response) -> float | None:
        if response.status_code not in (403, 429):
            return None
        if (seconds := retry_after(response)) is not None:
            return seconds
        if response.headers.get("X-RateLimit-Remaining") == "0":
            return _until_reset(response)
        said = self.reason(response).lower()
        return WAIT if response.status_code == 429 or any(words in said for words in _TOO_FAST) else None

    def reason(self, response: requests.Response) -> str:
        """GitHub's own message; of a refusal, also the permission that an App or a fine-grained token needs for it.

        https://github.blog/changelog/2023-08-10-x-accepted-github-permissions-header-for-fine-grained-permission-actors
        """
        said, needed = super().reason(response), response.headers.get("X-Accepted-GitHub-Permissions")
        if response.status_code != 403 or not needed:
            return said
        return f"{said}: it needs the permission {needed.replace('; ', ' or ')}"

    def renew(self, auth: AuthBase, response: requests.Response) -> bool:
        return isinstance(auth, InstallationAuth) and auth.renew(response)


class GraphQL(_Limited):
    """The GraphQL API: one address, with rates separate from those of REST.

    An hour has 5,000 points, and a query costs one for each 100 lists in it; a minute may have 2,000.
    https://docs.github.com/en/graphql/overview/rate-limits-and-query-limits-for-the-graphql-api
    """

    name = "GitHub's GraphQL API"
    has_refused = False
    """Whether it refused a query for good, as a server does that lacks one of its fields."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._turn = threading.Lock()

    def post(self, path: str, body: Mapping[str, Any], *, usage: Usage) -> Response:
        """One query at a time: the responses of a minute may take 60 seconds in total.

        https://docs.github.com/en/graphql/overview/rate-limits-and-query-limits-for-the-graphql-api#secondary-rate-limits
        """
        with self._turn:
            return super().post(path, body, usage=usage)

    def too_fast(self, response: requests.Response) -> float | None:
        """Also handles a success that contains only the error that the quota is spent or that calls come too fast.

        Its type is RATE_LIMITED or RATE_LIMIT, and there may be points left, only fewer than the query costs:
        https://github.com/yanyongyu/githubkit/issues/271
        """
        if not response.ok:
            return super().too_fast(response)
        try:
            errors = msgspec.json.decode(response.content, type=_Errors).all
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        is_spent = any((error.type or "").startswith("RATE_LIMIT") for error in errors)
        if not is_spent and not any(words in error.message.lower() for error in errors for words in _TOO_FAST):
            return None
        if (seconds := retry_after(response)) is not None:
            return seconds
        return _until_reset(response) if is_spent else WAIT


class GitHub(_Limited):
    """The REST API, with the GraphQL API at its side."""

    unseen = (403, 404)

    def __init__(self, *args: Any, auth: Sequence[AuthBase], **kwargs: Any) -> None:
        super().__init__(*args, auth=auth, **kwargs)
        self.graphql: GraphQL | None = None
        """None without a token: GraphQL does not serve anonymous clients."""
        self.is_app = isinstance(auth[0], InstallationAuth)
        self._is_anonymous = isinstance(auth[0], Anonymous)
        self._heavy: set[str] = set()
        """Lists of which a whole page takes GitHub longer than its own limit of ten seconds."""

    def _send(self, method: str, path: str, usage: Usage, **what: Any) -> Response:
        """As for any API; but a list of which GitHub cannot produce a page in time is read in smaller pages."""
        list_ = path.partition("?")[0]
        page = _Page.of(path, what.get("params"))
        if list_ in self._heavy and page.rows > PART:
            return self._in_parts(page, usage)
        try:
            return super()._send(method, path, usage, **what)
        except ApiError as error:
            if error.status not in (502, 504) or page.rows <= PART:
                raise
            try:
                response = self._in_parts(page, usage)
            except ApiError:
                raise error from None
            self._heavy.add(list_)
            return response

    def _in_parts(self, page: "_Page", usage: Usage) -> Response:
        """The page, without an ETag: none covers all of its parts.

        For the first page of a list, it is only the first part: its links lead on as from any page, and the walk takes
        care of rows that move in the meantime. Later pages are assembled, since the numbers of other pages are known by
        then.
        """
        count = page.rows // PART
        parts = [super()._send("GET", page.having(PART, (page.number - 1) * count + 1), usage)]
        if page.is_first:
            return replace(parts[0], headers=_without_etag(parts[0].headers))
        following = parts[0].links.get("next")
        while following and len(parts) < count:
            parts.append(super()._send("GET", following, usage))
            following = parts[-1].links.get("next")
        links = {}
        for name in ("next", "last") if following else ():
            if link := parts[-1].links.get(name):
                other = _Page.of(link, None)
                links[name] = other.having(page.rows, (other.number - 1) // count + 1)
        return Response(_together([part.body for part in parts]), _without_etag(parts[0].headers), links)

    def post(self, path: str, body: Mapping[str, Any], *, usage: Usage) -> Response:
        """Posts a query to the GraphQL API: nothing else is read with POST."""
        assert self.graphql
        return self.graphql.post(path, body, usage=usage)

    def _check(self, response: requests.Response) -> None:
        if self._is_anonymous and response.status_code == UNAUTHORIZED:
            reason = "it can only be read with a token: set one, or leave the table out with `sources.github.without`"
            raise ApiError(f"GitHub: {reason}", status=UNAUTHORIZED, reason=reason, retry=False)
        super()._check(response)

    def quota_left(self, response: requests.Response) -> int | None:
        left = response.headers.get("X-RateLimit-Remaining", "")
        return int(left) if left.isdigit() else None


def _until_reset(response: requests.Response) -> float:
    """Seconds until the quota is renewed."""
    reset = response.headers.get("X-RateLimit-Reset", "")
    return max(1.0, float(reset) - time.time() + 1.0) if reset.isdigit() else WAIT


class _Error(msgspec.Struct):
    message: str = ""
    type: str | None = None


class _Errors(msgspec.Struct):
    errors: list[_Error] = []
    message: str = ""

    @property
    def all(self) -> list[_Error]:
        return [*self.errors, _Error(self.message)]


@dataclass(frozen=True)
class _Page:
    """A page of a list, by its address."""

    address: str
    query: Mapping[str, Any]

    @classmethod
    def of(cls, path: str, params: Mapping[str, Any] | None) -> "_Page":
        address, _, query = path.partition("?")
        return cls(address, dict(parse_qsl(query)) | dict(params or {}))

    @property
    def rows(self) -> int:
        return int(self.query.get("per_page", 0))

    @property
    def number(self) -> int:
        return int(self.query.get("page", 1))

    @property
    def is_first(self) -> bool:
        return self.number == 1 and "after" not in self.query

    def having(self, rows: int, number: int) -> str:
        """The address of a page of this many rows; with a cursor, the page number means nothing."""
        numbered = {} if "after" in self.query else {"page": number}
        return f"{self.address}?{urlencode({**self.query, 'per_page': rows, **numbered})}"


def _without_etag(headers: Mapping[str, str]) -> Mapping[str, str]:
    return {name: value for name, value in headers.items() if name.lower() != "etag"}


def _together(bodies: list[bytes]) -> bytes:
    """Several pages of a list as one; if an object holds the list, its other fields come from the first page."""
    pages = [msgspec.json.decode(body) for body in bodies]
    whole = pages[0]
    if isinstance(whole, list):
        return msgspec.json.encode([row for page in pages for row in page])
    name = next(name for name, value in whole.items() if isinstance(value, list))
    return msgspec.json.encode(whole | {name: [row for page in pages for row in page[name]]})


def connect(shards: int = 1) -> GitHub:
    """The API at the configured address, with the configured credential, for one of several shards; raises
    :class:`SettingError`."""
    url = text_setting("sources.github.api_url", API_URL)
    auths, credential_setting = configured_auths(url)
    settings: dict[str, Any] = {
        "auth": auths,
        "headers": HEADERS,
        "calls_per_second": pace_of_each(number_setting("sources.github.calls_per_second", CALLS_PER_SECOND), shards),
        "in_flight": max(1, min(IN_FLIGHT, IN_FLIGHT_TOGETHER // shards)),
        "url_setting": "sources.github.api_url",
        "credential_setting": credential_setting,
        "deletes_believed": number_setting("sources.github.deletes_believed", DELETES_BELIEVED),
        "longest_wait": number_setting("sources.github.longest_wait", LONGEST_WAIT),
    }
    github = GitHub(url, **settings)
    if not isinstance(auths[0], Anonymous):
        github.graphql = GraphQL(graphql_url(url), **settings)
    return github


def graphql_url(url: str) -> str:
    """The address of the GraphQL API, derived from that of REST, which contains a version on an Enterprise Server.

    https://docs.github.com/en/enterprise-server/graphql/guides/forming-calls-with-graphql
    """
    return f"{url.rstrip('/').removesuffix('/v3')}/graphql"


def tables_left_out() -> list[str]:
    """``sources.github.without``, the tables that are not loaded."""
    return list_setting("sources.github.without")


def tables_requested() -> list[str]:
    """``sources.github.with``, the tables that are loaded on request."""
    return list_setting("sources.github.with")


@dataclass(frozen=True)
class Selection:
    """Which repositories are mirrored: those of the entries, except those that are excluded by name or kind."""

    entries: Sequence[str]
    excluded: AbstractSet[str]
    """As ``owner/name``, in lower case."""
    left_out: AbstractSet[str]
    """The kinds (``archived``, ``forks``) that ``owner/*`` does not include."""

    def has(self, repository: Any, entry: str) -> bool:
        """Whether a repository in the list of an entry is mirrored."""
        kinds = {"archived": repository.archived, "forks": repository.fork} if entry.endswith("*") else {}
        return repository.full_name.lower() not in self.excluded and not any(kinds.get(kind) for kind in self.left_out)

    def entry_of(self, name: str) -> str:
        """The entry for which a repository is mirrored, by its name; empty if there is none."""
        owner = name.partition("/")[0].lower()
        fitting = {name.lower(), f"{owner}/*", INSTALLED}
        return next((entry for entry in self.entries if entry.lower() in fitting), "")

    def check(self, name: str) -> None:
        """Raises :class:`SettingError` if a run names a repository that the setting does not select."""
        if not _NAME.fullmatch(name) or not self.entry_of(name) or name.lower() in self.excluded:
            raise SettingError(
                f"the run names the repository {name!r}, which sources.github.repositories does not select; add it "
                "there first, or name one that it selects, as owner/name"
            )


def configured_repositories() -> Selection:
    """``sources.github.repositories`` and ``sources.github.leave_out``, checked."""
    names = list_setting("sources.github.repositories")
    entries = [name for name in names if not name.startswith("-")]
    if not entries:
        raise SettingError(
            "sources.github.repositories is not set: list what to mirror, as owner/name or owner/*, or * for all "
            "that an App is installed on; "
            f"set {setting_help('sources.github.repositories')}"
        )
    for name in names:
        if not _NAME.fullmatch(name):
            raise SettingError(
                f"sources.github.repositories has {name!r}, which is not valid: write owner/name, owner/*, "
                "or -owner/name to exclude one"
            )
    kinds = list_setting("sources.github.leave_out")
    if unknown := set(kinds) - KINDS:
        raise SettingError(f"sources.github.leave_out has {min(unknown)!r}; valid values are archived and forks")
    excluded = {name[1:].lower() for name in names if name.startswith("-")}
    return Selection(list(dict.fromkeys(entries)), excluded, set(kinds))
