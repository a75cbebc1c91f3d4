"""What ``ingest up`` starts besides the services that always run."""

import shutil

import pytest
import yaml

from ingest_tools.deploy_host import NETWORKS
from ingest_tools.engine import docker
from ingest_tools.projects import ROOT
from ingest_tools.up import with_sandbox


@pytest.mark.parametrize(
    ("in_env", "started"), [("", "sandbox"), ("warehouse,tls", "warehouse,tls,sandbox"), ("sandbox", "sandbox")]
)
def test_the_sandbox_is_added_to_the_profiles_of_the_platform(in_env: str, started: str) -> None:
    assert with_sandbox(in_env) == started


@pytest.mark.skipif(shutil.which("docker") is None, reason="Docker Compose is not installed")
def test_with_the_sandbox_the_door_to_the_warehouse_is_still_opened() -> None:
    services = docker("compose", "config", "--services", COMPOSE_PROFILES=with_sandbox("warehouse")).split()
    assert {"sandbox", "github-sandbox", "warehouse"} <= set(services)


def test_the_networks_of_the_host_are_told_from_those_of_locations() -> None:
    """A location more or fewer is no reason to restart the host's services."""
    assert yaml.safe_load((ROOT / "docker-compose.yml").read_text())["networks"].keys() == NETWORKS
