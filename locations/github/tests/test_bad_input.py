"""A repository that is not what the settings say is named in one line, and its rows stay."""

import json
from dataclasses import replace
from typing import Any

import pytest

from github_location.source.api import GitHub
from github_location.source.repositories import GitHubSync
from ingest_shared.columnar import Page
from ingest_shared.errors import ApiError
from ingest_shared.reading.api import Response
from ingest_testing import assert_mirrors, run_job

from .origin import ACTIVITY, CATALOG, Warehouse

IN_CATALOG = sorted(CATALOG)


def test_no_repositories(warehouse: Warehouse) -> None:
    run = run_job(warehouse, "activity_ingest", SOURCES__GITHUB__REPOSITORIES="[]")
    assert run.failure.startswith("sources.github.repositories is not set")
    assert "SOURCES__GITHUB__REPOSITORIES" in run.failure
    assert run.retries == 0


@pytest.mark.parametrize("entry", ["acme", "acme/api/issues", "https://github.com/acme/api", "*/api", "acme/ap*"])
def test_a_malformed_repository(entry: str, warehouse: Warehouse) -> None:
    with pytest.raises(
        Exception, match=r"sources\.github\.repositories has .* which is not valid: write owner/name, owner/\*"
    ):
        warehouse.sync("catalog", SOURCES__GITHUB__REPOSITORIES=f"acme/web,{entry}")
    assert warehouse.origin.requests()["total"] == 0


def test_a_malformed_repository_fails_the_run_without_a_retry(warehouse: Warehouse) -> None:
    run = run_job(warehouse, "activity_ingest", SOURCES__GITHUB__REPOSITORIES="acme/web,acme")
    assert run.failure.startswith("sources.github.repositories has 'acme'")
    assert run.retries == 0


def test_an_unknown_repository_is_a_gap_until_it_is_there(warehouse: Warehouse) -> None:
    run = run_job(warehouse, "catalog_ingest", SOURCES__GITHUB__REPOSITORIES="acme/web,acme/nonesuch")
    assert warehouse.query("SELECT full_name FROM {repositories}") == [("acme/web",)]
    assert warehouse.query("SELECT count(*) FROM {labels}") > [(0,)]
    gaps = warehouse.query("SELECT resource, scope, status FROM {load_gaps} ORDER BY 1")
    assert gaps == [(name, "acme/nonesuch", 404) for name in IN_CATALOG]
    assert run.metadata["labels"]["open_gaps"] == 1
    assert not run.checks["labels", "no_open_load_gaps"]
    assert run.checks["labels", "key_is_unique_and_not_null"]

    warehouse.origin.change("repository.create", set={"name": "nonesuch"})
    warehouse.origin.advance()
    run = run_job(warehouse, "catalog_ingest", SOURCES__GITHUB__REPOSITORIES="acme/web,acme/nonesuch")
    assert warehouse.query("SELECT * FROM {load_gaps}") == []
    assert run.checks["labels", "no_open_load_gaps"]
    assert ("acme/nonesuch",) in warehouse.query("SELECT full_name FROM {repositories}")


def test_a_repository_that_may_not_be_read_is_a_gap_and_its_rows_stay(synced: Warehouse) -> None:
    before = synced.contents("activity")
    web = synced.origin.change("repository.edit", repository="acme/web", set={"forbidden": True})["changed"][0]["id"]
    synced.sync("activity")
    assert ("acme/web", 403) in synced.query("SELECT scope, status FROM {load_gaps} WHERE resource = 'issues'")
    assert synced.contents("activity") == before
    synced.origin.change("repository.edit", repository=web, set={"forbidden": False})
    synced.origin.change("issue.edit", repository=web)
    synced.origin.advance()
    synced.sync("activity")
    assert_mirrors(synced, *ACTIVITY)
    assert not synced.query("SELECT * FROM {load_gaps} WHERE scope = 'acme/web'")


def test_a_known_repository_that_is_blocked_leaves_the_others_alone(
    synced: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is listed under its owner no more, and asked for by its id."""
    web = next(item["object"]["id"] for item in synced.origin.objects("repositories"))
    before = synced.query("SELECT count(*) FROM {repositories}")
    get, keep = GitHub.get, GitHubSync._keep

    def get_blocked(api: GitHub, path: str, *args: Any, **kwargs: Any) -> Any:
        if path == f"/repositories/{web}":
            raise ApiError("GitHub answered 451", status=451, retry=False)
        return get(api, path, *args, **kwargs)

    def keep_others(sync: GitHubSync, response: Response, *args: Any, **kwargs: Any) -> Page:
        others = [row for row in json.loads(response.body) if row["id"] != web]
        return keep(sync, replace(response, body=json.dumps(others).encode()), *args, **kwargs)

    monkeypatch.setattr(GitHub, "get", get_blocked)
    monkeypatch.setattr(GitHubSync, "_keep", keep_others)
    synced.sync("catalog")
    gaps = synced.query("SELECT DISTINCT scope, status FROM {load_gaps}")
    assert gaps == [(f"repository {web} of acme/*", 451)]
    assert synced.query("SELECT count(*) FROM {repositories} WHERE deleted_at IS NULL") == before
    monkeypatch.undo()
    synced.sync("catalog")
    assert not synced.query("SELECT * FROM {load_gaps}")
    assert_mirrors(synced, "repositories")


def test_a_gap_is_told_once_by_each_resource(warehouse: Warehouse) -> None:
    warehouse.sync("catalog", SOURCES__GITHUB__REPOSITORIES="acme/nonesuch")
    gaps = warehouse.query("SELECT resource, scope, count(*) FROM {load_gaps} GROUP BY 1, 2 ORDER BY 1")
    assert gaps == [(name, "acme/nonesuch", 1) for name in IN_CATALOG]


def test_a_list_of_branches_of_html(warehouse: Warehouse) -> None:
    warehouse.origin.fail({"kind": "html", "path": "/branches"})
    run = run_job(warehouse, "activity_ingest", "commits")
    assert "JSON" in run.failure
    assert "`sources.github.api_url`" in run.failure


def test_one_wrong_empty_answer_deletes_nothing(synced: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    before = synced.contents("catalog")["labels"]
    synced.origin.change("label.create", repository="acme/web")  # so that no ETag answers for it
    get_if_changed = GitHub.get_if_changed
    wrong: list[str] = []

    def empty_once(api: GitHub, path: str, *args: Any, **kwargs: Any) -> Response | None:
        response = get_if_changed(api, path, *args, **kwargs)
        if response and path.endswith("/labels") and not wrong:
            wrong.append(path)
            return replace(response, body=b"[]")
        return response

    monkeypatch.setattr(GitHub, "get_if_changed", empty_once)
    synced.sync("catalog")
    assert wrong
    assert synced.contents("catalog")["labels"] == before
    ((reason,),) = synced.query("SELECT reason FROM {load_gaps} WHERE resource = 'labels' AND scope = 'acme/web'")
    assert "were missing in one reading, but 0 in the next: none is marked as deleted" in reason
    synced.sync("catalog")
    assert_mirrors(synced, "labels")
    assert not synced.query("SELECT * FROM {load_gaps}")
