"""The places outside its own folder that name a code location, its services, and checks of both.

The lists are edited as text, so comments and order stay, and an entry can be removed without a trace. A location's
``compose.yaml`` is rendered: the location has no say in it.
"""

import json
import re
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest_tools.images import location_names
from ingest_tools.local import Refused
from ingest_tools.projects import ROOT

COMPOSE = "docker-compose.yml"
SERVICES = "templates/compose.yaml"
"""What ``locations/<name>/compose.yaml`` is rendered from."""
WORKSPACE = "workspace.yaml"
CODEOWNERS = ".github/CODEOWNERS"
SNAPSHOT = "tests/definitions.txt"

SUBNETS = "10.213"
"""The first two numbers of the locations' subnets, unless INGEST_SUBNETS in ``.env`` sets others.

Docker gives networks without a subnet 65,536 addresses each, and has room for about 30 of them. These have 32, so there
is room for 2,048 locations. Each is used by five services of the host, the code server, its stand-in during a deploy,
one-shots, and three runs at a time.
"""
NAME = re.compile(r"(?!.*_raw)[a-z][a-z0-9_]{1,29}")
RESERVED = {
    "analyst",
    "audit",
    "dagster",
    "default",
    "host",
    "none",
    "platform",
    "postgres",
    "public",
    "shared",
    "warehouse",
}
"""Reserved names of roles, databases and networks; those of the host's services and volumes are read from COMPOSE."""

