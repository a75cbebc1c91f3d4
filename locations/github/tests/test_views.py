"""The views tell what GitHub tells, after much has happened, in both kinds of warehouse."""

from github_location.defs.views import ALL_VIEWS
from ingest_shared.pipelines import pipeline
from ingest_shared.views import create

from .origin import Origin, Warehouse


def make_views(warehouse: Warehouse) -> None:
    with warehouse.configured(), pipeline("github", "catalog").sql_client() as client:
        assert create(client, ALL_VIEWS) == {}


def happen(origin: Origin) -> None:
    kinds = "sub_issue.add " * 5 + "sub_issue.remove issue.transfer repository.rename issue.delete "
    kinds += "commit.merge commit.force_push branch.create branch.delete branch.rename"
    for seed, kind in enumerate(kinds.split()):
        origin.change(kind, seed=seed)
    origin.advance()


def assert_tell_what_github_tells(warehouse: Warehouse) -> None:
    origin = warehouse.origin
    held = origin.objects("commit_branches")
    assert set(warehouse.query("SELECT repo_id, branch, sha FROM {commit_branches}")) == {
        (row["repository_id"], row["object"]["branch"], row["object"]["sha"]) for row in held
    }
    issues = {row["object"]["url"]: (row["repository_id"], row["object"]["id"]) for row in origin.objects("issues")}
    parts = {
        (row["repository_id"], row["object"]["id"], *issues[parent])
        for row in origin.objects("issues")
        if (parent := row["object"].get("parent_issue_url"))
    }
    assert parts
    query = "SELECT repo_id, issue_id, parent_repo_id, parent_issue_id FROM {sub_issues}"
    assert set(warehouse.query(query)) == parts


def test_the_views_of_duckdb(mirrored: Warehouse) -> None:
    happen(mirrored.origin)
    mirrored.sync("activity", "catalog")
    make_views(mirrored)
    assert_tell_what_github_tells(mirrored)


def test_the_views_of_postgres(in_postgres: Warehouse) -> None:
    happen(in_postgres.origin)
    in_postgres.sync("activity", "catalog")
    make_views(in_postgres)
    assert_tell_what_github_tells(in_postgres)


def test_a_parent_in_a_repository_that_is_not_mirrored_has_no_id(warehouse: Warehouse) -> None:
    origin = warehouse.origin
    part = next(
        row["object"]
        for row in origin.objects("issues")
        if row["object"]["html_url"].startswith("https://github.com/acme/docs/issues/")
        and "parent_issue_url" not in row["object"]
    )
    origin.change("sub_issue.add", repository="acme/api", set={"sub_issue_id": part["id"]})
    origin.advance()
    warehouse.sync("activity", "catalog", SOURCES__GITHUB__REPOSITORIES="acme/docs")
    make_views(warehouse)
    query = "SELECT parent_issue_id, parent_issue_url FROM {sub_issues} WHERE issue_id = %s"
    ((parent, url),) = warehouse.query(query, part["id"])
    assert parent is None
    assert url.startswith("https://api.github.com/repos/acme/api/issues/")
