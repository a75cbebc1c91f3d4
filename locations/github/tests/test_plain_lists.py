"""Lists of which nothing but their declaration is known equal the origin after each kind of change."""

import pytest

from github_location.source.tables import TABLES
from ingest_testing import assert_mirrors

from .origin import GITHUB, PEOPLE, Warehouse


@pytest.mark.parametrize(
    ("group", "kinds"),
    [
        ("activity", "review.create review.edit review_comment.create review_comment.edit issue_event.create"),
        ("activity", "review_comment.delete issue.delete"),
        ("actions", "workflow_run.create workflow_run.edit workflow_run.edit workflow_run.edit workflow_run.delete"),
        ("actions", "deployment.create deployment_status.create deployment_status.create deployment.delete"),
        ("people", "star.create star.delete collaborator.create collaborator.edit collaborator.delete"),
        ("people", "team.create team.edit team.delete member.create member.delete"),
        ("catalog", "branch.create branch.delete tag.create tag.edit tag.delete"),
        ("catalog", "asset.create asset.delete asset.download"),
        ("catalog", "issue_type.create issue_type.edit issue_type.delete view.create view.create clone.create"),
        ("activity", "issue.type sub_issue.add sub_issue.add sub_issue.remove issue_type.delete"),
    ],
)
def test_a_group_equals_the_origin_after(group: str, kinds: str, mirrored: Warehouse) -> None:
    for seed, kind in enumerate(kinds.split()):
        mirrored.origin.change(kind, seed=seed)
    mirrored.origin.advance()
    mirrored.sync(group)
    assert_mirrors(mirrored, *GITHUB.tables_of(group))


def test_a_repository_that_moves_to_another_organization_brings_its_people(mirrored: Warehouse) -> None:
    mirrored.origin.change("repository.transfer", repository="acme/web")
    mirrored.origin.advance()
    mirrored.sync("people")
    assert_mirrors(mirrored, *PEOPLE)
    assert mirrored.query("SELECT count(DISTINCT organization_id) FROM {members}") == [(2,)]


def test_a_team_of_the_enterprise_is_in_each_organization_that_it_is_assigned_to(mirrored: Warehouse) -> None:
    """With the same id: https://github.blog/changelog/2026-02-23-enterprise-team-support-in-organization-apis"""
    origin = mirrored.origin
    origin.change("repository.transfer", repository="acme/api")
    mirrored.sync("people")
    team = origin.objects("teams")[0]["object"]["id"]
    origin.change("team.assign", id=team)
    origin.advance()
    mirrored.sync("people")
    assert_mirrors(mirrored, "teams", audited=True)
    origin.change("team.delete", id=team)
    origin.advance()
    mirrored.sync("people")
    assert_mirrors(mirrored, "teams", audited=True)
    assert sorted(row["deleted_at"] is None for row in mirrored.rows(TABLES["teams"]) if row["id"] == team) == [
        False,
        True,
    ]


def test_the_rows_of_a_deleted_repository_stay_with_deleted_at(mirrored: Warehouse) -> None:
    origin = mirrored.origin
    gone = next(row["repository_id"] for row in origin.objects("repositories") if row["object"]["name"] == "platform")
    origin.change("repository.delete", repository=gone)
    origin.advance()
    mirrored.sync()
    for table in ("reviews", "workflow_jobs", "deployment_statuses", "tags", "stargazers"):
        rows = mirrored.query(
            f"SELECT deleted_at IS NULL, count(*) FROM {{{table}}} WHERE repo_id = %s GROUP BY 1", gone
        )
        assert [is_living for is_living, _ in rows] == [False], table
    assert_mirrors(mirrored)
