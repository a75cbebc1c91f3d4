"""GitHub's routes, under ``/github``: those of REST, and the one of GraphQL.

What a client must get right here, it must get right there: `Link` pagination with its border,
ETags that belong to a token, quotas, renamed repositories, and the errors by their status.

See https://docs.github.com/en/rest/using-the-rest-api.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from .. import wire
from ..ordered import Key, Span, View
from ..world import World
from . import details, graphql_api, render
from .compare import compare, comparison
from .installation import INSTALLATION_ID, Installation
from .model import Account, Issue, Repository, Row
from .plain import COLLECTIONS
from .plain.collection import Collection
from .plain.people import PUBLIC_MEMBERS
from .quota import Quota, Quotas

R = TypeVar("R")

PREFIX = "/github"
_DOCS = "https://docs.github.com/rest"

# https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api
_PER_PAGE = 30
_PER_PAGE_AT_MOST = 100
_COMPARED_AT_MOST = 250
"""Commits of a comparison that is asked for without a page."""

_FILES_PER_PAGE = 300
"""Files of a commit, https://docs.github.com/en/rest/commits/commits#get-a-commit."""
_FILES_SHOWN = 3_000
_COMMITS_SHOWN = 250
"""Of a pull request."""

_NO_LIMIT = 1_000_000_000

_AFFILIATIONS = {"owner", "collaborator", "organization_member"}

# https://docs.github.com/en/rest/licenses: key, name, SPDX id.
_LICENSES = (
    ("agpl-3.0", "GNU Affero General Public License v3.0", "AGPL-3.0"),
    ("apache-2.0", "Apache License 2.0", "Apache-2.0"),
    ("bsd-2-clause", 'BSD 2-Clause "Simplified" License', "BSD-2-Clause"),
    ("bsd-3-clause", 'BSD 3-Clause "New" or "Revised" License', "BSD-3-Clause"),
    ("bsl-1.0", "Boost Software License 1.0", "BSL-1.0"),
    ("cc0-1.0", "Creative Commons Zero v1.0 Universal", "CC0-1.0"),
    ("epl-2.0", "Eclipse Public License 2.0", "EPL-2.0"),
    ("gpl-2.0", "GNU General Public License v2.0", "GPL-2.0"),
    ("gpl-3.0", "GNU General Public License v3.0", "GPL-3.0"),
    ("lgpl-2.1", "GNU Lesser General Public License v2.1", "LGPL-2.1"),
    ("mit", "MIT License", "MIT"),
    ("mpl-2.0", "Mozilla Public License 2.0", "MPL-2.0"),
    ("unlicense", "The Unlicense", "Unlicense"),
)


class _Refusal(Exception):
    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


@dataclass(frozen=True, slots=True)
class _Answer:
    body: bytes
    digest: bytes
    links: dict[str, str] = field(default_factory=dict)


def _one(found: wire.Rendered) -> _Answer:
    return _Answer(found.body, found.digest)


def _all(found: Sequence[wire.Rendered], links: dict[str, str] | None = None) -> _Answer:
    return _Answer(
        wire.array(row.body for row in found),
        b"".join(row.digest for row in found),
        links or {},
    )


