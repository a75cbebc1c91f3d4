"""Workflow runs with their jobs, and deployments with their statuses.

https://docs.github.com/en/rest/actions/workflow-runs, https://docs.github.com/en/rest/actions/workflow-jobs,
https://docs.github.com/en/rest/deployments
"""

from collections.abc import Mapping
from typing import Any

from ... import prose
from ...wire import Json, iso, iso_or_none, parse_iso
from ..hand import Hand
from ..model import Repository, Row
from ..render import API, WEB, common, node_id, repository, user
from .collection import Collection, Making, by_creation

_CONCLUSIONS = ("success", "success", "failure", "cancelled")
_RERUN_WITHIN = 30 * 86_400
_RUN_AGAIN = 3
"""The number of the run, in each repository, that was run again from the beginning."""
_STEPS = ("Set up job", "Check out", "Test", "Complete job")


def workflow_run(repo: Repository, row: Row) -> Json:
    api, web, facts = f"{API}/repos/{repo.full_name}", f"{WEB}/{repo.full_name}", row.facts
    url, home = f"{api}/actions/runs/{row.id}", repo.rendered(repository, repo).raw
    suite = row.id + 3
    return {
        **common("WFR", row),
        "name": facts["name"],
        "head_branch": facts["branch"],
        "head_sha": facts["sha"],
        "path": f".github/workflows/{facts['name']}.yml",
        "display_title": facts["title"],
        "run_number": facts["number"],
        "event": "push",
        "status": "completed" if facts["conclusion"] else facts["status"],
        "conclusion": facts["conclusion"],
        "workflow_id": 84_000_000 + len(facts["name"]),
        "check_suite_id": suite,
        "check_suite_node_id": node_id("CS", suite),
        "url": url,
        "html_url": f"{web}/actions/runs/{row.id}",
        "pull_requests": [],
        "actor": user(repo, facts["user"]),
        "run_attempt": facts["attempt"],
        "referenced_workflows": [],
        "run_started_at": iso(facts["started_at"]),
        "triggering_actor": user(repo, facts["user"]),
        "jobs_url": f"{url}/jobs",
        "logs_url": f"{url}/logs",
        "check_suite_url": f"{api}/check-suites/{suite}",
        "artifacts_url": f"{url}/artifacts",
        "cancel_url": f"{url}/cancel",
        "rerun_url": f"{url}/rerun",
        "previous_attempt_url": f"{url}/attempts/{facts['attempt'] - 1}" if facts["attempt"] > 1 else None,
        "workflow_url": f"{api}/actions/workflows/{84_000_000 + len(facts['name'])}",
        "head_commit": None,
        "repository": home,
        "head_repository": home,
    }


def workflow_run_attempt(repo: Repository, row: Row) -> Json:
    """A run as it was when an attempt ended."""
    run, facts = row.parent, row.facts
    shown = workflow_run(repo, Row(run.id, run.created_at, facts["ended_at"], facts))
    of_attempt = f"/attempts/{facts['attempt']}"
    return shown | {name: f"{shown[name]}{of_attempt}" for name in ("url", "html_url")}


def workflow_job(repo: Repository, row: Row) -> Json:
    api, facts, run = f"{API}/repos/{repo.full_name}", row.facts, row.parent
    status = "completed" if facts["conclusion"] else "in_progress"
    ended = iso_or_none(row.updated_at if facts["conclusion"] else None)
    return {
        "id": row.id,
        "run_id": run.id,
        "workflow_name": run.facts["name"],
        "head_branch": run.facts["branch"],
        "run_url": f"{api}/actions/runs/{run.id}",
        "run_attempt": facts["attempt"],
        "node_id": node_id("CR", row.id),
        "head_sha": run.facts["sha"],
        "url": f"{api}/actions/jobs/{row.id}",
        "html_url": f"{WEB}/{repo.full_name}/actions/runs/{run.id}/job/{row.id}",
        "status": status,
        "conclusion": facts["conclusion"],
        "created_at": iso(row.created_at),
        "started_at": iso(row.created_at),
        "completed_at": ended,
        "name": facts["name"],
        "steps": [
            {
                "name": name,
                "status": status,
                "conclusion": facts["conclusion"],
                "number": number,
                "started_at": iso(row.created_at),
                "completed_at": ended,
            }
            for number, name in enumerate(_STEPS, 1)
        ],
        "check_run_url": f"{api}/check-runs/{row.id}",
        "labels": ["ubuntu-latest"],
        "runner_id": 1,
        "runner_name": "GitHub Actions 1",
        "runner_group_id": 0,
        "runner_group_name": "GitHub Actions",
    }


