"""The commands that activate a version of a location, or of the host, on either engine."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from ingest_tools import audit
from ingest_tools.cluster import Cluster, HostRelease, LocationRelease
from ingest_tools.deploy import Deploy
from ingest_tools.deploy_host import DeployHost
from ingest_tools.engine import Deployment
from ingest_tools.images import location_names
from ingest_tools.local import Refused
from ingest_tools.options import DOCKER, KUBERNETES, on
from ingest_tools.versions import HOST, WATCH_SECONDS, Versions


def named(name: str, engine: str = DOCKER) -> Versions:
    """What the command line names: a location, or the host."""
    if engine == KUBERNETES:
        cluster = Cluster.here()
        return HostRelease(cluster) if name == HOST else LocationRelease(name, cluster)
    deployment = Deployment.here()
    return DeployHost(deployment) if name == HOST else Deploy(name, deployment)


@contextmanager
def _recorded(one: Versions, action: str) -> Iterator[None]:
    """Records in the audit trail how the block ended, and for which tag: a refused version's is not the active one."""
    with audit.recorded(one.deployment, action, one.name, lambda: {"tag": one.wanted}):
        yield


what = click.argument("name", type=click.Choice([*location_names(), HOST]), metavar="LOCATION|host")


@click.command(epilog="Example: ingest deploy github")
@what
@click.option("--tests/--no-tests", default=True, help="Run a location's tests in its image first, or skip them.")
@on
@click.option("--watch/--no-watch", default=True, help="Watch it for a minute, and go back if it dies.")
def deploy_command(name: str, engine: str, *, tests: bool, watch: bool) -> None:
    """Build, test and activate a location or the host, and nothing else."""
    one = named(name, engine)
    with _recorded(one, "deploy"):
        before = one.tag
        print(one.deploy(tests=tests), flush=True)
    tag = one.tag
    if not watch or tag == before:
        return
    print(f"{name}: watching it for {WATCH_SECONDS} s; Ctrl-C leaves it active", file=sys.stderr, flush=True)
    if why := one.watch():
        with _recorded(one, "rollback"):
            said = one.take_back(tag, why)
        raise Refused(said)


@click.command(epilog="Example: ingest rollback github")
@what
@on
@click.option("--to", metavar="TAG", default="", help="A version that has been active, instead of the previous one.")
def rollback_command(name: str, engine: str, to: str) -> None:
    """Activate the previous version of a location, or of the host."""
    one = named(name, engine)
    with _recorded(one, "rollback"):
        print(one.roll_back(to))
