"""Which requests get in: where they come from, how they are sent, and by whom."""

import json
from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest
from starlette.websockets import WebSocketDisconnect

from ingest_host.access.gate import PEER

from .conftest import ROLES, Served, token, tokens
from .test_rules import LAUNCH, params

LOCAL = "http://127.0.0.1:3000"
INSTANCE = "{ version }"


def as_token(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(name)}"}


@pytest.fixture
def open_ui(served: Served) -> Served:
    """The UI without a login: on the loopback, for anyone there."""
    served.access(groups=ROLES, tokens=tokens())
    served.client.base_url = LOCAL
    return served


def post(served: Served, headers: Mapping[str, str] | None = None, **body: Any) -> int:
    """Launches github's job; returns the status of the response."""
    body = body or {"query": LAUNCH, "variables": {"p": params("github")}}
    headers = {"Content-Type": "application/json", **(headers or {})}
    return int(served.client.post("/graphql", content=json.dumps(body), headers=headers).status_code)


# Without a login, on the loopback


def test_anyone_on_the_machine_may_do_everything(open_ui: Served) -> None:
    assert open_ui.client.get("/").status_code == 200
    assert post(open_ui) == 200
    assert open_ui.trail()[-1][:2] == ("anyone on this machine", "no login")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:3000.evil.example", "127.0.0.1", "ingest.test", ""])
def test_a_name_that_is_not_the_platforms_is_refused(open_ui: Served, host: str) -> None:
    """Otherwise a page that points its own name here could read the UI: DNS rebinding."""
    assert post(open_ui, {"Host": host}) == 421
    assert open_ui.client.get("/", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("first", [True, False])
def test_two_names_are_refused(open_ui: Served, first: bool) -> None:
    """Whoever forwards the request could go by the other one."""
    hosts = [("Host", "127.0.0.1:3000"), ("Host", "evil.example")]
    assert open_ui.client.get("/", headers=hosts if first else hosts[::-1]).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:8000"},
        {"Origin": "https://127.0.0.1:3000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_page_of_another_origin_does_nothing(open_ui: Served, headers: dict[str, str]) -> None:
    before = open_ui.instance.get_runs_count()
    assert post(open_ui, headers) == 403
    for path in ("/report_asset_materialization/github/daily", "/auth/logout"):
        assert open_ui.client.post(path, json={}, headers=headers).status_code == 403
    assert open_ui.instance.get_runs_count() == before


def test_its_own_page_does(open_ui: Served) -> None:
    assert post(open_ui, {"Origin": LOCAL, "Sec-Fetch-Site": "same-origin"}) == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("accept", ["*/*", "text/html,image/avif"])
def test_a_get_changes_nothing(open_ui: Served, method: str, accept: str) -> None:
    """Such as one that an image in a page sends; GraphQL's own page still opens."""
    before = open_ui.instance.get_runs_count()
    query = {"query": LAUNCH, "variables": json.dumps({"p": params("github")}), "operationName": ""}
    answer = open_ui.client.request(method, "/graphql", params=query, headers={"Accept": accept})
    assert answer.status_code == (405 if accept == "*/*" or method == "HEAD" else 200)
    assert open_ui.instance.get_runs_count() == before


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain",
        "text/plain; application/json",
        "text/plain;charset=application/json",
        "application/graphql",
        "application/json-patch+json",
        "",
    ],
)
def test_a_form_changes_nothing(open_ui: Served, content_type: str) -> None:
    before = open_ui.instance.get_runs_count()
    assert post(open_ui, {"Content-Type": content_type}) == 415
    path = "/report_asset_materialization/github/daily"
    assert open_ui.client.post(path, headers={"Content-Type": content_type}).status_code == 415
    assert open_ui.instance.get_runs_count() == before


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
def test_no_other_method_is_answered(open_ui: Served, method: str) -> None:
    answer = open_ui.client.request(method, "/graphql", headers={"Origin": "https://evil.example"})
    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_no_page_frames_the_ui(open_ui: Served) -> None:
    for path in ("/", "/graphql", "/runs"):
        assert open_ui.client.get(path, headers={"Accept": "text/html"}).headers["x-frame-options"] == "DENY"


