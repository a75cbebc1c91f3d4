"""Dagster's webserver behind the gate: https://docs.dagster.io/guides/operate/webserver"""

import json
import secrets
from collections.abc import Callable, Collection, Coroutine
from dataclasses import replace
from html import escape
from typing import Any

import psycopg2
from dagster import AssetKey
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster_graphql.schema import create_schema
from dagster_webserver import graphql
from dagster_webserver.webserver import DagsterWebserver
from graphene import Schema
from graphql import ASTValidationRule, GraphQLError, parse, specified_rules, validate
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from ingest_host.access.audit import Trail
from ingest_host.access.bounds import Bounded
from ingest_host.access.gate import Gate, session_of
from ingest_host.access.login import LoginFailed, Provider, inner_path
from ingest_host.access.permissions import VIEWER, ViewerContext
from ingest_host.access.policy import NOBODY, OpenID, Viewer
from ingest_host.access.rules import guard
from ingest_host.access.session import PLAIN_COOKIE, SECONDS, SECURE_COOKIE, Sessions
from ingest_host.access.settings import Settings
from ingest_host.text import fault

LOGIN_SECONDS = 600
"""The longest that a login may take."""
LONGEST_QUERY = 65_536
"""Characters; the UI's own have far fewer. Validating a query that repeats a field takes quadratic time."""
TOO_LONG = f"a query may have at most {LONGEST_QUERY} characters: pass values as its variables"
NO_QUERY = 'the body must be JSON: {"query": "...", "variables": {...}, "operationName": "..."}, with a query at least'
_PAGE = "<!doctype html><title>Dagster</title><body style='font-family:sans-serif;margin:4em'>{}</body>"


class Escaped(JSONResponse):
    """JSON in ASCII, which can represent half a surrogate pair; on one, Dagster's own JSON response fails with 500."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()


class GuardedWebserver(DagsterWebserver[WorkspaceProcessContext, ViewerContext]):
    """Dagster's webserver, where a request has its viewer's permissions and every mutation is guarded."""

    def __init__(self, process_context: WorkspaceProcessContext, trail: Trail, poll_milliseconds: int) -> None:
        self._trail = trail
        super().__init__(process_context, "", poll_milliseconds)

    def make_csp_header(self, nonce: str) -> str:
        """Returns Dagster's policy, with images and media from this server only: another would learn who views it."""
        return f"{super().make_csp_header(nonce).rstrip('; ')}; img-src 'self' data:; media-src 'self'"

    def build_graphql_schema(self) -> Schema:
        return guard(create_schema(), self._trail)

    def build_graphql_validation_rules(self) -> Collection[type[ASTValidationRule]]:
        return [Bounded, *specified_rules]

    def _make_request_context(self, conn: HTTPConnection) -> ViewerContext:
        return ViewerContext(self._process_context, conn)

    async def graphql_http_endpoint(self, request: Request) -> Response:
        """Refuses a body that is no query, on which Dagster's own endpoint would fail with 500."""
        if request.method == "POST":
            try:
                given = await request.json()  # which the request keeps, so that it is parsed only once
            except (ValueError, RecursionError):
                given = None
            if not _is_query(given):
                return JSONResponse({"errors": [{"message": NO_QUERY}]}, 400)
        answer: Response = await super().graphql_http_endpoint(request)
        return answer

    async def execute_graphql_request(self, request: Request, query: str, *rest: Any, **options: Any) -> Any:
        if len(query) > LONGEST_QUERY:
            return JSONResponse({"errors": [{"message": TOO_LONG}]}, 413)
        return await super().execute_graphql_request(request, query, *rest, **options)

    async def execute_graphql_subscription(
        self, websocket: WebSocket, operation_id: str, query: str, *rest: Any, **options: Any
    ) -> Any:
        if len(query) > LONGEST_QUERY:
            return None, GraphQLError(TOO_LONG).formatted
        try:  # graphene validates a subscription itself, but only against the standard rules
            wrong = validate(self._graphene_schema.graphql_schema, parse(query), [Bounded])
        except GraphQLError as error:
            wrong = [error]
        if wrong:
            return None, wrong[0].formatted
        return await super().execute_graphql_subscription(websocket, operation_id, query, *rest, **options)

    async def report_asset_materialization_endpoint(self, request: Request) -> JSONResponse:
        return await self._recorded(request, super().report_asset_materialization_endpoint)

    async def report_asset_check_endpoint(self, request: Request) -> JSONResponse:
        return await self._recorded(request, super().report_asset_check_endpoint)

    async def report_asset_observation_endpoint(self, request: Request) -> JSONResponse:
        return await self._recorded(request, super().report_asset_observation_endpoint)

    async def _recorded(
        self, request: Request, endpoint: Callable[[Request], Coroutine[Any, Any, JSONResponse]]
    ) -> JSONResponse:
        """Records a call of an endpoint that writes but is not a mutation. Dagster checks the permission itself."""
        self._trail.check()
        viewer, path = request.scope[VIEWER], request.url.path
        asset = request.path_params.get("asset_key")
        if not asset:  # Dagster accepts it in the query or the body, too, but then the trail would not name it
            return JSONResponse({"error": f"name the asset in the path: {path.rstrip('/')}/<asset key>"}, 400)
        try:
            wrong = fault([asset, json.loads(await request.body() or "null")])
        except ValueError as error:
            return JSONResponse({"error": f"the body is not JSON: {error}"}, 400)
        if wrong:
            return JSONResponse({"error": f"the path or the body contains {wrong}"}, 400)
        answer = await endpoint(request)
        key = AssetKey.from_user_string(asset)
        locations = ViewerContext(self._process_context, request).locations_of([key]) or ()
        outcome = {200: "done", 401: "refused"}.get(answer.status_code, "failed")
        self._trail.record(viewer.name, viewer.how, path.split("/")[1], locations, {"path": path}, outcome)
        return answer


