"""Login with an OpenID Connect provider: authorization code with PKCE, state and nonce, using Authlib.

https://docs.authlib.org/en/latest/client/starlette.html
"""

import logging
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2 as httpx
from authlib.integrations.base_client import OAuthError
from authlib.integrations.starlette_client import OAuth
from joserfc.errors import JoseError
from starlette.requests import Request
from starlette.responses import Response

from ingest_host.access.policy import OpenID
from ingest_host.access.session import Session

logger = logging.getLogger("ingest.access")

SIGNED_WITH = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Accepted signature algorithms of an ID token: never `none`, and none that signs with the client's own secret."""


class LoginFailed(Exception):
    """A login failed; the text is one line for the person who tried."""


@dataclass
class Provider:
    """One provider, whose metadata is read once."""

    settings: OpenID
    client_secret: str | None

    def __post_init__(self) -> None:
        self._client: Any = OAuth().register(
            "provider",
            server_metadata_url=f"{self.settings.issuer}/.well-known/openid-configuration",
            client_id=self.settings.client_id,
            client_secret=self.client_secret,
            client_kwargs={
                "scope": self.settings.scopes,
                "code_challenge_method": "S256",
                "token_endpoint_auth_method": "client_secret_basic" if self.client_secret else "none",
            },
        )

    async def begin(self, request: Request, callback: str, state: str) -> Response:
        """Sends the browser to the provider; raises :class:`LoginFailed`."""
        try:
            await self._load()
            redirect: Response = await self._client.authorize_redirect(request, callback, state=state)
        except httpx.HTTPError as error:
            raise LoginFailed(f"{self.settings.issuer} does not answer ({type(error).__name__})") from error
        return redirect

    async def end(self, request: Request) -> Session:
        """Returns a session for whoever came back from the provider; raises :class:`LoginFailed`."""
        options = {"iss": {"values": [self.settings.issuer]}, "aud": {"values": [self.settings.client_id]}}
        try:
            await self._load()
            token = await self._client.authorize_access_token(request, claims_options=options)
            claims = token.get("userinfo")
            if not claims:
                raise LoginFailed(f"{self.settings.issuer} sent no ID token")
            wanted = {self.settings.groups_claim, "email"}
            if not wanted <= claims.keys() and "userinfo_endpoint" in self._client.server_metadata:
                more = await self._client.userinfo(token=token)
                if more.get("sub") != claims["sub"]:
                    raise LoginFailed(f"{self.settings.issuer} sent claims about another person")
                claims = {**more, **claims}
        except (OAuthError, JoseError, httpx.HTTPError) as error:
            logger.warning("a login failed: %s", error)
            raise LoginFailed("The login did not succeed, or took too long: start again at /auth/login") from error
        groups = claims.get(self.settings.groups_claim) or []
        return Session(_name(claims), tuple(map(str, [groups] if isinstance(groups, str) else groups)))

    async def _load(self) -> None:
        metadata = await self._client.load_server_metadata()
        if str(metadata.get("issuer", "")).rstrip("/") != self.settings.issuer:
            raise LoginFailed(f"the provider calls itself {metadata.get('issuer')}, not {self.settings.issuer}")
        offered = metadata.get("id_token_signing_alg_values_supported") or ["RS256"]
        metadata["id_token_signing_alg_values_supported"] = [one for one in offered if one in SIGNED_WITH]


def _name(claims: dict[str, Any]) -> str:
    """Returns a verified email address, or else the provider's id of the person, since they may choose their name."""
    if claims.get("email") and claims.get("email_verified") is True:
        return str(claims["email"])
    chosen = claims.get("preferred_username")
    return f"{chosen} ({claims['sub']})" if chosen else str(claims["sub"])


def inner_path(given: str) -> str:
    """Returns the page to open after the login: the requested one if it is a page of the UI, otherwise ``/``."""
    parts = urlsplit(given)
    if (
        parts.scheme
        or parts.netloc
        or not given.startswith("/")
        or given[1:2] in ("/", "\\")
        or not given.isprintable()
    ):
        return "/"
    return given
