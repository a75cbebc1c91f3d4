"""What is read ends in the warehouse, in each of them alike: merged, replaced, remembered, or not at all."""

import json
import logging
import multiprocessing
import os
import time
import tracemalloc
import weakref
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from ingest_shared import loading, pipelines
from ingest_shared.columnar import Decoder, Page, arrow_schema
from ingest_shared.errors import ApiError, WarehouseError
from ingest_shared.loading import GAPS_LOGGED, Load
from ingest_shared.tables import Column, Table, bigint, double
from tests import killed
from tests.conftest import ISSUES, LABELS, Warehouse, metrics, read_by, reading

issues = Decoder(ISSUES)
labels = Decoder(LABELS)


def issue(id: int, title: str, *label_ids: int) -> dict[str, Any]:
    return {"id": id, "title": title, "labels": [{"id": label} for label in label_ids]}


def page(*rows: dict[str, Any], repo_id: int = 1) -> Page:
    return issues.page(json.dumps(rows).encode(), {"repo_id": repo_id})


def label_page(repo_id: int, *names: str) -> Page:
    rows = [{"id": 100 * repo_id + number, "name": name} for number, name in enumerate(names)]
    given = {"repo_id": repo_id}
    return labels.page(json.dumps(rows).encode(), given) if rows else labels.nothing(given)


# Merging


def test_rows_are_updated_and_inserted_by_key_and_never_doubled(warehouse: Warehouse) -> None:
    warehouse.load(reading(issues, page(issue(1, "one"), issue(2, "two"))))
    warehouse.load(reading(issues, page(issue(2, "two, edited"), issue(3, "three"))))
    assert warehouse.rows("issues", "id", "title") == [(1, "one"), (2, "two, edited"), (3, "three")]


def test_child_rows_are_replaced_with_their_parent(warehouse: Warehouse) -> None:
    warehouse.load(reading(issues, page(issue(1, "one", 5, 6), issue(2, "two", 5))))
    warehouse.load(reading(issues, page(issue(1, "one", 6, 7))))
    assert warehouse.rows("issue_labels", "issue_id", "label_id") == [(1, 6), (1, 7), (2, 5)]


def test_a_parent_whose_list_became_empty_loses_its_child_rows(warehouse: Warehouse) -> None:
    warehouse.load(reading(issues, page(issue(1, "one", 5, 6), issue(2, "two", 5))))
    warehouse.load(reading(issues, page(issue(1, "one"))))
    assert warehouse.rows("issue_labels", "issue_id", "label_id") == [(2, 5)]


def test_the_first_load_of_a_parent_with_an_empty_list_leaves_no_child_row(warehouse: Warehouse) -> None:
    warehouse.load(reading(issues, page(issue(1, "one"))))
    assert warehouse.rows("issues", "id") == [(1,)]
    assert warehouse.rows("issue_labels", "issue_id") == []


def test_only_to_a_table_that_the_warehouse_does_not_have_rows_are_appended(warehouse: Warehouse) -> None:
    def load() -> set[Any]:
        schema = warehouse.load(reading(issues, page(issue(1, "one", 5)))).default_schema
        return {schema.tables[name]["write_disposition"] for name in ("issues", "issue_labels")}

    assert load() == {"append"}
    warehouse.execute("DELETE FROM {_dlt_pipeline_state}", "DELETE FROM {_dlt_version}")  # as if it had been killed
    assert load() == {"merge"}
    assert warehouse.rows("issues", "id") == [(1,)]
    assert warehouse.rows("issue_labels", "issue_id", "label_id") == [(1, 5)]


def test_rows_are_not_appended_beside_child_rows_that_the_warehouse_has(warehouse: Warehouse) -> None:
    """As where a table was renamed, and its child table was not."""
    warehouse.load(reading(issues, page(issue(1, "one", 5))))
    warehouse.execute("DROP TABLE {issues}", "DELETE FROM {_dlt_pipeline_state}", "DELETE FROM {_dlt_version}")
    warehouse.load(reading(issues, page(issue(1, "one", 5))))
    assert warehouse.rows("issues", "id") == [(1,)]
    assert warehouse.rows("issue_labels", "issue_id", "label_id") == [(1, 5)]