class GitHubApi:
    """The routes over a world.

    `quota` is the number of requests an hour for each of `tokens`; `border` is the number of
    issues (or comments) beyond which ``page=`` is refused and ``after=`` leads on. `app_key` is the
    public key of an App. An `enterprise` server has the routes under ``/github/api/v3``, and no quota.
    """

    def __init__(
        self,
        world: World,
        *,
        tokens: Sequence[str],
        quota: int,
        border: int,
        app_key: bytes | None = None,
        enterprise: bool = False,
    ) -> None:
        self._world = world
        self._installation = Installation(app_key)
        self._enterprise = enterprise
        self._quotas = Quotas(tokens, quota)
        self._border = border

    def routes(self) -> list[BaseRoute]:
        fixed: dict[str, Callable[[Request], _Answer]] = {
            "/user": self._user,
            "/licenses": self._licenses,
            "/user/repos": self._of_viewer,
            "/users/{owner}/repos": self._of_user,
            "/orgs/{owner}/repos": self._of_organization,
            "/installation/repositories": self._of_installation,
        }
        of_repository: dict[str, Callable[[Request, Repository], _Answer]] = {
            "": self._repository,
            "/issues": self._issues,
            "/issues/comments": self._comments,
            "/issues/comments/{id:int}": self._comment,
            "/issues/{number:int}": self._issue,
            "/pulls": self._pulls,
            "/pulls/{number:int}": self._pull,
            "/pulls/{number:int}/files": self._files_of_pull,
            "/pulls/{number:int}/commits": self._commits_of_pull,
            "/commits": self._commits,
            "/commits/{ref:path}": self._commit,
            "/compare/{basehead:path}": self._compare,
            "/releases": self._releases,
            "/labels": self._labels,
            "/milestones": self._milestones,
            "/branches": self._branches,
        }
        for collection in (*COLLECTIONS, PUBLIC_MEMBERS):
            if collection.of_organization:
                fixed["/orgs/{owner}" + collection.path] = self._of_owner(collection)
                fixed["/organizations/{owner_id:int}" + collection.path] = self._of_owner(collection)
            else:
                of_repository[collection.path] = self._listed(collection)
            if collection.has_path_of_one:
                of_repository[collection.path + "/{id:int}"] = self._single(collection)
        routes: list[BaseRoute] = [
            Route("/rate_limit", self._rate_limit),
            Route("/app/installations/{id:int}/access_tokens", self._issue_token, methods=["POST"]),
        ]
        routes += [Route(path, self._endpoint(handler)) for path, handler in fixed.items()]
        for path, handler in of_repository.items():
            endpoint = self._endpoint(self._in_repository(_of_pulls(handler) if path.startswith("/pulls") else handler))
            routes.append(Route("/repos/{owner}/{name}" + path, endpoint))
            routes.append(Route("/repositories/{repository_id:int}" + path, endpoint))
        routes.append(Route("/{path:path}", self._endpoint(_nothing)))
        if self._enterprise:
            return [Route("/api/graphql", self._graphql, methods=["POST"]), Mount("/api/v3", routes=routes)]
        return [Route("/graphql", self._graphql, methods=["POST"]), *routes]

    # The way of every request.

    def _endpoint(self, handler: Callable[[Request], _Answer]) -> Callable[..., Any]:
        async def endpoint(request: Request) -> Response:
            token, now = _token(request), self._world.now()
            if not self._is_known(token):
                return _error(401, "Bad credentials", {})
            quota = self._quota(token, now)
            if quota.used >= quota.limit and not self._enterprise:
                message = "API rate limit exceeded. (Authenticated requests get a higher limit.)"
                return _error(403, message, quota.headers())
            try:
                answer = handler(request)
            except _Refusal as refusal:
                quota.used += 1
                headers = self._told(quota) | refusal.headers
                return _error(refusal.status, str(refusal), headers)
            # Of the rows alone: a page that is full stays the same while pages are added after it, so
            # its links change under one ETag (https://github.com/app-sre/github-mirror/pull/113).
            etag = f'W/"{_hash(answer.digest, token or "")}"'
            headers = {"ETag": etag}
            if answer.links:
                headers["Link"] = ", ".join(f'<{url}>; rel="{name}"' for name, url in answer.links.items())
            if etag in request.headers.get("if-none-match", ""):
                return Response(status_code=304, headers=headers | self._told(quota))
            quota.used += 1
            headers |= self._told(quota) | {"X-GitHub-Media-Type": "github.v3"}
            return Response(answer.body, media_type="application/json; charset=utf-8", headers=headers)

        return endpoint

    def _is_known(self, token: str | None) -> bool:
        return token is None or token in self._quotas.tokens or self._installation.has_issued(token, self._world.now())

    def _quota(self, token: str | None, now: int, resource: str = "core") -> Quota:
        """The quota of a token; those of an installation share one."""
        owner = "installation" if self._installation.has_issued(token, now) else token
        return self._quotas.of(owner, now, resource)

    async def _graphql(self, request: Request) -> Response:
        token, now = _token(request), self._world.now()
        if token is None or not self._is_known(token):
            return _error(401, "Bad credentials" if token else "Requires authentication", {})
        quota = Quota(_NO_LIMIT, now) if self._enterprise else self._quota(token, now, "graphql")
        try:
            asked = msgspec.json.decode(await request.body(), type=dict[str, Any])
        except msgspec.DecodeError:
            return _error(400, "Problems parsing JSON", self._told(quota))
        body = wire.encode(graphql_api.answer(self._world.github, quota, asked))
        return Response(body, media_type="application/json; charset=utf-8", headers=self._told(quota))

    def _told(self, quota: Quota) -> dict[str, str]:
        return {} if self._enterprise else quota.headers()

    async def _issue_token(self, request: Request) -> Response:
        if not self._installation.proves(_token(request)):
            return _error(401, "A JSON web token could not be decoded", {})
        if request.path_params["id"] != INSTALLATION_ID:
            return _error(404, "Not Found", {})
        return Response(wire.encode(self._installation.issue(self._world.now())), 201, media_type="application/json")

    def _in_repository(self, handler: Callable[[Request, Repository], _Answer]) -> Callable[[Request], _Answer]:
        def find(request: Request) -> _Answer:
            forge, where = self._world.github, request.path_params
            if "repository_id" in where:
                repo = forge.repositories.get(where["repository_id"])
            else:
                full_name = f"{where['owner']}/{where['name']}"
                repo = forge.named(full_name)
                moved = None if repo else forge.former_names.get(full_name.lower())
                if moved is not None:
                    rest = request.url.path.partition(f"/repos/{full_name}")[2]
                    target = f"{_base(request)}/repositories/{moved}{rest}"
                    if request.url.query:
                        target += f"?{request.url.query}"
                    raise _Refusal(301, "Moved Permanently", Location=target)
            if repo is None or not _visible(request, repo):
                raise _Refusal(404, "Not Found")
            if repo.forbidden:
                raise _Refusal(403, "Resource not accessible by personal access token")
            return handler(request, repo)

        return find

    def _page(
        self,
        request: Request,
        span: Span[R],
        show: Callable[[R], wire.Rendered],
        *,
        repo: Repository | None = None,
        border: bool = False,
    ) -> _Answer:
        """One page of a list; with a `border`, cursors lead on where page numbers end."""
        page, size = _place(request)
        query = request.query_params
        if border and ("after" in query or "before" in query):
            if "after" in query:
                offset = span.position_past(_cursor(query["after"]))
            else:
                offset = max(0, span.position_of(_cursor(query["before"])) - size)
            return _all(
                [show(row) for row in span.read(offset, size)],
                self._cursor_links(request, span, repo, offset, size),
            )
        offset = (page - 1) * size
        if border and offset >= self._border:
            raise _Refusal(
                422,
                "Pagination with the page parameter is not supported for large datasets, "
                "please use cursor based pagination (after/before)",
            )
        rows = [show(row) for row in span.read(offset, size)]
        last = _last_page(len(span), size)
        links = _page_links(request, repo, page, last)
        # No page number leads over the border.
        if border and page < last and (last - 1) * size >= self._border:
            del links["last"]
            if offset + size >= self._border:
                del links["next"]
                links |= self._cursor_links(request, span, repo, offset, size)
        return _all(rows, links)

    def _cursor_links(
        self, request: Request, span: Span[R], repo: Repository | None, offset: int, size: int
    ) -> dict[str, str]:
        keys = span.keys(offset, size)
        links: dict[str, str] = {}
        if keys and offset + size < len(span):
            links["next"] = _link(request, repo, after=_cursor_text(keys[-1]))
        if keys and offset > 0:
            links["prev"] = _link(request, repo, before=_cursor_text(keys[0]))
        return links

    # The plain lists.

    def _listed(self, collection: Collection) -> Callable[[Request, Any], _Answer]:
        def answer(request: Request, home: Any) -> _Answer:
            if collection.for_those_who != "see" and _token(request) is None:
                raise _Refusal(401, "Requires authentication")
            if collection.for_those_who == "push" and not home.may_push:
                raise _Refusal(403, "Must have push access to repository")
            parent = None
            if collection.parents and "parent" in request.path_params:
                parent = collection.parents(home).get(request.path_params["parent"])
                if parent is None:
                    raise _Refusal(404, "Not Found")
            where = request.path_params if collection.alone else request.query_params
            try:
                span = collection.span(home, parent, where)
            except ValueError as error:
                raise _Refusal(422, f"Validation Failed: {error}") from None
            repo = home if isinstance(home, Repository) else None
            accepted = request.headers.get("accept", "")

            def show(row: Row) -> wire.Rendered:
                return collection.rendered(home, row, accepted)

            if collection.alone:
                if not (rows := span.read(0, 1)):
                    raise _Refusal(404, "Not Found")
                return _one(show(rows[0]))
            found = self._page(request, span, show, repo=repo)
            if collection.rows_at is None:
                return found
            head = wire.encode(collection.beside(span))[:-1] + b',"%s":' % collection.rows_at.encode()
            return replace(found, body=head + found.body + b"}", digest=head + found.digest)

        return answer

    def _single(self, collection: Collection) -> Callable[[Request, Any], _Answer]:
        def answer(request: Request, home: Any) -> _Answer:
            row = collection.rows(home).get(request.path_params["id"])
            if row is None:
                raise _Refusal(404, "Not Found")
            return _one(collection.rendered(home, row))

        return answer

    def _of_owner(self, collection: Collection) -> Callable[[Request], _Answer]:
        def answer(request: Request) -> _Answer:
            owner = self._owner(request)
            if owner.type != "Organization":
                raise _Refusal(404, "Not Found")
            return self._listed(collection)(request, owner)

        return answer

    # Accounts and repositories.

    async def _rate_limit(self, request: Request) -> Response:
        token = _token(request)
        if not self._is_known(token):
            return _error(401, "Bad credentials", {})
        quota = self._quotas.of(token, self._world.now())
        body = wire.encode({"resources": {"core": quota.state()}, "rate": quota.state()})
        return Response(body, media_type="application/json", headers=quota.headers())

    def _user(self, request: Request) -> _Answer:
        if _token(request) is None:
            raise _Refusal(401, "Requires authentication")
        return _one(wire.render(render.account(None, self._world.github.viewer)))

    def _licenses(self, _: Request) -> _Answer:
        return _all(
            [
                wire.render(
                    {
                        "key": key,
                        "name": name,
                        "spdx_id": spdx_id,
                        "url": f"https://api.github.com/licenses/{key}",
                        "node_id": render.node_id("LI", key),
                    }
                )
                for key, name, spdx_id in _LICENSES
            ]
        )

    def _of_user(self, request: Request) -> _Answer:
        """Public ones only, even of the token's own user.

        https://docs.github.com/en/rest/repos/repos#list-repositories-for-a-user
        """
        owner = self._owner(request)
        return self._repositories(
            request, "full_name", lambda repo: repo.owner is owner and not (repo.private or repo.hidden)
        )

    def _of_organization(self, request: Request) -> _Answer:
        owner = self._owner(request)
        if owner.type != "Organization":
            raise _Refusal(404, "Not Found")
        return self._repositories(request, "created", lambda repo: repo.owner is owner and _visible(request, repo))

    def _of_installation(self, request: Request) -> _Answer:
        """https://docs.github.com/en/rest/apps/installations#list-repositories-accessible-to-the-app-installation"""
        if not self._installation.has_issued(_token(request), self._world.now()):
            raise _Refusal(403, "You must authenticate with an installation access token")
        organization = next(iter(self._world.github.organizations.values()))
        found = self._repositories(request, "created", lambda repo: repo.owner is organization and not repo.hidden)
        head = b'{"repositories":'
        return replace(found, body=head + found.body + b"}", digest=head + found.digest)

    def _of_viewer(self, request: Request) -> _Answer:
        """All that the token's user may see; nobody is a collaborator here.

        https://docs.github.com/en/rest/repos/repos#list-repositories-for-the-authenticated-user
        """
        if _token(request) is None:
            raise _Refusal(401, "Requires authentication")
        viewer, query = self._world.github.viewer, request.query_params
        visibility = _choice(request, "visibility", ("all", "public", "private"))
        affiliations = query.get("affiliation", ",".join(_AFFILIATIONS)).split(",")
        if not set(affiliations) <= _AFFILIATIONS:
            raise _Refusal(422, "Validation Failed: affiliation")

        def fits(repo: Repository) -> bool:
            affiliation = "owner" if repo.owner is viewer else "organization_member"
            kind = "private" if repo.private else "public"
            return not repo.hidden and affiliation in affiliations and visibility in ("all", kind)

        return self._repositories(request, "full_name", fits)

    def _owner(self, request: Request) -> Account:
        forge, where = self._world.github, request.path_params
        if "owner_id" in where:
            owner = next((found for found in forge.organizations.values() if found.id == where["owner_id"]), None)
        else:
            owner = forge.account(where["owner"])
        if owner is None:
            raise _Refusal(404, "Not Found")
        return owner

    def _repositories(self, request: Request, sort: str, fits: Callable[[Repository], bool]) -> _Answer:
        """A list of repositories in the order asked for, or else by `sort`."""
        sort = _choice(request, "sort", (sort, "created", "updated", "pushed", "full_name"))
        by_name = sort == "full_name"
        span = View(
            ((repo.full_name if by_name else getattr(repo, f"{sort}_at"), repo.id), repo)
            for repo in self._world.github.repositories.values()
            if fits(repo)
        ).span(descending=_descending(request, not by_name))
        return self._page(request, span, _repository_for(request))

    def _repository(self, request: Request, repo: Repository) -> _Answer:
        return _one(_repository_for(request)(repo))

    # What a repository holds.

    def _issues(self, request: Request, repo: Repository) -> _Answer:
        _must_have_conversations(repo)
        state = _choice(request, "state", ("open", "closed", "all"))
        sort = _choice(request, "sort", ("created", "updated", "comments"))

        def keyed() -> Iterable[tuple[Key, Any]]:
            for row in repo.issues.values():
                if state in ("all", row.state) and repo.shows(row):
                    yield (_sort_value(row, sort), row.id), row

        descending = _descending(request, True)
        return self._list(request, repo, f"issues {state} {sort}", render.issue, keyed, descending, long_by=sort)

    def _issue(self, request: Request, repo: Repository) -> _Answer:
        number = request.path_params["number"]
        if number in repo.moved_issues:
            target, moved = repo.moved_issues[number]
            raise _Refusal(301, "Moved Permanently", Location=f"{_base(request)}/repositories/{target}/issues/{moved}")
        if number in repo.deleted_issues:
            raise _Refusal(410, "This issue was deleted")
        _must_have_issues(repo)
        if number not in repo.issues:
            raise _Refusal(404, "Not Found")
        return _one(repo.rendered(render.issue, repo.issues[number]))

    def _comments(self, request: Request, repo: Repository) -> _Answer:
        _must_have_conversations(repo)
        sort = _choice(request, "sort", ("created", "updated"))

        def keyed() -> Iterable[tuple[Key, Any]]:
            for row in filter(lambda row: repo.shows(row.issue), repo.comments.values()):
                yield (_sort_value(row, sort), row.id), row

        # Without a sort the direction is ignored, and comments come by their ids.
        descending = "sort" in request.query_params and _descending(request, False)
        return self._list(request, repo, f"comments {sort}", render.comment, keyed, descending, long_by=sort)

    def _comment(self, request: Request, repo: Repository) -> _Answer:
        row = repo.comments.get(request.path_params["id"])
        if row is None:
            raise _Refusal(404, "Not Found")
        return _one(repo.rendered(render.comment, row))

    def _pulls(self, request: Request, repo: Repository) -> _Answer:
        state = _choice(request, "state", ("open", "closed", "all"))
        sort = _choice(request, "sort", ("created", "updated", "popularity"))

        def keyed() -> Iterable[tuple[Key, Any]]:
            for row in repo.issues.values():
                if row.pull and state in ("all", row.state):
                    yield (_sort_value(row, sort), row.pull.id), row

        descending = _descending(request, sort == "created")
        return self._list(request, repo, f"pulls {state} {sort}", render.pull, keyed, descending)

    def _pull(self, request: Request, repo: Repository) -> _Answer:
        """Whether it can be merged is found out when somebody asks; the first who does is not told."""
        row = _pull_of(request, repo)
        assert row.pull
        if row.closed_at is None and row.pull.tested != row.pull.state_to_test:
            row.pull.tested = row.pull.state_to_test
            return _one(wire.render(details.pull_before_it_is_known(repo, row)))
        return _one(repo.rendered(render.pull_in_detail, row))

    def _files_of_pull(self, request: Request, repo: Repository) -> _Answer:
        return self._page_of(request, repo, details.files_of_pull(repo, _pull_of(request, repo))[:_FILES_SHOWN])

    def _commits_of_pull(self, request: Request, repo: Repository) -> _Answer:
        return self._page_of(request, repo, details.commits_of_pull(repo, _pull_of(request, repo))[:_COMMITS_SHOWN])

    def _page_of(self, request: Request, repo: Repository, rows: list[wire.Json]) -> _Answer:
        """A page of a list that is made for this request."""
        span = View(((place,), row) for place, row in enumerate(rows)).span()
        return self._page(request, span, wire.render, repo=repo)

    def _commits(self, request: Request, repo: Repository) -> _Answer:
        if not repo.branches:
            raise _Refusal(409, "Git Repository is empty.")
        sha = _resolve(repo, request.query_params.get("sha", repo.default_branch))
        if sha is None:
            raise _Refusal(404, "Not Found")
        span = repo.history(sha).span(descending=True)
        since, until = _time(request, "since"), _time(request, "until")
        if since is not None:
            span = span.at_least((since,))
        if until is not None:
            span = span.less_than((until + 1,))
        return self._page(request, span, lambda row: repo.rendered(render.commit, row), repo=repo)

    def _commit(self, request: Request, repo: Repository) -> _Answer:
        ref = request.path_params["ref"]
        sha = _resolve(repo, ref)
        if sha is None:
            raise _Refusal(422, f"No commit found for SHA: {ref}")
        commit = details.commit_in_detail(repo, repo.commits[sha])
        page = _number(request, "page", 1)
        size = min(_number(request, "per_page", _FILES_PER_PAGE), _FILES_PER_PAGE)
        last = _last_page(len(commit["files"]), size)
        whole = wire.render(commit | {"files": commit["files"][(page - 1) * size : page * size]})
        return _Answer(whole.body, whole.digest, _page_links(request, repo, page, last))

    def _compare(self, request: Request, repo: Repository) -> _Answer:
        basehead = request.path_params["basehead"]
        base_ref, _, head_ref = basehead.partition("...")
        base, head = _resolve(repo, base_ref), _resolve(repo, head_ref)
        if base is None or head is None:
            raise _Refusal(404, "Not Found")
        found = compare(repo, base, head)
        if found is None:
            raise _Refusal(404, f"No common ancestor between {base_ref} and {head_ref}.")
        if not {"page", "per_page"} & set(request.query_params):
            # Without a page the newest are shown, and with one the oldest come first.
            newest = found.ahead[-_COMPARED_AT_MOST:]
            return _one(wire.render(comparison(repo, basehead, found, newest)))
        page, size = _place(request)
        commits = found.ahead[(page - 1) * size : page * size]
        links = _page_links(request, repo, page, _last_page(len(found.ahead), size))
        whole = wire.render(comparison(repo, basehead, found, commits))
        return _Answer(whole.body, whole.digest, links)

    def _releases(self, request: Request, repo: Repository) -> _Answer:
        shown = (row for row in repo.releases.values() if repo.may_push or not row.draft)
        keyed = (((row.created_at, row.id), row) for row in shown)
        return self._list(request, repo, "releases", render.release, lambda: keyed, descending=True)

    def _labels(self, request: Request, repo: Repository) -> _Answer:
        keyed = (((row.id,), row) for row in repo.labels.values())
        return self._list(request, repo, "labels", render.label, lambda: keyed)

    def _milestones(self, request: Request, repo: Repository) -> _Answer:
        state = _choice(request, "state", ("open", "closed", "all"))
        # By due date; those without one come last, as at GitHub.
        keyed = (
            ((row.due_on is None, row.due_on or 0, row.number), row)
            for row in repo.milestones.values()
            if state == "all" or (state == "open") == (row.closed_at is None)
        )
        descending = _descending(request, False)
        return self._list(request, repo, f"milestones {state}", render.milestone, lambda: keyed, descending)

    def _branches(self, request: Request, repo: Repository) -> _Answer:
        keyed = (((row.name,), row) for row in repo.branches.values())
        return self._list(request, repo, "branches", render.branch, lambda: keyed)

    def _list(
        self,
        request: Request,
        repo: Repository,
        name: str,
        show: Callable[[Repository, Any], wire.Json],
        keyed: Callable[[], Iterable[tuple[Key, Any]]],
        descending: bool = False,
        *,
        long_by: str = "",
    ) -> _Answer:
        """A page of the rows of a repository; a long list, by its sort, has a border and takes ``since``."""
        shown = f"{name} {repo.has_issues} {repo.has_pull_requests}"
        span = repo.view(shown, keyed).span(descending=descending)
        since = _time(request, "since") if long_by else None
        if since is not None and long_by == "updated":
            span = span.at_least((since,))
        elif since is not None:
            span = View((key, row) for key, row in keyed() if row.updated_at >= since).span(descending=descending)
        return self._page(request, span, lambda row: repo.rendered(show, row), repo=repo, border=bool(long_by))