def deployment(repo: Repository, row: Row) -> Json:
    api, facts = f"{API}/repos/{repo.full_name}", row.facts
    return {
        "url": f"{api}/deployments/{row.id}",
        **common("DE", row),
        "task": "deploy",
        "original_environment": facts["environment"],
        "environment": facts["environment"],
        "description": facts["description"],
        "statuses_url": f"{api}/deployments/{row.id}/statuses",
        "repository_url": api,
        "creator": user(repo, facts["user"]),
        "sha": facts["sha"],
        "ref": facts["ref"],
        "payload": {} if row.id % 2 else "",  # GitHub's default is an empty text
        "transient_environment": False,
        "production_environment": facts["environment"] == "production",
        "performed_via_github_app": None,
    }


def deployment_status(repo: Repository, row: Row) -> Json:
    api, facts = f"{API}/repos/{repo.full_name}", row.facts
    url = f"{api}/deployments/{row.parent.id}"
    return {
        "url": f"{url}/statuses/{row.id}",
        "id": row.id,
        "node_id": node_id("DES", row.id),
        "state": facts["state"],
        "creator": user(repo, facts["user"]),
        "description": "",
        "environment": row.parent.facts["environment"],
        "target_url": "",
        "created_at": iso(row.created_at),
        "updated_at": iso(row.created_at),
        "deployment_url": url,
        "repository_url": api,
        "environment_url": "",
        "log_url": "",
        "performed_via_github_app": None,
    }


# Runs.


def _make_run(making: Making) -> Json | None:
    rng, branches = making.rng, list(making.home.branches.values())
    if not branches:
        return None
    branch = rng.choice(branches)
    facts = {
        "ended_at": making.at,
        "name": rng.choice(("test", "release", "docs")),
        "branch": branch.name,
        "sha": branch.sha,
        "title": prose.title(rng),
        "number": len(making.home.rows["workflow_runs"]) + 1,
        "status": rng.choice(("queued", "in_progress", "waiting")),
        "conclusion": rng.choice((None, *_CONCLUSIONS)),
        "user": making.someone(),
        "attempt": 1,
        "started_at": making.at,
    }
    if facts["number"] == _RUN_AGAIN:
        facts |= {"attempt": 2, "earlier": facts | {"conclusion": "failure"}}
    return facts


def _advance(making: Making, row: Row) -> None:
    """A run that is under way ends; one that ended is run again, within 30 days of its first attempt.

    https://docs.github.com/en/actions/how-tos/manage-workflow-runs/re-run-workflows-and-jobs
    """
    facts = row.facts
    if facts["conclusion"] is None or making.at - row.created_at > _RERUN_WITHIN:
        facts |= {"conclusion": making.rng.choice(_CONCLUSIONS), "ended_at": making.at}
    else:
        facts["earlier"] = {name: value for name, value in facts.items() if name != "earlier"}
        facts |= {"conclusion": None, "attempt": facts["attempt"] + 1, "started_at": making.at, "status": "queued"}


def _follow_run(hand: Hand, home: Any, run: Row, action: str) -> None:
    """Each attempt has jobs of its own, which end with it; an earlier one stays as it was."""
    if action == "deleted":
        for attempt in [row for row in WORKFLOW_RUN_ATTEMPTS.rows(home).values() if row.parent is run]:
            WORKFLOW_RUN_ATTEMPTS.remove(hand, home, attempt)
    elif "earlier" in run.facts:
        ended = WORKFLOW_RUN_ATTEMPTS.add(Making(hand.forge, hand.moment.rng, home, run, hand.moment.at))
        assert ended
        WORKFLOW_RUN_ATTEMPTS.tell(hand, home, ended, "created")
    jobs = [row for row in WORKFLOW_JOBS.rows(home).values() if row.parent is run]
    if action == "deleted":
        for job in jobs:
            WORKFLOW_JOBS.remove(hand, home, job)
        return
    current = [job for job in jobs if job.facts["attempt"] == run.facts["attempt"]]
    if not current and (new := WORKFLOW_JOBS.add(Making(hand.forge, hand.moment.rng, home, run, hand.moment.at))):
        WORKFLOW_JOBS.tell(hand, home, new, "created")
    for job in current:
        job.facts["conclusion"], job.updated_at = run.facts["conclusion"], hand.moment.at
        WORKFLOW_JOBS.tell(hand, home, job, "updated")


def _created_within(query: Mapping[str, str], row: Row) -> bool:
    """Whether a run meets ``created``: a moment, ``A..B``, ``>=A`` or ``<=B``.

    https://docs.github.com/en/search-github/getting-started-with-searching-on-github/understanding-the-search-syntax
    """
    wanted = query.get("created", "")
    if not wanted:
        return True
    if ".." in wanted:
        first, _, last = wanted.partition("..")
    elif wanted.startswith(">="):
        first, last = wanted[2:], "9999-01-01T00:00:00Z"
    elif wanted.startswith("<="):
        first, last = "1970-01-01T00:00:00Z", wanted[2:]
    else:
        first = last = wanted
    return parse_iso(first) <= row.created_at <= parse_iso(last)


