"""A source of declarations alone is a mirror: two shapes of an API that no location has."""

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import duckdb
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from ingest_shared.destinations import duckdb_file
from ingest_shared.errors import ApiError
from ingest_shared.pipelines import pipeline, run
from ingest_shared.reading import api as http
from ingest_shared.reading.reader import REFUSALS
from ingest_shared.resource import raise_when_nothing_was_read
from tests.sources import crm, helpdesk, planner
from tests.sources.played import World, served

LINES = 150
"""What a source may take, at most."""


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = World()
    for ticket in range(1, 36):
        world.touch(ticket)
        for number in range(ticket % 4 * 7):
            id_ = ticket * 100 + number
            world.rows["comments"][id_] = {"owner": ticket, "id": id_, "body": f"comment {id_}"}
    for project in range(1, 18):
        world.rows["projects"][project] = {"id": project, "name": f"project {project}"}
        for number in range(project % 3 * 10):
            world.rows["tasks"][project * 100 + number] = {"owner": project, "id": number, "title": f"task {number}"}
    with served(world) as url:
        monkeypatch.setenv("SOURCES__HELPDESK__API_URL", url)
        monkeypatch.setenv("SOURCES__HELPDESK__API_KEY", "key")
        monkeypatch.setenv("SOURCES__PLANNER__API_URL", url)
        monkeypatch.setenv("SOURCES__CRM__API_URL", url)
        monkeypatch.setenv("SOURCES__CRM__API_KEY", "key")
        monkeypatch.setenv("SOURCES__PLANNER__PASSWORD", "password")
        yield world


def sync(source: ModuleType, audit: bool = False) -> None:
    name = source.__name__.rpartition(".")[2]
    run(pipeline(name, "all").drop(), source.SOURCE(audit))


def rows(source: ModuleType, sql: str) -> list[tuple[Any, ...]]:
    name = source.__name__.rpartition(".")[2]
    with duckdb.connect(duckdb_file(name), read_only=True) as database:
        return database.execute(f"USE {name}_raw; {sql}").fetchall()


def assert_mirrors(world: World, source: ModuleType) -> None:
    if source is helpdesk:
        tickets = [(t["id"], t["subject"], t["requester"]["id"]) for t in world.rows["tickets"].values()]
        living = "FROM tickets WHERE deleted_at IS NULL"
        assert sorted(rows(source, f"SELECT id, subject, requester_id {living}")) == sorted(tickets)
        tags = sorted((t["id"], tag) for t in world.rows["tickets"].values() for tag in t["tags"])
        assert (
            sorted(
                rows(source, f"SELECT * EXCLUDE _undeclared FROM ticket_tags WHERE ticket_id IN (SELECT id {living})")
            )
            == tags
        )
        comments = sorted((c["owner"], c["id"], c["body"]) for c in world.rows["comments"].values())
        assert sorted(rows(source, "SELECT ticket_id, id, body FROM comments WHERE deleted_at IS NULL")) == comments
    else:
        projects = sorted((p["id"], p["name"]) for p in world.rows["projects"].values())
        assert sorted(rows(source, "SELECT id, name FROM projects WHERE deleted_at IS NULL")) == projects
        tasks = sorted((t["owner"], t["id"], t["title"]) for t in world.rows["tasks"].values())
        assert sorted(rows(source, "SELECT project_id, id, title FROM tasks WHERE deleted_at IS NULL")) == tasks


def test_two_lists_make_one_table_and_one_request_reads_the_lists_of_many_rows(world: World) -> None:
    def held(table: str) -> list[tuple[Any, ...]]:
        return rows(crm, f"SELECT * EXCLUDE (_undeclared, deleted_at) FROM {table} WHERE deleted_at IS NULL ORDER BY 1")

    def sync_and_compare(audit: bool = False) -> None:
        world.now += 1_000
        sync(crm, audit)
        for table in ("companies", "notes", "calls"):
            assert held(table) == [tuple(row.values()) for row in world.rows[table].values()], table

    for number in range(1, 9):
        world.rows["companies"][number] = {"id": number, "archived": number > 6, "name": f"company {number}"}
        world.rows["notes"][number] = {"id": number, "company": number, "body": "note"}
        world.rows["calls"][number] = {"id": number, "company": number, "minutes": number}
    sync_and_compare()
    assert world.calls == 2 + 3 + 3
    world.rows["companies"][2]["archived"] = True
    del world.rows["companies"][8], world.rows["notes"][8], world.rows["calls"][8], world.rows["calls"][7]
    sync_and_compare()
    world.refused = "/notes"
    world.rows["notes"][4]["body"] = "edited"
    sync(crm)
    assert rows(crm, "SELECT resource, scope FROM load_gaps ORDER BY 2")[0] == ("notes", "companies 1 to 3")
    world.refused = None
    sync_and_compare()
    sync_and_compare(audit=True)
    assert rows(crm, "SELECT sum(missing + surplus + stale + changed + deleted) FROM audits") == [(0,)]


