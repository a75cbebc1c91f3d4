"""What a Compose file may say of a location: every way out of it that is known is refused, and no engine is needed."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest_tools import registrations, walls
from ingest_tools.local import Refused
from ingest_tools.projects import ROOT, locations

NAMES = [location.folder.name for location in locations()]
FILES = ["docker-compose.yml", "locations/service.yaml", *(f"locations/{name}/compose.yaml" for name in NAMES)]
STRIPE = "locations/stripe/compose.yaml"
SERVER = "    extends: {file: ../service.yaml, service: server}\n"
compose = pytest.mark.skipif(shutil.which("docker") is None, reason="Docker Compose is not installed")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The Compose files, copied, for an attack to change."""
    for file in FILES:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    return tmp_path


def problems(tree: Path) -> list[str]:
    command = ["docker", "compose", *walls.CONFIG]
    told = subprocess.run(command, cwd=tree, text=True, capture_output=True, check=True)
    return list(walls.problems(json.loads(told.stdout), NAMES, tree))


@compose
def test_what_is_there_crosses_no_wall(tree: Path) -> None:
    assert problems(tree) == []


def says(key: str, value: str) -> str:
    return f"    {key}: {value}\n"


ATTACKS = {
    "all of the machine's rights": (says("privileged", "true"), "privileged is not allowed"),
    "the machine's processes": (says("pid", "host"), "pid is not allowed"),
    "the machine's memory": (says("ipc", "host"), "ipc is not allowed"),
    "the machine's network": (says("network_mode", "host"), "network_mode is not allowed"),
    "the machine's users": (says("userns_mode", "host"), "userns_mode is not allowed"),
    "the machine's cgroups": (says("cgroup", "host"), "cgroup is not allowed"),
    "a device": (says("devices", '["/dev/sda:/dev/sda"]'), "devices is not allowed"),
    "a rule for devices": (says("device_cgroup_rules", '["c *:* rwm"]'), "device_cgroup_rules is not allowed"),
    "a capability": (says("cap_add", "[SYS_ADMIN]"), "cap_add is not allowed"),
    "no seccomp": (says("security_opt", '["seccomp:unconfined"]'), "security_opt may not be"),
    "another user": (says("user", '"0"'), "user is not allowed"),
    "another runtime": (says("runtime", "other"), "runtime is not allowed"),
    "a setting of the kernel": (says("sysctls", "{net.ipv4.ip_forward: 1}"), "sysctls is not allowed"),
    "another's volumes": (says("volumes_from", "[github]"), "volumes_from is not allowed"),
    "another command": (says("command", "sleep 1"), "command may not be"),
    "another entry point": (says("entrypoint", "sleep 1"), "entrypoint may not be"),
    "a port": (says("ports", '["4000:4000"]'), "ports is not allowed"),
    "a file of the machine": (says("env_file", "[../../.env]"), "environment may not be"),
    "a parent cgroup": (says("cgroup_parent", "/"), "cgroup_parent is not allowed"),
    "a group": (says("group_add", '["0"]'), "group_add is not allowed"),
    "a name": (says("container_name", "webserver"), "container_name is not allowed"),
    "a log elsewhere": (says("logging", "{driver: syslog}"), "logging may not be"),
}


@compose
@pytest.mark.parametrize(("line", "told"), ATTACKS.values(), ids=ATTACKS)
def test_a_location_may_not_ask_for(line: str, told: str, tree: Path) -> None:
    (tree / ".env").write_text("X=1\n")
    text = (tree / STRIPE).read_text()
    if line.startswith("    network_mode"):
        text = text.replace("    networks: [stripe]\n", "", 1)
    (tree / STRIPE).write_text(text.replace(SERVER, SERVER + line, 1))
    assert any(problem.startswith("service stripe: ") and told in problem for problem in problems(tree))


def swap(old: str, new: str, file: str = STRIPE, more: str = "") -> Callable[[Path], None]:
    def do(tree: Path) -> None:
        text = (tree / file).read_text()
        assert old in text
        (tree / file).write_text(text.replace(old, new, 1) + more)

    return do


def own_variables(tree: Path) -> None:
    """Docker Compose reads a file `.env` beside a file that is included."""
    (tree / "locations" / "stripe" / ".env").write_text("INGEST_PYTHON=evil:latest\nHOST_TAG=evil\n")


def override(tree: Path) -> None:
    (tree / "docker-compose.override.yml").write_text("services: {daemon: {privileged: true}}\n")


