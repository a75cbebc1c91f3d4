"""Ways in which rows were lost with every check green: each is read, marked or named."""

import pytest

from ingest_testing import Json, assert_mirrors

from .origin import ACTIVITY, Origin, Warehouse


def repository(origin: Origin, name: str) -> int:
    return int(next(r["repository_id"] for r in origin.objects("repositories") if r["object"]["full_name"] == name))


def old_open_pull(origin: Origin) -> Json:
    """One that no sync reads again for being among the newest of its repository."""
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


def test_a_repository_without_issues_is_no_gap_and_costs_no_call(warehouse: Warehouse) -> None:
    legacy = repository(warehouse.origin, "acme/legacy")
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