def test_a_first_load_appends_nothing_to_what_another_one_has_loaded_meanwhile(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the platform takes a run for dead and starts it again, or the number of shards changes."""
    late = warehouse.pipeline()

    def normalize_late() -> None:
        warehouse.load(reading(issues, page(issue(1, "one", 5))))
        type(late).normalize(late)

    monkeypatch.setattr(late, "normalize", normalize_late)
    with pytest.raises(WarehouseError, match="another run created issue_labels, issues in the meantime"):
        pipelines.run(late, reading(issues, page(issue(1, "one", 5))))
    warehouse.load(reading(issues, page(issue(1, "one", 5), issue(2, "two"))))
    assert warehouse.rows("issues", "id") == [(1,), (2,)]
    assert warehouse.rows("issue_labels", "issue_id", "label_id") == [(1, 5)]


def test_rows_that_vanished_from_a_whole_list_vanish_within_their_owner_only(warehouse: Warehouse) -> None:
    warehouse.load(reading(labels, label_page(1, "bug", "docs"), label_page(2, "bug")))
    warehouse.load(reading(labels, label_page(1, "bug")))
    assert warehouse.rows("labels", "repo_id", "name") == [(1, "bug"), (2, "bug")]


def test_an_owner_whose_whole_list_is_empty_now_loses_all_its_rows(warehouse: Warehouse) -> None:
    warehouse.load(reading(labels, label_page(1, "bug", "docs"), label_page(2, "bug")))
    warehouse.load(reading(labels, label_page(1)))
    assert warehouse.rows("labels", "repo_id", "name") == [(2, "bug")]


def test_a_row_that_two_scopes_show_is_loaded_once(warehouse: Warehouse) -> None:
    """An issue that moves to another repository while both are read."""
    moved = issue(1, "one", 5)
    pages = page(moved, moved), page(moved, issue(2, "two"), repo_id=2)
    pipeline = warehouse.load(reading(issues, *pages))
    assert warehouse.rows("issues", "id", "repo_id") == [(1, 1), (2, 2)]
    assert warehouse.rows("issue_labels", "issue_id", "label_id") == [(1, 5)]
    assert metrics(pipeline, "issues")["rows"] == 2


def test_rows_that_are_arrow_already_are_merged_beside_the_pages(warehouse: Warehouse) -> None:
    ready = pa.Table.from_pylist([{"id": 2, "repo_id": 1, "title": "two"}], schema=arrow_schema(ISSUES))
    pipeline = warehouse.load(read_by(issues, lambda load: [page(issue(1, "one")), ready, page(issue(3, "three"))]))
    assert warehouse.rows("issues", "id", "title") == [(1, "one"), (2, "two"), (3, "three")]
    assert metrics(pipeline, "issues")["rows"] == 3


def test_a_column_whose_type_is_declared_anew_is_refused(warehouse: Warehouse) -> None:
    """Or else the warehouse would keep its type: 1.5 becomes 2 in DuckDB, and 1 in a Delta table."""

    def things(column: Column) -> Decoder:
        columns = (bigint("id", "The id."), column)
        docs = "https://example.com/things"
        return Decoder(Table(name="things", description="Things.", docs=docs, key=("id",), columns=columns))

    whole, exact = things(bigint("size", "The size.")), things(double("size", "The size."))
    warehouse.load(reading(whole, whole.page(b'[{"id": 1, "size": 1}]')))
    with pytest.raises(PipelineStepFailed, match=r"things\.size is bigint in the warehouse but declared as double"):
        warehouse.load(reading(exact, exact.page(b'[{"id": 1, "size": 1.5}]')))
    assert warehouse.rows("things", "id", "size") == [(1, 1)]


def test_undeclared_fields_and_every_type_arrive_as_they_were_sent(warehouse: Warehouse) -> None:
    sent = issue(1, "caf\u00e9 \U0001f600 '; -- \\", 5) | {"mood": {"x": [1, None]}}
    warehouse.load(reading(issues, page(sent)))
    ((title, undeclared),) = warehouse.rows("issues", "title", "_undeclared")
    assert title == sent["title"]
    assert (json.loads(undeclared) if isinstance(undeclared, str) else undeclared) == {"mood": {"x": [1, None]}}


def test_more_rows_than_fit_in_a_batch_arrive_in_several(
    duckdb_warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "ROWS_PER_BATCH", 10)
    pages = [page(*(issue(10 * number + i, "x", 5) for i in range(7))) for number in range(7)]
    duckdb_warehouse.load(reading(issues, *pages))
    assert len(duckdb_warehouse.rows("issues", "id")) == 49
    assert len(duckdb_warehouse.rows("issue_labels", "issue_id")) == 49


def test_pages_do_not_stay_in_memory_while_a_long_list_is_read(
    duckdb_warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "ROWS_PER_BATCH", 10)
    pages: list[weakref.ref[Page]] = []
    most = 0

    def read(load: Load) -> Iterator[Page]:
        nonlocal most
        for number in range(50):
            read_now = page(*(issue(10 * number + i, "x") for i in range(5)))
            pages.append(weakref.ref(read_now))
            yield read_now
            most = max(most, sum(known() is not None for known in pages))

    duckdb_warehouse.load(read_by(issues, read))
    assert most <= 5


@pytest.mark.parametrize("pages", [40, 160])
def test_no_more_arrow_is_held_however_long_a_list_is(
    duckdb_warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, pages: int
) -> None:
    monkeypatch.setattr(loading, "BYTES_AT_ONCE", 200_000)
    held: list[int] = []

    def read(load: Load) -> Iterator[Page]:
        for number in range(pages):
            yield page(*(issue(1_000 * number + i, "x" * 50) for i in range(1_000)))
            held.append(pa.total_allocated_bytes())

    before = pa.total_allocated_bytes()
    duckdb_warehouse.load(read_by(issues, read))
    assert max(held) - before < 1_000_000


def test_a_row_that_was_read_leaves_less_than_30_bytes_in_memory(duckdb_warehouse: Warehouse) -> None:
    """Its key, because each may be loaded only once."""
    held: list[int] = []

    def read(load: Load) -> Iterator[Page]:
        for number in range(40):
            yield page(*(issue(1_000_000 * number + i, "x") for i in range(1_000)))
            held.append(tracemalloc.get_traced_memory()[0])

    tracemalloc.start()
    try:
        duckdb_warehouse.load(read_by(issues, read))
    finally:
        tracemalloc.stop()
    assert (held[39] - held[9]) / 30_000 < 30


def test_a_load_without_rows_creates_the_tables_and_keeps_what_is_there(warehouse: Warehouse) -> None:
    warehouse.load(reading(issues))
    assert warehouse.tables() == {"issues", "issue_labels", "load_gaps"}
    warehouse.load(reading(issues, page(issue(1, "one", 5))))
    warehouse.load(reading(issues))
    assert warehouse.rows("issues", "id") == [(1,)]
    assert warehouse.rows("issue_labels", "label_id") == [(5,)]


# What is left out


def test_a_gap_is_open_until_a_load_reads_what_was_left_out(warehouse: Warehouse) -> None:
    def read(load: Load) -> Iterator[Page]:
        load.leave_out("octo/private", "the credential may not read it", 403)
        yield page(issue(1, "one"))

    def read_other(load: Load) -> Iterator[Page]:
        load.leave_out("octo/gone", "there is no such repository", 404)
        yield label_page(1, "bug")

    warehouse.load(read_by(issues, read), read_by(labels, read_other))
    columns = ("resource", "scope", "status", "reason")
    of_labels = ("labels", "octo/gone", 404, "there is no such repository")
    assert warehouse.rows("load_gaps", *columns) == [
        ("issues", "octo/private", 403, "the credential may not read it"),
        of_labels,
    ]
    assert warehouse.rows("issues", "id") == [(1,)]
    warehouse.load(reading(issues, page(issue(2, "two"))))
    assert warehouse.rows("load_gaps", *columns) == [of_labels]


def test_a_gap_that_a_killed_load_left_is_closed(warehouse: Warehouse) -> None:
    """The load was never completed, so the state of the next one does not know of its gaps."""
    warehouse.load(reading(issues, page(issue(1, "one"))))
    warehouse.execute("INSERT INTO {load_gaps} (resource, scope) VALUES ('issues', 'octo/private')")
    pipelines.run(warehouse.pipeline(), reading(issues, page(issue(2, "two"))))
    assert warehouse.rows("load_gaps", "resource", "scope") == []


def test_many_gaps_are_logged_as_one(warehouse: Warehouse, caplog: pytest.LogCaptureFixture) -> None:
    def read(load: Load) -> Iterator[Page]:
        for number in range(200):
            load.leave_out(f"octo/{number}", "the credential may not read it", 403)
        yield page(issue(1, "one"))

    warehouse.load(read_by(issues, read))
    told = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert len(told) == GAPS_LOGGED + 1
    assert told[-1] == "issues: 200 lists were left out, the first of them octo/0: the credential may not read it"
    assert len(warehouse.rows("load_gaps", "scope")) == 200


# All or nothing


class Cursor:
    """A reader that goes on from a cursor, and fails when told to."""

    def __init__(self, origin: list[dict[str, Any]], fail: bool = False) -> None:
        self.origin = origin
        self.fail = fail
        self.began_at: int | None = None

    def __call__(self, load: Load) -> Iterator[Page]:
        self.began_at = load.state.get("cursor", 0)
        for row in self.origin[self.began_at :]:
            load.state["cursor"] = row["id"]
            yield page(row)
        if self.fail:
            raise ApiError("the API broke off")


def test_an_error_in_the_reader_loads_nothing_and_leaves_the_cursor(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "ROWS_PER_BATCH", 1)
    origin = [issue(1, "one", 5), issue(2, "two"), issue(3, "three")]
    warehouse.load(read_by(issues, Cursor(origin[:1])))
    with pytest.raises(PipelineStepFailed, match="the API broke off"):
        warehouse.load(read_by(issues, Cursor([issue(1, "edited"), *origin[1:]], fail=True)))
    assert warehouse.rows("issues", "id", "title") == [(1, "one")]
    assert warehouse.rows("issue_labels", "issue_id", "label_id") == [(1, 5)]
    again = Cursor(origin)
    warehouse.load(read_by(issues, again))
    assert again.began_at == 1
    assert warehouse.rows("issues", "id") == [(1,), (2,), (3,)]


def test_an_error_leaves_no_half_load_to_the_same_working_folder(duckdb_warehouse: Warehouse) -> None:
    pipeline = duckdb_warehouse.load(reading(issues, page(issue(1, "one"))))
    with pytest.raises(PipelineStepFailed):
        pipeline.run(read_by(issues, Cursor([issue(1, "edited"), issue(2, "two")], fail=True)))
    pipeline.run(read_by(issues, Cursor([])))
    assert duckdb_warehouse.rows("issues", "id", "title") == [(1, "one")]


def test_a_fresh_process_goes_on_from_the_cursor_that_the_warehouse_keeps(warehouse: Warehouse) -> None:
    origin = [issue(1, "one"), issue(2, "two")]
    warehouse.load(read_by(issues, Cursor(origin)))
    origin.append(issue(3, "three"))
    second = Cursor(origin)
    pipeline = warehouse.load(read_by(issues, second))
    assert second.began_at == 2
    assert metrics(pipeline, "issues")["rows"] == 1
    assert warehouse.rows("issues", "id") == [(1,), (2,), (3,)]


def test_the_cursors_of_two_pipelines_of_a_location_do_not_mix(duckdb_warehouse: Warehouse) -> None:
    first, second = Cursor([issue(1, "one")]), Cursor([issue(1, "one")])
    for group, cursor in (("activity", first), ("catalog", second)):
        duckdb_warehouse.pipeline(group).run(read_by(issues, cursor))
    assert (first.began_at, second.began_at) == (0, 0)


# What a run tells


def test_a_run_counts_what_it_read(duckdb_warehouse: Warehouse) -> None:
    def read(load: Load) -> Iterator[Page]:
        load.usage.api_calls, load.usage.api_bytes, load.usage.quota_left = 3, 1200, 4997
        load.leave_out("octo/gone", "there is no such repository", 404)
        yield page(issue(1, "one") | {"mood": 1})
        yield page(issue(2, "two", 5) | {"labels": [{"id": 5, "size": 1}]}, issue(3, "three"))

    told = metrics(duckdb_warehouse.load(read_by(issues, read)), "issues")
    assert told.pop("seconds") > 0
    assert told == {
        "rows": 3,
        "child_rows": {"issue_labels": 1},
        "pages": 2,
        "api_calls": 3,
        "api_bytes": 1200,
        "quota_left": 4997,
        "new_fields": ["labels.size", "mood"],
        "gaps": 1,
        "audited": False,
        "first_gap": mock.ANY,
        "scopes_read": None,
        "postponed": 0,
    }


def test_a_new_field_is_told_once_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    load = Load("issues", {})
    with caplog.at_level(logging.WARNING, "ingest"):
        for _ in range(3):
            load.count(page(issue(1, "one") | {"mood": 1}))
    assert [record.getMessage() for record in caplog.records] == ["issues: the API sent an undeclared field: mood"]


def test_progress_shows_while_a_long_list_is_read(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "SECONDS_BETWEEN_PROGRESS", 0.0)
    load = Load("issues", {})
    load.usage.quota_left = 4990
    with caplog.at_level(logging.INFO, "ingest"):
        load.count(page(*(issue(number, "x") for number in range(1200))))
    assert caplog.messages == ["issues: 1 pages, 1,200 rows, 4,990 calls of quota left"]


# kill -9


def kill(process: multiprocessing.process.BaseProcess, pipe: Connection, mark: str, seconds_after: float) -> None:
    """Kills the process so long after it said that it is at ``mark``."""
    while True:
        assert pipe.poll(30), f"never came to {mark}"
        if pipe.recv() == mark:
            break
    time.sleep(seconds_after)
    process.kill()
    process.join()


KILLED_AT = [("extracting", 0.0), ("extracted", 0.0), ("loading", 0.0), ("loading", 0.06), ("loading", 0.15)]


def test_a_run_that_was_killed_anywhere_is_made_good_by_the_next(warehouse: Warehouse, tmp_path: Path) -> None:
    # The forkserver imports everything once; until Python 3.13 it does not get our sys.path.
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.killed"])
    settings = {name: value for name, value in os.environ.items() if name.startswith(("INGEST_", "DESTINATION__"))}
    settings["DLT_DATA_DIR"] = str(tmp_path)  # where the killed leave their working folders
    for version, (mark, seconds_after) in enumerate(KILLED_AT):
        pipe, theirs = context.Pipe(duplex=False)
        process = context.Process(target=killed.run, args=(settings, warehouse.location, version, theirs))
        process.start()
        theirs.close()
        kill(process, pipe, mark, seconds_after)
    last = len(KILLED_AT)
    warehouse.load(read_by(killed.DECODER, killed.reader(last)))
    expected = killed.origin(last)
    assert warehouse.rows("issues", "id", "title") == [(row["id"], row["title"]) for row in expected]
    assert warehouse.rows("issue_labels", "issue_id", "label_id") == [
        (row["id"], label["id"]) for row in expected for label in row["labels"]
    ]
