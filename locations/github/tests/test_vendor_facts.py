"""How GitHub really behaves, fact by fact: each is survived with no row lost and none resurrected."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from github_location import source
from github_location.source.api import GitHub
from github_location.source.recent import Releases
from github_location.source.tables import TABLES
from ingest_shared.reading.api import Api, Response
from ingest_shared.reading.listings import Listing
from ingest_testing import Json, assert_mirrors

from .origin import ACTIVITY, CATALOG, TOKEN, Origin, Warehouse
from .test_moving_target import before_page_2, listed

pytestmark = pytest.mark.exhaustive


def living(warehouse: Warehouse, table: str) -> set[Any]:
    return {row["id"] for row in warehouse.rows(TABLES[table]) if not row["deleted_at"]}


def ids(origin: Origin, collection: str) -> set[Any]:
    return {item["object"]["id"] for item in origin.objects(collection)}


def test_events_that_vanish_with_their_issue_while_an_audit_reads_hide_no_other(
    synced: Warehouse, monkeypatch: pytest.MonkeyPatch, per_page: Callable[[int], None]
) -> None:
    per_page(10)
    origin = synced.origin
    deleted: list[Json] = []

    def delete_once(path: str) -> None:
        if not deleted:
            events = [e for e in listed(origin, "issue_events", path) if "pull_request" not in e["issue"]]
            newest = max(events, key=lambda event: int(event["id"]))["issue"]
            here = newest["repository_url"].partition("/repos/")[2]
            deleted.append(origin.change("issue.delete", repository=here, number=newest["number"]))

    before_page_2(monkeypatch, "events", delete_once)
    synced.audit("activity")
    assert deleted
    origin.advance()
    synced.sync("activity")
    assert ids(origin, "issue_events") <= living(synced, "issue_events")


def test_the_events_of_a_transferred_issue_are_there_at_once(synced: Warehouse) -> None:
    """They come with new ids and their old times, so the list is not sorted by time any more."""
    origin = synced.origin
    issue = next(
        event["issue"]
        for event in (item["object"] for item in origin.objects("issue_events"))
        if event["issue"]["state"] == "open"
        and "pull_request" not in event["issue"]
        and event["issue"]["repository_url"].endswith("acme/platform")
    )
    for _ in range(2):
        origin.change("issue_event.create", repository="acme/api")
        origin.advance(3600)
    synced.sync("activity")
    origin.change("issue.transfer", repository="acme/platform", number=issue["number"], set={"repository": "acme/api"})
    origin.advance()
    synced.sync("activity")
    assert not synced.gaps()
    assert ids(origin, "issue_events") <= living(synced, "issue_events")
    origin.change("issue_event.create", repository="acme/api")
    origin.advance()
    synced.sync("activity")
    assert not synced.gaps()
    assert ids(origin, "issue_events") <= living(synced, "issue_events")
    synced.audit("activity")
    assert ids(origin, "issue_events") == living(synced, "issue_events")


def hide(origin: Origin, *repositories: int, hidden: bool = True) -> None:
    for id_ in repositories:
        origin.change("repository.edit", repository=id_, set={"hidden": hidden})
    origin.advance()


@pytest.mark.parametrize("audit", [False, True], ids=["sync", "audit"])
def test_repositories_that_the_credential_may_not_see_any_more_are_a_gap(synced: Warehouse, *, audit: bool) -> None:
    """GitHub answers 404 for them, as for deleted ones: of so many at once it is not believed."""
    origin = synced.origin
    before = {table: living(synced, table) for table in ("repositories", "issues", "labels")}
    hide(origin, *before["repositories"])
    synced.sync("activity", "catalog", audit=audit)
    assert {table: living(synced, table) for table in before} == before
    assert {(table, "acme/*", 404) for table in before} < {gap[:3] for gap in synced.gaps()}
    hide(origin, *before["repositories"], hidden=False)
    synced.sync("activity", "catalog")
    assert not synced.gaps()
    assert_mirrors(synced, *ACTIVITY, *CATALOG)


def test_repositories_that_were_all_deleted_are_marked_by_a_run_that_is_told_so(synced: Warehouse) -> None:
    hide(synced.origin, *living(synced, "repositories"))
    synced.sync("catalog", SOURCES__GITHUB__DELETES_BELIEVED="1")
    assert not living(synced, "repositories")
    assert not living(synced, "labels")


def test_a_list_of_which_single_sign_on_hides_a_part_is_a_gap(
    synced: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes with 200 and fewer rows, and only a header tells."""
    before = living(synced, "repositories")
    hide(synced.origin, next(iter(before)))
    get = GitHub.get

    def get_partial(api: GitHub, path: str, *args: Any, **kwargs: Any) -> Response:
        response = get(api, path, *args, **kwargs)
        headers = {**response.headers, "X-GitHub-SSO": "partial-results; organizations=21955855"}
        return replace(response, headers=headers) if path == "/orgs/acme/repos" else response

    monkeypatch.setattr(GitHub, "get", get_partial)
    for audit in (False, True):
        synced.sync("catalog", audit=audit)
        assert ("labels", "acme/*", 200) in [gap[:3] for gap in synced.gaps()]
        assert living(synced, "repositories") == before


