"""Who a browser is logged in as, by a provider over HTTP that sends one wrong thing in each test."""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwk, jwt

from .conftest import ROLES, Served

SECRET = "the-client-secret-that-the-provider-gave"
KEY = jwk.RSAKey.generate_key(2048, {"kid": "1"})


@dataclass
class Provider:
    """What the provider sends; the defaults are a valid login."""

    url: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] = field(default_factory=lambda: {"sub": "7", "groups": ["admin"]})
    signed_with: str = "RS256"
    nonce: str = ""

    def answer(self, path: str) -> dict[str, Any]:
        pages: dict[str, Callable[[], dict[str, Any]]] = {
            "/.well-known/openid-configuration": self._metadata,
            "/keys": lambda: {"keys": [KEY.as_dict(private=False)]},
            "/token": lambda: {"access_token": "a", "token_type": "Bearer", "id_token": self._id_token()},
            "/userinfo": lambda: self.userinfo,
        }
        return pages[path]()

    def _metadata(self) -> dict[str, Any]:
        places = {"authorization_endpoint": "login", "token_endpoint": "token", "jwks_uri": "keys"}
        found = {name: f"{self.url}/{path}" for name, path in (places | {"userinfo_endpoint": "userinfo"}).items()}
        offered = {"id_token_signing_alg_values_supported": ["RS256", "HS256", "none"]}
        return {"issuer": self.url, **found, **offered, **self.metadata}

    def _id_token(self) -> str:
        now = int(time.time())
        claims = {"iss": self.url, "aud": "ingest", "sub": "7", "iat": now, "exp": now + 60, "nonce": self.nonce}
        claims |= self.claims
        if self.signed_with == "none":
            parts = (json.dumps({"alg": "none"}), json.dumps(claims))
            return ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts) + "."
        keys: dict[str, jwk.RSAKey | jwk.OctKey] = {
            "RS256": KEY,
            "HS256": jwk.OctKey.import_key(SECRET),
            "another key": jwk.RSAKey.generate_key(2048),
        }
        algorithm = "HS256" if self.signed_with == "HS256" else "RS256"
        return jwt.encode({"alg": algorithm, "kid": "1"}, claims, keys[self.signed_with])


@pytest.fixture
def provider(served: Served) -> Iterator[Provider]:
    played = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(played.answer(self.path)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815, the parent's name

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        played.url = f"http://127.0.0.1:{server.server_port}"
        (served.settings.secrets / "client-secret").write_text(SECRET)
        openid = {"issuer": played.url, "client_id": "ingest"}
        served.access(url="http://ingest.test", login={"openid": openid}, groups=ROLES)
        yield played
        server.shutdown()


def log_in(served: Served, provider: Provider) -> int:
    """Logs in at the provider; returns the status of the callback, which is 303 if a session begins."""
    sent = parse_qs(urlsplit(served.client.get("/auth/login").headers["location"]).query)
    provider.nonce = provider.nonce or sent["nonce"][0]
    return int(served.client.get(f"/auth/callback?code=any&state={sent['state'][0]}").status_code)


def viewer(served: Served) -> tuple[str, list[str]]:
    told = served.client.get("/auth/status").json()
    return told["viewer"], told["roles"]


def test_who_logs_in_has_the_roles_of_their_groups_and_stands_in_the_trail(served: Served, provider: Provider) -> None:
    provider.userinfo |= {"email": "anna@example.com", "email_verified": True}
    assert log_in(served, provider) == 303
    assert viewer(served) == ("anna@example.com", ["admin"])
    assert served.trail()[-1] == ("anna@example.com", "session", "login", [], "done")


def test_an_address_that_nobody_verified_is_no_name(served: Served, provider: Provider) -> None:
    """Otherwise one could be recorded as somebody else."""
    provider.userinfo |= {"email": "anna@example.com", "preferred_username": "eve"}
    assert log_in(served, provider) == 303
    assert viewer(served)[0] == "eve (7)"


@pytest.mark.parametrize("signed_with", ["none", "HS256", "another key"])
def test_an_id_token_is_signed_with_the_providers_key(served: Served, provider: Provider, signed_with: str) -> None:
    """Whatever the provider offers: a client's own secret does not prove who logs in."""
    provider.signed_with = signed_with
    assert log_in(served, provider) == 400
    assert viewer(served)[0] == "nobody"


@pytest.mark.parametrize(
    "claims",
    [{"iss": "https://another.example"}, {"aud": "another"}, {"exp": 1}, {"nonce": "of another login"}],
    ids=str,
)
def test_it_is_for_this_login_and_no_other(served: Served, provider: Provider, claims: dict[str, Any]) -> None:
    provider.claims = claims
    assert log_in(served, provider) == 400
    assert viewer(served)[0] == "nobody"


def test_groups_are_taken_of_nobody_else(served: Served, provider: Provider) -> None:
    provider.userinfo["sub"] = "8"
    assert log_in(served, provider) == 400
    assert viewer(served)[0] == "nobody"


def test_a_provider_of_another_name_is_not_asked(served: Served, provider: Provider) -> None:
    provider.metadata = {"issuer": "https://another.example"}
    answer = served.client.get("/auth/login")
    assert answer.status_code == 502
    assert "calls itself https://another.example" in answer.text


def test_who_is_in_no_group_with_a_role_gets_no_session(served: Served, provider: Provider) -> None:
    provider.userinfo["groups"] = ["no-such-group"]
    assert log_in(served, provider) == 403
    assert viewer(served)[0] == "nobody"
