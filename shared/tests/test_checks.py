"""The checks that every table gets: they pass on a load in order and fail on what they are for."""

import json
from collections.abc import Callable, Iterable
from typing import Any

from dagster import AssetCheckEvaluation, AssetKey

from ingest_shared.checks import GAPS_CHECK, KEY_CHECK, ORIGIN_CHECK
from ingest_shared.columnar import Decoder, Page
from ingest_shared.loading import Load
from tests.conftest import ISSUES, LABELS, Warehouse
from tests.dagster_location import Location, nothing

issues = Decoder(ISSUES)
labels = Decoder(LABELS)


def page(_: Load) -> Iterable[Page]:
    rows = [{"id": 1, "labels": [{"id": 5}, {"id": 6}]}, {"id": 2}]
    yield issues.page(json.dumps(rows).encode(), {"repo_id": 1})


def label_page(_: Load) -> Iterable[Page]:
    yield labels.page(b'[{"id": 5, "name": "bug"}]', {"repo_id": 1})


def evaluate(location: Location, **options: Any) -> dict[tuple[str, str], AssetCheckEvaluation]:
    """Each check's outcome by table and name, after a run."""
    result = location.run(**options)
    assert [event for event in result.all_events if event.is_step_failure] == []
    return {
        (evaluation.asset_key.path[-1], evaluation.check_name): evaluation
        for evaluation in result.get_asset_check_evaluations()
    }


def execute(location: Location, sql: str, table: str) -> None:
    location.warehouse.execute(sql.replace("{table}", f"{{{table}}}"))


def value(evaluation: AssetCheckEvaluation, name: str) -> Any:
    return evaluation.metadata[name].value


ALL = {(table, KEY_CHECK) for table in ("issues", "issue_labels", "labels")} | {
    (table, GAPS_CHECK) for table in ("issues", "labels")
}
"""Those of a run that does not audit."""


def test_every_check_passes_when_all_is_well(warehouse: Warehouse) -> None:
    outcomes = evaluate(Location(warehouse, {"issues": page, "labels": label_page}))
    assert {key: outcome.passed for key, outcome in outcomes.items()} == dict.fromkeys(ALL, True)


def test_empty_tables_pass(duckdb_warehouse: Warehouse) -> None:
    assert all(outcome.passed for outcome in evaluate(Location(duckdb_warehouse)).values())


def test_a_key_that_stands_twice_fails(duckdb_warehouse: Warehouse) -> None:
    location = Location(duckdb_warehouse, {"labels": label_page})
    location.run()
    location.reads["labels"] = nothing
    execute(location, "INSERT INTO {table} SELECT * FROM {table}", "labels")
    outcomes = evaluate(location)
    assert not outcomes["labels", KEY_CHECK].passed
    assert value(outcomes["labels", KEY_CHECK], "keys that are null or not unique") == 1
    assert outcomes["issues", KEY_CHECK].passed


def test_a_key_of_a_child_table_that_is_null_fails_its_check(warehouse: Warehouse) -> None:
    location = Location(warehouse, {"issues": page})
    location.run()
    location.reads["issues"] = nothing
    execute(location, "UPDATE {table} SET label_id = NULL WHERE label_id = 5", "issue_labels")
    outcomes = evaluate(location)
    assert not outcomes["issue_labels", KEY_CHECK].passed
    assert value(outcomes["issue_labels", KEY_CHECK], "keys that are null or not unique") == 1
    assert outcomes["issues", KEY_CHECK].passed


def test_the_same_label_on_two_issues_is_no_double(duckdb_warehouse: Warehouse) -> None:
    def read(_: Load) -> Iterable[Page]:
        rows = [{"id": 1, "labels": [{"id": 5}]}, {"id": 2, "labels": [{"id": 5}]}]
        yield issues.page(json.dumps(rows).encode(), {"repo_id": 1})

    assert evaluate(Location(duckdb_warehouse, {"issues": read}))["issue_labels", KEY_CHECK].passed


