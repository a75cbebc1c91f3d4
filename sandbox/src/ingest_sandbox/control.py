"""The control routes, under ``/_sandbox``, without a key.

======  ==================================  ====================================================
GET     /_sandbox/health                    ``{"status": "ok"}``
GET     /_sandbox/clock                     ``{"now", "offset_seconds", "anchor"}``
POST    /_sandbox/clock                     ``{"advance_seconds": n}``; the clock as above
GET     /_sandbox/kinds                     every kind of change and the fields it can ``set``
POST    /_sandbox/changes                   one change; ``{"kind", "at", "changed": [...]}``
POST    /_sandbox/changes/random            ``{"seed", "count", "apis", "without"}``; a list of the above
GET     /_sandbox/objects/{api}             the collections, with their numbers of objects
GET     /_sandbox/objects/{api}/{name}      all objects of a collection as they are now
GET     /_sandbox/objects/{api}/{name}/deleted   those deleted since the world began
GET     /_sandbox/faults                    the plan, with how often each fault struck
POST    /_sandbox/faults                    ``{"latency_ms", "faults": [...]}``: a new plan
PUT     /_sandbox/faults                    one fault more
DELETE  /_sandbox/faults                    no faults, and the latency of the start
GET     /_sandbox/requests                  counts since the last reset, see below
DELETE  /_sandbox/requests                  count from zero
======  ==================================  ====================================================

A change is ``{"kind": ..., "repository": "acme/api", "number": 3, "id": ..., "set": {...},
"live": false, "connected": false, "late": 0, "untold": [], "seed": 0}``; only ``kind`` is needed, and what is not
named is picked by the seed. A change that fits nothing is answered 409 and does nothing; a malformed request 400.

Objects are in the shape of the API, with nested lists whole. GitHub's come as
``{"repository_id": ..., "object": {...}}``, pull requests in the detailed shape, from the
repositories of the organizations or, with ``?owner=LOGIN``, of that owner; Stripe's as they
are, canceled subscriptions and events over 30 days old included, and those of live mode under
``stripe_live``, which a change with ``"live": true`` is about; items of the plain API as they
are, deleted ones included. Of those deleted since the world began each is
``{"id", "deleted": true, "deleted_at"}``, at GitHub with ``repository_id`` and, where it has
one, ``number`` or name. Lists of organizations have ``organization_id`` in its place, and what a row
is known by besides its own fields (the pull request of a review) stands in ``given``.

Requests are ``{"total": {"github": n}, "by_status": {"github": {"200": n}}, "by_path":
{"/github/repositories/{id}/issues": n}, "max_concurrent": {"github": n}, "max_per_second":
{"github": n}, "max_per_minute": {"github": n}, "max_per_second_by_path": {...}, "seconds":
{"github": s}}``: the most that came within any second or minute of real time, and the time from
the first to the latest. Paths have their ids taken out, see `ingest_sandbox.paths`; past 100
different ones, new ones count as ``other``.
"""

from collections.abc import Callable, Iterable
from typing import Annotated, Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from . import wire
from .faults import Fault, Gate, Plan
from .github import details, render
from .github.model import Account, Repository
from .github.plain import COLLECTIONS
from .github.plain.collection import Collection
from .moment import Change, ChangeRefused
from .stripe.books import Books
from .stripe.resources import RESOURCES
from .traffic import Counts, Requests
from .world import APIS, KINDS, World

T = TypeVar("T")


class _Advance(msgspec.Struct, forbid_unknown_fields=True):
    advance_seconds: Annotated[int, msgspec.Meta(ge=0)]


class _Random(msgspec.Struct, forbid_unknown_fields=True):
    seed: int = 0
    count: Annotated[int, msgspec.Meta(ge=0)] = 1
    apis: tuple[str, ...] = APIS
    without: tuple[str, ...] = ()


def _commit_branches(repo: Repository) -> Iterable[Any]:
    for branch in repo.branches.values():
        for commit in repo.history(branch.sha).rows:
            yield {"branch": branch.name, "sha": commit.sha}