class _Steps(SessionMiddleware):
    """The cookie of a login in progress, which only this host can set if `url` is https.

    Otherwise another host of the same domain could set it, and log a browser in as anyone it likes.
    """

    def __init__(self, app: ASGIApp, /, settings: Settings, **options: Any) -> None:
        super().__init__(app, **options)
        self._settings, self._name, self._flags = settings, self.session_cookie, self.security_flags

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_https = self._settings.load().is_https
        self.session_cookie = f"__Host-{self._name}" if is_https else self._name
        self.security_flags = f"{self._flags}; secure" if is_https else self._flags
        await super().__call__(scope, receive, send)


class Login:
    """The pages under /auth."""

    def __init__(self, settings: Settings, sessions: Sessions, trail: Trail) -> None:
        self._settings, self._sessions, self._trail = settings, sessions, trail
        self._provider: Provider | None = None

    def routes(self) -> list[BaseRoute]:
        return [
            Mount(
                "/auth",
                routes=[
                    Route("/", self.who),
                    Route("/status", self.status),
                    Route("/login", self.login),
                    Route("/callback", self.callback),
                    Route("/logout", self.logout, methods=["POST"]),
                ],
                middleware=[
                    Middleware(
                        _Steps,
                        settings=self._settings,
                        secret_key=secrets.token_urlsafe(32),
                        session_cookie="ingest_login",
                        max_age=LOGIN_SECONDS,
                    )
                ],
            )
        ]

    async def login(self, request: Request) -> Response:
        access = self._settings.load()
        if not isinstance(access.login, OpenID):
            return RedirectResponse("/", 303)
        state = secrets.token_urlsafe(24)
        request.session.clear()
        request.session["next"] = inner_path(request.query_params.get("next", "/"))
        try:
            return await self._at(access.login).begin(request, f"{access.url}/auth/callback", state)
        except LoginFailed as failed:
            return _page(str(failed), 502)

    async def callback(self, request: Request) -> Response:
        access = self._settings.load()
        if not isinstance(access.login, OpenID):
            return RedirectResponse("/", 303)
        after = inner_path(request.session.get("next", "/"))
        try:
            session = await self._at(access.login).end(request)
        except LoginFailed as failed:
            return _page(str(failed), 400)
        finally:
            request.session.clear()
        # All groups could make the cookie larger than a browser accepts.
        session = replace(session, groups=tuple(group for group in session.groups if group in access.groups))
        self._record(session.name, "login", list(session.groups))
        if not access.grants_of(session.groups):
            return _page(f"{session.name} is logged in, but none of their groups has a role in access.yaml.", 403)
        response = RedirectResponse(after, 303)
        response.set_cookie(
            SECURE_COOKIE if access.is_https else PLAIN_COOKIE,
            self._sessions.cookie(session),
            max_age=SECONDS,
            httponly=True,
            samesite="lax",
            secure=access.is_https,
        )
        return response

    async def logout(self, request: Request) -> Response:
        access = self._settings.load()
        if session := session_of(request, access, self._sessions):
            self._sessions.end(session)
            self._record(session.name, "logout", [])
        response = _page("You are logged out. <a href='/auth/login'>Log in</a>", 200, is_html=True)
        response.delete_cookie(
            SECURE_COOKIE if access.is_https else PLAIN_COOKIE, secure=access.is_https, httponly=True, samesite="lax"
        )
        return response

    async def who(self, request: Request) -> Response:
        viewer: Viewer = request.scope[VIEWER]
        roles = "; ".join(map(str, viewer.grants))
        text = f"<p>{escape(viewer.name)}: {escape(roles)}</p><p><a href='/'>To the UI</a></p>"
        if viewer.how == "session":
            text += "<form method=post action=/auth/logout><button>Log out</button></form>"
        return _page(text, 200, is_html=True)

    async def status(self, request: Request) -> Response:
        """Returns what `make status` shows."""
        viewer: Viewer = request.scope.get(VIEWER, NOBODY)
        login = self._settings.describe(self._settings.load())
        return JSONResponse({"login": login, "viewer": viewer.name, "roles": [*map(str, viewer.grants)]})

    def _at(self, settings: OpenID) -> Provider:
        if self._provider is None or self._provider.settings != settings:
            self._provider = Provider(settings, self._settings.client_secret)
        return self._provider

    def _record(self, name: str, action: str, groups: list[str]) -> None:
        self._trail.record(name, "session", action, (), {"groups": groups} if groups else {}, "done")