def _of_pulls(handler: Callable[[Request, Repository], _Answer]) -> Callable[[Request, Repository], _Answer]:
    """Where pull requests are switched off, GitHub has nothing there, for whatever credential.

    https://github.com/josegonzalez/python-github-backup/pull/516
    """

    def handle(request: Request, repo: Repository) -> _Answer:
        if not repo.has_pull_requests:
            raise _Refusal(404, "Not Found")
        return handler(request, repo)

    return handle


def _must_have_conversations(repo: Repository) -> None:
    """GitHub documents no 410 for these lists: where issues are switched off, they have pull requests alone."""
    if not repo.has_pull_requests:
        _must_have_issues(repo)


def _must_have_issues(repo: Repository) -> None:
    if not repo.has_issues:
        raise _Refusal(410, "Issues has been disabled in this repository.")


def _pull_of(request: Request, repo: Repository) -> Issue:
    row = repo.issues.get(request.path_params["number"])
    if row is None or row.pull is None:
        raise _Refusal(404, "Not Found")
    return row


def _nothing(_: Request) -> _Answer:
    raise _Refusal(404, "Not Found")


def _visible(request: Request, repo: Repository) -> bool:
    """Every token is the viewer's; to whoever has none a private repository does not exist."""
    return not repo.hidden and (not repo.private or _token(request) is not None)


