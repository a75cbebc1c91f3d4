"""How requests to GitHub are authenticated: with one or several tokens, as an App, or not at all.

https://docs.github.com/en/rest/authentication/authenticating-to-the-rest-api
"""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec
import requests
from dlt.sources.helpers.rest_client.auth import BearerTokenAuth
from requests.auth import AuthBase

from ingest_shared.errors import ApiError, SettingError
from ingest_shared.reading.api import Api, Usage
from ingest_shared.settings import list_setting, secret_setting, setting_help, text_setting

if TYPE_CHECKING:  # cryptography takes 3 MiB, and only an App needs it
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

logger = logging.getLogger("ingest")

API_VERSION = "2022-11-28"
"""Pinned: the table descriptions are written for it. Upgrade both together."""
HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": API_VERSION}
MEDIA_TYPES = {"/stargazers": "application/vnd.github.star+json"}
"""Lists that show more in a different media type, by the end of their path."""
ANONYMOUS = "anonymous"
"""The value of the setting that means no token."""
EARLY = 300
"""Seconds before it expires at which an installation's token is renewed."""
LASTS = 540
"""Seconds for which a JSON Web Token is valid; GitHub accepts at most ten minutes."""
DRIFT = 60
"""Seconds that GitHub's clock may be behind: it accepts no JSON Web Token from the future."""


def _in_its_media_type(request: requests.PreparedRequest) -> requests.PreparedRequest:
    for end, media_type in MEDIA_TYPES.items():
        if urlsplit(request.url or "").path.endswith(end):
            request.headers["Accept"] = media_type
    return request


class TokenAuth(BearerTokenAuth):
    """A personal access token."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return _in_its_media_type(super().__call__(request))


class Anonymous(AuthBase):
    """No credential: https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api"""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return _in_its_media_type(request)


class _AppAuth(AuthBase):
    """The App's own JSON Web Token, with which it requests tokens for its installations.

    https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app
    """

    def __init__(self, app_id: str, key: "RSAPrivateKey") -> None:
        self.app_id = app_id
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        import jwt  # noqa: PLC0415, with cryptography

        now = int(time.time())
        claims = {"iat": now - DRIFT, "exp": now + LASTS, "iss": self.app_id}
        request.headers["Authorization"] = f"Bearer {jwt.encode(claims, self._key, algorithm='RS256')}"
        return request


class _Issuer(Api):
    """The API for the App itself."""

    name = "GitHub"
    reason_at = "message"


@dataclass(frozen=True)
class _Token:
    token: str
    ends: float


class _Issued(msgspec.Struct):
    token: str
    expires_at: datetime


class InstallationAuth(AuthBase):
    """An installation of an App: its token lasts an hour, and is renewed before that or when it is refused.

    https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-an-installation-access-token-for-a-github-app
    """

    def __init__(self, url: str, app_id: str, installation_id: str, key: "RSAPrivateKey") -> None:
        self.app_id = app_id
        self.installation_id = installation_id
        self._issuer = _Issuer(
            url,
            auth=_AppAuth(app_id, key),
            headers=HEADERS,
            calls_per_second=1,
            in_flight=1,
            url_setting="sources.github.api_url",
            credential_setting="sources.github.app_private_key",
        )
        self._token: _Token | None = None
        self._lock = threading.Lock()

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        with self._lock:
            if self._token is None or self._token.ends < time.time() + EARLY:
                self._token = self._issue()
            request.headers["Authorization"] = f"Bearer {self._token.token}"
        return _in_its_media_type(request)

    def renew(self, refused: requests.Response) -> bool:
        """Lets the next request get a new token, unless another thread already did; this always helps once."""
        with self._lock:
            if self._token and refused.request.headers.get("Authorization") == f"Bearer {self._token.token}":
                self._token = None
        return True

    def _issue(self) -> _Token:
        try:
            response = self._issuer.post(f"/app/installations/{self.installation_id}/access_tokens", {}, usage=Usage())
        except ApiError as error:
            if error.status not in (403, 404, 422):
                raise
            raise SettingError(
                f"GitHub gave the App {self.app_id} no token for the installation {self.installation_id} "
                f"({error.reason}); check {setting_help('sources.github.installation_id')}"
            ) from None
        issued = msgspec.json.decode(response.body, type=_Issued)
        return _Token(issued.token, issued.expires_at.timestamp())


def configured_auths(url: str) -> tuple[Sequence[AuthBase], str]:
    """The credentials for the API at this address, and the setting that they come from; raises
    :class:`SettingError`."""
    if app_id := text_setting("sources.github.app_id", ""):
        if list_setting("sources.github.access_token"):
            raise SettingError("sources.github.app_id and sources.github.access_token are both set: unset one of them")
        return [_installation(url, app_id)], "sources.github.app_private_key"
    why = f"{url} is read with a token, with an App (`sources.github.app_id`), or as {ANONYMOUS!r}"
    tokens = [part.strip() for part in secret_setting("sources.github.access_token", why).split(",")]
    if tokens == [ANONYMOUS]:
        logger.warning("GitHub is read without a token: public repositories only, 60 calls an hour")
        return [Anonymous()], "sources.github.access_token"
    return [TokenAuth(token) for token in dict.fromkeys(tokens) if token], "sources.github.access_token"


def _installation(url: str, app_id: str) -> InstallationAuth:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415, only an App needs it
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    why = f"an App (`sources.github.app_id` is {app_id}) signs with its private key"
    pem = secret_setting("sources.github.app_private_key", why).replace("\\n", "\n")
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise SettingError(
            "sources.github.app_private_key is not the private key of an App, a PEM file without a password; "
            f"set {setting_help('sources.github.app_private_key')}"
        )
    if not (installation_id := text_setting("sources.github.installation_id", "")):
        raise SettingError(
            "sources.github.installation_id is not set: an App reads what it is installed on; the number is in "
            f"the address of the installation's page; set {setting_help('sources.github.installation_id')}"
        )
    return InstallationAuth(url, app_id, installation_id, key)
