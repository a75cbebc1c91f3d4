"""The commands of docs/operations.md, run as they stand there: what was backed up comes back on an empty machine."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest_tools.dagster_api import wait_for
from ingest_tools.engine import docker, inspect
from ingest_tools.projects import ROOT
from tree import Copy

from .conftest import PROJECT, Tested
from .origin import assert_equal
from .test_restart import told

pytestmark = pytest.mark.docker

RESTORED = f"{PROJECT}-restored"
COUNTS = """SELECT table_schema, table_name,
  (xpath('/row/c/text()', query_to_xml(format('SELECT count(*) AS c FROM %I.%I', table_schema, table_name),
    false, true, '')))[1]::text
FROM information_schema.tables WHERE table_schema LIKE '%\\_raw' ORDER BY 1, 2"""


def commands() -> list[str]:
    """The blocks of commands in the chapter on backup: to back up, and to restore."""
    chapter = re.split(r"^## ", (ROOT / "docs" / "operations.md").read_text(), flags=re.MULTILINE)
    (backup,) = [text for text in chapter if text.startswith("Backup")]
    return re.findall(r"```sh\n(.*?)```", backup, re.DOTALL)


@pytest.fixture
def restored(platform: Tested) -> Iterator[Tested]:
    """A platform that is not there yet, of the same images."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    images = dict(line.split("=", 1) for line in platform.env_file.read_text().splitlines())
    other = Tested(RESTORED, images | {"INGEST_PORT": str(port), "INGEST_SUBNETS": "10.215"}, Path("/nowhere"))
    other.remove()
    yield other
    # The sandbox and the volume are not of this project.
    sandbox = inspect(platform.container("sandbox"))
    for network in sandbox["NetworkSettings"]["Networks"]:
        if network.startswith(f"{RESTORED}_"):
            docker("network", "disconnect", "--force", network, sandbox["Id"])
    other.remove()
    docker("volume", "rm", "--force", f"{RESTORED}_github-secrets")


def run(text: str, deployment: Tested, tree: Copy) -> None:
    block = text.replace("ingest_", f"{deployment.project}_")
    settings = deployment.settings | {"COMPOSE_PROJECT_NAME": deployment.project}
    done = tree.run("bash", "-euxo", "pipefail", "-c", block, folder=".", **settings)
    assert done.returncode == 0, done.stdout + done.stderr


def run_ids(deployment: Tested) -> set[str]:
    return {run.id for run in deployment.platform.runs(limit=1000)}


def kept_settings(deployment: Tested) -> str:
    """The one that the test puts in, as github's runs find it."""
    volume = f"{deployment.project}_github-secrets"
    return docker("run", "--rm", f"--volume={volume}:/kept", "postgres:17-trixie", "cat", "/kept/load--workers")


@pytest.fixture
def unscheduled(platform: Tested) -> Iterator[Tested]:
    """The platform while its schedules start no run: the backup is compared with what is there after it."""
    platform.compose("stop", "daemon")
    under_way = ["STARTING", "STARTED", "CANCELING"]
    wait_for(lambda: not platform.platform.runs(statuses=under_way), "all runs to end", 120)
    yield platform
    platform.compose("up", "--detach", "--no-deps", "--wait", "daemon")


def test_what_was_backed_up_comes_back(unscheduled: Tested, restored: Tested, tmp_path: Path) -> None:
    platform = unscheduled
    tree = Copy(tmp_path)
    back_up, restore = commands()
    store = ("python", "-m", "ingest_host.setup", "secret", "github", "load.workers")
    platform.compose("run", "--rm", "-T", "--no-deps", "github-setup", *store, text="7")
    run(back_up, platform, tree)
    run(restore, restored, tree)
    assert restored.sql("warehouse", COUNTS) == platform.sql("warehouse", COUNTS)
    # Its daemon is up, and a schedule may have started one more.
    assert run_ids(platform) <= run_ids(restored)
    assert kept_settings(restored) == "7"

    for network in ("default", "github", "stripe"):
        docker("network", "connect", "--alias=sandbox", f"{RESTORED}_{network}", platform.container("sandbox"))
    restored.compose("--profile=sandbox", "run", "--rm", "-T", "--no-deps", "github-sandbox")
    platform.origin.change(10)
    issues = told(restored, restored.succeed("github", "github_ingest"), "github", "issues")
    assert issues["rows_loaded"] < issues["dagster/row_count"] / 5  # incremental: the cursor was kept
    address = f"postgresql://analyst:{restored.secret('analyst-password')}@{restored.address('postgres')}/warehouse"
    assert_equal("github", platform.origin, address, platform.loaded_since["github"])
