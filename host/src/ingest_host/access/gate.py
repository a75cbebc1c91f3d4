"""Checks every request before it reaches Dagster's webserver: its host, its origin and its sender."""

from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingest_host.access.permissions import VIEWER
from ingest_host.access.policy import ANYONE_HERE, NOBODY, Access, OpenID, Proxy, Viewer
from ingest_host.access.session import PLAIN_COOKIE, SECURE_COOKIE, Session, Sessions
from ingest_host.access.settings import Settings

PEER = "x-ingest-peer"
"""The header with the address of the front's client; it can be trusted, as only the front reaches the webserver."""
HEALTH = "/healthz"
OPEN = ("/auth/login", "/auth/callback", "/auth/status")
LOGOUT = "/auth/logout"
JSON = "application/json"


class Refusal(Exception):
    """A request is refused, with this status and text in the response."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Gate:
    """ASGI middleware that only lets requests from known senders through."""

    def __init__(self, app: ASGIApp, settings: Settings, sessions: Sessions) -> None:
        self._app, self._settings, self._sessions = app, settings, sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        if scope["type"] == "http" and scope["path"] == HEALTH:
            await Response("ok\n", media_type="text/plain")(scope, receive, send)
            return
        access = self._settings.load()
        connection = HTTPConnection(scope)
        try:
            _check_target(connection, self._settings.hosts(access))
            scope[VIEWER] = self._viewer(connection, access)
        except Refusal as refusal:
            await _refuse(refusal, access, scope, receive, send)
            return
        sending = _framed_by_nobody(send) if scope["type"] == "http" else self._while_known(connection, send)
        await self._app(scope, receive, sending)

    def _while_known(self, connection: HTTPConnection, send: Send) -> Send:
        """Returns a ``send`` that closes the WebSocket as soon as its session or token is no longer valid."""

        async def sending(message: Message) -> None:
            try:
                self._viewer(connection, self._settings.load())
            except Refusal:
                message = {"type": "websocket.close", "code": 4401}
            await send(message)

        return sending

    def _viewer(self, connection: HTTPConnection, access: Access) -> Viewer:
        """Returns who sent the request; raises :class:`Refusal` if they may see nothing but the login."""
        given = connection.headers.getlist("authorization")
        if given:
            viewer = _by_token(given, access)
        elif access.login is None:
            viewer = ANYONE_HERE
        elif isinstance(access.login, Proxy):
            viewer = _by_proxy(connection.headers, access.login, access)
        else:
            viewer = self._by_session(connection, access)
        path = connection.scope["path"]
        if viewer is NOBODY and path not in OPEN:
            raise Refusal(401, "Log in at /auth/login, or send a token: Authorization: Bearer ...")
        if not viewer.grants and path not in (*OPEN, LOGOUT):
            raise Refusal(403, f"{viewer.name} is logged in, but none of their groups has a role in access.yaml")
        return viewer

    def _by_session(self, connection: HTTPConnection, access: Access) -> Viewer:
        session = session_of(connection, access, self._sessions)
        return Viewer(session.name, "session", access.grants_of(session.groups)) if session else NOBODY


def session_of(connection: HTTPConnection, access: Access, sessions: Sessions) -> Session | None:
    """Returns the session of the request's cookie; None if it has none, or two: another host may have set one."""
    cookies = [one.strip() for header in connection.headers.getlist("cookie") for one in header.split(";")]
    name = SECURE_COOKIE if access.is_https else PLAIN_COOKIE
    values = [one.removeprefix(f"{name}=") for one in cookies if one.startswith(f"{name}=")]
    return sessions.read(values[0]) if len(values) == 1 else None


def _check_target(connection: HTTPConnection, hosts: dict[str, str]) -> None:
    """Raises :class:`Refusal` for a request that a page of another origin could make a browser send."""
    headers, method = connection.headers, connection.scope.get("method", "GET")
    named = [host.lower() for host in headers.getlist("host")]
    if len(named) != 1 or named[0] not in hosts:
        raise Refusal(421, "This host name is not the platform's: set `url` in access.yaml to the address that you use")
    if method not in ("GET", "HEAD", "POST"):
        raise Refusal(405, f"{method} is not allowed")
    acts = method == "POST" or connection.scope["type"] == "websocket"
    if not acts:
        if connection.scope["path"] == "/graphql" and "text/html" not in headers.get("accept", ""):
            raise Refusal(405, "GraphQL accepts only POST requests")
        return
    if any(origin.lower() != hosts[named[0]] for origin in headers.getlist("origin")):
        raise Refusal(403, "This request comes from a page of another origin")
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Refusal(403, "This request comes from a page of another origin")
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if method == "POST" and media_type != JSON and connection.scope["path"] != LOGOUT:
        raise Refusal(415, f"The content type must be {JSON}")


def _by_token(given: list[str], access: Access) -> Viewer:
    scheme, _, secret = given[0].partition(" ")
    token = access.token(secret.strip()) if len(given) == 1 and scheme.lower() == "bearer" else None
    if token is None:
        raise Refusal(401, "This token is not valid: `make token` creates one")
    if token.is_over():
        raise Refusal(401, f"The token {token.name} expired on {token.ends}: `make token` creates a new one")
    return Viewer(token.name, "token", token.grants)


def _by_proxy(headers: Headers, proxy: Proxy, access: Access) -> Viewer:
    peers = headers.getlist(PEER)
    if len(peers) != 1 or not proxy.is_trusted(peers[0]):
        return NOBODY
    users, groups = headers.getlist(proxy.user_header), headers.getlist(proxy.groups_header)
    if len(users) > 1 or len(groups) > 1:
        raise Refusal(400, "The request has two user headers: the proxy must replace those that the client sends")
    if not users or not users[0].strip():
        return NOBODY
    named = (group.strip() for group in (groups[0] if groups else "").split(","))
    return Viewer(users[0].strip(), "proxy", access.grants_of(filter(None, named)))


async def _refuse(refusal: Refusal, access: Access, scope: Scope, receive: Receive, send: Send) -> None:
    """Redirects a person to the login, sends a program the reason, and does not open a WebSocket."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 4403, "reason": ""})
        return
    response: Response = JSONResponse({"error": str(refusal)}, refusal.status)
    is_page = "text/html" in Headers(scope=scope).get("accept", "") and scope["method"] == "GET"
    if refusal.status == 401 and is_page and isinstance(access.login, OpenID):
        query = scope["query_string"].decode("latin-1")
        asked = scope["path"] + (f"?{query}" if query else "")
        response = RedirectResponse(f"/auth/login?next={quote(asked, safe='')}", 303)
    await response(scope, receive, send)


def _framed_by_nobody(send: Send) -> Send:
    """Returns a ``send`` that forbids framing, so that no site can put the UI under a click (clickjacking)."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["X-Frame-Options"] = "DENY"
        await send(message)

    return sending