def _runs(repo: Repository) -> Mapping[int, Any]:
    return repo.rows.get("workflow_runs", {})


def _of_wanted_attempt(query: Mapping[str, str], row: Row) -> bool:
    return query.get("filter", "latest") == "all" or row.facts["attempt"] == row.parent.facts["attempt"]


def _make_job(making: Making) -> Json:
    facts = making.parent.facts
    return {"name": facts["name"], "attempt": facts["attempt"], "conclusion": facts["conclusion"]}


WORKFLOW_RUNS = Collection(
    name="workflow_runs",
    path="/actions/runs",
    show=workflow_run,
    make=_make_run,
    edit=_advance,
    after=_follow_run,
    first_id=9_600_000_000,
    key=by_creation,
    descending=True,
    keeps=_created_within,
    filters=("actor", "branch", "created", "event", "status"),
    has_path_of_one=True,
    rows_at="workflow_runs",
    seeded=200,
    weight=6,
)
WORKFLOW_RUN_ATTEMPTS = Collection(
    name="workflow_run_attempts",
    path="/actions/runs/{parent:int}/attempts/{attempt:int}",
    show=workflow_run_attempt,
    make=lambda making: making.parent.facts.pop("earlier", None),
    first_id=1,
    parents=_runs,
    keeps=lambda where, row: row.facts["attempt"] == where["attempt"],
    alone=True,
    given=lambda row: {"run_id": row.parent.id, "attempts": row.parent.facts["attempt"]},
    deletes=False,
    seeded=200,
)
WORKFLOW_JOBS = Collection(
    name="workflow_jobs",
    path="/actions/runs/{parent:int}/jobs",
    show=workflow_job,
    make=_make_job,
    first_id=27_200_000_000,
    parents=_runs,
    keeps=_of_wanted_attempt,
    rows_at="jobs",
    given=lambda row: {"run_id": row.parent.id},
    deletes=False,  # they come and go with their run
    seeded=200,
    weight=0,
)

# Deployments.


def _make_deployment(making: Making) -> Json | None:
    branches = list(making.home.branches.values())
    if not branches:
        return None
    branch = making.rng.choice(branches)
    return {
        "environment": making.rng.choice(("production", "staging", "preview")),
        "description": making.rng.choice((None, "By the pipeline")),
        "ref": branch.name,
        "sha": branch.sha,
        "user": making.someone(),
    }


def _deployments(repo: Repository) -> Mapping[int, Any]:
    return repo.rows.get("deployments", {})


def _make_status(making: Making) -> Json:
    return {"state": making.rng.choice(("in_progress", "success", "failure")), "user": making.someone()}


def _follow_deployment(hand: Hand, home: Any, row: Row, action: str) -> None:
    if action == "deleted":
        for status in [status for status in DEPLOYMENT_STATUSES.rows(home).values() if status.parent is row]:
            DEPLOYMENT_STATUSES.remove(hand, home, status)


def _follow_status(hand: Hand, home: Any, status: Row, action: str) -> None:
    """Its deployment is as new as it; where it is a success, earlier ones become inactive.

    https://docs.github.com/en/rest/deployments/deployments#inactive-deployments
    """
    if action == "deleted":
        return
    status.parent.updated_at = hand.moment.at
    DEPLOYMENTS.tell(hand, home, status.parent, "updated")
    if status.facts["state"] != "success" or status.parent.facts["environment"] == "production":
        return
    for earlier in list(DEPLOYMENTS.rows(home).values()):
        states = [row for row in DEPLOYMENT_STATUSES.rows(home).values() if row.parent is earlier]
        same = earlier.facts["environment"] == status.parent.facts["environment"]
        if earlier.id < status.parent.id and same and states and states[-1].facts["state"] == "success":
            making = Making(hand.forge, hand.moment.rng, home, earlier, hand.moment.at)
            inactive = DEPLOYMENT_STATUSES.add(making)
            assert inactive
            inactive.facts["state"] = "inactive"
            DEPLOYMENT_STATUSES.tell(hand, home, inactive, "created")


DEPLOYMENTS = Collection(
    name="deployments",
    show=deployment,
    make=_make_deployment,
    after=_follow_deployment,
    first_id=1_830_000_000,
    key=by_creation,
    descending=True,
    seeded=60,
    weight=3,
)
DEPLOYMENT_STATUSES = Collection(
    name="deployment_statuses",
    one="deployment_status",
    path="/deployments/{parent:int}/statuses",
    show=deployment_status,
    make=_make_status,
    after=_follow_status,
    first_id=2_950_000_000,
    parents=_deployments,
    given=lambda row: {"deployment_id": row.parent.id},
    descending=True,
    deletes=False,
    seeded=90,
    weight=3,
)
