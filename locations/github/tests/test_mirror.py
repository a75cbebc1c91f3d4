"""The warehouse holds what GitHub holds: after the first load, and after whatever happened since."""

from collections import Counter
from typing import Any

import pytest

from github_location.source.tables import TABLES
from ingest_testing import Json, assert_mirrors

from .origin import ACTIVITY, CATALOG, Origin, Warehouse

PLATFORM = "acme/platform"


def the(origin: Origin, collection: str, **wanted: Any) -> Json:
    """The first object of a collection whose fields are as wanted."""
    objects = (item["object"] for item in origin.objects(collection))
    return next(row for row in objects if all(row[name] == value for name, value in wanted.items()))


def repository_id(origin: Origin, full_name: str) -> int:
    found: int = the(origin, "repositories", full_name=full_name)["id"]
    return found


def test_more_issues_than_a_page_that_changed_in_one_second_are_all_there(mirrored: Warehouse) -> None:
    platform = repository_id(mirrored.origin, PLATFORM)
    rows = mirrored.query("SELECT updated_at FROM {issues} WHERE repo_id = %s", platform)
    assert max(Counter(rows).values()) >= 130


@pytest.mark.parametrize(
    "kinds",
    [
        "issue.open issue.edit issue.close issue.reopen issue.label issue.unlabel issue.assign issue.unassign",
        "pull.open pull.edit pull.merge",
        "comment.create comment.edit",
        "issue.delete comment.delete",
        "commit.push",
        "commit.merge commit.merge",
        "commit.force_push commit.force_push",
    ],
)
def test_the_activity_equals_the_origin_after(kinds: str, mirrored: Warehouse) -> None:
    for seed, kind in enumerate(kinds.split()):
        mirrored.origin.change(kind, seed=seed)
    mirrored.origin.advance()
    mirrored.sync("activity")
    assert_mirrors(mirrored, *ACTIVITY)


@pytest.mark.parametrize(
    "kinds",
    [
        "label.create label.rename label.delete",
        "milestone.create milestone.close milestone.delete",
        "release.create release.edit release.delete",
        "repository.create repository.edit repository.archive",
    ],
)
def test_the_catalog_equals_the_origin_after(kinds: str, mirrored: Warehouse) -> None:
    for seed, kind in enumerate(kinds.split()):
        mirrored.origin.change(kind, seed=seed)
    mirrored.origin.advance()
    mirrored.sync("catalog")
    assert_mirrors(mirrored, *CATALOG)


def test_an_issue_that_lost_its_last_label_has_none(mirrored: Warehouse) -> None:
    origin = mirrored.origin
    issue = next(
        item for item in origin.objects("issues") if item["object"]["labels"] and not item["object"].get("pull_request")
    )
    for _ in issue["object"]["labels"]:
        origin.change("issue.unlabel", repository=issue["repository_id"], number=issue["object"]["number"])
    origin.advance()
    mirrored.sync("activity")
    assert mirrored.query("SELECT * FROM {issue_labels} WHERE issue_id = %s", issue["object"]["id"]) == []
    assert_mirrors(mirrored, "issues")


def test_a_list_that_became_empty_is_empty(mirrored: Warehouse) -> None:
    origin = mirrored.origin
    docs = repository_id(origin, "acme/docs")
    for item in origin.objects("labels"):
        if item["repository_id"] == docs:
            origin.change("label.delete", repository=docs, id=item["object"]["id"])
    origin.advance()
    mirrored.sync("catalog")
    assert mirrored.query("SELECT * FROM {labels} WHERE repo_id = %s AND deleted_at IS NULL", docs) == []
    assert_mirrors(mirrored, "labels")


def test_the_first_push_to_an_empty_repository_is_loaded(mirrored: Warehouse) -> None:
    mirrored.origin.change("commit.push", repository="acme/empty")
    mirrored.origin.advance()
    mirrored.sync("activity")
    assert mirrored.query("SELECT * FROM {commits} WHERE repo_id = %s", repository_id(mirrored.origin, "acme/empty"))
    assert_mirrors(mirrored, "commits")


def test_renamed_and_transferred_repositories_go_on_as_the_same(mirrored: Warehouse) -> None:
    origin = mirrored.origin
    renamed, transferred = (repository_id(origin, name) for name in ("acme/web", "acme/docs"))
    origin.change("repository.rename", repository=renamed)
    origin.change("repository.transfer", repository=transferred)
    for moved in (renamed, transferred):
        for kind in ("issue.edit", "comment.create", "commit.push", "release.create"):
            origin.change(kind, repository=moved)
    origin.advance()
    mirrored.sync()
    assert_mirrors(mirrored)


def test_a_deleted_repository_stays_with_deleted_at(mirrored: Warehouse) -> None:
    api = repository_id(mirrored.origin, "acme/api")
    issues = mirrored.query("SELECT count(*) FROM {issues} WHERE repo_id = %s", api)
    mirrored.origin.change("repository.delete", repository=api)
    mirrored.origin.advance()
    mirrored.sync()
    assert mirrored.query("SELECT deleted_at IS NOT NULL, full_name FROM {repositories} WHERE id = %s", api) == [
        (True, "acme/api")
    ]
    assert mirrored.query("SELECT count(*) FROM {issues} WHERE repo_id = %s", api) == issues
    assert_mirrors(mirrored)


def test_a_repository_added_to_the_setting_later_gets_its_whole_history(warehouse: Warehouse) -> None:
    warehouse.sync(SOURCES__GITHUB__REPOSITORIES="acme/web")
    warehouse.sync(SOURCES__GITHUB__REPOSITORIES="acme/web,acme/platform,acme/api,acme/docs,acme/legacy,acme/empty")
    assert_mirrors(warehouse)


def test_the_audit_finds_what_github_does_not_tell(synced: Warehouse) -> None:
    """Deleted issues and comments get ``deleted_at`` and keep their values; deleted labels leave the issues."""
    origin = synced.origin
    tables = ("issues", "issue_comments")
    before = {table: {row["id"]: row for row in synced.rows(TABLES[table])} for table in tables}
    for seed in range(4):
        origin.change("issue.delete", seed=seed)
        origin.change("comment.delete", seed=seed)
    label = next(item["object"]["labels"][0] for item in origin.objects("issues") if item["object"]["labels"])
    origin.change("label.delete", id=label["id"])
    origin.advance()
    synced.audit("activity")
    for table in tables:
        gone = {deleted["id"] for deleted in origin.deleted(table)}
        marked = {row["id"]: row for row in synced.rows(TABLES[table]) if row["deleted_at"]}
        assert marked.keys() == gone
        unmarked = {id_: row | {"deleted_at": None} for id_, row in marked.items()}
        assert unmarked == {id_: before[table][id_] for id_ in gone}
    assert synced.query("SELECT * FROM {issue_labels} WHERE label_id = %s", label["id"]) == []
    assert_mirrors(synced, *tables, audited=True)
