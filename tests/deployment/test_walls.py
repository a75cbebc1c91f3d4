"""What one location can do to another: nothing. Tested from inside a container like those of its runs."""

import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from caught import at_work
from ingest_tools.engine import EngineError, docker, inspect
from ingest_tools.projects import ROOT

from .conftest import PROJECT, SUBNETS, Tested

pytestmark = pytest.mark.docker

KILLED = "137"
"""The exit code of a container that did not end in time."""
CANARY = "canary-9f1c2b7a5e"
PROBE = """
import docker, os, sys
from ingest_host.launch import Run, run_container
project, location, image = sys.argv[1:]
run, name = Run("00000000-probe", "STARTED", location, image), f"{project}-probe-{os.urandom(4).hex()}"
container = docker.from_env().containers.create(**run_container(project, name, run, ["sleep", "900"]))
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


GREEDY = """
import psycopg2
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
password = Path("/run/secrets/destination--postgres--credentials--password").read_text()
def ask(_):
    with psycopg2.connect(host="postgres", dbname="warehouse", user="stripe", password=password) as connection:
        try:
            text = "string_agg(repeat('x', 1000000), '') FROM generate_series(1, 900)"
            connection.cursor().execute(f"SELECT length(text) FROM (SELECT {text}) AS one (text)")
        except psycopg2.Error as error:
            return str(error).splitlines()[0]
with ThreadPoolExecutor(20) as pool:
    print(*set(pool.map(ask, range(20))), sep="; ")
"""
"""In 20 of the sessions that a login may have, a query that takes 900 MB."""


@contextmanager
def refused(why: str) -> Iterator[None]:
    """Requires the block's command to fail with this text."""
    with pytest.raises(EngineError) as error:
        yield
    assert re.search(why, error.value.output)


@dataclass(frozen=True)
class Probe:
    """A container like a run's, which sleeps."""

    id: str

    def run(self, *command: str) -> str:
        return docker("exec", self.id, *command)

    def python(self, code: str, *arguments: str) -> str:
        return self.run("python", "-c", code, *arguments)


