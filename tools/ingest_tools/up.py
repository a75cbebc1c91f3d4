"""Starts the platform, stops it, and follows its logs."""

import os

import click

from ingest_tools import walls
from ingest_tools.deploy_host import BUILT, DeployHost
from ingest_tools.engine import Deployment, docker
from ingest_tools.local import Refused

TAG = "HOST_TAG"
"""If set in the environment, the tag of the host's images, whatever this tree contains."""
SECONDS_TO_END = 60
"""Seconds that a run has to end when the platform is stopped."""


@click.command(epilog="Example: ingest up --sandbox")
@click.option("--sandbox", is_flag=True, help="Also start the sandbox APIs, for the locations to read.")
def up_command(*, sandbox: bool) -> None:
    """Build the host and start the platform; `deploy` builds locations."""
    if found := walls.breaches():
        raise Refused("\n".join(found))
    host = DeployHost(Deployment.here())
    tag = os.environ.get(TAG) or host.new_tag()
    profiles = host.deployment.setting("COMPOSE_PROFILES")
    if sandbox:
        profiles = with_sandbox(profiles)
    settings = {TAG: tag, "COMPOSE_PROFILES": profiles}
    built = [*BUILT, "sandbox"] if "sandbox" in profiles.split(",") else BUILT
    host.deployment.show("build", "--quiet", *built, **settings)
    host.deployment.show("up", "--detach", "--wait", **settings)
    host.keep(tag)
    host.remember(tag)
    print(f"the platform is up: {host.deployment.platform.url}")


def with_sandbox(profiles: str) -> str:
    """The platform's profiles, and the sandbox's: Docker Compose ignores ``COMPOSE_PROFILES`` beside ``--profile``."""
    return ",".join(dict.fromkeys([*filter(None, profiles.split(",")), "sandbox"]))


@click.command(epilog="Example: ingest down")
def down_command() -> None:
    """Stop the platform and its runs; keep data, history and secrets."""
    deployment = Deployment.here()
    deployment.show("stop", "webserver", "daemon")  # they would start the runs again
    if runs := deployment.run_containers("status=running"):
        docker("stop", f"--time={SECONDS_TO_END}", *runs)
    deployment.show("--profile=*", "down")


@click.command(epilog="Example: ingest logs daemon github")
@click.argument("services", nargs=-1, metavar="[SERVICE]...")
def logs_command(services: tuple[str, ...]) -> None:
    """Follow the logs of all services, or only of the named ones."""
    Deployment.here().show("logs", "--follow", "--tail=100", *services)