def test_a_list_per_row_of_a_table_that_was_never_loaded_names_it(world: World) -> None:
    def sync_only(table: str) -> None:
        pipeline("helpdesk", "all").drop().run(helpdesk.SOURCE().with_resources(table))

    with pytest.raises(PipelineStepFailed, match="comments is read per row of tickets, which was never loaded: select"):
        sync_only("comments")
    sync_only("tickets")
    sync_only("comments")
    assert_mirrors(world, helpdesk)
    world.touch(3)
    world.rows["comments"][399] = {"owner": 3, "id": 399, "body": "another"}
    world.now += 5
    sync_only("tickets")
    world.now += 1_000
    sync_only("comments")
    assert_mirrors(world, helpdesk)


@pytest.mark.parametrize("source", [helpdesk, planner])
def test_a_source_takes_few_lines(source: ModuleType) -> None:
    assert len(inspect.getsource(source).splitlines()) < LINES


@pytest.mark.parametrize("audit", [False, True])
@pytest.mark.parametrize("source", [helpdesk, planner])
def test_the_first_load_and_what_changes_after_it(source: ModuleType, audit: bool, world: World) -> None:
    sync(source)
    assert_mirrors(world, source)
    world.touch(3, subject="changed", tags=["b", "c"])
    world.touch(99)
    world.rows["comments"][9900] = {"owner": 99, "id": 9900, "body": "first"}
    del world.rows["comments"][300]
    del world.rows["projects"][5]
    for number in [number for number, task in world.rows["tasks"].items() if task["owner"] in (5, 7)][::3]:
        del world.rows["tasks"][number]
    world.rows["tasks"] = {number: task for number, task in world.rows["tasks"].items() if task["owner"] != 5}
    world.now += 5
    sync(source, audit)
    assert_mirrors(world, source)
    if audit:
        assert rows(source, "SELECT resource FROM audits WHERE missing + surplus + stale > 0") == [], "nothing was lost"


def test_only_what_changed_is_asked_for(world: World) -> None:
    world.now += 1_000
    world.touch(99)
    world.now += 5
    sync(helpdesk)
    world.now += 1_000
    world.touch(3)
    world.now += 5
    world.calls = 0
    sync(helpdesk)
    assert world.calls <= 5


def test_a_list_of_one_row_that_is_refused_is_left_out_and_tried_again(world: World) -> None:
    world.refused = "/tickets/7/comments"
    sync(helpdesk)
    ((*gap, reason),) = rows(helpdesk, "SELECT resource, scope, status, reason FROM load_gaps")
    assert gap == ["comments", "tickets 7", 403]
    assert re.fullmatch(r'the API answered 403 to http://\S+/tickets/7/comments \({"error": "not yours"}\)', reason)
    world.refused = None
    world.now += 1_000
    sync(helpdesk)
    assert_mirrors(world, helpdesk)
    assert rows(helpdesk, "SELECT * FROM load_gaps") == []


def test_where_the_parents_are_refused_too_the_lists_of_their_rows_are_gaps_after_a_few(world: World) -> None:
    """The warehouse may hold a million of those rows; without the right to read them, each list costs a call."""
    for project in range(18, 200):
        world.rows["projects"][project] = {"id": project, "name": f"project {project}"}
    sync(planner)
    world.refused, world.calls = "^/projects", 0
    sync(planner)
    assert world.calls < 2 * REFUSALS
    gaps = rows(planner, "SELECT status, reason FROM load_gaps WHERE resource = 'tasks'")
    assert len(gaps) == 199
    assert {status for status, _ in gaps} == {403}
    not_requested = "not requested: the list of projects is refused, and so were 10 lists of its rows"
    assert not_requested in {reason for _, reason in gaps}
    world.refused = None
    sync(planner)
    assert_mirrors(world, planner)
    assert rows(planner, "SELECT * FROM load_gaps") == []