def subscribe(served: Served, query: str, headers: Mapping[str, str]) -> Any:
    with served.client.websocket_connect("/graphql", subprotocols=["graphql-ws"], headers=dict(headers)) as socket:
        socket.send_json({"type": "connection_init"})
        assert socket.receive_json() == {"type": "connection_ack"}
        payload = {"query": query, "variables": {"p": params("github")}}
        socket.send_json({"type": "start", "id": "1", "payload": payload})
        return socket.receive_json()


def test_a_websocket_of_another_origin_is_not_opened(open_ui: Served) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        with pytest.raises(WebSocketDisconnect):
            subscribe(open_ui, INSTANCE, {"Host": "127.0.0.1:3000", **headers})


def test_a_websocket_runs_no_mutation(open_ui: Served) -> None:
    before = open_ui.instance.get_runs_count()
    answer = subscribe(open_ui, LAUNCH, {"Host": "127.0.0.1:3000", "Origin": LOCAL})
    assert answer["type"] == "error"
    assert open_ui.instance.get_runs_count() == before


@pytest.mark.parametrize(
    "body",
    [
        "null",
        f'[{{"query": "{INSTANCE}"}}]',
        '{"query": ["{ version }"]}',
        f'{{"query": "{INSTANCE}", "variables": [1]}}',
        f'{{"query": "{INSTANCE}", "operationName": 1}}',
        "[" * 100_000,
        "{",
        b"\xff",
    ],
)
def test_a_body_that_is_no_query_is_refused_in_one_line(open_ui: Served, body: str | bytes) -> None:
    answer = open_ui.client.post("/graphql", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert "the body must be JSON" in answer.json()["errors"][0]["message"]


def test_a_query_that_would_take_minutes_to_check_is_refused(open_ui: Served) -> None:
    query = "{ %s }" % ("version " * 40_000)
    headers = {"Host": "127.0.0.1:3000", "Origin": LOCAL}
    answer = open_ui.client.post("/graphql", json={"query": query}, headers=headers)
    assert answer.status_code == 413
    assert "at most 65536 characters" in answer.text
    assert "at most 65536 characters" in subscribe(open_ui, f"subscription {query}", headers)["payload"]["message"]


def test_a_query_that_would_take_minutes_to_answer_is_refused(open_ui: Served) -> None:
    headers = {"Host": "127.0.0.1:3000", "Origin": LOCAL}
    query = f"{{ {' '.join(f'a{one}: __schema {{ types {{ name }} }}' for one in range(1_000))} }}"
    answer = open_ui.client.post("/graphql", json={"query": query}, headers=headers)
    assert answer.status_code == 400
    assert "more than 20 aliases" in answer.text
    assert "more than 20 aliases" in subscribe(open_ui, f"subscription {query}", headers)["payload"]["message"]
    assert "Syntax Error" in subscribe(open_ui, "subscription {", headers)["payload"]["message"]


# With a login


PATHS = (
    "/ /graphql /runs /logs/a/b/out /download_debug/x /notebook /server_info /dagit_info /_next/x /robots.txt /auth/"
)


@pytest.mark.parametrize("path", PATHS.split())
def test_nothing_is_shown_to_nobody(served: Served, path: str) -> None:
    assert served.client.get(path, headers={"Accept": "application/json"}).status_code in (401, 405)
    for name in ("report_asset_materialization", "report_asset_check", "report_asset_observation"):
        assert served.client.post(f"/{name}/github/daily", json={}).status_code == 401
    assert served.ask(None, INSTANCE).status == 401


def test_nothing_is_subscribed_to_by_nobody(served: Served) -> None:
    with pytest.raises(WebSocketDisconnect):
        subscribe(served, INSTANCE, {"Host": "ingest.test"})
    assert subscribe(served, "subscription { x }", {"Host": "ingest.test", **as_token("viewer")})["type"] == "error"


def test_a_subscription_ends_with_its_token(served: Served) -> None:
    headers = {"Host": "ingest.test", **as_token("viewer")}
    with served.client.websocket_connect("/graphql", subprotocols=["graphql-ws"], headers=headers) as socket:
        socket.send_json({"type": "connection_init"})
        assert socket.receive_json() == {"type": "connection_ack"}
        served.access(url="http://ingest.test", groups=ROLES)
        socket.send_json({"type": "connection_init"})
        with pytest.raises(WebSocketDisconnect):
            socket.receive_json()


def test_a_person_is_sent_to_the_login_and_back(served: Served) -> None:
    answer = served.client.get("/runs?q=a%26b", headers={"Accept": "text/html"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/auth/login?next=%2Fruns%3Fq%3Da%2526b"


def test_the_health_check_needs_no_name_and_tells_nothing(served: Served) -> None:
    answer = served.client.get("/healthz", headers={"Host": "x"})
    assert (answer.status_code, answer.text) == (200, "ok\n")


# Tokens


def test_a_token_opens_what_its_role_allows(served: Served) -> None:
    assert served.ask("viewer", INSTANCE).status == 200
    assert served.client.get("/auth/status", headers=as_token("stripe")).json()["roles"] == ["editor of stripe"]


@pytest.mark.parametrize(
    "headers",
    [
        [("Authorization", "Bearer ")],
        [("Authorization", "Bearer wrong")],
        [("Authorization", "Basic YWRtaW46YWRtaW4=")],
        [("Authorization", f"Bearer {token('viewer')} {token('admin')}")],
        [("Authorization", f"Bearer {token('viewer')}"), ("Authorization", f"Bearer {token('admin')}")],
        [("Authorization", "Bearer {'$ne': 1}")],
    ],
)
def test_what_is_no_token_opens_nothing(open_ui: Served, headers: list[tuple[str, str]]) -> None:
    """Not even without a login: whoever sends a token means to be somebody."""
    assert open_ui.client.get("/", headers=headers).status_code == 401


def test_the_kept_digest_is_no_token(served: Served) -> None:
    digest = tokens()[0]["sha256"]
    assert served.client.get("/", headers={"Authorization": f"Bearer {digest}"}).status_code == 401


def test_a_token_ends_and_is_revoked_at_once(served: Served) -> None:
    served.access(groups=ROLES, tokens=tokens(ends=date(2020, 1, 1)))
    served.client.base_url = LOCAL
    answer = served.ask("admin", INSTANCE)
    assert answer.status == 401
    assert "expired on 2020-01-01" in answer.text
    served.access(groups=ROLES, tokens=tokens())
    assert served.ask("admin", INSTANCE).status == 200
    served.access(groups=ROLES)
    assert served.ask("admin", INSTANCE).status == 401


# A trusted proxy


@pytest.fixture
def proxied(served: Served) -> Served:
    proxy = {"peers": ["172.20.0.5", "fd00::/8"], "user_header": "X-User", "groups_header": "X-Groups"}
    served.access(url="http://ingest.test", login={"proxy": proxy}, groups=ROLES, tokens=tokens())
    return served


@pytest.mark.parametrize("peer", ["172.20.0.5", "fd00::1"])
def test_the_proxy_names_the_user(proxied: Served, peer: str) -> None:
    headers = {PEER: peer, "X-User": "anna@example.com", "X-Groups": "nothing, stripe"}
    answer = proxied.client.get("/auth/status", headers=headers).json()
    assert answer["viewer"] == "anna@example.com"
    assert answer["roles"] == ["editor of stripe"]
    assert post(proxied, headers) == 200
    assert proxied.trail()[-1] == ("anna@example.com", "proxy", "launchRun", ["github"], "refused")


@pytest.mark.parametrize(
    "headers",
    [
        [(PEER, "172.20.0.6")],
        [],
        [(PEER, "172.20.0.5, 1.2.3.4")],
        [(PEER, "172.20.0.5"), (PEER, "1.2.3.4")],
        [("X-Forwarded-For", "172.20.0.5")],
        [(PEER, "::ffff:172.20.0.6")],
        [("X_Ingest_Peer", "172.20.0.5")],
    ],
)
def test_nobody_else_does(proxied: Served, headers: list[tuple[str, str]]) -> None:
    given = [*headers, ("X-User", "anna"), ("X-Groups", "admin")]
    assert proxied.client.get("/", headers=given).status_code == 401


@pytest.mark.parametrize("twice", ["X-User", "X-Groups"])
def test_a_user_who_slips_a_header_through_the_proxy_is_refused(proxied: Served, twice: str) -> None:
    given = [(PEER, "172.20.0.5"), ("X-User", "anna"), ("X-Groups", "viewer"), (twice, "admin")]
    assert proxied.client.get("/", headers=given).status_code == 400


def test_who_is_in_no_group_with_a_role_sees_nothing(proxied: Served) -> None:
    headers = {PEER: "172.20.0.5", "X-User": "anna", "X-Groups": "others"}
    assert proxied.client.get("/", headers=headers).status_code == 403
    assert proxied.client.get("/", headers={PEER: "172.20.0.5", "X-User": " "}).status_code == 401
