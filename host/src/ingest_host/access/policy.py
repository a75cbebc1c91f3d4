"""What `access.yaml` defines: how people log in, which role each group has, which tokens machines have."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

import yaml
from dagster._core.workspace.permissions import EDITOR_PERMISSIONS, LOCATION_SCOPED_PERMISSIONS, Permissions

REMEDY = "see docs/security.md"
ACME, INTERNAL = "acme", "internal"
"""Who signs the certificate of the service `tls`: Let's Encrypt, or the platform's own certificate authority."""
_LOCATION = re.compile(r"[a-z][a-z0-9_]*")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]*")


class AccessError(Exception):
    """`access.yaml`, or a setting related to it, is not valid; the text is one line that says where and what to do."""


class Role(StrEnum):
    """Each role includes the permissions of those before it."""

    VIEWER = "viewer"
    LAUNCHER = "launcher"
    EDITOR = "editor"
    ADMIN = "admin"


_ADMIN = frozenset(Permissions(one) for one, allowed in EDITOR_PERMISSIONS.items() if allowed)
PERMISSIONS: Mapping[Role, frozenset[Permissions]] = {
    Role.VIEWER: frozenset(),
    Role.LAUNCHER: frozenset(
        {
            Permissions.LAUNCH_PIPELINE_EXECUTION,
            Permissions.LAUNCH_PIPELINE_REEXECUTION,
            Permissions.TERMINATE_PIPELINE_EXECUTION,
            Permissions.LAUNCH_PARTITION_BACKFILL,
            Permissions.CANCEL_PARTITION_BACKFILL,
        }
    ),
    Role.EDITOR: _ADMIN & LOCATION_SCOPED_PERMISSIONS,
    Role.ADMIN: _ADMIN,
}
"""Dagster's own permissions; those that cannot be scoped to a location are for admins only."""


@dataclass(frozen=True)
class Grant:
    """A role in the named locations, or everywhere (None)."""

    role: Role
    locations: frozenset[str] | None = None

    def __str__(self) -> str:
        return f"{self.role} of {', '.join(sorted(self.locations))}" if self.locations else str(self.role)


@dataclass(frozen=True)
class Viewer:
    """The sender of a request. ``how`` says what identified them: a session, a token, a proxy, or nothing."""

    name: str
    how: str
    grants: tuple[Grant, ...] = ()

    def may(self, permission: str, location: str | None) -> bool:
        """Returns whether a permission is granted in a location, or (None) in all of them and the platform itself."""
        return any(
            permission in PERMISSIONS[grant.role]
            and (grant.locations is None or (location is not None and location in grant.locations))
            for grant in self.grants
        )


NOBODY = Viewer("nobody", "nothing")
ANYONE_HERE = Viewer("anyone on this machine", "no login", (Grant(Role.ADMIN),))
"""Everybody, if there is no login: then the UI is on the loopback only."""


@dataclass(frozen=True)
class OpenID:
    """Login with an OpenID Connect provider: https://openid.net/specs/openid-connect-core-1_0.html"""

    issuer: str
    client_id: str
    groups_claim: str = "groups"
    scopes: str = "openid profile email"


@dataclass(frozen=True)
class Proxy:
    """Login by a proxy that names the user in headers, which are trusted only from ``peers``."""

    peers: tuple[IPv4Network | IPv6Network, ...]
    user_header: str
    groups_header: str

    def is_trusted(self, peer: str) -> bool:
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self.peers)


@dataclass(frozen=True)
class Token:
    """A machine's token. Only its SHA-256 is stored, from which nobody can recover the 32 random bytes."""

    name: str
    sha256: str
    grants: tuple[Grant, ...]
    ends: date

    def is_over(self) -> bool:
        return datetime.now(UTC).date() > self.ends


@dataclass(frozen=True)
class Access:
    """The content of `access.yaml`."""

    url: str = ""
    tls: str = ACME
    login: OpenID | Proxy | None = None
    groups: Mapping[str, tuple[Grant, ...]] = field(default_factory=dict)
    tokens: tuple[Token, ...] = ()

    def grants_of(self, groups: Iterable[str]) -> tuple[Grant, ...]:
        return tuple(grant for group in groups for grant in self.groups.get(group, ()))

    def token(self, secret: str) -> Token | None:
        """Returns the token with this secret, even if it has expired."""
        digest = hashlib.sha256(secret.encode()).hexdigest()
        return next((token for token in self.tokens if token.sha256 == digest), None)

    @property
    def is_https(self) -> bool:
        return self.url.startswith("https://")


def read(text: str) -> Access:
    """Returns the content of the file; raises :class:`AccessError`."""
    try:
        given = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise AccessError(f"access.yaml is not YAML: {' '.join(str(error).split())}") from None
    entries = _entries(given, "the file", required=(), optional=("url", "tls", "login", "groups", "tokens"))
    url, login = _url(entries.get("url")), _login(entries.get("login"))
    tls = entries.get("tls", ACME)
    if tls not in (ACME, INTERNAL):
        raise AccessError(f"access.yaml: tls is {tls!r}: write {INTERNAL}, or leave it out for {ACME}")
    if isinstance(login, OpenID) and not url:
        raise AccessError("access.yaml: `login.openid` needs `url`, the address of the UI that people type")
    groups = {str(name): _grants(role, f"groups.{name}") for name, role in _mapping(entries.get("groups"), "groups")}
    tokens = tuple(_token(token) for token in _list(entries.get("tokens"), "tokens"))
    if repeated := {one.name for one in tokens if [other.name for other in tokens].count(one.name) > 1}:
        raise AccessError(f"access.yaml: two tokens are called {', '.join(sorted(repeated))}: rename one")
    return Access(url, tls, login, groups, tokens)


