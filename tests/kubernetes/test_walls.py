"""The walls of docs/kubernetes.md, attacked from a pod that the run launcher makes."""

import json
import subprocess
from collections.abc import Iterator

import pytest

from ingest_tools.engine import EngineError
from knocking import KNOCK

from .conftest import PROJECT, Tested

pytestmark = pytest.mark.kubernetes

CONNECT = r"""
import socket, sys
from concurrent.futures import ThreadPoolExecutor

def answers(address):
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 5).close()
    except OSError:
        return f"{address} no"
    return f"{address} yes"

print(*ThreadPoolExecutor(9).map(answers, sys.argv[1:]), sep="\n")
"""
QUERY = """
import sys, psycopg2
from pathlib import Path
user, database, statement = sys.argv[1:]
password = Path("/run/secrets/destination--postgres--credentials--password").read_text()
host = "turnstile.ingest-test"
try:
    with psycopg2.connect(host=host, user=user, dbname=database, password=password) as opened:
        cursor = opened.cursor()
        cursor.execute(statement)
        print(cursor.fetchone())
except psycopg2.Error as error:
    print(str(error).strip().splitlines()[0])
"""
API = "kubernetes.default:443"


@pytest.fixture(scope="module")
def pod(platform: Tested) -> Iterator[str]:
    """A pod like those of github's runs, which waits."""
    name = platform.run_pod("github", "attacker", ["sleep", "600"])
    platform.in_location("github", "wait", name, "--for=condition=Ready", "--timeout=120s")
    yield name
    platform.in_location("github", "delete", "job", "attacker")


def said(platform: Tested, pod: str, *command: str) -> str:
    return platform.in_location("github", "exec", pod, "--", *command)


def reaches(platform: Tested, pod: str, *addresses: str) -> dict[str, bool]:
    try:
        lines = said(platform, pod, "python", "-c", CONNECT, *addresses).splitlines()
    except EngineError as error:
        raise AssertionError(error.output) from None
    return {address: answer == "yes" for address, answer in map(str.split, lines)}


def test_a_run_reaches_the_warehouse_and_no_other_pod(platform: Tested, pod: str) -> None:
    code_server = f"server.{platform.namespace('stripe')}:4000"
    node = json.loads(platform.kubectl("get", "endpoints", "kubernetes", "--namespace=default", "--output=json"))
    api = node["subsets"][0]["addresses"][0]["ip"]
    refused = [code_server, f"server.{platform.namespace('github')}:4000", f"ui.{PROJECT}:3000", API, f"{api}:6443"]
    refused += [f"postgres.{PROJECT}:5432"]
    allowed = [f"turnstile.{PROJECT}:5432", f"sandbox.{PROJECT}:8099"]
    assert reaches(platform, pod, *allowed, *refused) == dict.fromkeys(allowed, True) | dict.fromkeys(refused, False)
    probe = ("python", "-c", CONNECT, code_server, API)  # from where it is allowed, both answer
    assert platform.kubectl("exec", "deploy/daemon", "--", *probe).count("yes") == 2


def test_a_run_has_its_own_secrets_alone_and_no_token(platform: Tested, pod: str) -> None:
    files = set(said(platform, pod, "ls", "/run/secrets").split())
    assert {"pg_service.conf", "destination--postgres--credentials--password"} <= files
    assert all(one.startswith(("destination--", "sources--github--", "pg_service")) for one in files)
    with pytest.raises(EngineError) as refused:
        said(platform, pod, "touch", "/opt/location/it")
    assert "Read-only file system" in refused.value.output
    assert said(platform, pod, "id", "-u") == "10001"
    assert "CapEff:\t0000000000000000" in said(platform, pod, "cat", "/proc/self/status")


def test_a_role_can_do_nothing_in_anothers_schema(platform: Tested, pod: str) -> None:
    def told(*arguments: str) -> str:
        return said(platform, pod, "python", "-c", QUERY, *arguments)

    assert told("github", "warehouse", "SELECT current_user") == "('github',)"
    stripe = "SELECT has_schema_privilege('stripe_raw', 'USAGE')"
    assert told("github", "warehouse", stripe) == "(False,)"
    assert "permission denied" in told("github", "dagster", "SELECT 1")
    assert "password authentication failed" in told("stripe", "warehouse", "SELECT 1")