@pytest.mark.parametrize("refused", ["^/projects$", "^/projects(/1[0-9]*/tasks)?$"])
def test_where_the_lists_of_some_rows_can_be_read_all_are_requested(world: World, refused: str) -> None:
    """A credential may have the right to the tasks alone."""
    for project in range(18, 200):
        world.rows["projects"][project] = {"id": project, "name": f"project {project}"}
    sync(planner)
    world.rows["tasks"][9_999] = {"owner": 199, "id": 9, "title": "new"}
    world.rows["tasks"][9_998] = {"owner": 2, "id": 99, "title": "new"}
    world.refused = refused
    sync(planner)
    assert rows(planner, "SELECT id FROM tasks WHERE title = 'new' AND project_id = 2") == [(99,)]
    assert rows(planner, "SELECT * FROM load_gaps WHERE reason LIKE 'not requested%'") == []


def test_a_run_that_may_read_nothing_names_the_list_that_the_others_are_read_per_row_of(world: World) -> None:
    world.refused = "/tickets/7/comments"
    sync(helpdesk)
    world.refused = "/tickets"
    refused = run(pipeline("helpdesk", "all").drop(), helpdesk.SOURCE()).metrics
    assert [name for name, found in refused.items() if found.get("first_gap")] == ["comments", "tickets"]
    with pytest.raises(
        ApiError, match=r"^nothing could be read; tickets, the whole list: the API answered 403 to http"
    ):
        raise_when_nothing_was_read(refused)


def test_a_row_that_is_gone_takes_its_list_with_it(world: World) -> None:
    world.touch(7)
    sync(helpdesk)
    del world.rows["tickets"][7]
    world.now += 5
    sync(helpdesk)
    assert rows(helpdesk, "SELECT * FROM load_gaps") == []
    assert rows(helpdesk, "SELECT count(*) FROM comments WHERE ticket_id = 7 AND deleted_at IS NULL") == [(0,)]
    assert rows(helpdesk, "SELECT count(*) FROM comments WHERE ticket_id = 7") != [(0,)]


def test_the_column_that_a_list_is_read_per_is_not_looked_for_in_its_rows() -> None:
    table = replace(helpdesk.comments, columns=tuple(replace(c, origin="payload") for c in helpdesk.comments.columns))
    with pytest.raises(ValueError, match="`per` fills the column 'ticket_id'; declare it with origin=\"reader\""):
        replace(helpdesk.LISTINGS[1], table=table)


def test_a_list_needs_a_column_for_rows_that_are_gone() -> None:
    table = replace(helpdesk.tickets, columns=tuple(c for c in helpdesk.tickets.columns if c.name != "deleted_at"))
    with pytest.raises(ValueError, match="the column for rows that are gone, `DELETED_AT` of "):
        replace(helpdesk.LISTINGS[0], table=table)


def test_one_answer_that_a_row_is_gone_is_not_believed(world: World) -> None:
    sync(helpdesk)
    world.now += 5
    world.touch(7)
    world.now += 5
    world.missing_once.add("/tickets/7/comments")
    sync(helpdesk)
    assert not world.missing_once
    assert_mirrors(world, helpdesk)


@pytest.mark.parametrize(("source", "table"), [(helpdesk, "comments"), (helpdesk, "tickets"), (planner, "tasks")])
def test_the_audit_finds_and_mends_what_was_lost(source: ModuleType, table: str, world: World) -> None:
    sync(source)
    world.now += 5
    with duckdb.connect(duckdb_file(source.__name__.rpartition(".")[2])) as database:
        column = {"comments": "body", "tickets": "subject", "tasks": "title"}[table]
        database.execute(f"USE {source.__name__.rpartition('.')[2]}_raw")
        first, second = database.execute(f"SELECT rowid FROM {table} ORDER BY rowid LIMIT 2").fetchall()
        database.execute(f"DELETE FROM {table} WHERE rowid = ?", first)
        database.execute(f"UPDATE {table} SET {column} = 'wrong' WHERE rowid = ?", second)
        database.execute(
            f"INSERT INTO {table} SELECT * REPLACE (7777 AS id) FROM {table} WHERE rowid = {second[0] + 1}"
        )
    sync(source, audit=True)
    found = f"SELECT sum(missing), sum(surplus + deleted), sum(stale) FROM audits WHERE resource = '{table}'"
    assert rows(source, found) == [(1, 1, 1)]
    assert_mirrors(world, source)
    sync(source, audit=True)
    assert rows(source, found) == [(0, 0, 0)]