def _url(given: Any) -> str:
    if given is None:
        return ""
    parts = urlsplit(str(given))
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise AccessError(f"access.yaml: url is {given!r}: write it as https://ingest.example.com")
    port = "" if parts.port in (None, {"http": 80, "https": 443}[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{parts.hostname}{port}"


def _login(given: Any) -> OpenID | Proxy | None:
    if given is None:
        return None
    kind, settings = next(iter(given.items())) if isinstance(given, dict) and len(given) == 1 else (None, None)
    if kind == "openid":
        found = _entries(settings, "login.openid", ("issuer", "client_id"), ("groups_claim", "scopes"))
        return OpenID(**{key: str(value) for key, value in found.items()} | {"issuer": _issuer(found["issuer"])})
    if kind == "proxy":
        found = _entries(settings, "login.proxy", ("peers", "user_header", "groups_header"), ())
        for key in ("user_header", "groups_header"):
            if not _HEADER.fullmatch(str(found[key])):
                raise AccessError(f"access.yaml: login.proxy.{key} is {found[key]!r}, which is not a header name")
        peers = tuple(_network(peer) for peer in _list(found["peers"], "login.proxy.peers"))
        if not peers:
            raise AccessError("access.yaml: login.proxy.peers is empty: list the addresses of the proxy")
        return Proxy(peers, str(found["user_header"]).lower(), str(found["groups_header"]).lower())
    raise AccessError(f"access.yaml: login must be either `openid` or `proxy`: {REMEDY}")


def _issuer(given: Any) -> str:
    """Returns the issuer. Allows plain HTTP only on a private network: anyone in between could say who logs in."""
    parts = urlsplit(str(given))
    if parts.scheme == "http" and parts.hostname:
        try:
            private = ip_address(parts.hostname).is_private
        except ValueError:
            private = parts.hostname == "localhost"
        if private:
            return str(given).rstrip("/")
    if parts.scheme != "https" or not parts.hostname:
        raise AccessError(f"access.yaml: login.openid.issuer is {given!r}: it must be an https:// address")
    return str(given).rstrip("/")


def _network(given: Any) -> IPv4Network | IPv6Network:
    try:
        network = ip_network(str(given))
    except ValueError:
        raise AccessError(f"access.yaml: login.proxy.peers names {given!r}, which is not an IP address") from None
    if network.prefixlen == 0:
        raise AccessError(f"access.yaml: login.proxy.peers names {given!r}: anybody could claim to be anybody")
    return network


def _grants(given: Any, where: str) -> tuple[Grant, ...]:
    """Parses ``editor``, which applies everywhere, or a mapping ``{editor: [github], launcher: [stripe]}``."""
    if not isinstance(given, dict):
        return (Grant(_role(given, where)),)
    grants = []
    for role, locations in given.items():
        grant = Grant(_role(role, where), frozenset(map(str, _list(locations, f"{where}.{role}"))))
        if grant.role in (Role.VIEWER, Role.ADMIN):
            raise AccessError(f"access.yaml: {where}: {role} covers every location: write `{where}: {role}`")
        if not grant.locations or not all(map(_LOCATION.fullmatch, grant.locations)):
            raise AccessError(f"access.yaml: {where}.{role} must list locations, as in [github, stripe]")
        grants.append(grant)
    return tuple(grants)


def _role(given: Any, where: str) -> Role:
    try:
        return Role(given)
    except ValueError:
        raise AccessError(f"access.yaml: {where} has the role {given!r}: choose one of {', '.join(Role)}") from None


def _token(given: Any) -> Token:
    found = _entries(given, "a token", ("name", "sha256", "role", "ends"), ())
    name, where = str(found["name"]), f"token {found['name']}"
    if not _DIGEST.fullmatch(str(found["sha256"])):
        raise AccessError(
            f"access.yaml: {where}: sha256 is not a SHA-256 digest: make a token with `make token NAME={name}`"
        )
    if not isinstance(found["ends"], date) or isinstance(found["ends"], datetime):
        raise AccessError(f"access.yaml: {where}: ends is {found['ends']!r}: write a day as 2027-01-31")
    return Token(name, str(found["sha256"]), _grants(found["role"], where), found["ends"])


def _entries(given: Any, where: str, required: Iterable[str], optional: Iterable[str]) -> dict[str, Any]:
    """Returns a mapping with these keys and no others; a misspelt setting raises :class:`AccessError`."""
    found = dict(_mapping(given, where))
    if missing := [key for key in required if found.get(key) in (None, "")]:
        raise AccessError(f"access.yaml: {where} lacks {', '.join(missing)}: {REMEDY}")
    if unknown := sorted(set(map(str, found)) - {*required, *optional}):
        raise AccessError(f"access.yaml: {where} has no setting {', '.join(unknown)}: {REMEDY}")
    return found


def _mapping(given: Any, where: str) -> Iterable[tuple[Any, Any]]:
    if given is None:
        return ()
    if not isinstance(given, dict):
        raise AccessError(f"access.yaml: {where} must be a mapping of names to values")
    return given.items()


def _list(given: Any, where: str) -> list[Any]:
    if given is None:
        return []
    if not isinstance(given, list):
        raise AccessError(f"access.yaml: {where} must be a list")
    return given
