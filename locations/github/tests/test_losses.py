"""Ways in which rows were lost with every check green: each is read, marked or named."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ingest_testing import Json, assert_mirrors

from .origin import ACTIVITY, GITHUB, WITH_ALL, Origin, Warehouse

pytestmark = pytest.mark.exhaustive


def repository(origin: Origin, name: str) -> int:
    return int(next(r["repository_id"] for r in origin.objects("repositories") if r["object"]["full_name"] == name))


def old_open_pull(origin: Origin, name: str = "") -> Json:
    """One that no sync reads again for being among the newest of its repository, any or the one of that name."""
    names = {item["repository_id"]: item["object"]["full_name"] for item in origin.objects("repositories")}
    pulls = origin.objects("pull_requests")
    newest = {
        here: max(i["object"]["updated_at"] for i in pulls if i["repository_id"] == here)
        for here in {i["repository_id"] for i in pulls}
    }
    return next(
        {"repository": names[item["repository_id"]], "number": item["object"]["number"]}
        for item in pulls
        if item["object"]["updated_at"][:10] < newest[item["repository_id"]][:10]
        and item["object"]["state"] == "open"
        and item["object"]["head"]["repo"]
        and name in ("", names[item["repository_id"]])
    )


def test_a_list_of_exactly_one_full_page_gets_a_second_one(synced: Warehouse) -> None:
    """GitHub answers 304 for the first page: its ETag does not cover the link to the second."""
    origin = synced.origin
    here = repository(origin, "acme/api")
    labels = [item for item in origin.objects("labels") if item["repository_id"] == here]
    for _ in range(100 - len(labels)):
        origin.change("label.create", repository="acme/api")
    origin.advance()
    synced.sync("catalog")
    synced.sync("catalog")
    origin.change("label.create", repository="acme/api")
    origin.advance()
    synced.sync("catalog")
    assert_mirrors(synced, "labels")


@pytest.mark.parametrize("kind", ["pull.test_merge", "pull.delete_head", "commit.relink", "commit.comment"])
def test_what_changes_without_a_new_time_is_mended_by_the_audit(kind: str, synced: Warehouse) -> None:
    table = "pull_requests" if kind.startswith("pull") else "commits"
    synced.origin.change(kind, **old_open_pull(synced.origin) if table == "pull_requests" else {})
    synced.origin.advance()
    synced.sync("activity")
    assert synced.audit("activity") == {table: (0, 0, 1)}
    assert_mirrors(synced, *ACTIVITY)


def test_the_rows_of_a_deleted_account_become_the_ghosts(synced: Warehouse) -> None:
    author: Json = next(i["object"]["user"] for i in synced.origin.objects("issues") if i["object"]["user"])
    synced.origin.change("account.delete", id=author["login"])
    synced.origin.advance()
    synced.sync()
    assert synced.audit()
    assert_mirrors(synced, audited=True)


def test_a_renamed_default_branch_loses_no_commit(synced: Warehouse) -> None:
    synced.origin.change("branch.rename", repository="acme/api", id="main", set={"name": "trunk"})
    synced.origin.advance()
    synced.sync()
    assert_mirrors(synced, "commits")
    # Its pull requests have another base now, of which GitHub tells with no new time.
    assert synced.audit("activity").keys() == {"pull_requests"}
    assert_mirrors(synced, *ACTIVITY)


def test_a_transferred_issue_takes_its_comments_along(synced: Warehouse) -> None:
    """The comments keep their ids: in the warehouse each stands once, in the repository where it is now."""
    origin = synced.origin
    issue = next(
        item
        for item in origin.objects("issues")
        if item["object"]["comments"]
        and item["object"]["state"] == "open"
        and "pull_request" not in item["object"]
        and item["repository_id"] == repository(origin, "acme/platform")
    )
    origin.change(
        "issue.transfer", repository="acme/platform", number=issue["object"]["number"], set={"repository": "acme/api"}
    )
    origin.advance()
    synced.sync("activity")
    synced.audit("activity")
    assert_mirrors(synced, *ACTIVITY, audited=True)


def test_the_pull_requests_of_a_repository_without_issues_keep_their_labels_and_comments(synced: Warehouse) -> None:
    """Of a fork, say, in which GitHub switches issues off: its list of issues has the pull requests."""
    origin = synced.origin
    origin.change("repository.issues_off", repository="acme/api")
    pull = old_open_pull(origin, "acme/api")
    origin.change("issue.edit", **pull, set={"title": "new"})
    origin.change("comment.create", **pull)
    origin.advance()
    synced.sync()
    assert not synced.gaps()
    assert_mirrors(synced, *ACTIVITY)
    assert synced.audit("activity") == {}
    assert_mirrors(synced, *ACTIVITY, audited=True)


@pytest.mark.parametrize("off", ["has_issues", "has_pull_requests"])
def test_what_changed_just_before_its_kind_was_switched_off_is_loaded_when_it_is_switched_on(
    off: str, synced: Warehouse
) -> None:
    """GitHub shows the rows again with the times that they had, and the others have changed since."""
    origin = synced.origin
    here = repository(origin, "acme/api")
    rows = [item["object"] for item in origin.objects("issues") if item["repository_id"] == here]
    pulls, issues = ([row["number"] for row in rows if ("pull_request" in row) is is_pull] for is_pull in (True, False))
    hidden, shown = (issues, pulls) if off == "has_issues" else (pulls, issues)
    for kind in ("issue.edit", "comment.create"):
        origin.change(kind, repository="acme/api", number=hidden[0])
    origin.advance(600)
    origin.change("repository.edit", repository="acme/api", set={off: False})
    for _ in range(2):
        for kind in ("issue.edit", "comment.create"):
            origin.change(kind, repository="acme/api", number=shown[0])
        origin.advance(600)
        synced.sync("activity")
    origin.change("repository.edit", repository="acme/api", set={off: True})
    origin.advance()
    synced.sync("activity")
    assert_mirrors(synced, *ACTIVITY)
    assert synced.audit("activity") == {}


def test_that_issues_are_switched_off_is_no_gap_and_deletes_nothing(synced: Warehouse) -> None:
    """Where GitHub answers so for the lists, and does not say that pull requests are off, too."""
    origin = synced.origin
    refused = f"/{repository(origin, 'acme/api')}/issues(/comments)?\\?"
    origin.fail({"kind": "status", "status": 410, "path": refused})
    for audit in (False, True):
        synced.sync("activity", audit=audit)
        assert not synced.gaps()
    assert not synced.query("SELECT id FROM {issues} WHERE deleted_at IS NOT NULL")
    assert not synced.query("SELECT id FROM {issue_comments} WHERE deleted_at IS NOT NULL")
    origin.heal()
    origin.change("issue.edit", repository="acme/api")
    origin.advance()
    synced.sync("activity")
    assert_mirrors(synced, *ACTIVITY)


def test_a_repository_without_issues_and_pull_requests_is_no_gap_and_costs_no_call(warehouse: Warehouse) -> None:
    legacy = repository(warehouse.origin, "acme/legacy")
    warehouse.origin.change("repository.edit", repository=legacy, set={"has_pull_requests": False})
    warehouse.origin.advance()
    warehouse.origin.forget_requests()
    warehouse.sync()
    assert not warehouse.query("SELECT * FROM {load_gaps}")
    assert not warehouse.query("SELECT * FROM {issues} WHERE repo_id = %s", legacy)
    assert "410" not in warehouse.origin.requests()["by_status"]


def test_a_persons_private_repositories_are_listed_where_the_token_may_see_them(warehouse: Warehouse) -> None:
    login = warehouse.origin.login()
    warehouse.sync("catalog", SOURCES__GITHUB__REPOSITORIES=f"{login}/*")
    assert warehouse.query("SELECT name FROM {repositories} ORDER BY name") == [("dotfiles",), ("notes",)]


def test_a_list_in_another_order_than_promised_is_a_gap_and_no_lost_row(synced: Warehouse) -> None:
    origin = synced.origin
    for seed in range(3):
        origin.change("issue.edit", repository="acme/api", seed=seed)
        origin.advance()
    origin.fail({"kind": "reverse", "path": "/issues\\?"})
    synced.sync("activity")
    assert ("issues", "acme/api") in synced.query("SELECT resource, scope FROM {load_gaps}")
    origin.heal()
    synced.sync("activity")
    assert not synced.query("SELECT * FROM {load_gaps}")
    assert_mirrors(synced, "issues")


@pytest.mark.parametrize("body", ["<h1>Bad gateway</h1>", "", '["another shape"]'])
def test_a_server_error_of_any_shape_is_tried_again(body: str, warehouse: Warehouse) -> None:
    warehouse.origin.fail({"kind": "status", "status": 502, "body": body, "path": "/labels", "times": 2})
    warehouse.sync("catalog")
    assert not warehouse.query("SELECT * FROM {load_gaps}")
    assert_mirrors(warehouse, "labels")


# Lists per row, of repositories that come and go.

PER_ROW = ("reviews", "workflow_jobs", "workflow_run_attempts", "deployment_statuses")


def alive(warehouse: Warehouse, repository_id: int) -> dict[str, int]:
    """The rows of the tables with lists per row that a repository has."""
    sql = "SELECT count(*) FROM {%s} WHERE repo_id = %%s AND deleted_at IS NULL"
    return {table: warehouse.query(sql % table, repository_id)[0][0] for table in PER_ROW}


def test_lists_per_row_of_a_repository_that_is_not_to_be_seen_are_not_gone(warehouse: Warehouse) -> None:
    """Where its owner is not mirrored as a whole, it is a gap; GitHub answers 404 for all that it has."""
    origin = warehouse.origin
    api, both = repository(origin, "acme/api"), "acme/api,acme/web"
    warehouse.sync("activity", "actions", SOURCES__GITHUB__REPOSITORIES=both)
    before = alive(warehouse, api)
    assert all(before.values())
    origin.change("repository.edit", repository=api, set={"hidden": True})
    origin.advance()
    warehouse.sync("activity", "actions", audit=True, SOURCES__GITHUB__REPOSITORIES=both)
    assert alive(warehouse, api) == before
    assert ("reviews", "acme/api", 404) in [gap[:3] for gap in warehouse.gaps()]


def test_nothing_is_asked_of_a_repository_that_is_mirrored_no_more(warehouse: Warehouse) -> None:
    warehouse.sync("activity", "actions", SOURCES__GITHUB__REPOSITORIES="acme/api,acme/web")
    warehouse.origin.change("repository.edit", repository="acme/api", set={"forbidden": True})
    warehouse.origin.forget_requests()
    warehouse.sync("activity", "actions", audit=True, SOURCES__GITHUB__REPOSITORIES="acme/web")
    assert "403" not in warehouse.origin.requests()["by_status"]


def reviews_differ(warehouse: Warehouse, repository_id: int) -> set[int]:
    """The reviews of a repository that the warehouse or the origin alone has."""
    there = {i["object"]["id"] for i in warehouse.origin.objects("reviews") if i["repository_id"] == repository_id}
    held = "SELECT id FROM {reviews} WHERE repo_id = %s AND deleted_at IS NULL"
    return there ^ {id_ for (id_,) in warehouse.query(held, repository_id)}


def test_the_reviews_of_a_repository_that_came_in_a_run_without_them_are_read_later(warehouse: Warehouse) -> None:
    """Its pull requests are older than the newest one whose reviews were read."""
    both = "acme/web,acme/api"
    warehouse.sync("activity", SOURCES__GITHUB__REPOSITORIES="acme/web")
    warehouse.sync("activity", SOURCES__GITHUB__REPOSITORIES=both, SOURCES__GITHUB__WITHOUT="reviews")
    warehouse.origin.advance(7200)
    warehouse.sync("activity", SOURCES__GITHUB__REPOSITORIES=both)
    assert reviews_differ(warehouse, repository(warehouse.origin, "acme/api")) == set()


def test_the_reviews_of_what_a_run_without_them_caught_up_with_are_read_later(synced: Warehouse) -> None:
    """The pull requests of one repository could not be read for a while, in which those of another one went on."""
    origin = synced.origin
    api = repository(origin, "acme/api")
    origin.advance(7200)
    pull = next(i["object"] for i in origin.objects("pull_requests") if i["repository_id"] == api)
    origin.change("review.create", repository="acme/api", number=pull["number"])
    origin.advance(7200)
    origin.change("pull.edit", repository="acme/web")
    origin.advance(7200)
    origin.fail({"kind": "status", "status": 403, "path": f"/{api}/pulls\\?"})
    synced.sync("activity")
    assert reviews_differ(synced, api)
    origin.heal()
    synced.sync("activity", SOURCES__GITHUB__WITHOUT="reviews")
    synced.sync("activity")
    assert reviews_differ(synced, api) == set()


def test_a_list_that_was_left_out_is_read_when_its_repository_is_seen_again(synced: Warehouse) -> None:
    origin = synced.origin
    api = repository(origin, "acme/api")
    origin.advance(7200)
    pull, other = [i["object"]["number"] for i in origin.objects("pull_requests") if i["repository_id"] == api][:2]
    origin.change("review.create", repository="acme/api", number=pull)
    origin.advance(7200)
    origin.change("pull.edit", repository="acme/api", number=other)  # so that the list shows the first one no more
    origin.advance(7200)
    origin.fail({"kind": "status", "status": 403, "path": f"/graphql|/{api}/pulls/\\d+/reviews"})
    synced.sync("activity")
    assert reviews_differ(synced, api)
    origin.heal()
    for hidden in (True, False):
        origin.change("repository.edit", repository=api, set={"hidden": hidden})
        origin.advance(7200)
        synced.sync("activity", SOURCES__GITHUB__REPOSITORIES="acme/api,acme/web")
    assert reviews_differ(synced, api) == set()
    assert not synced.gaps()


def test_lists_per_row_of_a_repository_that_is_hidden_in_the_middle_of_a_run_are_not_gone(
    tmp_path: Path, start_origin: Callable[..., Origin]
) -> None:
    """GitHub answers 404 to all of it, as it does for a pull request that is gone."""
    origin = start_origin(0.1)
    warehouse = Warehouse(GITHUB, origin, tmp_path, SOURCES__GITHUB__REPOSITORIES="acme/api")
    here = repository(origin, "acme/api")
    warehouse.sync("activity", "actions")
    origin.change_at_random(7, 150, warehouse.location.untold)
    origin.advance()
    rows = r"(/pulls/\d+/reviews|/actions/runs/\d+/jobs|/deployments/\d+|\?|$)"
    hidden = {"kind": "status", "status": 404, "path": f"/repositories/{here}{rows}"}
    origin.fail(hidden, {"kind": "status", "status": 502, "path": "/graphql"})
    warehouse.sync("activity", "actions")
    assert {"reviews", "workflow_jobs"} <= {resource for resource, *_ in warehouse.gaps()}
    origin.heal()
    origin.advance()
    warehouse.sync("activity", "actions")
    assert not warehouse.gaps()
    assert not {"reviews", "workflow_jobs", "deployment_statuses"} & warehouse.audit("activity", "actions").keys()


def test_an_audit_finds_the_reviews_of_what_went_in_a_run_without_them(warehouse: Warehouse) -> None:
    warehouse.sync("activity")
    warehouse.origin.change("repository.delete", repository="acme/api")
    warehouse.origin.advance()
    warehouse.sync("activity", SOURCES__GITHUB__WITHOUT="reviews")
    warehouse.origin.advance()
    assert warehouse.audit("activity").keys() == {"reviews"}
    assert_mirrors(warehouse, "reviews", "pull_requests")


@pytest.mark.parametrize("entry", ["acme/*", "Acme/*"])
def test_a_repository_that_moved_is_read_however_its_entry_is_written(
    entry: str, tmp_path: Path, start_origin: Callable[..., Origin]
) -> None:
    origin = start_origin(0.1)
    warehouse = Warehouse(GITHUB, origin, tmp_path, SOURCES__GITHUB__REPOSITORIES="acme/*")
    warehouse.sync("catalog")
    here = repository(origin, "acme/web")
    origin.change("repository.transfer", repository="acme/web")
    origin.advance()
    warehouse.sync("catalog")
    warehouse.settings["SOURCES__GITHUB__REPOSITORIES"] = entry
    name = next(r["object"]["full_name"] for r in origin.objects("repositories") if r["repository_id"] == here)
    origin.change("label.create", repository=name)
    origin.advance()
    warehouse.sync("catalog")
    assert_mirrors(warehouse, "labels")


@pytest.mark.parametrize("off", ["has_issues", "has_pull_requests"])
def test_an_audit_finds_what_was_deleted_of_the_kind_that_is_not_switched_off(off: str, synced: Warehouse) -> None:
    api = repository(synced.origin, "acme/api")
    synced.origin.change("repository.edit", repository=api, set={off: False})
    synced.sync("activity")
    # A row here that the list does not show, and that is not hidden there, is gone.
    with synced.opened() as database:
        own = f"repo_id = {api} AND is_pull_request = {off == 'has_issues'}"
        database.execute(f"UPDATE issues SET id = -id WHERE id = (SELECT min(id) FROM issues WHERE {own})")
    synced.sync("activity", audit=True)
    assert synced.query("SELECT id < 0 FROM {issues} WHERE deleted_at IS NOT NULL") == [(True,)]


def with_deleted(warehouse: Warehouse, *tables: str) -> list[str]:
    """Those of the tables in which a row is marked as deleted."""
    with warehouse.kept_open():
        return [name for name in tables if warehouse.query(f"SELECT 1 FROM {{{name}}} WHERE deleted_at IS NOT NULL")]


def test_that_pull_requests_are_switched_off_is_no_gap_and_deletes_nothing(synced: Warehouse, tmp_path: Path) -> None:
    """GitHub answers 404 for all of them then, and shows them again when they are switched on."""
    origin = synced.origin
    warehouse = Warehouse(WITH_ALL, origin, tmp_path)
    warehouse.sync("activity")
    tables = [name for name in WITH_ALL.tables_of("activity") if name not in ("commits", "commit_details")]
    origin.change("repository.edit", repository="acme/api", set={"has_pull_requests": False})
    origin.advance()
    for audit in (False, True):
        warehouse.sync("activity", audit=audit)
        assert not warehouse.gaps()
        assert with_deleted(warehouse, *tables) == []
    assert warehouse.lost() == []
    origin.change("repository.edit", repository="acme/api", set={"has_pull_requests": True})
    origin.change("pull.edit", repository="acme/api")
    origin.advance()
    warehouse.sync("activity")
    assert_mirrors(warehouse, *tables)


def test_lists_per_pull_request_are_not_gone_while_the_list_of_pull_requests_answers_404(
    synced: Warehouse, tmp_path: Path
) -> None:
    """As when they are switched off in the middle of a run, or the credential may no longer read them."""
    warehouse = Warehouse(WITH_ALL, synced.origin, tmp_path)
    warehouse.sync("activity")
    synced.origin.fail({"kind": "status", "status": 404, "path": f"/{repository(synced.origin, 'acme/api')}/pulls"})
    warehouse.sync("activity", audit=True)
    tables = ("reviews", "pull_request_details", "pull_request_files", "pull_request_commits")
    assert with_deleted(warehouse, *tables) == []