def test_pages_that_did_not_change_cost_no_quota_when_a_list_is_read_again(
    warehouse: Warehouse, per_page: Callable[[int], None]
) -> None:
    per_page(3)
    origin = warehouse.origin
    warehouse.sync("catalog", SOURCES__GITHUB__REPOSITORIES="acme/api")
    names = {item["repository_id"]: item["object"]["full_name"] for item in origin.objects("repositories")}
    labels = sum(names[item["repository_id"]] == "acme/api" for item in origin.objects("labels"))
    pages = math.ceil(labels / 3)
    assert pages > 2
    assert origin.requests()["by_path"]["/github/repositories/{id}/labels"] == 2 * pages


def test_what_is_beyond_the_end_of_a_list_that_github_cuts_is_not_gone(
    synced: Warehouse, per_page: Callable[[int], None]
) -> None:
    per_page(5)
    said = "In order to keep the API fast for everyone, pagination is limited for this resource."
    synced.origin.fail(
        {
            "kind": "status",
            "status": 422,
            "body": f'{{"message": "{said}"}}',
            "path": "/issues/events.*&page=([4-9]|\\d\\d)",
        }
    )
    before = living(synced, "issue_events")
    synced.sync("activity", audit=True)
    assert not synced.gaps()
    assert living(synced, "issue_events") == before


