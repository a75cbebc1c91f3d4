"""What ``ingest up`` starts besides the services that always run."""

import shutil

import pytest

from ingest_tools.engine import docker
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