def _repository_for(request: Request) -> Callable[[Repository], wire.Rendered]:
    show = render.repository if _token(request) else render.repository_for_anybody
    return lambda repo: repo.rendered(show, repo)


def _sort_value(row: Any, sort: str) -> int:
    value: int = row.comments if sort in ("comments", "popularity") else getattr(row, f"{sort}_at")
    return value


def _resolve(repo: Repository, ref: str) -> str | None:
    """The sha of a branch, or a sha that exists."""
    if ref in repo.branches:
        return repo.branches[ref].sha
    return ref if ref in repo.commits else None


def _token(request: Request) -> str | None:
    header = request.headers.get("authorization")
    if header is None:
        return None
    _, _, token = header.partition(" ")
    return token.strip()


def _error(status: int, message: str, headers: dict[str, str]) -> Response:
    body = {"message": message, "documentation_url": _DOCS, "status": str(status)}
    if "Location" in headers:
        body["url"] = headers["Location"]
    return Response(
        wire.encode(body),
        status_code=status,
        media_type="application/json; charset=utf-8",
        headers=headers,
    )


def _base(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}{request.scope['root_path']}"


def _link(request: Request, repo: Repository | None, **place: int | str) -> str:
    """The address of another page of this list, by the repository's id as GitHub writes it."""
    path = request.url.path.removeprefix(request.scope["root_path"])
    if repo is not None:
        path = re.sub(r"^/repos/[^/]+/[^/]+", f"/repositories/{repo.id}", path)
    query = [
        (name, value) for name, value in request.query_params.multi_items() if name not in ("page", "after", "before")
    ]
    return f"{_base(request)}{path}?{urlencode([*query, *place.items()])}"