def _reachable(repo: Repository) -> Iterable[Any]:
    """Each commit that a branch leads to, once."""
    found = {commit.sha: commit for branch in repo.branches.values() for commit in repo.history(branch.sha).rows}
    return (repo.rendered(render.commit, commit).raw for commit in found.values())


# How to give all objects of a collection of one repository.
_GITHUB: dict[str, Callable[[Repository], Iterable[Any]]] = {
    "repositories": lambda repo: [repo.rendered(render.repository, repo).raw],
    "issues": lambda repo: (repo.rendered(render.issue, row).raw for row in repo.issues.values()),
    "pull_requests": lambda repo: (repo.rendered(render.pull, row).raw for row in repo.issues.values() if row.pull),
    "issue_comments": lambda repo: (repo.rendered(render.comment, row).raw for row in repo.comments.values()),
    "commits": _reachable,
    "commit_branches": _commit_branches,
    "branches": lambda repo: (repo.rendered(render.branch, row).raw for row in repo.branches.values()),
    "labels": lambda repo: (repo.rendered(render.label, row).raw for row in repo.labels.values()),
    "milestones": lambda repo: (repo.rendered(render.milestone, row).raw for row in repo.milestones.values()),
    "releases": lambda repo: (repo.rendered(render.release, row).raw for row in repo.releases.values()),
}


# The two modes of one account, and an account that is connected to it.
_STRIPE: dict[str, Callable[[World], Books]] = {
    "stripe": lambda world: world.stripe,
    "stripe_live": lambda world: world.stripe_live,
    "stripe_connected": lambda world: world.stripe_connected,
}


_PLAIN = {collection.name: collection for collection in COLLECTIONS}


def _held_plainly(world: World, collection: Collection, owner: Account | None) -> list[Any]:
    if collection.of_organization:
        owners = [owner] if owner else world.github.organizations.values()
        return [{"organization_id": one.id, **row} for one in owners for row in collection.held(one)]
    return [{"repository_id": repo.id, **row} for repo in _seen(world, owner) for row in collection.held(repo)]


def _seen(world: World, owner: Account | None) -> list[Repository]:
    """The repositories of an owner that tokens may see."""
    return [repo for repo in world.github.owned(owner) if not repo.hidden]


def held(world: World, api: str, collection: str, owner: str | None = None) -> list[Any]:
    """All objects of a collection, ready to be encoded; raises `KeyError` for no such one.

    GitHub's are those of the organizations' repositories, or of an owner's.
    """
    if api == "github":
        account = world.github.account(owner) if owner else None
        if owner and account is None:
            raise KeyError(owner)
        if collection in details.COLLECTIONS:
            return [
                {"repository_id": repo.id, **row}
                for repo in _seen(world, account)
                for row in details.held(collection, repo)
            ]
        if collection in _PLAIN:
            return _held_plainly(world, _PLAIN[collection], account)
        give = _GITHUB[collection]
        return [{"repository_id": repo.id, "object": found} for repo in _seen(world, account) for found in give(repo)]
    if api in _STRIPE:
        return [row.object for row in _STRIPE[api](world).tables[collection].rows.values()]
    if api == "example":
        return list({"items": world.example.rows}[collection].values())
    raise KeyError(api)


def deleted(world: World, api: str, collection: str) -> list[Any]:
    """All deletions of a collection since the world began; raises `KeyError` for no such one."""
    if api == "github":
        _ = (_PLAIN | details.COLLECTIONS | _GITHUB)[collection]
        return [
            {name: value for name, value in gone.items() if name != "collection"} | {"deleted": True}
            for gone in world.github.deleted
            if gone["collection"] == collection
        ]
    if api in _STRIPE:
        gone = _STRIPE[api](world).tables[collection].deleted
        return [{"id": id, "deleted": True, "deleted_at": at} for id, at in gone.items()]
    if api == "example":
        rows = {"items": world.example.rows}[collection].values()
        return [
            {"id": row["id"], "deleted": True, "deleted_at": wire.parse_iso(row["deleted_at"])}
            for row in rows
            if row["deleted_at"]
        ]
    raise KeyError(api)