def change_after_the_tickets(world: World, change: Callable[[], object]) -> None:
    """Makes a change once the tickets were read, before the first list of comments is."""

    def meanwhile(path: str) -> None:
        if "comments" in path:
            world.meanwhile = lambda path: None
            change()

    world.meanwhile = meanwhile


def test_what_came_to_the_list_of_a_row_after_the_row_was_read_was_not_lost(world: World) -> None:
    world.now += 1_000
    sync(helpdesk)
    world.now += 1_000
    with duckdb.connect(duckdb_file("helpdesk")) as database:
        database.execute("USE helpdesk_raw; DELETE FROM comments WHERE id = 700; DELETE FROM comments WHERE id = 3501")

    def change() -> None:
        for ticket in (3, 10, 35):
            world.touch(ticket)
        world.rows["comments"][399] = {"owner": 3, "id": 399, "body": "another"}
        world.rows["comments"][301]["body"] = "edited"
        del world.rows["comments"][1001]

    change_after_the_tickets(world, change)
    sync(helpdesk, audit=True)
    found = "SELECT missing, stale, surplus, deleted, changed FROM audits WHERE resource = 'comments'"
    assert rows(helpdesk, found) == [(1, 0, 0, 0, 4)], "ticket 35 changed, so nobody can say that 3501 was lost"
    assert rows(helpdesk, "SELECT count(*) FROM comments WHERE id IN (700, 3501, 399)") == [(3,)]
    world.now += 1_000
    sync(helpdesk)
    assert_mirrors(world, helpdesk)


def test_lists_per_row_that_the_api_cannot_answer_soon_end_as_gaps_and_are_read_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "FIRST_BACKOFF", 0.0)
    for ticket in range(100, 300):
        world.touch(ticket)
        world.rows["comments"][ticket] = {"owner": ticket, "id": ticket, "body": "comment"}
    world.now += 1_000
    world.refused, world.refused_with = "/comments", 500
    sync(helpdesk)
    assert world.calls < 300, "of 235 lists, each tried five times"
    assert rows(helpdesk, "SELECT count(*), min(resource) FROM load_gaps") == [(235, "comments")]
    assert rows(helpdesk, "SELECT count(*) FROM tickets") == [(235,)]
    world.refused = None
    sync(helpdesk)
    assert rows(helpdesk, "SELECT count(*) FROM load_gaps") == [(0,)]
    assert_mirrors(world, helpdesk)


def test_a_row_that_goes_after_it_was_read_takes_its_list_along_and_nothing_was_lost(world: World) -> None:
    sync(helpdesk)
    world.now += 1_000
    change_after_the_tickets(world, lambda: world.rows["tickets"].pop(7))
    sync(helpdesk, audit=True)
    found = "SELECT missing, stale, surplus, deleted, changed FROM audits WHERE resource = 'comments'"
    gone = sum(comment["owner"] == 7 for comment in world.rows["comments"].values())
    assert rows(helpdesk, found) == [(0, 0, 0, 0, gone)]


def test_an_audit_of_one_list_alone_takes_nothing_for_lost_that_changed_with_its_row(world: World) -> None:
    world.now += 1_000
    sync(helpdesk)
    world.now += 1_000
    world.touch(3)
    world.rows["comments"][399] = {"owner": 3, "id": 399, "body": "another"}
    with duckdb.connect(duckdb_file("helpdesk")) as database:
        database.execute("USE helpdesk_raw; DELETE FROM comments WHERE id = 3500")  # of the ticket that changed last
    pipeline("helpdesk", "all").drop().run(helpdesk.SOURCE(audit=True).with_resources("comments"))
    assert rows(helpdesk, "SELECT missing, changed FROM audits WHERE resource = 'comments'") == [(1, 1)]