def _place(request: Request) -> tuple[int, int]:
    """The page that is asked for, from 1 on, and its length in rows."""
    size = min(max(_number(request, "per_page", _PER_PAGE), 1), _PER_PAGE_AT_MOST)
    return max(_number(request, "page", 1), 1), size


def _last_page(rows: int, size: int) -> int:
    """The number of the last page; a list without rows has one page too."""
    return max(1, -(-rows // size))


def _page_links(request: Request, repo: Repository | None, page: int, last: int) -> dict[str, str]:
    """The addresses of the pages around one of a list."""
    pages: dict[str, int] = {}
    if page > 1:
        pages["prev"] = min(page - 1, last)
    if page < last:
        pages |= {"next": page + 1, "last": last}
    if page > 1:
        pages["first"] = 1
    return {name: _link(request, repo, page=number) for name, number in pages.items()}


def _number(request: Request, name: str, otherwise: int) -> int:
    try:
        return int(request.query_params.get(name, otherwise))
    except ValueError:
        return otherwise


def _choice(request: Request, name: str, values: tuple[str, ...]) -> str:
    """A parameter with the first of its values as default."""
    value = request.query_params.get(name, values[0])
    if value not in values:
        raise _Refusal(422, f"Validation Failed: {name} must be one of {', '.join(values)}")
    return value


def _descending(request: Request, otherwise: bool) -> bool:
    return _choice(request, "direction", ("desc" if otherwise else "asc", "asc", "desc")) == "desc"


def _time(request: Request, name: str) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        # A plus sign that was not quoted arrives as a space.
        return wire.parse_iso(text.replace(" ", "+"))
    except ValueError:
        raise _Refusal(422, f"Validation Failed: {name} is no ISO 8601 time") from None


def _cursor_text(key: Key) -> str:
    return urlsafe_b64encode(wire.encode(key)).decode()


def _cursor(text: str) -> Key:
    try:
        return msgspec.json.decode(urlsafe_b64decode(text), type=tuple[int, int])
    except (ValueError, msgspec.DecodeError):
        raise _Refusal(422, "Validation Failed: no such cursor") from None


def _hash(digest: bytes, token: str) -> str:
    return blake2b(digest + token.encode(), digest_size=16).hexdigest()
