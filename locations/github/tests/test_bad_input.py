"""What is wrong ends in one line that names it and says what to do; nothing is lost or half-written."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from github_location.source.api import GitHub
from github_location.source.repositories import GitHubSync
from github_location.source.tables import TABLES
from ingest_shared.columnar import Page
from ingest_shared.errors import ApiError
from ingest_shared.reading.api import ATTEMPTS, Response

from .mirror import TABLES_OF, Warehouse, assert_mirrors
from .origin import Origin
from .runs import run_job


def test_no_credential(warehouse: Warehouse) -> None:
    run = run_job(warehouse, "github_activity_ingest", SOURCES__GITHUB__ACCESS_TOKEN="")
    assert "`sources.github.access_token`" in run.failure
    assert "SOURCES__GITHUB__ACCESS_TOKEN" in run.failure
    assert run.retries == 0
    assert warehouse.origin.requests()["total"] == 0


def test_a_wrong_credential_is_tried_once(warehouse: Warehouse) -> None:
    run = run_job(warehouse, "github_activity_ingest", SOURCES__GITHUB__ACCESS_TOKEN="ghp_wrong")
    assert "Bad credentials" in run.failure
    assert "`sources.github.access_token`" in run.failure
    assert "ghp_wrong" not in run.failure
    assert run.retries == 0
    assert warehouse.origin.requests()["by_status"] == {"401": 1}


def test_a_line_end_after_the_credential_does_no_harm(warehouse: Warehouse) -> None:
    token = warehouse.settings["SOURCES__GITHUB__ACCESS_TOKEN"]
    assert run_job(warehouse, "github_catalog_ingest", SOURCES__GITHUB__ACCESS_TOKEN=f"{token}\n").success


def test_no_repositories(warehouse: Warehouse) -> None:
    run = run_job(warehouse, "github_activity_ingest", SOURCES__GITHUB__REPOSITORIES="[]")
    assert run.failure.startswith("sources.github.repositories is not set")
    assert "SOURCES__GITHUB__REPOSITORIES" in run.failure
    assert run.retries == 0


@pytest.mark.parametrize("entry", ["acme", "acme/api/issues", "https://github.com/acme/api", "*/api", "acme/ap*"])
def test_a_malformed_repository(entry: str, warehouse: Warehouse) -> None:
    with pytest.raises(Exception, match=r"sources\.github\.repositories has .* neither owner/name nor owner/\*"):
        warehouse.sync("catalog", SOURCES__GITHUB__REPOSITORIES=f"acme/web,{entry}")
    assert warehouse.origin.requests()["total"] == 0


def test_a_malformed_repository_fails_the_run_without_a_retry(warehouse: Warehouse) -> None:
    run = run_job(warehouse, "github_activity_ingest", SOURCES__GITHUB__REPOSITORIES="acme/web,acme")
    assert run.failure.startswith("sources.github.repositories has 'acme'")
    assert run.retries == 0


def test_an_unknown_repository_is_a_gap_until_it_is_there(warehouse: Warehouse) -> None:
    run = run_job(warehouse, "github_catalog_ingest", SOURCES__GITHUB__REPOSITORIES="acme/web,acme/nonesuch")
    assert warehouse.query("SELECT full_name FROM {repositories}") == [("acme/web",)]
    assert warehouse.query("SELECT count(*) FROM {labels}") > [(0,)]
    gaps = warehouse.query("SELECT resource, scope, status FROM {load_gaps} ORDER BY 1")
    assert gaps == [(name, "acme/nonesuch", 404) for name in ("labels", "milestones", "releases", "repositories")]
    assert run.metadata["labels"]["open_gaps"] == 1
    assert not run.checks["labels", "no_open_load_gaps"]
    assert run.checks["labels", "key_is_unique_and_not_null"]

    warehouse.origin.change("repository.create", set={"name": "nonesuch"})
    warehouse.origin.advance()
    run = run_job(warehouse, "github_catalog_ingest", SOURCES__GITHUB__REPOSITORIES="acme/web,acme/nonesuch")
    assert warehouse.query("SELECT * FROM {load_gaps}") == []
    assert run.checks["labels", "no_open_load_gaps"]
    assert ("acme/nonesuch",) in warehouse.query("SELECT full_name FROM {repositories}")


def test_a_repository_that_may_not_be_read_is_a_gap_and_its_rows_stay(warehouse: Warehouse) -> None:
    warehouse.sync("activity")
    before = warehouse.contents("activity")
    web = warehouse.origin.change("repository.edit", repository="acme/web", set={"forbidden": True})["changed"][0]["id"]
    warehouse.sync("activity")
    assert ("acme/web", 403) in warehouse.query("SELECT scope, status FROM {load_gaps} WHERE resource = 'issues'")
    assert warehouse.contents("activity") == before
    warehouse.origin.change("repository.edit", repository=web, set={"forbidden": False})
    warehouse.origin.change("issue.edit", repository=web)
    warehouse.origin.advance()
    warehouse.sync("activity")
    assert_mirrors(warehouse, *TABLES_OF["activity"])
    assert not warehouse.query("SELECT * FROM {load_gaps} WHERE scope = 'acme/web'")


def test_a_known_repository_that_is_blocked_leaves_the_others_alone(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is listed under its owner no more, and asked for by its id."""
    warehouse.sync("catalog")
    web = next(item["object"]["id"] for item in warehouse.origin.objects("repositories"))
    before = warehouse.query("SELECT count(*) FROM {repositories}")
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
    warehouse.sync("catalog")
    gaps = warehouse.query("SELECT DISTINCT scope, status FROM {load_gaps}")
    assert gaps == [(f"repository {web} of acme/*", 451)]
    assert warehouse.query("SELECT count(*) FROM {repositories} WHERE deleted_at IS NULL") == before
    monkeypatch.undo()
    warehouse.sync("catalog")
    assert not warehouse.query("SELECT * FROM {load_gaps}")
    assert_mirrors(warehouse, "repositories")


