"""Checks the resolved Compose files against what each service may have: for `make check`, `up` and `deploy`.

A location's compose.yaml is rendered and compared with the template. What counts in the end is the model after
`include`, `extends`, override files and variables. Whatever is not explicitly allowed here is refused: a mount, a
network, a capability, a key that a future Compose adds. It needs Docker's command line, but no engine.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from itertools import combinations
from pathlib import Path
from typing import Any

import click

from ingest_tools.engine import docker
from ingest_tools.images import location_names
from ingest_tools.local import Refused
from ingest_tools.projects import ROOT
from ingest_tools.registrations import unrendered

CONFIG = ("--profile=*", "config", "--format=json")
SOCKET = "/var/run/docker.sock"
HOST = {
    "daemon": {"dagster-secrets", "runs", "workspace"},
    "front": {"webserver-socket"},
    "launch": {"dagster-secrets"},
    "monitor": {"monitor-secrets", "workspace"},
    "postgres": {"platform-secrets", "postgres-data"},
    "purge": {"dagster-secrets", "runs", "workspace"},
    "sandbox": {"sandbox-world"},
    "secrets": {
        "access-secrets",
        "dagster-secrets",
        "door-secrets",
        "monitor-secrets",
        "platform-secrets",
        "setup-secrets",
    },
    "setup": {"access", "dagster-secrets", "platform-secrets", "setup-secrets", "workspace"},
    "tls": {"access", "tls-data", "webserver-socket"},
    "turnstile": set(),
    "warehouse": {"door-data", "door-secrets"},
    "webserver": {"access", "access-secrets", "dagster-secrets", "runs", "webserver-socket", "workspace"},
}
"""The platform's own services, and the volumes of each."""
CAPABILITIES = {"launch": {"DAC_READ_SEARCH"}, "postgres": {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"}}
BINDS = {"access.yaml", "workspace.yaml"}
"""Files of the tree that the platform's services read."""
HARMLESS = {"command", "depends_on", "healthcheck", "profiles", "restart", "stop_grace_period", "stop_signal"}
"""Keys that do not affect what a container may reach."""
LIMITS = {"mem_limit", "pids_limit", "shm_size"}

Model = dict[str, Any]
Check = Callable[[Any], bool]


def problems(model: Model, locations: list[str], root: Path = ROOT) -> Iterator[str]:
    """Violations in a model, a line each; ``model`` is what `docker compose config` prints as JSON."""
    for key in sorted(model.keys() - {"name", "services", "networks", "volumes"}):
        if not key.startswith("x-"):
            yield f"{key}: not allowed"
    services = {**{name: host_service(name, root) for name in HOST}}
    for location in locations:
        services |= location_services(location, model, root)
    for name, service in model["services"].items():
        allowed = services.get(name)
        if allowed is None:
            yield f"service {name}: neither the platform's own nor a location's"
            continue
        yield from _breaches(f"service {name}", service, allowed)
    yield from _networks(model, locations)
    volumes = {volume for of in HOST.values() for volume in of}
    volumes |= {f"{name}-{kind}" for name in locations for kind in ("secrets", "server-secrets")}
    for name, volume in model.get("volumes", {}).items():
        yield from _breaches(f"volume {name}", volume, {"name": is_(f"{model['name']}_{name}")})
        if name not in volumes:
            yield f"volume {name}: neither the platform's own nor a location's"


def host_service(name: str, root: Path) -> dict[str, Check]:
    """What a service of the platform may have, by key."""
    images = dict.fromkeys(("front", "tls", "turnstile", "warehouse"), "ingest-front")
    images |= {"postgres": "postgres", "sandbox": "ingest-sandbox"}
    image = images.get(name, "ingest-host")
    return {
        **dict.fromkeys([*HARMLESS, *LIMITS, "environment", "networks", "entrypoint"], _anything),
        **_contained(),
        "build": lambda found: found.keys() == {"context", "dockerfile", "args"} and found["context"] == str(root),
        "image": lambda found: str(found).partition(":")[0] == image,
        "cap_add": lambda found: set(found) <= CAPABILITIES.get(name, set()),
        "network_mode": is_("none"),
        "ports": lambda found: name in ("front", "monitor", "tls", "warehouse") or not found,
        "tmpfs": lambda found: set(found) <= {"/tmp", "/run/postgresql"},  # noqa: S108, in the container
        "ulimits": lambda found: set(found) <= {"data"},
        "user": lambda found: name == "launch",
        "volumes": lambda found: all(_mounted(one) in _host_mounts(name, root) for one in found),
    }


def location_services(name: str, model: Model, root: Path) -> dict[str, dict[str, Check]]:
    """What the services of a location may have, by service and key."""
    host = model["services"].get("webserver", {})
    common = {**dict.fromkeys([*HARMLESS - {"command"}, *LIMITS], _anything), **_contained()}
    common |= {"entrypoint": is_(None), "tmpfs": is_(["/tmp"])}  # noqa: S108, in the container
    base = host.get("build", {}).get("args", {})
    by_host = common | {"image": is_(host.get("image")), "build": is_(host.get("build"))}
    secrets = (f"{name}-secrets", "/secrets/runs", False)
    server_secrets = f"{name}-server-secrets"
    setup = {("setup-secrets", "/secrets/setup", True), secrets, (server_secrets, "/secrets/server", False)}
    variables = {"DAGSTER_CURRENT_IMAGE", "INGEST_DESTINATION", "INGEST_UI_URL", "PGSERVICEFILE"}
    return {
        name: common
        | {
            "image": lambda found: bool(re.fullmatch(rf"ingest-{name}:\w[\w.-]*", str(found))),
            "build": is_(
                {"context": str(root), "dockerfile": "locations/Dockerfile", "args": {"LOCATION": name, **base}}
            ),
            "command": is_(None),
            "environment": lambda found: found.keys() == variables,
            "labels": lambda found: found.keys() == {"ingest.tags"},
            "networks": is_({name: None}),
            "volumes": lambda found: {_mounted(one) for one in found} == {(server_secrets, "/run/secrets", True)},
        },
        f"{name}-setup": by_host
        | {
            "command": is_(["python", "-m", "ingest_host.setup", "location", name]),
            "networks": is_({name: None}),
            "volumes": lambda found: {_mounted(one) for one in found} == {*setup, ("runs", "/var/lib/runs", False)},
        },
        f"{name}-sandbox": by_host
        | {
            "command": is_(["python", "-m", "ingest_host.setup", "sandbox", name]),
            "environment": lambda found: all(key.startswith(f"SOURCES__{name.upper()}__") for key in found),
            "network_mode": is_("none"),
            "volumes": lambda found: {_mounted(one) for one in found} == {secrets},
        },
    }


def is_(value: Any) -> Check:
    return lambda found: bool(found == value)


def _anything(_: Any) -> bool:
    return True


def _contained() -> dict[str, Check]:
    return {
        "cap_drop": is_(["ALL"]),
        "init": is_(True),
        "logging": lambda found: found["driver"] == "json-file" and found["options"].keys() == {"max-size", "max-file"},
        "pull_policy": is_("never"),
        "read_only": is_(True),
        "security_opt": is_(["no-new-privileges:true"]),
    }


REQUIRED = {"cap_drop", "image", "logging", "mem_limit", "pids_limit", "read_only", "security_opt"}
"""Keys without which a container has more than it should."""


def _breaches(what: str, found: Model, allowed: dict[str, Check]) -> Iterator[str]:
    for key, value in found.items():
        if key not in allowed:
            yield f"{what}: {key} is not allowed"
        elif not allowed[key](value):
            yield f"{what}: {key} may not be {json.dumps(value)}"
    for key in sorted(REQUIRED & allowed.keys() - found.keys()):
        yield f"{what}: {key} is missing"


def _mounted(mount: Model) -> tuple[str, str, bool]:
    """Source, target and whether it is read-only; a mount with options of its own equals no other."""
    options = mount["type"], {key: value for key, value in mount.items() if key == "volume" and value}
    plain = options in (("volume", {}), ("bind", {}))
    return mount.get("source", "") if plain else str(mount), mount["target"], bool(mount.get("read_only"))


def _host_mounts(name: str, root: Path) -> set[tuple[str, str, bool]]:
    targets = {
        "access": ["/opt/dagster/access"],
        "access-secrets": ["/run/access", "/secrets/access"],
        "dagster-secrets": ["/run/secrets", "/secrets/dagster"],
        "door-data": ["/data"],
        "door-secrets": ["/run/secrets", "/secrets/door"],
        "monitor-secrets": ["/run/secrets", "/secrets/monitor"],
        "platform-secrets": ["/run/secrets", "/secrets/platform"],
        "postgres-data": ["/var/lib/postgresql/data"],
        "runs": ["/var/lib/runs"],
        "sandbox-world": ["/var/lib/sandbox"],
        "setup-secrets": ["/secrets/setup"],
        "tls-data": ["/data"],
        "webserver-socket": ["/run/webserver"],
        "workspace": ["/opt/dagster/workspace"],
    }
    mounts = {(volume, target, only) for volume in HOST[name] for target in targets[volume] for only in (True, False)}
    mounts |= {(str(root / file), f"/opt/dagster/{folder}{file}", True) for file in BINDS for folder in ("", "given/")}
    return mounts | ({(SOCKET, SOCKET, False)} if name == "launch" else set())


def _networks(model: Model, locations: list[str]) -> Iterator[str]:
    subnets = {}
    for name, network in model["networks"].items():
        if name not in ("default", "front", "launch", *locations):
            yield f"network {name}: neither the platform's own nor a location's"
        allowed = {"name": is_(f"{model['name']}_{name}"), "internal": is_(True), "ipam": _is_plain}
        yield from _breaches(f"network {name}", network, allowed)
        for one in network.get("ipam", {}).get("config", []):
            subnets[name] = ip_network(one.get("subnet", "0.0.0.0/0"))
    for (one, first), (other, second) in combinations(sorted(subnets.items()), 2):
        if first.overlaps(second):
            yield f"networks {one} and {other}: the same addresses, {first} and {second}"


def _is_plain(ipam: Model) -> bool:
    return not ipam or (ipam.keys() == {"config"} and [one.keys() for one in ipam["config"]] == [{"subnet"}])


def _has_compose() -> bool:
    version = ["docker", "compose", "version"]
    return (
        shutil.which("docker") is not None and subprocess.run(version, capture_output=True, check=False).returncode == 0
    )


def breaches() -> list[str]:
    """Violations in this folder, a line each. Without Docker Compose, prints a warning and returns none."""
    names = location_names()
    if found := [line for name in names for line in unrendered(name)]:
        return found  # resolving them could quote this machine's variables and files
    if not _has_compose():
        print("!!! Docker Compose is not installed: the resolved Compose files were NOT checked !!!")
        return []
    return list(problems(json.loads(docker("compose", *CONFIG)), names))


@click.command(epilog="Example: ingest walls")
def walls_command() -> None:
    """Check that the Compose files give no service more than it may have."""
    if found := breaches():
        raise Refused("\n".join(found))
