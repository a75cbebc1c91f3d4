"""Removes a code location from the tree, and lists what remains of it elsewhere."""

import shutil
from collections.abc import Iterator

import click

from ingest_tools import registrations
from ingest_tools.deploy import Deploy
from ingest_tools.documents import PAGES
from ingest_tools.engine import RUN_LABEL, Deployment
from ingest_tools.images import location_names
from ingest_tools.local import Refused, data_dir
from ingest_tools.projects import LOCATIONS, ROOT


def remove(name: str) -> None:
    """Removes the location from every list, its folder, its page and its tags in ``.env``.

    Raises :class:`Refused` if it does not exist, or its folder cannot be removed.
    """
    if not registrations.NAME.fullmatch(name):
        raise Refused(f"{name!r} is not a valid location name, such as zendesk")
    folder = LOCATIONS / name
    if not folder.is_dir() and not registrations.registered(name):
        raise Refused(f"there is no location {name!r}: choose from {', '.join(location_names())}")
    if (secrets := folder / ".dlt" / "secrets.toml").exists():
        raise Refused(f"{secrets.relative_to(ROOT)} holds credentials that git cannot restore: remove it first")
    registrations.unregister(name)
    (PAGES / f"{name}.md").unlink(missing_ok=True)
    Deploy(name, Deployment.here()).forget()
    try:
        if folder.is_dir():
            shutil.rmtree(folder)
    except OSError as error:
        raise Refused(
            f"locations/{name} could not be removed completely ({error.strerror or error}): end what still writes "
            f"there, such as a test run, then run `ingest remove-location {name}` again"
        ) from None


def left(name: str) -> Iterator[tuple[str, str]]:
    """What remains outside the tree, and the command that removes it."""
    for file in (data_dir() / f"{name}.duckdb", data_dir() / "live" / f"{name}.duckdb"):
        if file.exists():
            yield "its rows in DuckDB", f"rm {file}"
    project = Deployment.here().project
    yield "its service, if it runs (with SANDBOX=1 if the platform was started so)", "make up"
    sql = f'DROP OWNED BY "{name}" CASCADE; DROP ROLE "{name}", "dagster-{name}"'
    psql = "docker compose exec -T postgres psql --username=platform --dbname=warehouse"
    yield f"its rows in the warehouse, schema {name}_raw, and its logins", f"{psql} --command='{sql}'"
    mine = f"--filter label={RUN_LABEL}={project} --filter label=ingest.location={name}"
    yield "the containers of its runs", f"docker ps --all --quiet {mine} | xargs -r docker rm --force"
    yield "its secrets", f"docker volume rm {project}_{name}-secrets {project}_{name}-server-secrets"
    rm = f"docker run --rm --volume {project}_runs:/runs postgres:17-trixie rm -r /runs/{name}"
    yield "the output of its runs", rm
    network = f"{project}_{name}"
    # The host's services stay connected.
    leave = f"docker ps --quiet --filter network={network} | xargs -r -n 1 docker network disconnect {network}"
    yield "its network", f"{leave}; docker network rm {network}"
    yield "its images", f"docker image ls --quiet ingest-{name} | sort -u | xargs -r docker image rm --force"
    yield "its runs in Dagster", "none needed: they are purged after 30 days, failed ones after 90"


@click.command(epilog="Example: ingest remove-location zendesk")
@click.argument("name")
def remove_location_command(name: str) -> None:
    """Remove a location, and list what remains of it."""
    remove(name)
    print(f"removed locations/{name} and every reference to it. What remains, and how to remove it:")
    for what, command in left(name):
        print(f"  {what}:\n    {command}")
