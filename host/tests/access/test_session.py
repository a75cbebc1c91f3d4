"""A session's cookie: who signed it, how long it is valid, and that a logout ends it."""

import base64

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from ingest_host.access.gate import Gate
from ingest_host.access.login import inner_path
from ingest_host.access.permissions import VIEWER
from ingest_host.access.session import PLAIN_COOKIE, Session, Sessions

from .conftest import Served

ANNA = Session("anna@example.com", ("stripe",))


async def who(request: Request) -> JSONResponse:
    return JSONResponse(request.scope[VIEWER].name)


def seen(served: Served, sessions: Sessions, *cookies: str) -> int:
    """Returns the status of a request with these cookies."""
    client = TestClient(Gate(Starlette(routes=[Route("/", who)]), served.settings, sessions), "http://ingest.test")
    return client.get("/", headers={"Cookie": "; ".join(f"{PLAIN_COOKIE}={cookie}" for cookie in cookies)}).status_code


def test_a_session_is_who_logged_in(served: Served) -> None:
    sessions = Sessions()
    assert seen(served, sessions, sessions.cookie(ANNA)) == 200


def test_a_cookie_that_was_logged_out_is_worth_nothing(served: Served) -> None:
    sessions = Sessions()
    cookie, other = sessions.cookie(ANNA), sessions.cookie(Session("anna@example.com", ("stripe",)))
    sessions.end(ANNA)
    assert seen(served, sessions, cookie) == 401
    assert seen(served, sessions, other) == 200


def test_of_two_cookies_neither_is_believed(served: Served) -> None:
    """Another host of the same domain may have set one of them."""
    sessions = Sessions()
    assert seen(served, sessions, sessions.cookie(ANNA), sessions.cookie(Session("eve", ("stripe",)))) == 401


def test_a_cookie_ends(served: Served) -> None:
    sessions = Sessions(seconds=-1)
    assert seen(served, sessions, sessions.cookie(ANNA)) == 401


def test_a_cookie_of_before_a_restart_is_worth_nothing(served: Served) -> None:
    assert seen(served, Sessions(), Sessions().cookie(ANNA)) == 401


@pytest.mark.parametrize("change", ["payload", "signature", "nothing else"])
def test_a_changed_cookie_is_worth_nothing(served: Served, change: str) -> None:
    sessions = Sessions()
    payload, time, signature = sessions.cookie(ANNA).split(".")
    forged = base64.urlsafe_b64encode(b'["id","eve",["admin"]]').rstrip(b"=").decode()
    cookies = {
        "payload": f"{forged}.{time}.{signature}",
        "signature": f"{payload}.{time}.{signature[::-1]}",
        "nothing else": "",
    }
    assert seen(served, sessions, cookies[change]) == 401


def test_the_groups_of_a_session_have_todays_roles(served: Served) -> None:
    sessions = Sessions()
    assert seen(served, sessions, sessions.cookie(Session("eve", ("no-such-group",)))) == 403


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("/runs?q=1#x", "/runs?q=1#x"),
        ("https://evil.example", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("\\\\evil.example", "/"),
        ("/\tevil", "/"),
        ("/\n/evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("evil.example", "/"),
        ("", "/"),
    ],
)
def test_a_login_leads_into_the_ui_and_nowhere_else(given: str, path: str) -> None:
    assert inner_path(given) == path


@pytest.mark.parametrize(
    ("scheme", "name", "secure"), [("https", "__Host-ingest_login", True), ("http", "ingest_login", False)]
)
def test_the_cookie_of_a_login_under_way_is_secure_at_once(
    served: Served, scheme: str, name: str, secure: bool
) -> None:
    """Its prefix keeps other hosts of the same domain from setting it to log a browser in as somebody else."""
    openid = {"issuer": "https://login.test", "client_id": "ingest"}
    served.access(url=f"{scheme}://ingest.test", login={"openid": openid})
    cookie = served.client.get("/auth/login").headers["set-cookie"]
    assert cookie.startswith(f"{name}=")
    assert "; path=/;" in cookie
    assert "domain" not in cookie
    assert ("; secure" in cookie) == secure


def test_a_callback_that_nobody_began_is_refused(served: Served) -> None:
    answer = served.client.get("/auth/callback?code=stolen&state=guessed")
    assert answer.status_code in (400, 502)
    assert "set-cookie" not in answer.headers or "ingest_session" not in answer.headers["set-cookie"]
