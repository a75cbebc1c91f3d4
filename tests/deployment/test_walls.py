"""What one location can do to another: nothing. Tried from inside a container made as its runs' are."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine import EngineError, docker, inspect
from projects import ROOT

from .conftest import Tested

pytestmark = pytest.mark.docker

CANARY = "canary-9f1c2b7a5e"
PROBE = """
import docker, sys
from types import SimpleNamespace
from ingest_host.launcher import run_container
project, location, image = sys.argv[1:]
run = SimpleNamespace(run_id="00000000-probe", job_name="probe")
container = docker.from_env().containers.create(image, ["sleep", "300"], **run_container(project, location, run))
container.start()
print(container.id)
"""
REACH = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3)"
SQL = """
import sys, psycopg2
from pathlib import Path
database, user, statement = sys.argv[1:]
password = Path("/run/secrets/destination--postgres--credentials--password").read_text()
with psycopg2.connect(host="postgres", dbname=database, user=user, password=password) as connection:
    connection.cursor().execute(statement)
"""


@contextmanager
def refused(why: str) -> Iterator[None]:
    """The block's command must fail, and say so."""
    with pytest.raises(EngineError) as error:
        yield
    assert re.search(why, error.value.output)


@dataclass(frozen=True)
class Probe:
    """A container that is what a run of github has, and sleeps."""

    id: str

    def run(self, *command: str) -> str:
        return docker("exec", self.id, *command)

    def python(self, code: str, *arguments: str) -> str:
        return self.run("python", "-c", code, *arguments)


@pytest.fixture(scope="module")
def probe(platform: Tested) -> Iterator[Probe]:
    python = ROOT / "host" / ".venv" / "bin" / "python"
    command: list[str | Path] = [python, "-c", PROBE, platform.project, "github", platform.image("github")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    probe = Probe(done.stdout.strip())
    yield probe
    docker("rm", "--force", "--volumes", probe.id)


@pytest.fixture(scope="module")
def stripe_loaded(platform: Tested) -> None:
    """Stripe's tables are there, and it was given a secret that must stay with it."""
    environment = os.environ | platform.settings | {"COMPOSE_PROJECT_NAME": platform.project, "HOST_TAG": "test"}
    command = ["make", "--silent", "secret", "LOCATION=stripe", "NAME=sources.stripe.canary"]
    subprocess.run(command, cwd=ROOT, env=environment, input=CANARY, text=True, check=True)
    platform.compose("--profile", "sandbox", "run", "--rm", "-T", "--no-deps", "stripe-sandbox")
    platform.succeed("stripe", "stripe_payments_ingest")


@pytest.fixture(scope="module")
def github_loaded(platform: Tested) -> None:
    platform.succeed("github", "github_catalog_ingest")


# Networks


def test_a_run_reaches_the_warehouse(probe: Probe) -> None:
    probe.python(REACH, "postgres", "5432")


@pytest.mark.parametrize(("host", "port"), [("stripe", 4000), ("engine", 2375)])
def test_a_run_reaches_neither_another_location_nor_the_engine(
    platform: Tested, probe: Probe, host: str, port: int
) -> None:
    addresses = [network["IPAddress"] for network in platform.inspect(host)["NetworkSettings"]["Networks"].values()]
    for name in (host, *addresses):
        with refused("gaierror|timed out|unreachable|refused"):
            probe.python(REACH, name, str(port))


def test_only_the_ui_is_published(platform: Tested) -> None:
    published = {
        service: platform.inspect(service)["HostConfig"]["PortBindings"]
        for service in platform.compose("ps", "--services").splitlines()
    }
    assert {service for service, ports in published.items() if ports} == {"webserver"}
    assert [one["HostIp"] for ports in published["webserver"].values() for one in ports] == ["127.0.0.1"]


# Secrets and roles


def test_a_run_has_its_own_secrets_alone(probe: Probe) -> None:
    names = set(probe.run("ls", "/run/secrets").split())
    assert {"pg_service.conf", "destination--postgres--credentials--password"} <= names
    assert not [name for name in names if "stripe" in name]


def test_a_role_works_in_its_own_schema(probe: Probe, github_loaded: None) -> None:
    probe.python(SQL, "warehouse", "github", "SELECT count(*) FROM github_raw.repositories")


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM stripe_raw.charges",
        "INSERT INTO stripe_raw.charges (id) VALUES ('ch_1')",
        "CREATE TABLE stripe_raw.ours (id int)",
        "DROP SCHEMA stripe_raw CASCADE",
        "GRANT stripe TO github",
        "SET ROLE stripe",
        "CREATE SCHEMA postgres",
        "SELECT platform.make_schema('stripe_raw_staging_ours')",
    ],
)
def test_a_role_can_do_nothing_in_anothers_schema(probe: Probe, stripe_loaded: None, statement: str) -> None:
    with refused("must be owner|permission denied|is not a schema that github stages in"):
        probe.python(SQL, "warehouse", "github", statement)