_ANY_NAME = "[a-z][a-z0-9_]*"
_KEY = re.compile(r"^  ([a-z][\w-]*):", re.MULTILINE)
_SUBNET = re.compile(r'subnet: "\$\{INGEST_SUBNETS:-[\d.]+\}\.(\d+)\.(\d+)/27"')
_SANDBOX_KEY = re.compile(r"[a-z][a-z0-9_]*")
_ORGANISATION = re.compile(r"^\* (@[\w-]+)/", re.MULTILINE)
_ASSET = re.compile(r"^asset (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Place:
    """A list of locations: entries one after the other, in alphabetical order.

    ``head`` is an expression for the text before the first entry, ``entry`` the text of one, with ``<name>`` for the
    location and ``<owner>`` for its reviewers.
    """

    file: str
    what: str
    head: str
    entry: str

    def names(self, text: str) -> list[str]:
        """The locations that the list names; raises :class:`Refused` if there is no list."""
        return [found["name"] for found in self._entries(text)]

    def add(self, text: str, name: str) -> str:
        """The file's text with the location added; raises :class:`Refused`."""
        at = self._start(text)
        for found in self._entries(text):
            if found["name"] > name:
                break
            at = found.end()
        entry = self.entry.replace("<name>", name).replace("<owner>", owner(text, name))
        return text[:at] + entry + text[at:]

    def remove(self, text: str, name: str) -> str:
        """The file's text without the location, if it names it; raises :class:`Refused`."""
        for found in self._entries(text):
            if found["name"] == name:
                return text[: found.start()] + text[found.end() :]
        return text

    def _start(self, text: str) -> int:
        found = re.search(self.head, text, re.MULTILINE)
        if not found:
            raise Refused(f"{self.file}: cannot find {self.what}: nothing matches {self.head!r}")
        return found.end()

    def _entries(self, text: str) -> Iterator[re.Match[str]]:
        first, *others = map(re.escape, self.entry.split("<name>"))
        pattern = first + f"(?P<name>{_ANY_NAME})" + "(?P=name)".join(others)
        entry = re.compile(pattern.replace("<owner>", r"[^\n]*"))
        at = self._start(text)
        while found := entry.match(text, at):
            yield found
            at = found.end()


PLACES = (
    Place(COMPOSE, "the list `include`", r"^include:\n", "  - locations/<name>/compose.yaml\n"),
    Place(COMPOSE, "the list `x-networks`", r"^x-networks: &networks \[default", ", <name>"),
    Place(
        COMPOSE,
        "the list `host-networks`",
        r"^    networks: &host-networks\n(?:      (?:default|launch):\n)*",
        "      <name>:\n",
    ),
    Place(
        COMPOSE,
        "the networks of `turnstile`",
        r"^  turnstile:\n(?:    .*\n)*?    networks:\n      default:\n",
        "      <name>: {aliases: [postgres]}\n",
    ),
    Place(
        WORKSPACE,
        "the list `load_from`",
        r"^load_from:\n",
        "  - grpc_server: {location_name: <name>, host: <name>, port: 4000}\n",
    ),
    Place(CODEOWNERS, "the list of locations", r"^\* .*\n", "/locations/<name>/ <owner>\n"),
)


def team(name: str) -> str:
    """The team that owns a new location."""
    return f"{name.replace('_', '-')}-ingest"


def owner(text: str, name: str) -> str:
    """The team as CODEOWNERS names it, in the organization that reviews everything else there."""
    found = _ORGANISATION.search(text)
    return f"{found[1] if found else '@acme'}/{team(name)}"


def register(name: str, root: Path = ROOT) -> None:
    """Adds the location to all lists, or to none, and renders its services; raises :class:`Refused`."""
    _write(root, {file: _edited(root, file, lambda place, text: place.add(text, name)) for file in _files(root)})
    render(name, root)


def render(name: str, root: Path = ROOT) -> None:
    """Writes the location's ``compose.yaml``; raises :class:`Refused`."""
    _compose_file(name, root).write_text(services(name, root))


def unregister(name: str, root: Path = ROOT) -> None:
    """Removes the location from all lists; raises :class:`Refused`."""
    _write(root, {file: _edited(root, file, lambda place, text: place.remove(text, name)) for file in _files(root)})


def registered(name: str, root: Path = ROOT) -> list[str]:
    """The files that name the location."""
    return [file for file in _files(root) if any(name in place.names((root / file).read_text()) for place in _of(file))]


def name_problem(name: str, root: Path = ROOT) -> str | None:
    """Why the name is not valid for a location, in one line; None if it is valid."""
    if name.endswith("_") or "__" in name or "_raw" in name or name.startswith("pg_"):
        return f"{name!r} is not a valid location name: no trailing _, no __, no _raw, and no leading pg_"
    if not NAME.fullmatch(name):
        return f"{name!r} is not a valid location name: use 2 to 30 of a-z, 0-9 and _, starting with a letter"
    if name in RESERVED | _host_names(root):
        return f"the name {name!r} is reserved by the platform: choose another"
    return None


def problems(root: Path = ROOT) -> list[str]:
    """Incomplete registrations, wrong names and duplicate claims, a line each; none if all is well."""
    names = location_names(root)
    found = [*_unlisted(names, root), *_claimed_twice(names, root)]
    for name in names:
        found += filter(None, [name_problem(name, root)])
        found += _misnamed(name, root)
    return found


def _files(root: Path) -> list[str]:
    """The files that exist: not every copy of the repository is on GitHub."""
    return [file for file in dict.fromkeys(place.file for place in PLACES) if (root / file).is_file()]


def _of(file: str) -> list[Place]:
    return [place for place in PLACES if place.file == file]


def _edited(root: Path, file: str, edit: Callable[[Place, str], str]) -> str:
    text = (root / file).read_text()
    for place in _of(file):
        text = edit(place, text)
    return text


def _write(root: Path, texts: dict[str, str]) -> None:
    """Writes only changed files: a mounted file must keep its inode if it does not change."""
    for file, text in texts.items():
        if text != (root / file).read_text():
            (root / file).write_text(text)


def _host_names(root: Path) -> set[str]:
    """Services, networks and volumes of the platform itself."""
    return set(_KEY.findall((root / COMPOSE).read_text().partition("\nservices:\n")[2]))


def _unlisted(names: list[str], root: Path) -> Iterator[str]:
    for file in _files(root):
        text = (root / file).read_text()
        for place in _of(file):
            try:
                listed = place.names(text)
            except Refused as error:
                yield str(error)
                continue
            for name in names:
                if listed.count(name) != 1:
                    yield f"{file}: {place.what} names {name} {listed.count(name)} times instead of once"
            for name in sorted(set(listed) - set(names)):
                yield f"{file}: {place.what} names {name}, but there is no locations/{name}"


def _claimed_twice(names: list[str], root: Path) -> Iterator[str]:
    """Compares the snapshots of the definitions, which each location's own tests compare with its code."""
    claims: dict[str, list[str]] = defaultdict(list)
    for name in names:
        snapshot = root / "locations" / name / SNAPSHOT
        if not snapshot.is_file():
            yield f"locations/{name}/{SNAPSHOT} is missing: it lists the asset keys that the location claims"
            continue
        for key in _ASSET.findall(snapshot.read_text()):
            claims[key].append(name)
    for key, by in claims.items():
        if len(by) > 1:
            yield f"the asset {key} is claimed by {' and '.join(by)}"


def _misnamed(name: str, root: Path) -> Iterator[str]:
    """Names in the location's own files that do not match its folder."""
    folder = f"locations/{name}"
    settings = tomllib.loads((root / folder / "pyproject.toml").read_text())
    expected = {"project.name": f"{name}-location", "tool.dg.project.root_module": f"{name}_location"}
    for path, value in expected.items():
        if (found := _at(settings, path)) != value:
            yield f"{folder}/pyproject.toml: {path} is {found!r} but must be {value!r}"
    if not (root / folder / "src" / f"{name}_location" / "definitions.py").is_file():
        yield f"{folder}/src/{name}_location/definitions.py is missing"
    yield from unrendered(name, root)


def unrendered(name: str, root: Path = ROOT) -> Iterator[str]:
    """Deviations of the location's services from what the platform renders, a line each."""
    folder = f"locations/{name}"
    if (root / folder / ".env").exists():
        yield f"{folder}/.env must not exist, because Docker Compose would read it: remove it"
    compose = _compose_file(name, root)
    settings = root / folder / "pyproject.toml"
    if settings.is_symlink() or compose.is_symlink() or not settings.is_file():
        yield f"{folder}: pyproject.toml and compose.yaml must be files, not links: a link may point anywhere"
        return
    try:
        if not compose.is_file() or compose.read_text() != services(name, root):
            yield f"{folder}/compose.yaml differs from what {SERVICES} renders: run `make format`"
    except Refused as error:
        yield str(error)


def services(name: str, root: Path = ROOT) -> str:
    """The text of the location's ``compose.yaml``; raises :class:`Refused`.

    It keeps its subnet, or gets the first free one.
    """
    settings = sandbox_settings(name, "http://sandbox:8099", root).items()
    values = {
        "<name>": name,
        "<NAME>": name.upper(),
        "<subnet>": f"${{INGEST_SUBNETS:-{SUBNETS}}}.{_network(name, root)}",
        "<settings>": "\n      ".join(f"{key}: {json.dumps(value)}".replace("$", "$$") for key, value in settings)
        or "{}",
    }
    return re.sub("<[a-zA-Z]+>", lambda found: values[found[0]], (root / SERVICES).read_text())


def workspace(namespace: Callable[[str], str], root: Path = ROOT) -> str:
    """The text of ``workspace.yaml`` for a cluster, where each location's code server has its own namespace."""
    place = next(one for one in PLACES if one.file == WORKSPACE)
    names = place.names((root / WORKSPACE).read_text())
    servers = [{"location_name": name, "host": f"server.{namespace(name)}", "port": 4000} for name in names]
    return json.dumps({"load_from": [{"grpc_server": one} for one in servers]})


def sandbox_settings(name: str, url: str, root: Path = ROOT) -> dict[str, str]:
    """The variables that point the location at a sandbox: ``tool.ingest.sandbox`` of its pyproject.toml.

    Raises :class:`Refused` if an entry is not a setting of its source.
    """
    file = f"locations/{name}/pyproject.toml"
    found = _at(tomllib.loads((root / file).read_text()), "tool.ingest.sandbox") or {}
    settings = {}
    for key, value in found.items():
        if not _SANDBOX_KEY.fullmatch(key):
            raise Refused(f"{file}: tool.ingest.sandbox.{key} is not a setting: write it as api_url")
        text = value if isinstance(value, str) else json.dumps(value)
        settings[f"SOURCES__{name.upper()}__{key.upper()}"] = text.replace("{sandbox}", url)
    return settings


def _network(name: str, root: Path) -> str:
    """The last two numbers of the location's subnet of 30 usable addresses, and its prefix length: ``0.64/27``."""
    taken = {}
    for file in root.glob("locations/*/compose.yaml"):
        if found := _SUBNET.search(file.read_text()):
            taken[file.parent.name] = (int(found[1]), int(found[2]))
    if name not in taken or list(taken.values()).count(taken[name]) > 1:
        free = ((third, fourth) for third in range(256) for fourth in range(0, 256, 32))
        taken[name] = next(one for one in free if one not in taken.values())
    third, fourth = taken[name]
    return f"{third}.{fourth}/27"


def _compose_file(name: str, root: Path) -> Path:
    return root / "locations" / name / "compose.yaml"


def _at(settings: Any, path: str) -> Any:
    for key in path.split("."):
        settings = settings.get(key, {})
    return settings or None
