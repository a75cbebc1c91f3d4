"""Reads the reviews of 100 pull requests with one query, where REST takes a call for each pull request.

GraphQL only saves calls: a list that it does not return in full, or with values other than REST's, is read by REST as
if there were no GraphQL. This module decides that for each pull request by itself:

- Ids are in ``fullDatabaseId``, as text; ``databaseId`` ends at 2^31, which reviews have passed.
- A bot's ``login`` lacks REST's ``[bot]``, and Copilot's is a different one. A review whose author has no
``databaseId`` is read by REST. - ``author`` is null for a deleted account, as REST's ``user`` is in reviews, which
elsewhere is the account ghost
  (https://github.com/SpinlockLabs/github.dart/pull/383).
- ``commit`` is null if Git no longer has it; what REST then says differs (https://github.com/sigmavirus24/github3.py/pull/944).
- A pull request that is gone or may not be seen is null, with an error that has its place in the list.
- A response may lack some rows if the query was too expensive: no list that an error may concern is used
  (https://github.blog/changelog/2025-09-01-graphql-api-resource-limits).
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from math import ceil
from typing import Any

import msgspec

from github_location.source.api import PART, GitHub, GraphQL
from github_location.source.details import OfPull
from ingest_shared.columnar import Page
from ingest_shared.errors import ApiError, IngestError, PayloadError, QuotaSpent
from ingest_shared.loading import Load
from ingest_shared.reading.api import SERVER_ERROR, Response
from ingest_shared.reading.envelopes import Request
from ingest_shared.reading.listings import Scope
from ingest_shared.reading.per_row import Row
from ingest_shared.reading.reader import SCOPES_AT_ONCE, Reader
from ingest_shared.reading.sync import Sync
from ingest_shared.reading.tombstones import held_where
from ingest_shared.reading.walks import FullList

logger = logging.getLogger("ingest")

AT_ONCE = 100
"""Most ids in a query, and most rows of a list in it: https://github.com/sourcecred/sourcecred/pull/908"""
QUERY = """
query ($ids: [ID!]!) {
  nodes(ids: $ids) {
    ... on PullRequest {
      fullDatabaseId
      reviews(first: 100) {
        pageInfo { hasNextPage }
        nodes {
          fullDatabaseId state body authorAssociation submittedAt url
          commit { oid }
          author {
            __typename
            login
            ... on Bot { databaseId }
            ... on Mannequin { databaseId }
            ... on Organization { databaseId }
            ... on User { databaseId }
          }
        }
      }
    }
  }
}
"""
_TOO_MUCH = ("something went wrong", "timeout", "in time", "resource limit")
"""Phrases, in lower case, of an error about a query that is too expensive."""
_OTHERWISE_IN_REST = ("copilot-swe-agent",)
"""Bots whose login in REST is ``Copilot`` instead of their login here plus ``[bot]``:
https://api.github.com/repos/microsoft/vscode/pulls/275198"""


class _Author(msgspec.Struct):
    login: str
    typename: str = msgspec.field(name="__typename")
    database_id: int | None = msgspec.field(name="databaseId", default=None)


class _Commit(msgspec.Struct):
    oid: str


class _Review(msgspec.Struct, rename="camel"):
    full_database_id: str | int | None
    state: str
    body: str
    author_association: str
    submitted_at: str | None
    url: str
    commit: _Commit | None
    author: _Author | None


class _PageInfo(msgspec.Struct, rename="camel"):
    has_next_page: bool


class _Reviews(msgspec.Struct, rename="camel"):
    page_info: _PageInfo
    nodes: list[_Review | None]


class _PullRequest(msgspec.Struct, rename="camel"):
    full_database_id: str | int | None = None
    reviews: _Reviews | None = None


class _Data(msgspec.Struct):
    nodes: list[_PullRequest | None]


class _Error(msgspec.Struct):
    message: str = ""
    path: list[str | int] | None = None

    @property
    def is_too_much(self) -> bool:
        """Whether the query is too expensive. It was aborted, so other parts of the response may be incomplete."""
        return any(words in self.message.lower() for words in _TOO_MUCH)

    @property
    def place(self) -> str | int | None:
        """The index of the pull request that it concerns; None if it may concern all."""
        match self.path:
            case ["nodes", place, *_] if not self.is_too_much:
                return place
        return None


class _Answer(msgspec.Struct):
    data: _Data | None = None
    errors: list[_Error] = []

    def whole(self) -> list[_PullRequest] | None:
        """The pull requests that no error concerns; None if an error may concern all of them."""
        without = {error.place for error in self.errors}
        if self.data is None or None in without:
            return None
        return [pull for place, pull in enumerate(self.data.nodes) if pull and place not in without]


@dataclass(frozen=True, slots=True)
class Pull(Row):
    """A pull request; ``query`` reads its reviews with those of others."""

    node_id: str | None = None
    query: "Query | None" = None


