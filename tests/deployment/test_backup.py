"""Runs the commands of docs/operations.md as they are: what was backed up is restored on an empty machine."""

import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest_tools.dagster_api import wait_for
from ingest_tools.engine import docker, inspect
from ingest_tools.projects import ROOT
from origin import assert_equal
from tree import Copy

from .conftest import PROJECT, Tested

pytestmark = pytest.mark.docker

RESTORED = f"{PROJECT}-restored"
COUNTS = """SELECT table_schema, table_name,
  (xpath('/row/c/text()', query_to_xml(format('SELECT count(*) AS c FROM %I.%I', table_schema, table_name),
    false, true, '')))[1]::text
FROM information_schema.tables WHERE table_schema LIKE '%\\_raw' ORDER BY 1, 2"""


def commands() -> list[str]:
    """Returns the blocks of commands in the chapter on backup: to back up, and to restore."""
    chapter = re.split(r"^## ", (ROOT / "docs" / "operations.md").read_text(), flags=re.MULTILINE)
    (backup,) = [text for text in chapter if text.startswith("Backup")]
    return re.findall(r"```sh\n(.*?)```", backup, re.DOTALL)


@pytest.fixture
def restored(platform: Tested) -> Iterator[Tested]:
    """A platform that does not exist yet; its host's images are built, and those of locations exist."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    images = dict(line.split("=", 1) for line in platform.env_file.read_text().splitlines())
    # Docker Compose writes its project into an image: under the same tag, its next `up` would renew the platform.
    own = {"HOST_TAG": RESTORED, "INGEST_PORT": str(port), "INGEST_SUBNETS": "10.216"}
    other = Tested(RESTORED, images | own, Path("/nowhere"))
    other.remove()
    yield other
    # The sandbox and the volume are not of this project.
    sandbox = inspect(platform.container("sandbox"))
    for network in sandbox["NetworkSettings"]["Networks"]:
        if network.startswith(f"{RESTORED}_"):
            docker("network", "disconnect", "--force", network, sandbox["Id"])
    other.remove()
    docker("volume", "rm", "--force", f"{RESTORED}_github-secrets")
    docker("image", "rm", "--force", f"ingest-host:{RESTORED}", f"ingest-front:{RESTORED}")


def run(text: str, deployment: Tested, tree: Copy) -> None:
    """Runs a command in this environment, so that `make` sets up none in the copy; the tools are the copy's own."""
    make = f"make --assume-old=.venv/.synced INGEST='{sys.executable} -m ingest_tools'"
    block = text.replace("ingest_", f"{deployment.project}_").replace("make ", f"{make} ")
    own = {"COMPOSE_PROJECT_NAME": deployment.project, "PYTHONPATH": str(tree.root / "tools")}
    settings = deployment.settings | own
    done = tree.run("bash", "-euxo", "pipefail", "-c", block, folder=".", **settings)
    assert done.returncode == 0, done.stdout + done.stderr


def run_ids(deployment: Tested) -> set[str]:
    return {run.id for run in deployment.platform.runs(limit=1000)}


def kept_settings(deployment: Tested) -> str:
    """Returns the setting that the test stored, as github's runs find it."""
    volume = f"{deployment.project}_github-secrets"
    return docker("run", "--rm", f"--volume={volume}:/kept", "postgres:17-trixie", "cat", "/kept/load--workers")


@pytest.fixture
def unscheduled(platform: Tested) -> Iterator[Tested]:
    """The platform while its schedules start no runs: the backup is compared with the platform's later state."""
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
    issues = restored.told(restored.succeed("github", "github_ingest"), "github", "issues")
    assert issues["rows_loaded"] < issues["dagster/row_count"] / 5  # incremental: the cursor was kept
    address = f"postgresql://analyst:{restored.secret('analyst-password')}@{restored.address('postgres')}/warehouse"
    assert_equal("github", platform.origin, address, platform.loaded_since["github"])