@contextmanager
def probed(platform: Tested, location: str) -> Iterator[Probe]:
    python = ROOT / "host" / ".venv" / "bin" / "python"
    command: list[str | Path] = [python, "-c", PROBE, platform.project, location, platform.image(location)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    probe = Probe(done.stdout.strip())
    try:
        yield probe
    finally:
        docker("rm", "--force", "--volumes", probe.id)


@pytest.fixture(scope="module")
def probe(platform: Tested) -> Iterator[Probe]:
    """Of github."""
    with probed(platform, "github") as probe:
        yield probe


@pytest.fixture(scope="module")
def stripes(platform: Tested) -> Iterator[Probe]:
    """The attacker: stripe's code, in a container like those of stripe's runs."""
    with probed(platform, "stripe") as probe:
        yield probe


@pytest.fixture(scope="module")
def stripes_run(platform: Tested) -> str:
    """A run of stripe's, after it got a secret that must not leave it."""
    assert platform.ingest("secret", "stripe", "load.canary", text=CANARY).returncode == 0
    return platform.succeed("stripe", "stripe_payments_ingest")


# Networks


def test_a_run_reaches_the_warehouse(probe: Probe) -> None:
    probe.python(REACH, "postgres", "5432")


@pytest.mark.parametrize(("host", "port"), [("stripe", 4000), ("launch", 2300)])
def test_a_run_reaches_neither_another_location_nor_the_launch_service(
    platform: Tested, probe: Probe, host: str, port: int
) -> None:
    addresses = [network["IPAddress"] for network in platform.inspect(host)["NetworkSettings"]["Networks"].values()]
    for name in (host, *addresses):
        with refused("gaierror|timed out|unreachable|refused"):
            probe.python(REACH, name, str(port))


def test_only_the_ui_and_the_monitor_are_published(platform: Tested) -> None:
    published = {
        service: platform.inspect(service)["HostConfig"]["PortBindings"]
        for service in platform.compose("ps", "--services").splitlines()
    }
    assert {service for service, ports in published.items() if ports} == {"front", "monitor"}
    assert {one["HostIp"] for found in published.values() for ports in found.values() for one in ports} == {"127.0.0.1"}


# Secrets and roles


def test_a_run_has_its_own_secrets_alone(probe: Probe) -> None:
    names = set(probe.run("ls", "/run/secrets").split())
    assert {"pg_service.conf", "destination--postgres--credentials--password"} <= names
    assert not [name for name in names if "stripe" in name]


def test_a_login_that_wants_all_of_the_memory_of_postgres_ends_no_session_but_its_own(
    platform: Tested, stripes: Probe
) -> None:
    """Postgres would end everybody's when one is killed, and nobody's run be launched as long as that is repeated."""
    since = datetime.now(UTC).isoformat()
    assert stripes.python(GREEDY) == "out of memory"
    assert "was terminated by signal 9" not in platform.compose("logs", f"--since={since}", "postgres")


def test_the_set_up_of_a_location_has_no_password_of_the_superuser(platform: Tested) -> None:
    passwords = ["run", "--rm", "-T", "--no-deps", "github-setup", "find", "/secrets", "-name", "*-password"]
    found = set(platform.compose(*passwords).split())
    assert found == {"/secrets/setup/platform-password", "/secrets/runs/destination--postgres--credentials--password"}


def test_a_role_works_in_its_own_schema(probe: Probe) -> None:
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
def test_a_role_can_do_nothing_in_anothers_schema(probe: Probe, statement: str) -> None:
    with refused("must be owner|permission denied|is not a schema that github stages in"):
        probe.python(SQL, "warehouse", "github", statement)


@pytest.mark.parametrize(
    ("database", "user"),
    [("dagster", "github"), ("audit", "github"), ("warehouse", "stripe"), ("postgres", "postgres")],
)
def test_a_role_opens_no_other_database_and_no_other_role(probe: Probe, database: str, user: str) -> None:
    with refused("permission denied|password authentication failed"):
        probe.python(SQL, database, user, "SELECT 1")


@pytest.mark.parametrize("schema", ["github_raw.repositories", "stripe_raw.charges"])
def test_an_analyst_reads_everything_and_writes_nothing(platform: Tested, schema: str) -> None:
    address = f"postgresql://analyst:{platform.secret('analyst-password')}@postgres/warehouse"
    ask = ["exec", "-T", "postgres", "psql", address, "--no-psqlrc", "--tuples-only", "--command"]
    assert int(platform.compose(*ask, f"SELECT count(*) FROM {schema}")) > 0
    with refused("permission denied|read-only transaction"):
        platform.compose(*ask, f"DELETE FROM {schema}")


def test_a_secret_is_found_nowhere_else(platform: Tested, probe: Probe, stripes_run: str) -> None:
    containers = platform.compose("--profile", "sandbox", "ps", "--all", "--quiet").split() + platform.run_containers()
    for container in containers:
        assert CANARY not in docker("inspect", container)
        assert CANARY not in docker("logs", container)
    for image in (platform.image("github"), platform.image("stripe"), f"ingest-host:{PROJECT}"):
        assert CANARY not in docker("inspect", image) + docker("history", "--no-trunc", image)
    dump = ["exec", "-T", "postgres", "pg_dump", "--username=postgres"]
    assert CANARY not in platform.compose(*dump, "dagster")
    assert CANARY not in platform.compose(*dump, "warehouse")
    where = ["/run/secrets", "/var/lib/runs", "/opt", "/tmp", "/proc/self/environ"]  # noqa: S108
    search = ["grep", "--recursive", "--files-with-matches", "--no-messages", CANARY]
    for service in ("webserver", "daemon", "github", "stripe"):
        with refused("exit code"):  # grep found nothing
            platform.compose("exec", "-T", service, *search, *where)
    with refused("exit code"):
        probe.run(*search, *where)


def test_the_canary_is_where_it_should_be(platform: Tested, stripes_run: str) -> None:
    """Otherwise the search for it proves nothing."""
    command = ["run", "--rm", "-T", "--no-deps", "stripe-setup", "cat", "/secrets/runs/load--canary"]
    assert platform.compose(*command) == CANARY


# Containers


@pytest.mark.parametrize("service", ["webserver", "front", "daemon", "purge", "github", "stripe", "run"])
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


# The engine


ASK_LAUNCH = """
import sys
from http.client import HTTPConnection
method, path, token = sys.argv[1:]
connection = HTTPConnection("launch", 2300, timeout=5)
connection.request(method, path, headers={"Authorization": f"Bearer {token}"})
print(connection.getresponse().status)
"""


def test_only_the_launch_service_has_the_engines_socket(platform: Tested) -> None:
    with_socket = {
        service
        for service in platform.compose("ps", "--services").splitlines()
        if any(mount["Source"].endswith("docker.sock") for mount in platform.inspect(service)["Mounts"])
    }
    assert with_socket == {"launch"}


def test_the_launch_service_can_do_nothing_but_ask_the_engine(platform: Tested) -> None:
    told = platform.inspect("launch")
    assert told["HostConfig"]["ReadonlyRootfs"]
    assert told["HostConfig"]["CapAdd"] == ["DAC_READ_SEARCH"]
    assert told["HostConfig"]["CapDrop"] == ["ALL"]
    assert list(told["NetworkSettings"]["Networks"]) == [f"{platform.project}_launch"]
    with refused("Network is unreachable|timed out|gaierror"):  # its network has no way out
        platform.compose("exec", "-T", "launch", "python", "-c", REACH, "192.0.2.1", "443")


@pytest.mark.parametrize(
    ("method", "path", "token", "status"),
    [
        ("GET", "/", "", 200),
        ("GET", "/runs/00000000-0000-0000-0000-000000000000", "", 401),
        ("POST", "/purge", "", 401),
        ("POST", "/runs/00000000-0000-0000-0000-000000000000/execute_run", "guessed", 401),
        ("POST", "/runs/00000000-0000-0000-0000-000000000000/execute_run", "right", 409),
        ("GET", "/v1.45/containers/json", "right", 404),
        ("POST", "/v1.45/containers/create", "right", 404),
        ("POST", "/runs/../v1.45/containers/create", "right", 404),
        ("GET", "/runs/00000000-0000-0000-0000-000000000000", "right", 200),
    ],
)
def test_who_reaches_the_launch_service_has_three_verbs(
    platform: Tested, method: str, path: str, token: str, status: int
) -> None:
    """Even an attacker who took over the daemon cannot create a container of their own."""
    if token == "right":
        token = platform.compose("exec", "-T", "daemon", "cat", "/run/secrets/launch-token")
    told = platform.compose("exec", "-T", "daemon", "python", "-c", ASK_LAUNCH, method, path, token)
    assert told == str(status)


TERMINATE = """mutation($id: String!) { terminateRun(runId: $id) { __typename ... on PythonError { message }
  ... on TerminateRunFailure { message } } }"""


def test_a_runs_tags_stop_no_other_container(platform: Tested) -> None:
    """A location may write to the records of its own runs."""
    purge, before = platform.container("purge"), platform.inspect("purge")["State"]["StartedAt"]
    platform.origin.change(40, seed=3)
    platform.origin.slow_down(5_000)
    try:
        run = at_work(platform)
        run_id = run.id
        for table, column in (("run_tags", "value"), ("runs", "run_body")):
            forged = f"{column} = replace({column}, '{run.container}', '{purge}')"
            platform.sql("dagster", f"SET ROLE dagster; UPDATE public.{table} SET {forged} WHERE run_id = '{run_id}'")
        assert platform.platform.run(run_id).container == purge
        assert platform.platform.query(TERMINATE, id=run_id)["terminateRun"]["__typename"] == "TerminateRunSuccess"
        assert platform.platform.ended(run_id).status == "CANCELED"
    finally:
        platform.origin.slow_down(0)
    assert platform.inspect("purge")["State"]["StartedAt"] == before
    assert docker("wait", run.container) != KILLED


# What a queued run's record can say


EVIL = """
import pathlib
pathlib.Path("/var/lib/runs/ran").touch()
from github_location.definitions import *
"""


OTHER_CODE = "/var/lib/runs/evil"
OTHER_IMAGES = ("ingest-stripe:{tag}", f"ingest-host:{PROJECT}", "ingest-github:never-active")


@pytest.fixture(scope="module")
def forged(platform: Tested, probe: Probe) -> dict[str, str]:
    """Runs of github's, by what their records say after they were changed while the runs waited for the daemon."""
    probe.run("mkdir", "-p", f"{OTHER_CODE}/github_location")
    probe.python(f"open('{OTHER_CODE}/github_location/definitions.py', 'w').write({EVIL!r})")
    platform.compose("stop", "daemon")
    try:
        says = (*OTHER_IMAGES, OTHER_CODE)
        runs = {said: platform.platform.launch("github", "github_catalog_ingest") for said in says}
        tag = platform.image("stripe").rpartition(":")[2]
        for image in OTHER_IMAGES:
            forge(platform, runs[image], "container_image", f'"{image.format(tag=tag)}"')
        forge(platform, runs[OTHER_CODE], "code_pointer,working_directory", f'"{OTHER_CODE}"')
    finally:
        platform.compose("up", "--detach", "--no-deps", "--wait", "daemon")
    return runs


def forge(platform: Tested, run_id: str, path: str, value: str) -> None:
    """Changes the record of a run, as anyone with the host's password of the storage can."""
    body = f"jsonb_set(run_body::jsonb, '{{pipeline_code_origin,repository_origin,{path}}}', '{value}')::text"
    platform.sql("dagster", f"SET ROLE dagster; UPDATE public.runs SET run_body = {body} WHERE run_id = '{run_id}'")


def test_a_record_leads_a_run_to_no_other_code(platform: Tested, probe: Probe, forged: dict[str, str]) -> None:
    """Not even to code in its own location's folder, the only one that its container has."""
    assert platform.platform.ended(forged[OTHER_CODE]).status == "SUCCESS"
    with refused("No such file"):
        probe.run("ls", "/var/lib/runs/ran")


@pytest.mark.parametrize("image", OTHER_IMAGES)
def test_a_record_leads_a_run_to_no_other_image(platform: Tested, forged: dict[str, str], image: str) -> None:
    run_id = forged[image]
    run = platform.platform.ended(run_id)
    assert run.status == "FAILURE"
    assert run.container == ""
    events = platform.sql("dagster", f"SELECT event FROM public.event_logs WHERE run_id = '{run_id}'")
    assert "is not an active image of github" in str(events)


# What runs leave on disk


def test_no_folder_is_writable_by_two_locations(platform: Tested, probe: Probe, stripes: Probe) -> None:
    def writable(*containers: str) -> set[tuple[str, str]]:
        found = set()
        for container in containers:
            told = inspect(container)
            folders = {one["Target"]: one.get("VolumeOptions") or {} for one in told["HostConfig"]["Mounts"] or []}
            for mount in told["Mounts"]:
                if mount["RW"]:
                    folder = folders.get(mount["Destination"], {}).get("Subpath", "")
                    found.add((mount.get("Name") or mount["Source"], folder))
        return found

    github = writable(probe.id, platform.container("github"))
    stripe = writable(stripes.id, platform.container("stripe"))
    assert (f"{platform.project}_runs", "github") in github
    assert not github & stripe
    shared = {name for name, _ in github} & {name for name, _ in stripe}
    assert all(folder for name, folder in github | stripe if name in shared), "all of a volume holds its folders"


def test_what_a_run_printed_is_there_for_its_location_alone(
    platform: Tested, probe: Probe, stripes: Probe, forged: dict[str, str]
) -> None:
    run_id = platform.platform.ended(forged[OTHER_CODE]).id
    assert run_id in probe.run("ls", "/var/lib/runs/logs")
    for path in ("/var/lib/runs/logs", "/var/lib/runs/..", "/var/lib/runs/../runs/github"):
        with refused(".*"):
            stripes.run("sh", "-c", f"ls -R {path} | grep {run_id}")


LOGS = """query($key: [String!]!) { capturedLogs(logKey: $key) { stdout stderr } }"""


def test_a_link_among_the_logs_shows_none_of_the_hosts_secrets(
    platform: Tested, stripes: Probe, stripes_run: str
) -> None:
    """Webserver and daemon have the storage's password at /run/secrets."""
    folder = f"/var/lib/runs/logs/{stripes_run}/compute_logs"
    name = stripes.run("sh", "-c", f"cd {folder} && ls *.err").split(".")[0]
    key, file = [stripes_run, "compute_logs", name], "/run/secrets/pg_service.conf"
    (password,) = re.findall("password=(.+)", platform.compose("exec", "-T", "webserver", "cat", file))
    address = f"{platform.platform.url}/logs/{'/'.join(key)}/err"
    with urllib.request.urlopen(address, timeout=10) as answer:  # noqa: S310
        assert answer.status == 200
    stripes.run("ln", "-sf", file, f"{folder}/{name}.err")
    told = platform.platform.query(LOGS, key=key)["capturedLogs"]
    assert password not in str(told)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(address, timeout=10)  # noqa: S310


PACE = """
import time
from ingest_shared.reading.limits import Limit
limit = Limit("an account", 10)
for _ in range(20):
    limit.wait()
    print(time.monotonic())
"""
"""When each call was made, by the clock that all containers of a machine share."""


def test_two_runs_of_a_location_keep_the_pace_of_its_api_together(
    platform: Tested, probe: Probe, stripes: Probe
) -> None:
    """20 calls at 10 a second take 2 s, and those of two runs 4 s; another location's count separately."""

    def calls(*probes: Probe) -> list[list[float]]:
        with ThreadPoolExecutor() as pool:
            told = pool.map(lambda one: one.python(PACE), probes)
            return [[float(at) for at in one.split()] for one in told]

    with probed(platform, "github") as another:
        together = sorted(at for run in calls(probe, another) for at in run)
    assert together[-1] - together[0] > 3.5
    # An even pace, in which a call may be a little late.
    assert max(sum(at <= later < at + 1 for later in together) for at in together) <= 13
    assert max(run[-1] - run[0] for run in calls(probe, stripes)) < 3.5


# Room


def test_sixty_locations_have_a_network_each(platform: Tested) -> None:
    """Docker's default address pools allow about 30."""
    made = []
    try:
        for number in range(60):
            third, fourth = divmod((number + 1000) * 32, 256)
            name = f"{platform.project}-many-{number}"
            docker("network", "create", f"--subnet={SUBNETS}.{third}.{fourth}/27", name)
            made.append(name)
    finally:
        docker("network", "rm", *made)
    networks = [inspect(f"{platform.project}_{name}")["IPAM"]["Config"] for name in ("github", "stripe")]
    assert [one["Subnet"] for (one,) in networks] == [f"{SUBNETS}.0.0/27", f"{SUBNETS}.0.32/27"]
