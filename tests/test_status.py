"""What `make status` calls a problem of a location."""

import json
from dataclasses import replace
from typing import Any

import pytest

from ingest_tools import audit
from ingest_tools.dagster_api import Location, Platform, Run
from ingest_tools.engine import Deployment
from ingest_tools.status import located, newest_runs, problems

GITHUB = Location("github", "LOADED", jobs=("__ASSET_JOB", "github_audit", "github_ingest"))
SUCCEEDED = Run("1", "github", "github_ingest", "SUCCESS", 1.0, 2.0, 3.0, {})
FAILED = replace(SUCCEEDED, id="2", status="FAILURE")


class Told(Deployment):
    """A platform whose trail has these rows of a location."""

    rows: tuple[tuple[str, str, dict[str, str]], ...] = ()

    def compose(self, *arguments: str, **settings: Any) -> str:
        whole = (
            ["2026-11-29", "gita", "this machine", what, "github", end, json.dumps(of)] for what, end, of in self.rows
        )
        return "\n".join(map(json.dumps, whole))


@pytest.mark.parametrize(
    ("runs", "lines"),
    [
        ([FAILED, SUCCEEDED], ["github: the last run of github_ingest failed: http://127.0.0.1:3000/runs/2"]),
        ([SUCCEEDED, FAILED], []),
        ([SUCCEEDED, replace(FAILED, job="github_audit")], ["github: the last run of github_audit failed: "]),
        ([replace(FAILED, tags={"dagster/will_retry": "true"})], []),
        ([replace(FAILED, job="__ASSET_JOB")], []),
        ([replace(FAILED, job="github_removed")], []),
    ],
    ids=["failed", "has succeeded since", "another job", "is tried again", "of one asset", "of a job that is gone"],
)
def test_a_job_whose_newest_run_failed_is_a_problem(
    runs: list[Run], lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGEST_PORT", "3000")  # whatever .env says
    monkeypatch.setattr(Platform, "runs", lambda *_, **__: runs)
    found = located(GITHUB, newest_runs(Platform(""), "github"), None)
    told = list(problems(found, Deployment()))
    assert len(told) == len(lines)
    assert all(line.startswith(start) for line, start in zip(told, lines, strict=True))


WHY = "github: 9f was refused (ImportError: no more); there is no earlier version"
REFUSED = ("deploy", "refused", {"tag": "9f", "why": WHY})


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ([REFUSED, ("secret", "done", {"name": "load.workers"})], WHY),
        ([REFUSED, ("deploy", "done", {"tag": "a0"})], None),
        ([], None),
    ],
)
def test_a_location_that_cannot_be_loaded_says_why_its_latest_deploy_was_refused(
    rows: Any, line: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Told, "rows", tuple(rows))
    found = located(replace(GITHUB, error="Traceback\nConnectError: unreachable"), {}, None)
    assert list(problems(found, Told())) == [*([line] if line else []), "github: ConnectError: unreachable"]


def test_the_trail_keeps_why_a_deploy_was_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[dict[str, str]] = []
    monkeypatch.setattr(audit, "_psql", lambda _, __, values: kept.append(values))
    with pytest.raises(ValueError, match="no more"), audit.recorded(Deployment(), "deploy", "github", dict):
        raise ValueError("no more")
    assert json.loads(kept[0]["subject"]) == {"why": "no more"}