@pytest.mark.parametrize(
    ("database", "user"), [("dagster", "github"), ("warehouse", "stripe"), ("postgres", "postgres")]
)
def test_a_role_opens_no_other_database_and_no_other_role(probe: Probe, database: str, user: str) -> None:
    with refused("permission denied|password authentication failed"):
        probe.python(SQL, database, user, "SELECT 1")


@pytest.mark.parametrize("schema", ["github_raw.repositories", "stripe_raw.charges"])
def test_an_analyst_reads_everything_and_writes_nothing(
    platform: Tested, stripe_loaded: None, github_loaded: None, schema: str
) -> None:
    address = f"postgresql://analyst:{platform.secret('analyst-password')}@postgres/warehouse"
    ask = ["exec", "-T", "postgres", "psql", address, "--no-psqlrc", "--tuples-only", "--command"]
    assert int(platform.compose(*ask, f"SELECT count(*) FROM {schema}")) > 0
    with refused("permission denied"):
        platform.compose(*ask, f"DELETE FROM {schema}")


def test_a_secret_is_found_nowhere_else(platform: Tested, probe: Probe, stripe_loaded: None) -> None:
    containers = platform.compose("--profile", "sandbox", "ps", "--all", "--quiet").split() + platform.run_containers()
    for container in containers:
        assert CANARY not in docker("inspect", container)
        assert CANARY not in docker("logs", container)
    for image in (platform.image("github"), platform.image("stripe"), "ingest-host:test"):
        assert CANARY not in docker("inspect", image) + docker("history", "--no-trunc", image)
    dump = ["exec", "-T", "postgres", "pg_dump", "--username=postgres"]
    assert CANARY not in platform.compose(*dump, "dagster")
    assert CANARY not in platform.compose(*dump, "warehouse")
    where = ["/run/secrets", "/var/log/dagster", "/opt", "/tmp", "/proc/self/environ"]  # noqa: S108
    search = ["grep", "--recursive", "--files-with-matches", "--no-messages", CANARY]
    for service in ("webserver", "daemon", "github", "stripe"):
        with refused("exit code"):  # grep found nothing
            platform.compose("exec", "-T", service, *search, *where)
    with refused("exit code"):
        probe.run(*search, *where)


def test_the_canary_is_where_it_should_be(platform: Tested, stripe_loaded: None) -> None:
    """Or else nothing was proven by looking for it."""
    command = ["run", "--rm", "-T", "--no-deps", "stripe-setup", "cat", "/secrets/runs/sources--stripe--canary"]
    assert platform.compose(*command) == CANARY


# Containers


@pytest.mark.parametrize("service", ["webserver", "daemon", "purge", "github", "stripe", "run"])
def test_a_container_has_no_rights_that_it_does_not_need(platform: Tested, probe: Probe, service: str) -> None:
    container = probe.id if service == "run" else platform.container(service)
    told = inspect(container)
    assert told["HostConfig"]["ReadonlyRootfs"]
    assert told["HostConfig"]["Memory"] > 0
    assert told["HostConfig"]["PidsLimit"] > 0
    assert told["HostConfig"]["Init"]
    assert told["HostConfig"]["LogConfig"]["Config"]["max-size"] == "10m"
    assert docker("exec", container, "id", "-u") == "10001"
    status = docker("exec", container, "cat", "/proc/1/status")
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    with refused("Read-only file system"):
        docker("exec", container, "touch", "/opt/there")


ASK_ENGINE = """
import sys
from http.client import HTTPConnection
connection = HTTPConnection("engine", 2375, timeout=5)
connection.request(*sys.argv[1:])
print(connection.getresponse().status)
"""


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/_ping", 200),
        ("GET", "/v1.45/containers/json", 200),
        ("GET", "/v1.45/info", 403),
        ("GET", "/v1.45/secrets", 403),
        ("GET", "/v1.45/volumes", 403),
        ("GET", "/v1.45/containers/x/archive?path=/", 403),
        ("POST", "/v1.45/containers/x/exec", 403),
        ("POST", "/v1.45/containers/x/update", 403),
        ("POST", "/v1.45/build", 403),
        ("DELETE", "/v1.45/volumes/x", 403),
        ("DELETE", "/v1.45/images/x", 403),
    ],
)
def test_the_engine_answers_only_what_the_launcher_asks(platform: Tested, method: str, path: str, status: int) -> None:
    command = ["exec", "-T", "daemon", "python", "-c", ASK_ENGINE, method, path]
    assert platform.compose(*command) == str(status)


def test_only_the_filter_has_the_engines_socket(platform: Tested) -> None:
    with_socket = {
        service
        for service in platform.compose("ps", "--services").splitlines()
        if any(mount["Source"].endswith("docker.sock") for mount in platform.inspect(service)["Mounts"])
    }
    assert with_socket == {"engine"}