def test_an_open_gap_fails_the_check_of_its_own_asset_and_says_what_is_missing(warehouse: Warehouse) -> None:
    def read(load: Load) -> Iterable[Page]:
        load.scopes_read = 1
        load.leave_out("octo/gone", "there is no such repository", 404)
        return ()

    location = Location(warehouse, {"issues": read})
    outcomes = evaluate(location)
    assert not outcomes["issues", GAPS_CHECK].passed
    assert value(outcomes["issues", GAPS_CHECK], "left out") == {"octo/gone": "there is no such repository"}
    assert outcomes["labels", GAPS_CHECK].passed
    location.reads["issues"] = nothing
    assert evaluate(location)["issues", GAPS_CHECK].passed


def test_an_audit_that_is_the_first_load_passes_and_says_so(warehouse: Warehouse) -> None:
    def first(load: Load) -> Iterable[Page]:
        load.audits = []
        return ()

    outcome = evaluate(Location(warehouse, {"issues": first, "labels": first}))["issues", ORIGIN_CHECK]
    assert outcome.passed
    assert outcome.description == "this was the first load: there was nothing to compare with"


def test_what_an_audit_found_fails_the_check_of_its_own_asset_in_its_own_run(warehouse: Warehouse) -> None:
    def auditing(**found: int) -> Callable[[Load], Iterable[Page]]:
        def read(load: Load) -> Iterable[Page]:
            older: dict[str, Any] = {"changed": None, "deleted": None}  # as an older version, which did not count these
            counts = {"compared": 9, "missing": 0, "surplus": 0, "stale": 0, "changed": 0, "deleted": 0, "calls": 1}
            load.audits = [
                {"scope": "octo/spoon", "audited_at": 1_700_000_000, **counts, **found},
                {"scope": "octo/whole", "audited_at": 1_700_000_060, **counts} | older,
            ]
            return ()

        return read

    location = Location(warehouse, {"issues": auditing(missing=2, stale=1), "labels": auditing(changed=3, deleted=1)})
    outcomes = evaluate(location)
    outcome = outcomes["issues", ORIGIN_CHECK]
    assert not outcome.passed
    assert outcome.description == "the audit found 2 rows missing, 0 surplus and 1 stale, and repaired them"
    assert [value(outcome, name) for name in ("missing", "surplus", "stale", "repaired")] == [2, 0, 1, 3]
    assert value(outcome, "scopes") == ["octo/spoon"]
    assert value(outcome, "audited at").startswith("2023-11-14 22:14:20")
    busy = outcomes["labels", ORIGIN_CHECK]
    assert busy.passed
    assert busy.description == (
        "the audit found 0 rows missing, 0 surplus and 0 stale; "
        "3 changed since the previous load, 1 were deleted at the origin"
    )
    location.reads = {}
    assert set(evaluate(location)) == ALL, "a load that is no audit says nothing of it"
    location.reads = {"issues": auditing(), "labels": auditing()}
    assert evaluate(location)["issues", ORIGIN_CHECK].passed


def test_checks_of_one_asset_run_with_that_asset_alone(duckdb_warehouse: Warehouse) -> None:
    outcomes = evaluate(Location(duckdb_warehouse), asset_selection=[AssetKey([duckdb_warehouse.location, "issues"])])
    assert set(outcomes) == {("issues", check) for check in (KEY_CHECK, GAPS_CHECK)}


def test_checks_run_by_themselves_in_a_process_that_loaded_nothing(warehouse: Warehouse) -> None:
    Location(warehouse, {"labels": label_page}).run()
    outcomes = evaluate(Location(warehouse), job="check")
    assert {key: outcome.passed for key, outcome in outcomes.items()} == dict.fromkeys(ALL, True)


def test_checks_before_the_first_load_say_that_there_is_nothing_yet(warehouse: Warehouse) -> None:
    outcomes = evaluate(Location(warehouse), job="check")
    assert {key: outcome.passed for key, outcome in outcomes.items()} == dict.fromkeys(ALL, False)