def build_app(
    process_context: WorkspaceProcessContext, settings: Settings, trail: Trail, poll_milliseconds: int, **options: Any
) -> Starlette:
    """Returns the webserver's ASGI application; raises ``AccessError`` if `access.yaml` is not valid."""
    sessions = Sessions()
    graphql.JSONResponse = Escaped  # type: ignore[attr-defined]
    app = GuardedWebserver(process_context, trail, poll_milliseconds).create_asgi_app(**options)
    app.router.routes[:0] = Login(settings, sessions, trail).routes()
    app.add_middleware(Gate, settings=settings, sessions=sessions)
    app.add_exception_handler(psycopg2.Error, _unrecorded)
    return app


def _unrecorded(_request: Request, error: Exception) -> Response:
    return JSONResponse({"error": f"The audit trail cannot be written to, so nothing was done: {error}"}, 503)


def _is_query(given: Any) -> bool:
    return (
        isinstance(given, dict)
        and isinstance(given.get("query"), str)
        and isinstance(given.get("variables"), dict | None)
        and isinstance(given.get("operationName"), str | None)
    )


def _page(text: str, status: int, *, is_html: bool = False) -> HTMLResponse:
    return HTMLResponse(_PAGE.format(text if is_html else escape(text)), status, {"Cache-Control": "no-store"})
