"""Starts the platform, stops it, and follows its logs."""

import os
import sys

import click

from ingest_tools import walls
from ingest_tools.dagster_api import PlatformError
from ingest_tools.deploy_host import BUILT, DeployHost, join
from ingest_tools.engine import Deployment, docker
from ingest_tools.images import location_names
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
    deployment = Deployment.here()
    start(DeployHost(deployment), sandbox=sandbox)
    print(f"the platform is up: {deployment.platform.url}")


def start(host: DeployHost, *, sandbox: bool) -> None:
    """Builds the images that do not exist yet, and starts what is not running, with the settings of ``.env``.

    Services that the tree no longer has, such as those of a removed location, end. On a running platform, no other
    service is restarted for a location more or fewer.
    """
    own = os.environ.get(TAG)
    tag = own or _tag(host)
    profiles = host.deployment.setting("COMPOSE_PROFILES")
    if sandbox:
        profiles = with_sandbox(profiles)
    settings = {TAG: tag, "COMPOSE_PROFILES": profiles}
    has_sandbox = "sandbox" in profiles.split(",")
    everything = [*BUILT, "sandbox"] if has_sandbox else [*BUILT]
    if built := everything if own else host.unbuilt(tag, with_sandbox=has_sandbox):
        host.deployment.show("build", "--quiet", *built, **settings)
    # Alone: with a new image, Docker Compose would also recreate Postgres, which depends on it.
    host.deployment.compose("up", "--no-deps", "--exit-code-from=secrets", "secrets", **settings)
    if not host.runs_as_kept(tag):
        host.deployment.show("up", "--detach", "--wait", "--remove-orphans", **settings)
    else:
        host.deployment.compose("create", "--no-recreate", **settings)
        join(host.deployment, *location_names(host.deployment.tree))  # a new one's set-up asks for Postgres
        host.deployment.show("up", "--detach", "--wait", "--remove-orphans", "--no-recreate", **settings)
        try:
            host.deployment.platform.reload_workspace()
        except PlatformError as error:
            print(f"the UI lists the locations that it listed before: {error}", file=sys.stderr)
    host.keep(tag)
    host.remember(tag)


def _tag(host: DeployHost) -> str:
    """The version to start: on a running platform the one that runs, since another would cut off runs from Postgres."""
    new = host.new_tag()
    if new == host.tag or not host.serves_runs():
        return new
    print(f"{host.tag} of the host keeps running; to activate this tree's {new}: make deploy HOST=1", file=sys.stderr)
    return host.tag


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
    deployment = Deployment.here()
    for service in services or ("postgres",):
        deployment.container(service)  # Docker Compose says nothing about one that it does not know
    deployment.show("logs", "--follow", "--tail=100", *services)