def test_connections_that_never_sign_in_keep_nobody_out(platform: Tested, pod: str) -> None:
    """Postgres gives each a place before it asks for a password, also of those that it reserves for Dagster."""
    command = ["kubectl", f"--namespace={platform.namespace('github')}", "exec", "--stdin", pod, "--"]
    command += ["python", "-c", KNOCK, f"turnstile.{PROJECT}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as attack:
        assert attack.stdout
        entered = int(attack.stdout.readline())
        connect = ("python", "-c", "import psycopg2; psycopg2.connect(service='dagster')")
        platform.kubectl("exec", "deploy/daemon", "--", *connect)
        platform.in_location("stripe", "exec", "deploy/server", "--", *connect)
        attack.communicate()
    assert 0 < entered <= 24


@pytest.mark.parametrize(
    ("account", "verb", "what", "where", "may"),
    [
        ("host", "create", "jobs", "github", True),
        ("host", "get", "secrets", "github", False),
        ("host", "create", "pods", "github", False),
        ("host", "create", "pods/exec", "github", False),
        ("host", "patch", "deployments", "github", False),
        ("host", "create", "jobs", "", False),
        ("host", "get", "secrets", "", False),
        ("location", "get", "secrets", "github", False),
        ("location", "create", "jobs", "github", False),
        ("location", "get", "pods", "stripe", False),
    ],
)
def test_what_an_account_may_do(account: str, verb: str, what: str, where: str, may: bool, platform: Tested) -> None:
    space = platform.namespace(where) if where else PROJECT
    of = PROJECT if account == "host" else platform.namespace("github")
    ask = ("auth", "can-i", verb, what, f"--as=system:serviceaccount:{of}:{account}", f"--namespace={space}")
    try:
        answer = platform.kubectl(*ask)
    except EngineError as error:  # it ends with 1 where the answer is no
        answer = error.output.strip()
    assert answer.startswith("yes" if may else "no")


def test_a_tag_that_would_steer_the_pod_is_refused(platform: Tested) -> None:
    """As plain dagster-k8s has it, this run would have stripe's account and the node's network."""
    config = json.dumps({"pod_spec_config": {"host_network": True}, "job_metadata": {"namespace": "ingest-stripe"}})
    tags = {"dagster-k8s/config": config, "dagster/max_retries": "0"}
    run_id = platform.platform.launch("github", "github_reference_ingest", tags)
    assert platform.platform.ended(run_id).status == "FAILURE"
    events = platform.platform.query(
        """query($id: ID!) { logsForRun(runId: $id) {
          ... on EventConnection { events { ... on MessageEvent { message } } } } }""",
        id=run_id,
    )["logsForRun"]["events"]
    assert any("it was not started: the tag dagster-k8s/config is not allowed" in one["message"] for one in events)
    assert run_id not in platform.in_location("github", "get", "jobs", "--output=name")


def test_a_pod_that_needs_too_much_memory_is_said_to_be_out_of_memory(platform: Tested) -> None:
    platform.run_pod("stripe", "hungry", ["python", "-c", "bytearray(3 * 2**30)"])
    platform.in_location("stripe", "wait", "job/hungry", "--for=condition=Failed", "--timeout=120s")
    look = """
from dagster import DagsterInstance
from ingest_host.kubernetes import namespace_of
with DagsterInstance.get() as instance:
    core = instance.run_launcher._api_client.core_api
    (pod,) = core.list_namespaced_pod(namespace_of("stripe"), label_selector="job-name=hungry").items
    print(instance.run_launcher._illness(pod))
"""
    assert platform.kubectl("exec", "deploy/daemon", "--", "python", "-c", look) == "out of memory: 2 GB"
    platform.in_location("stripe", "delete", "job", "hungry")