def test_a_gap_is_told_once_by_each_resource(warehouse: Warehouse) -> None:
    warehouse.sync("catalog", SOURCES__GITHUB__REPOSITORIES="acme/nonesuch")
    gaps = warehouse.query("SELECT resource, scope, count(*) FROM {load_gaps} GROUP BY 1, 2 ORDER BY 1")
    assert gaps == [(name, "acme/nonesuch", 1) for name in ("labels", "milestones", "releases", "repositories")]


def test_an_unknown_destination(warehouse: Warehouse) -> None:
    run = run_job(warehouse, "github_activity_ingest", INGEST_DESTINATION="postgers")
    assert "INGEST_DESTINATION is 'postgers'" in run.failure
    assert run.retries == 0
    assert warehouse.origin.requests()["total"] == 0


def test_a_data_folder_that_cannot_be_written(warehouse: Warehouse, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    run = run_job(warehouse, "github_activity_ingest", INGEST_DATA_DIR=str(tmp_path / "file" / "data"))
    assert "INGEST_DATA_DIR" in run.failure
    assert run.retries == 0
    assert warehouse.origin.requests()["total"] == 0


@pytest.fixture
def locked(warehouse: Warehouse) -> Iterator[Warehouse]:
    """A warehouse whose DuckDB file another process has open."""
    script = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(warehouse.folder / "github.duckdb")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == b"held\n"
        yield warehouse
        other.kill()


def test_a_duckdb_file_that_another_process_has_open(locked: Warehouse) -> None:
    run = run_job(locked, "github_activity_ingest")
    assert "the DuckDB file is in use by another process" in run.failure
    assert locked.origin.requests()["total"] == 0


def test_a_page_of_html(warehouse: Warehouse) -> None:
    warehouse.origin.fail({"kind": "html", "path": "/labels"})
    run = run_job(warehouse, "github_catalog_ingest", "labels")
    assert run.failure.startswith("nothing could be read; labels of acme/")
    assert "not valid JSON" in run.failure
    assert "`sources.github.api_url`" in run.failure


def test_a_list_of_branches_of_html(warehouse: Warehouse) -> None:
    warehouse.origin.fail({"kind": "html", "path": "/branches"})
    run = run_job(warehouse, "github_activity_ingest", "commits")
    assert "JSON" in run.failure
    assert "`sources.github.api_url`" in run.failure


def test_an_api_that_is_down(warehouse: Warehouse) -> None:
    run = run_job(warehouse, "github_catalog_ingest", "labels", SOURCES__GITHUB__API_URL="http://127.0.0.1:9")
    assert "did not answer" in run.failure
    assert "`sources.github.api_url`" in run.failure


def test_an_api_that_answers_500_is_asked_again_a_few_times(warehouse: Warehouse) -> None:
    warehouse.origin.fail({"kind": "status", "status": 500, "path": "/orgs"})
    with pytest.raises(Exception, match="did not answer"):
        warehouse.sync("catalog")
    assert warehouse.origin.requests()["by_status"] == {"500": ATTEMPTS}


def test_a_value_of_the_wrong_type_is_a_gap_in_its_table_and_all_else_is_loaded(warehouse: Warehouse) -> None:
    warehouse.sync("catalog")
    milestones = warehouse.contents("catalog")["milestones"]
    for kind in ("label.create", "milestone.create", "release.create", "repository.edit"):
        warehouse.origin.change(kind, repository="acme/web")
    warehouse.origin.advance()
    warehouse.origin.fail({"kind": "replace_field", "path": "/milestones", "field": "open_issues", "value": "many"})
    run = run_job(warehouse, "github_catalog_ingest")
    warehouse.origin.heal()
    assert run.success
    assert not run.checks["milestones", "no_open_load_gaps"]
    assert warehouse.contents("catalog")["milestones"] == milestones
    assert_mirrors(warehouse, "repositories", "labels", "releases")
    gaps = warehouse.query("SELECT resource, reason FROM {load_gaps}")
    assert {resource for resource, _ in gaps} == {"milestones"}
    for _, reason in gaps:
        assert reason.startswith("table milestones, column open_issues, row id=")
        assert "'many'" in reason
    warehouse.sync("catalog")
    assert_mirrors(warehouse, *TABLES_OF["catalog"])
    assert not warehouse.query("SELECT * FROM {load_gaps}")


def test_one_wrong_empty_answer_deletes_nothing(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse.sync("catalog")
    before = warehouse.contents("catalog")["labels"]
    warehouse.origin.change("label.create", repository="acme/web")  # so that no ETag answers for it
    get_if_changed = GitHub.get_if_changed
    wrong: list[str] = []

    def empty_once(api: GitHub, path: str, *args: Any, **kwargs: Any) -> Response | None:
        response = get_if_changed(api, path, *args, **kwargs)
        if response and path.endswith("/labels") and not wrong:
            wrong.append(path)
            return replace(response, body=b"[]")
        return response

    monkeypatch.setattr(GitHub, "get_if_changed", empty_once)
    warehouse.sync("catalog")
    assert wrong
    assert warehouse.contents("catalog")["labels"] == before
    ((reason,),) = warehouse.query("SELECT reason FROM {load_gaps} WHERE resource = 'labels' AND scope = 'acme/web'")
    assert "were missing from one reading, and 0 from the next: none is marked as deleted" in reason
    warehouse.sync("catalog")
    assert_mirrors(warehouse, "labels")
    assert not warehouse.query("SELECT * FROM {load_gaps}")


def test_a_new_field_is_kept_and_reported(warehouse: Warehouse) -> None:
    warehouse.origin.fail({"kind": "extra_field", "path": "/labels", "field": "votes", "value": {"up": 3}})
    run = run_job(warehouse, "github_catalog_ingest", "labels")
    assert run.metadata["labels"]["new_fields"] == ["votes"]
    kept = {str(row["_undeclared"]).replace(" ", "") for row in warehouse.rows(TABLES["labels"])}
    assert kept == {'{"votes":{"up":3}}'}


@pytest.mark.parametrize(
    "url", ["api.github.com", "htp://api.github.com", "http://[", "https://exa mple", "https://h:x"]
)
def test_an_address_that_is_none(url: str, warehouse: Warehouse) -> None:
    run = run_job(warehouse, "github_catalog_ingest", "labels", SOURCES__GITHUB__API_URL=url)
    assert run.failure.startswith(f"sources.github.api_url is '{url}'; write it as https://")
    assert run.retries == 0


@pytest.mark.parametrize("token", ["\u201cghp_in_typographic_marks\u201d", "ghp_two\nlines"])
def test_a_credential_that_no_request_can_carry(token: str, warehouse: Warehouse) -> None:
    run = run_job(warehouse, "github_catalog_ingest", "labels", SOURCES__GITHUB__ACCESS_TOKEN=token)
    assert run.failure.startswith("sources.github.access_token holds a character that no credential has")
    assert "ghp_" not in run.failure
    assert run.retries == 0


@pytest.mark.parametrize("setting", ["calls_per_second", "deletes_believed"])
def test_a_number_that_is_none(setting: str, warehouse: Warehouse) -> None:
    run = run_job(warehouse, "github_catalog_ingest", "labels", **{f"SOURCES__GITHUB__{setting.upper()}": "often"})
    assert run.failure == f"sources.github.{setting} is 'often'; write it as a number greater than zero"
    assert run.retries == 0


def test_a_failed_run_is_tried_again_when_that_can_help(origin: Origin, warehouse: Warehouse) -> None:
    origin.fail({"kind": "status", "status": 500, "path": "/orgs", "times": ATTEMPTS})
    run = run_job(warehouse, "github_catalog_ingest")
    assert run.success
    assert run.retries == 1
    assert_mirrors(warehouse, "labels")
