"""One repository is loaded anew on its own, by the config of a run."""

import pytest

from ingest_shared.pipelines import pipeline
from ingest_testing import assert_mirrors, run_job
from ingest_testing.runs import Run

from .origin import ACTIVITY, Warehouse

pytestmark = pytest.mark.exhaustive


def backfill(warehouse: Warehouse, *names: str) -> Run:
    """The run that the launchpad starts with the config of the location's README."""
    config = {"ops": {"github_activity": {"config": {"repositories": list(names)}}}}
    return run_job(warehouse, "activity_ingest", config=config)


def cursors(warehouse: Warehouse, table: str) -> dict[str, object]:
    """The cursor of each repository, by its id."""
    with warehouse.configured():
        loading = pipeline("github", "activity").drop()
        loading.sync_destination()
        found: dict[str, object] = loading.state["sources"]["github_activity"]["resources"][table]["cursors"]
        return found


def test_one_repository_is_loaded_anew_and_no_other_is_touched(synced: Warehouse) -> None:
    ((web,),) = synced.query("SELECT id FROM {repositories} WHERE name = 'web'")
    with synced.opened() as database:
        database.execute("DELETE FROM issues WHERE repo_id = ?", [web])
        database.execute("UPDATE issue_comments SET body = 'lost' WHERE repo_id = ?", [web])
    others = {id_: cursor for id_, cursor in cursors(synced, "issues").items() if id_ != str(web)}
    synced.origin.forget_requests()
    assert backfill(synced, "acme/web").success
    assert "/github/orgs/{owner}/repos" not in synced.origin.requests()["by_path"]
    assert_mirrors(synced, *ACTIVITY)
    assert {id_: cursor for id_, cursor in cursors(synced, "issues").items() if id_ != str(web)} == others

    synced.origin.change("issue.open", repository="acme/web")
    synced.origin.change("issue.open", repository="acme/api")
    synced.origin.advance()
    synced.sync("activity")
    assert_mirrors(synced, *ACTIVITY)


def test_what_is_gone_from_it_is_marked_and_gaps_of_others_stay(synced: Warehouse) -> None:
    synced.origin.change("repository.edit", repository="acme/api", set={"forbidden": True})
    synced.origin.change("comment.delete", repository="acme/web")
    synced.origin.change("issue.delete", repository="acme/web")
    synced.origin.advance()
    synced.sync("activity")
    before = synced.gaps()
    assert {scope for _, scope, *_ in before} == {"acme/api"}
    assert backfill(synced, "acme/web").success
    gone = synced.query("SELECT count(*) FROM {issues} WHERE deleted_at IS NOT NULL")
    assert gone == [(1,)]
    assert sorted(synced.gaps()) == sorted(before)


@pytest.mark.parametrize("name", ["acme", "elsewhere/web"])
def test_a_repository_that_is_not_selected(synced: Warehouse, name: str) -> None:
    failure = backfill(synced, name).failure
    assert f"names the repository '{name}', which sources.github.repositories does not" in failure
