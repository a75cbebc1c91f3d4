"""GitHub's GraphQL API, as far as ``schema.graphql`` goes.

A pull request that is gone or hidden is null, with an error of type ``NOT_FOUND``; the others are there. See
https://docs.github.com/en/graphql/overview/rate-limits-and-query-limits-for-the-graphql-api.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from graphql import GraphQLError, GraphQLResolveInfo, build_schema, graphql_sync

from ..wire import Json
from .model import GHOST, Account, Forge, Issue, Repository, Row
from .plain.review import REVIEWS, review
from .quota import Quota
from .render import node_id

SCHEMA = build_schema(Path(__file__).with_name("schema.graphql").read_text())
_AT_MOST = 100
"""Ids of a query, and rows of a list."""
_BOT = "[bot]"
"""The end of a bot's login in REST."""


@dataclass
class _Query:
    """One query: what it sees, and how many lists it takes, of which 100 cost a point."""

    forge: Forge
    lists: int = 0

    @property
    def cost(self) -> int:
        return max(1, round(self.lists / 100))

    def nodes(self, _: GraphQLResolveInfo[Any], ids: list[str]) -> list[Any]:
        if len(ids) > _AT_MOST:
            raise _refusal("ARGUMENT_LIMIT", f"You may not provide more than 100 node ids; you provided {len(ids)}.")
        return [self._pull(id_) for id_ in ids]

    def _pull(self, id_: str) -> Json | GraphQLError:
        for repo in self.forge.repositories.values():
            is_shown = repo.has_pull_requests and not repo.hidden
            if is_shown and (row := repo.remember("pulls by node id", partial(_pulls, repo)).get(id_)):
                break
        else:
            return _refusal("NOT_FOUND", f"Could not resolve to a node with the global id of '{id_}'")
        if repo.forbidden:
            return _refusal("FORBIDDEN", "Resource not accessible by personal access token")
        assert row.pull

        def reviews(_: GraphQLResolveInfo[Any], first: int | None = None, after: str | None = None) -> Json:
            self.lists += 1
            return _connection("reviews", [_review(repo, found) for found in _reviews(repo, row)], first, after)

        return {
            "__typename": "PullRequest",
            "id": id_,
            "databaseId": _small(row.pull.id),
            "fullDatabaseId": str(row.pull.id),
            "number": row.number,
            "reviews": reviews,
        }


def answer(forge: Forge, quota: Quota, asked: Any) -> Json:
    """The response to a query, which is counted against the quota."""
    if quota.used >= quota.limit:
        error = {"type": "RATE_LIMIT", "code": "graphql_rate_limit", "message": "API rate limit already exceeded."}
        return {"errors": [error]}
    query = _Query(forge)
    result = graphql_sync(SCHEMA, str(asked.get("query")), query, variable_values=asked.get("variables"))
    quota.used += query.cost
    errors = [_shown(error) for error in result.errors or ()]
    return {"data": result.data} if not errors else {"data": result.data, "errors": errors}


def _pulls(repo: Repository) -> dict[str, Issue]:
    return {node_id("PR", row.pull.id): row for row in repo.issues.values() if row.pull}


def _reviews(repo: Repository, pull: Issue) -> Sequence[Row]:
    span = REVIEWS.span(repo, pull, {})
    return span.read(0, len(span))


def _connection(name: str, rows: list[Json], first: int | None, after: str | None) -> Json:
    if first is None:
        message = f"You must provide a `first` or `last` value to properly paginate the `{name}` connection."
        raise _refusal("MISSING_PAGINATION_BOUNDARIES", message)
    if not 1 <= first <= _AT_MOST:
        message = f"Requesting {first} records on the `{name}` connection exceeds the `first` limit of 100 records."
        raise _refusal("EXCESSIVE_PAGINATION", message)
    start = int(after or 0)
    end = start + first
    page = {"endCursor": str(min(end, len(rows))), "hasNextPage": end < len(rows)}
    return {"nodes": rows[start:end], "pageInfo": page, "totalCount": len(rows)}


def _review(repo: Repository, row: Row) -> Json:
    shown = review(repo, row)
    sha = shown["commit_id"]
    return {
        "id": shown["node_id"],
        "author": _actor(row.facts["user"]),
        "authorAssociation": shown["author_association"],
        "body": shown["body"],
        "commit": sha and {"id": node_id("C", sha), "oid": sha},
        "databaseId": _small(row.id),
        "fullDatabaseId": str(row.id),
        "state": shown["state"],
        "submittedAt": shown.get("submitted_at"),
        "url": shown["html_url"],
    }


def _actor(account: Account) -> Json | None:
    if account is GHOST:
        return None
    login = account.login.removesuffix(_BOT)
    return {
        "__typename": account.type,
        "databaseId": account.id,
        "id": node_id("U", account.id),
        "login": login,
        "url": f"https://github.com/{login}",
    }


def _small(id_: int) -> int | GraphQLError:
    """An id as `Int`, which has 32 bits."""
    return id_ if id_ < 2**31 else GraphQLError(f"Int cannot represent non 32-bit signed integer value: {id_}")


def _refusal(type_: str, message: str) -> GraphQLError:
    return GraphQLError(message, extensions={"type": type_})


def _shown(error: GraphQLError) -> Json:
    """As GitHub writes it, with the type beside the message."""
    found: Json = dict(error.formatted)
    extensions = found.pop("extensions", {})
    return {**extensions, **found}
