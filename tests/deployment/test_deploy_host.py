"""A change of the host is deployed like a location's: migrated, swapped, and rolled back if it fails."""

import time

import pytest

from caught import at_work
from ingest_tools.deploy_host import UNDER_RUNS, DeployHost
from ingest_tools.engine import docker, inspect
from ingest_tools.local import Refused
from ingest_tools.up import start
from measured import measured

from .conftest import Tested
from .test_deploy import changed

pytestmark = pytest.mark.docker

ANSWERS = "host/src/ingest_host/answers.py"
"""Webserver and daemon import it, and the set-up does not."""
BROKEN = "\nraise RuntimeError('broken on purpose')\n"


def made_of(platform: Tested, service: str) -> tuple[str, int, str]:
    """What a service's container was created from: image, a limit in the Compose file, last line of dagster.yaml."""
    container = platform.inspect(service)
    last = docker("exec", container["Id"], "tail", "-n", "1", "/opt/dagster/dagster.yaml")
    return container["Config"]["Image"], container["HostConfig"]["PidsLimit"], last


def lasting(platform: Tested) -> dict[str, str]:
    """The containers of services that always run."""
    containers = platform.containers().items()
    return {name: one["Id"] for name, one in containers if one["HostConfig"]["RestartPolicy"]["Name"] != "no"}


def test_a_version_that_does_not_start_is_taken_back_whole_and_one_that_does_is_active(platform: Tested) -> None:
    """Images, Compose files and dagster.yaml; a run in progress continues meanwhile."""
    host, compose = DeployHost(platform), platform.tree / "docker-compose.yml"
    host.keep(host.tag)  # as `make up` does
    before, before_tag = made_of(platform, "daemon"), host.tag
    under_runs = [platform.inspect(service)["Id"] for service in UNDER_RUNS]
    as_it_was = compose.read_text()
    platform.origin.change(40)
    platform.origin.slow_down(1000)
    try:
        run = at_work(platform)
        platform.compose("build", "webserver", COMPOSE_PROJECT_NAME="another")  # has the same tag, and another id
        with changed(host, ANSWERS, "\n# Not deployed yet.\n"):
            start(host, sandbox=True)
        assert platform.inspect("secrets")["Image"] == inspect(host.images(host.tag)[0])["Id"]
        assert made_of(platform, "daemon") == before
        assert [platform.inspect(service)["Id"] for service in UNDER_RUNS] == under_runs
        compose.write_text(as_it_was.replace("pids_limit: 256", "pids_limit: 255"))
        with changed(host, ANSWERS, BROKEN), pytest.raises(Refused, match="broken on purpose") as refused:
            host.deploy(tests=False)
        measured(str(refused.value))
        assert f"{before_tag} is active again" in str(refused.value)
        assert made_of(platform, "daemon") == before
        with changed(host, "dagster.yaml", "\n# Another version.\n"):
            began = time.monotonic()
            measured(host.deploy(tests=False))
            measured(f"from a changed line of the host to all healthy: {time.monotonic() - began:.1f} s")
            assert "nothing to do" in host.deploy(tests=False)
            there = lasting(platform)
            start(host, sandbox=True)
            assert lasting(platform) == there  # `make up` after it restarts nobody
    finally:
        platform.origin.slow_down(0)
        compose.write_text(as_it_was)
    assert made_of(platform, "daemon") == (f"ingest-host:{host.tag}", 255, "# Another version.")
    assert host.tags_before == [before_tag]
    assert [platform.inspect(service)["Id"] for service in UNDER_RUNS] == under_runs
    assert platform.platform.ended(run.id).status == "SUCCESS"
    assert all(one.loaded for one in platform.platform.locations().values())