class Control:
    """The control routes over a world and the gate before its APIs."""

    def __init__(self, world: World, gate: Callable[[], Gate]) -> None:
        self._world = world
        self._gate = gate

    def routes(self) -> list[BaseRoute]:
        handlers: list[tuple[str, str, Callable[[Request, bytes], Any]]] = [
            ("GET", "/health", lambda _, __: {"status": "ok"}),
            ("GET", "/clock", lambda _, __: self._clock()),
            ("POST", "/clock", self._advance),
            ("GET", "/kinds", lambda _, __: _kinds()),
            ("POST", "/changes", lambda _, body: self._world.change(_read(body, Change))),
            ("POST", "/changes/random", self._random),
            ("GET", "/objects/{api}", self._collections),
            ("GET", "/objects/{api}/{collection}", self._objects),
            ("GET", "/objects/{api}/{collection}/deleted", self._deleted),
            ("GET", "/faults", lambda _, __: self._gate().plan),
            ("POST", "/faults", self._set_faults),
            ("PUT", "/faults", self._add_fault),
            ("DELETE", "/faults", self._clear_faults),
            ("GET", "/requests", lambda _, __: self._gate().requests.counts),
            ("DELETE", "/requests", self._reset_requests),
        ]
        return [Route(path, _endpoint(handler), methods=[method]) for method, path, handler in handlers]

    def _clock(self) -> dict[str, int]:
        world = self._world
        return {"now": world.now(), "offset_seconds": world.offset, "anchor": world.anchor}

    def _advance(self, _: Request, body: bytes) -> dict[str, int]:
        self._world.advance(_read(body, _Advance).advance_seconds)
        return self._clock()

    def _random(self, _: Request, body: bytes) -> Any:
        wanted = _read(body or b"{}", _Random)
        return self._world.random_changes(wanted.seed, wanted.count, wanted.apis, wanted.without)

    def _collections(self, request: Request, _: bytes) -> Any:
        api = request.path_params["api"]
        names = {
            "github": (*_GITHUB, *_PLAIN, *details.COLLECTIONS),
            **dict.fromkeys(_STRIPE, RESOURCES),
            "example": ("items",),
        }[api]
        return {name: len(held(self._world, api, name)) for name in names}

    def _objects(self, request: Request, _: bytes) -> Any:
        where, owner = request.path_params, request.query_params.get("owner")
        return held(self._world, where["api"], where["collection"], owner)

    def _deleted(self, request: Request, _: bytes) -> Any:
        return deleted(self._world, request.path_params["api"], request.path_params["collection"])

    def _set_faults(self, _: Request, body: bytes) -> Plan:
        self._gate().plan = _read(body, Plan)
        return self._gate().plan

    def _add_fault(self, _: Request, body: bytes) -> Plan:
        self._gate().plan.faults.append(_read(body, Fault))
        return self._gate().plan

    def _clear_faults(self, _: Request, __: bytes) -> Plan:
        self._gate().clear()
        return self._gate().plan

    def _reset_requests(self, _: Request, __: bytes) -> Counts:
        self._gate().requests = Requests()
        return self._gate().requests.counts


def _kinds() -> dict[str, list[str]]:
    return {kind: sorted(spec.settable) for kind, spec in KINDS.items()}


def _read(body: bytes, type: Any) -> Any:
    return msgspec.json.decode(body, type=type)


def _endpoint(handler: Callable[[Request, bytes], Any]) -> Callable[..., Any]:
    async def endpoint(request: Request) -> Response:
        try:
            status, answer = 200, handler(request, await request.body())
        except ChangeRefused as refusal:
            status, answer = 409, {"error": str(refusal)}
        except KeyError as missing:
            status, answer = 404, {"error": f"nothing is called {missing}"}
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            status, answer = 400, {"error": str(error)}
        return Response(wire.encode(answer), status_code=status, media_type="application/json")

    return endpoint