class TogetherWithOthers(OfPull):
    """The pull requests that changed, 100 per query. Their value ``node_id`` is not a column of the reviews."""

    def scopes(self, sync: Sync, load: Load) -> Iterator[Row]:
        rows = super().scopes(sync, load)
        if _graphql(sync) is None:
            yield from rows
            return
        pulls = (row for row in rows if isinstance(row, Pull) and not sync.is_done(load.resource, row))
        while some := self._with_node_ids([*islice(pulls, SCOPES_AT_ONCE)]):
            # Interleaved, so that the first ones, which are read side by side, do not wait for the same query.
            count = ceil(len(some) / AT_ONCE)
            queries = [Query([pull.node_id for pull in some[k::count] if pull.node_id]) for k in range(count)]
            yield from (replace(pull, query=queries[k % count]) for k, pull in enumerate(some))

    def _with_node_ids(self, pulls: list[Pull]) -> list[Pull]:
        """Those that an earlier run could not read have none."""
        key = self.values[self.key]
        without = tuple(pull.values[self.key] for pull in pulls if not pull.node_id)
        held = held_where(self.parent, [key, "node_id"], {key: without}) if without else None
        node_ids = {str(row[key]): row["node_id"] for row in held or ()}
        return [replace(pull, node_id=pull.node_id or node_ids.get(pull.id)) for pull in pulls]

    def _scope(self, values: dict[str, Any], has_changed: bool | None = None) -> Pull:
        columns = {name: value for name, value in values.items() if name != "node_id"}
        row = super()._scope(columns, has_changed)
        return Pull(row.id, row.name, row.values, row.changed, values.get("node_id"))


@dataclass(frozen=True)
class Reviews(FullList):
    """Reads with GraphQL, 100 pull requests per query. A list that it does not return in full is read by REST, with the
    same values; so are all lists if there is no token."""

    cost = (
        "One call, and one of GraphQL's points, for each 100 pull requests that changed, and one call for each whose "
        "list is read by REST."
    )

    def answer(
        self, reader: Reader, scope: Scope, request: Request, etag: str | None, *, was_last: bool
    ) -> tuple[Page, Response] | None:
        if isinstance(scope, Pull) and scope.query and (body := scope.query.take(reader, scope)) is not None:
            response = Response(body, {}, {})
            return reader.page(scope, response), response
        return super().answer(reader, scope, request, etag, was_last=was_last)


class Query:
    """Reads the reviews of several pull requests as soon as those of the first one are needed."""

    def __init__(self, node_ids: Sequence[str]) -> None:
        self._node_ids = node_ids
        self._lists: dict[str, bytes] | None = None
        self._error: IngestError | None = None
        self._lock = threading.Lock()

    def take(self, reader: Reader, scope: Scope) -> bytes | None:
        """The reviews of a pull request in REST's form, only once; None if they must be read by REST."""
        with self._lock:
            if self._lists is None:
                self._lists = {}
                try:
                    self._lists = _read(reader, scope, self._node_ids)
                except IngestError as error:
                    self._error = error
            if self._error:
                raise self._error
            return self._lists.pop(scope.id, None)


def _graphql(sync: Sync) -> GraphQL | None:
    assert isinstance(sync.api, GitHub)
    return sync.api.graphql


def _read(reader: Reader, scope: Scope, node_ids: Sequence[str]) -> dict[str, bytes]:
    """The complete lists of reviews by the pull request's id.

    Raises :class:`QuotaSpent`: REST would take a hundred times the calls. No other status may leave this function, or a
    404 of this address would mean that a pull request is gone.
    """
    graphql = _graphql(reader.sync)
    if graphql is None or graphql.has_refused or not node_ids:
        return {}
    request = Request(graphql.url, body={"query": QUERY, "variables": {"ids": node_ids}})
    try:
        answer = decoded(reader.respond(scope, request).body)
    except ApiError as error:
        if error.status is None or isinstance(error, QuotaSpent):
            raise
        problem, is_too_much = error.reason or str(error), error.status >= SERVER_ERROR
    except PayloadError as error:
        logger.warning("GitHub: reading the reviews of %d pull requests by REST: %s", len(node_ids), error)
        return {}
    else:
        if (pulls := answer.whole()) is not None:
            return lists(pulls)
        problem = "; ".join(error.message for error in answer.errors) or "the response has no data"
        is_too_much = any(error.is_too_much for error in answer.errors)
    if not is_too_much:
        graphql.has_refused = True
        logger.warning(
            "GitHub: reading reviews by REST, one call per pull request, because GraphQL refuses the query: %s", problem
        )
    elif len(node_ids) > PART:
        parts = [node_ids[i : i + PART] for i in range(0, len(node_ids), PART)]
        return {id_: list_ for part in parts for id_, list_ in _read(reader, scope, part).items()}
    else:
        logger.warning(
            "GitHub: reading the reviews of %d pull requests by REST, because GraphQL takes too long: %s",
            len(node_ids),
            problem,
        )
    return {}


def decoded(body: bytes) -> _Answer:
    """A response of GraphQL; raises :class:`PayloadError`."""
    try:
        return msgspec.json.decode(body, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PayloadError(f"table reviews: the response of GraphQL cannot be read: {error}") from None


def lists(pulls: Sequence[_PullRequest]) -> dict[str, bytes]:
    """The complete lists by the pull request's id, in REST's form."""
    found: dict[str, bytes] = {}
    for pull in pulls:
        if pull.full_database_id is None or pull.reviews is None or pull.reviews.page_info.has_next_page:
            continue
        rows = [_as_in_rest(review) for review in pull.reviews.nodes]
        if None not in rows:
            found[str(pull.full_database_id)] = msgspec.json.encode(rows)
    return found


def _as_in_rest(review: _Review | None) -> dict[str, Any] | None:
    """A review with REST's names and values; None if GraphQL does not provide all of them."""
    if review is None or review.full_database_id is None or review.commit is None:
        return None
    author = review.author
    if author and (author.database_id is None or author.login in _OTHERWISE_IN_REST):
        return None
    return {
        "id": int(review.full_database_id),
        "user": author and {"id": author.database_id, "login": _login(author)},
        "author_association": review.author_association,
        "state": review.state,
        "body": review.body,
        "commit_id": review.commit.oid,
        "html_url": review.url,
        "submitted_at": review.submitted_at,
    }


def _login(author: _Author) -> str:
    return f"{author.login}[bot]" if author.typename == "Bot" else author.login
