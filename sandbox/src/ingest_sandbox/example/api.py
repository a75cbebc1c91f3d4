"""The plain API's one route, under ``/example``.

    GET /example/v1/items?updated_since=2025-03-31T00:00:00Z&page=2&per_page=100

answers ``{"items": [...], "page": 2, "has_more": true}``: what changed since then, deleted items
too, in the order of their ids. It takes a bearer token; a refusal is ``{"error": "..."}``.
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from .. import wire
from ..wire import Json
from ..world import World

PREFIX = "/example"
_PARAMETERS = {"updated_since", "page", "per_page"}
_PER_PAGE = 50
_PER_PAGE_AT_MOST = 100


class _Refusal(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ExampleApi:
    """The API over a world, for whoever has the token."""

    def __init__(self, world: World, *, token: str) -> None:
        self._world = world
        self._token = token

    def routes(self) -> list[BaseRoute]:
        return [Route("/v1/items", self._endpoint)]

    async def _endpoint(self, request: Request) -> Response:
        try:
            status, answer = 200, self._items(request)
        except _Refusal as refusal:
            status, answer = refusal.status, {"error": str(refusal)}
        return Response(wire.encode(answer), status_code=status, media_type="application/json")

    def _items(self, request: Request) -> Json:
        if request.headers.get("authorization") != f"Bearer {self._token}":
            raise _Refusal(401, "a valid bearer token is needed")
        if unknown := sorted(set(request.query_params) - _PARAMETERS):
            raise _Refusal(400, f"unknown parameter: {unknown[0]}")
        rows = self._changed(request.query_params.get("updated_since"))
        page = _number(request, "page", 1)
        per_page = min(_number(request, "per_page", _PER_PAGE), _PER_PAGE_AT_MOST)
        stop = page * per_page
        return {"items": rows[stop - per_page : stop], "page": page, "has_more": stop < len(rows)}

    def _changed(self, since: str | None) -> list[Json]:
        rows = list(self._world.example.rows.values())
        if since is None:
            return rows
        try:
            from_then = wire.iso(wire.parse_iso(since))
        except ValueError:
            raise _Refusal(400, f"updated_since: {since!r} is not a time") from None
        return [row for row in rows if row["updated_at"] >= from_then]


def _number(request: Request, name: str, otherwise: int) -> int:
    text = request.query_params.get(name, str(otherwise))
    if not text.isdecimal() or int(text) < 1:
        raise _Refusal(400, f"{name}: {text!r} is not a number greater than zero")
    return int(text)