VOLUME = '["stripe-server-secrets:/run/secrets:ro"'
CHANGES = {
    "a bind mount": (swap(VOLUME, VOLUME + ', "/:/host"'), "service stripe: volumes may not be"),
    "the socket": (swap(VOLUME, VOLUME + ', "/var/run/docker.sock:/s"'), "service stripe: volumes may not be"),
    "another's secrets": (swap(VOLUME, VOLUME + ', "github-secrets:/more"'), "service stripe: volumes may not be"),
    "its own secrets to write to": (swap(VOLUME, VOLUME.replace(":ro", "")), "service stripe: volumes may not be"),
    "a tmpfs over the engine": (swap(VOLUME, VOLUME + ", {type: tmpfs, target: /x}"), "volumes may not be"),
    "another network": (swap("networks: [stripe]", "networks: [stripe, github]"), "stripe: networks may not be"),
    "the launch service's network": (swap("networks: [stripe]", "networks: [stripe, launch]"), "networks may not be"),
    "a fixed address": (
        swap("networks: [stripe]", "networks: {stripe: {ipv4_address: 10.213.0.34}}"),
        "stripe: networks may not be",
    ),
    "another's image": (swap("ingest-stripe:$", "ingest-github:$"), "service stripe: image may not be"),
    "another recipe": (swap("dockerfile: locations/Dockerfile", "dockerfile: locations/stripe/D"), "build may not be"),
    "a secret of the build": (
        swap("      args: {LOCATION", "      ssh: [default]\n      args: {LOCATION"),
        "build may not be",
    ),
    "the machine's network while it is built": (
        swap("      args: {LOCATION", "      network: host\n      args: {LOCATION"),
        "build may not be",
    ),
    "the whole tree, differently": (swap("context: ../..", "context: ."), "stripe: build may not be"),
    "more rights in the one-shot": (
        swap("setup location stripe\n", "setup location stripe\n    privileged: true\n"),
        "privileged",
    ),
    "another name in the one-shot": (swap("setup location stripe", "setup location github"), "command may not be"),
    "a variable of the one-shot": (
        swap("      SOURCES__STRIPE__API_BASE", "      PYTHONPATH: /secrets/runs\n      SOURCES__STRIPE__API_BASE"),
        "service stripe-sandbox: environment may not be",
    ),
    "the platform's passwords": (
        swap('"stripe-secrets:/secrets/runs"', '"stripe-secrets:/secrets/runs", "platform-secrets:/p"'),
        "service stripe-sandbox: volumes may not be",
    ),
    "the superuser's password in the one-shot": (
        swap("setup-secrets:/secrets/setup", "platform-secrets:/secrets/setup"),
        "service stripe-setup: volumes may not be",
    ),
    "a service more": (
        swap("services:\n", "services:\n  more: {image: 'ingest-host:local'}\n"),
        "service more: neither",
    ),
    "a network of the machine": (
        swap("    ipam:", "    driver: macvlan\n    ipam:"),
        "network stripe: driver is not allowed",
    ),
    "a network that is there": (
        swap("    ipam:", "    external: true\n    ipam:"),
        "network stripe: ",
    ),
    "another's addresses": (swap("}.0.32/27", "}.0.0/27"), "networks github and stripe: the same addresses"),
    "a volume over a folder": (
        swap("  stripe-secrets:\n", "  stripe-secrets: {driver_opts: {type: none, o: bind, device: /}}\n"),
        "volume stripe-secrets: driver_opts is not allowed",
    ),
    "a volume of another": (
        swap("  stripe-secrets:\n", "  stripe-secrets: {name: ingest_github-secrets}\n"),
        "name may",
    ),
    "a secret of the machine": (
        swap(f"{SERVER}", f"{SERVER}    secrets: [shadow]\n", more="secrets:\n  shadow: {file: /etc/shadow}\n"),
        "service stripe: secrets is not allowed",
    ),
    "another base image": (own_variables, "service stripe: build may not be"),
    "another image of the host": (own_variables, "service stripe-setup: image may not be"),
    "an override file": (override, "service daemon: privileged is not allowed"),
    "a change of what all extend": (
        swap("    cap_drop: [ALL]\n", "", "locations/service.yaml"),
        "service stripe: cap_drop is missing",
    ),
    "the socket for the webserver": (
        swap("      - runs:/var/lib/runs:ro\n", "      - /var/run/docker.sock:/s\n", "docker-compose.yml"),
        "service webserver: volumes may not be",
    ),
}


@compose
@pytest.mark.parametrize(("change", "told"), CHANGES.values(), ids=CHANGES)
def test_nor_may_it_have(change: Callable[[Path], None], told: str, tree: Path) -> None:
    change(tree)
    found = problems(tree)
    assert any(told in problem for problem in found), found


def test_what_a_location_is_given_is_rendered_from_its_name() -> None:
    for name in NAMES:
        assert (ROOT / "locations" / name / "compose.yaml").read_text() == registrations.services(name)


def test_settings_of_the_sandbox_are_settings_of_its_source(tmp_path: Path) -> None:
    file = tmp_path / "locations" / "zendesk" / "pyproject.toml"
    file.parent.mkdir(parents=True)
    file.write_text('[tool.ingest.sandbox]\napi_url = "{sandbox}/example"\npages = [1]\n')
    assert registrations.sandbox_settings("zendesk", "http://x", tmp_path) == {
        "SOURCES__ZENDESK__API_URL": "http://x/example",
        "SOURCES__ZENDESK__PAGES": "[1]",
    }
    file.write_text('[tool.ingest.sandbox]\n"x: 1}\\nservices" = "y"\n')
    with pytest.raises(Refused, match="is not a setting"):
        registrations.sandbox_settings("zendesk", "http://x", tmp_path)


def test_there_is_room_for_sixty_locations(tree: Path) -> None:
    (tree / registrations.SERVICES).parent.mkdir()
    shutil.copy(ROOT / registrations.SERVICES, tree / registrations.SERVICES)
    subnets = set()
    for number in range(60):
        folder = tree / "locations" / f"many_{number}"
        folder.mkdir()
        (folder / "pyproject.toml").write_text("")
        text = registrations.services(folder.name, tree)
        (folder / "compose.yaml").write_text(text)
        assert registrations.services(folder.name, tree) == text  # it stays what it is
        subnets.add(text.split('subnet: "')[1].split('"')[0])
    assert len(subnets) == 60


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """It may lead to what never ends."""
    (tmp_path / "locations" / "stripe").mkdir(parents=True)
    (tmp_path / "locations" / "stripe" / "pyproject.toml").symlink_to("/dev/zero")
    (problem,) = registrations.unrendered("stripe", tmp_path)
    assert problem.startswith("locations/stripe: pyproject.toml and compose.yaml must be files, not links")