def test_a_push_whose_head_shows_late_is_not_lost(synced: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of repositories tells of the push already, and the list of branches does not yet."""
    origin = synced.origin
    api = next(item["repository_id"] for item in origin.objects("repositories") if item["object"]["name"] == "api")
    branches = f"/repositories/{api}/branches?per_page=100"
    before = origin.get(branches, TOKEN).content
    origin.change("commit.push", repository=api, id="main")
    origin.advance()
    get = GitHub.get

    def get_late(github: GitHub, path: str, *args: Any, **kwargs: Any) -> Response:
        response = get(github, path, *args, **kwargs)
        return replace(response, body=before) if path == branches else response

    with monkeypatch.context() as late:
        late.setattr(GitHub, "get", get_late)
        synced.sync("activity")
    synced.sync("activity")
    assert_mirrors(synced, "commits")


@pytest.mark.parametrize(
    ("group", "table", "path"), [("catalog", "labels", "/labels"), ("actions", "workflow_runs", "/runs")]
)
def test_a_page_that_takes_github_too_long_is_read_in_parts(
    group: str, table: str, path: str, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest_shared.reading.api.FIRST_BACKOFF", 0.0)
    monkeypatch.setattr("github_location.source.api.PART", 5)
    origin = warehouse.origin
    for seed in range(100):
        origin.change("label.create", repository="acme/api", seed=seed)
    origin.fail({"kind": "status", "status": 504, "path": f"{path}.*per_page=100"})
    origin.advance()
    warehouse.sync(group)
    assert not warehouse.gaps()
    assert_mirrors(warehouse, table)


def before_second_part(monkeypatch: pytest.MonkeyPatch, path: str, change: Callable[[], object]) -> list[str]:
    """Has GitHub take too long for whole pages of a list, and makes a change between the first two smaller ones."""
    monkeypatch.setattr("ingest_shared.reading.api.FIRST_BACKOFF", 0.0)
    monkeypatch.setattr("github_location.source.api.PART", 5)
    send, parts = Api._send, []

    def send_after_it(api: Api, method: str, asked: str, *args: Any, **what: Any) -> Response:
        if f"{path}?" in asked and "per_page=5" in asked:
            parts.append(asked)
            if len(parts) == 2:
                change()
        return send(api, method, asked, *args, **what)

    monkeypatch.setattr(Api, "_send", send_after_it)
    return parts


@pytest.mark.parametrize("audit", [False, True])
def test_an_issue_that_is_edited_between_two_parts_of_a_page_hides_no_other(
    audit: bool, synced: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = synced.origin
    found = [item for item in origin.objects("issues") if item["object"]["repository_url"].endswith("acme/api")]
    id_, numbers = found[0]["repository_id"], [item["object"]["number"] for item in found]
    origin.advance(3600)
    for number in numbers[:12]:
        origin.change("issue.edit", repository="acme/api", number=number, set={"title": "new"})
        origin.advance(100)
    first = min(found, key=lambda item: str(item["object"]["updated_at"]))["object"]["number"] if audit else numbers[0]
    origin.fail({"kind": "status", "status": 504, "path": f"/{id_}/issues\\?.*per_page=100"})
    with monkeypatch.context() as patch:
        edit = {"repository": "acme/api", "number": first, "set": {"title": "newer"}}
        parts = before_second_part(patch, f"/{id_}/issues", lambda: origin.change("issue.edit", **edit))
        synced.sync("activity", audit=audit)
    assert len(parts) > 1
    origin.heal()
    origin.advance(3600)
    synced.sync("activity")
    assert_mirrors(synced, "issues", audited=True)


def test_a_label_that_vanishes_between_two_parts_of_the_only_page_hides_no_other(
    synced: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = synced.origin
    for seed in range(6):
        origin.change("label.create", repository="acme/api", seed=seed)
    origin.advance()
    synced.sync("catalog")
    origin.change("label.create", repository="acme/api", seed=7)  # so that no ETag answers for the list
    id_ = next(r["repository_id"] for r in origin.objects("repositories") if r["object"]["full_name"] == "acme/api")
    first = listed(origin, "labels", f"/{id_}/")[0]["id"]
    origin.fail({"kind": "status", "status": 504, "path": f"/{id_}/labels\\?.*per_page=100"})
    parts = before_second_part(monkeypatch, f"/{id_}/labels", lambda: origin.change("label.delete", id=first))
    before = living(synced, "labels") - {first}
    synced.sync("catalog")
    assert len(parts) > 1
    assert before <= living(synced, "labels")
    assert not synced.gaps()


def test_releases_that_github_shows_no_more_are_not_gone(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, per_page: Callable[[int], None]
) -> None:
    """It shows the newest releases alone, and refuses the pages after them."""
    monkeypatch.setattr(source, "CATALOG", [shows_at_most(10, list_) for list_ in source.CATALOG])
    per_page(5)
    origin = warehouse.origin
    for seed in range(12):
        origin.change("release.create", repository="acme/api", seed=seed)
        origin.advance(100)
    said = '{"message": "Only the first 10 results are available."}'
    origin.fail({"kind": "status", "status": 422, "path": "/releases\\?.*&page=[3-9]", "body": said})
    for seed in range(2):
        warehouse.sync("catalog")
        origin.change("release.create", repository="acme/api", seed=20 + seed)
        origin.advance(100)
    warehouse.sync("catalog", audit=True)
    assert not warehouse.query("SELECT id FROM {releases} WHERE deleted_at IS NOT NULL")
    assert not warehouse.gaps()
    assert len(living(warehouse, "releases")) > 10


def test_drafts_that_the_credential_may_not_see_any_more_are_not_gone(synced: Warehouse) -> None:
    """Only those who may push see drafts: https://docs.github.com/en/rest/releases/releases#list-releases"""
    origin = synced.origin
    made = [
        origin.change("release.create", repository="acme/api", set={"draft": draft}) for draft in (True, True, False)
    ]
    *drafts, published = (done["changed"][0]["id"] for done in made)
    origin.advance()
    synced.sync("catalog")
    assert {*drafts, published} <= living(synced, "releases")
    origin.change("repository.edit", repository="acme/api", set={"may_push": False})
    origin.change("release.edit", repository="acme/api", id=drafts[0], set={"draft": False})
    origin.change("release.delete", repository="acme/api", id=drafts[1])
    origin.change("release.delete", repository="acme/api", id=published)
    origin.advance()
    for audit in (False, True):
        synced.sync("catalog", audit=audit)
        assert {*drafts, published} & living(synced, "releases") == {*drafts}
    assert synced.query("SELECT draft FROM {releases} WHERE id = %s", drafts[0]) == [(False,)]
    origin.change("repository.edit", repository="acme/api", set={"may_push": True})
    origin.advance()
    synced.audit("catalog")
    assert {*drafts, published} & living(synced, "releases") == {drafts[0]}


def test_members_who_are_concealed_from_the_credential_are_not_gone(synced: Warehouse) -> None:
    """GitHub answers 200: https://docs.github.com/en/rest/orgs/members#list-organization-members"""
    origin = synced.origin
    synced.sync("people")

    def members() -> set[int]:
        return {user for (user,) in synced.query("SELECT user_id FROM {members} WHERE deleted_at IS NULL")}

    before = members()
    origin.change("viewer.leave")
    origin.advance()
    for audit in (False, True):
        synced.sync("people", audit=audit)
        assert members() == before
        assert "members" in {gap[0] for gap in synced.gaps()}
    origin.change("member.delete")
    origin.change("viewer.join")
    origin.advance()
    synced.sync("people")
    assert not synced.gaps()
    assert_mirrors(synced, "members", audited=True)
    origin.change("viewer.leave")
    origin.advance()
    synced.sync("people", SOURCES__GITHUB__DELETES_BELIEVED="1")
    assert len(members()) < len(before) / 2
    origin.change("viewer.join")


def shows_at_most(rows: int, listing: Listing) -> Listing:
    return replace(listing, walk=Releases(at_most=rows)) if listing.table.name == "releases" else listing
