"""A load in shards over the nodes of a cluster: the same rows, at the pace of one, whatever their number.

SHARDED_REPOSITORIES=1000 SHARDED_PACE=1000 make test ONLY=tests/kubernetes     the same with many, in minutes
"""

import json
import os
from collections.abc import Iterator

import pytest

from ingest_tools.dagster_api import Run
from measured import measured
from tree import Copy

from .conftest import Tested

pytestmark = pytest.mark.kubernetes

REPOSITORIES = int(os.environ.get("SHARDED_REPOSITORIES", "24"))
PACE = int(os.environ.get("SHARDED_PACE", "30"))
"""Calls per second of all shards together: less than one alone would send."""
LATENCY_MS = 50
LATE = 0.5
"""Seconds that the first call may be late on a busy machine. How many arrive in one second says nothing: a sandbox that
stood still takes those of several."""
SECONDS = 1200
JOB = "github_activity_ingest"
TABLES = ("issues", "issue_labels", "pull_requests", "reviews", "issue_comments", "commits")


@pytest.fixture(scope="module")
def many(platform: Tested, tree: Copy) -> Iterator[Tested]:
    """A sandbox with many repositories, which are all that github reads."""
    command = json.loads(platform.kubectl("get", "deployment/sandbox", "--output=json"))
    words = command["spec"]["template"]["spec"]["containers"][0]["command"]
    at = words.index("--state")
    words[at : at + 2] = ["--github-repositories", str(REPOSITORIES), "--github-issues", "10"]
    path = "/spec/template/spec/containers/0/command"
    patch = json.dumps([{"op": "replace", "path": path, "value": words}])
    files = [tree.root / "locations/github" / name for name in (".dlt/config.toml", "pyproject.toml", "compose.yaml")]
    before = [file.read_text() for file in files]
    for file, text in zip(files[1:], before[1:], strict=True):
        file.write_text(text.replace("1000", str(PACE)).replace("acme/*", "many/*"))
    platform.kubectl("patch", "deployment/sandbox", "--type=json", f"--patch={patch}")
    platform.rolled_out("sandbox")
    platform.origin.slow_down(LATENCY_MS)
    yield platform
    for file, text in zip(files, before, strict=True):
        file.write_text(text)
    platform.kubectl("rollout", "undo", "deployment/sandbox")
    platform.rolled_out("sandbox")


def loaded_anew(platform: Tested, tree: Copy, count: int) -> list[Run]:
    """Deploys github with so many shards, and lets each load its part for the first time, side by side."""
    platform.warehouse("DROP SCHEMA github_raw CASCADE")
    config = tree.root / "locations/github/.dlt/config.toml"
    config.write_text(config.read_text().partition("\nshards")[0].rstrip() + f"\nshards = {count}\n")
    platform.location("github").deploy(tests=False)
    platform.origin.ask("DELETE", "requests")
    parts = [{"dagster/partition": f"{number}_of_{count}"} for number in range(1, count + 1)] if count > 1 else [{}]
    runs = [platform.platform.launch("github", JOB, tags) for tags in parts]
    return [platform.platform.ended(run_id, SECONDS) for run_id in runs]


def content(platform: Tested) -> dict[str, str]:
    """By table, how many rows it has, and a digest of all their values."""
    digest = "SELECT count(*) || ' ' || md5(string_agg(t::text, '' ORDER BY t::text)) FROM github_raw.{} t"
    return {table: platform.warehouse(digest.format(table)) for table in TABLES}


def nodes_of(platform: Tested, runs: list[Run]) -> set[str]:
    """Where the pods of the runs were."""
    jobs = ",".join(f"dagster-run-{run.id}" for run in runs)
    where = "--output=go-template={{range .items}}{{.spec.nodeName}} {{end}}"
    return set(platform.in_location("github", "get", "pods", f"--selector=job-name in ({jobs})", where).split())


def test_in_any_number_of_shards_the_rows_are_the_same_and_so_is_the_pace(many: Tested, tree: Copy) -> None:
    contents = []
    for count in (1, 2, 4):
        runs = loaded_anew(many, tree, count)
        requests = many.origin.ask("GET", "requests")
        assert {run.status for run in runs} == {"SUCCESS"}
        calls, seconds = requests["total"]["github"], requests["seconds"]["github"]
        assert calls - count <= PACE * (seconds + LATE)
        if count > 1:
            assert len(nodes_of(many, runs)) > 1
        contents.append(content(many))
        took = max(run.ended or 0 for run in runs) - min(run.created for run in runs)
        measured(
            f"{REPOSITORIES} repositories in {count} shards: {took:.0f} s, {calls} calls in {seconds:.0f} s,"
            f" at a pace of {PACE}"
        )
    assert int(contents[0]["issues"].split()[0]) >= REPOSITORIES * 10
    assert contents[0] == contents[1] == contents[2]
