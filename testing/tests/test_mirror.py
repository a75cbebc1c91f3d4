"""The comparison of a warehouse with its origin finds every kind of difference, and no other."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
from dlt.extract.resource import DltResource

from ingest_shared.tables import Child, Table, bigint, json, text, timestamp
from ingest_testing import Held, Location, Mirror, Origin, Sample, Warehouse, assert_mirrors

ISSUES = Table(
    name="issues",
    description="Issues.",
    docs="https://example.com/issues",
    key=("id",),
    columns=(
        bigint("id", "Immutable id."),
        text("title", "Title."),
        json("form", "Answers."),
        timestamp("made_at", "When it was made."),
        bigint("size", "Its size.", sent_as_text=True),
        text("link", "Where to see it for a day.", volatile=True),
        bigint("repo_id", "Repository.", origin="reader"),
        timestamp("deleted_at", "When it was found to be deleted.", origin="reader"),
    ),
    children=(
        Child(
            name="issue_labels",
            description="Labels on issues.",
            path="labels",
            key=("issue_id", "name"),
            columns=(bigint("issue_id", "Issue.", path="id", origin="parent"), text("name", "Name.")),
        ),
    ),
)
HELD: list[dict[str, Any]] = [
    {
        "id": 1,
        "title": "one\0",
        "form": {"a": [1]},
        "made_at": "2026-01-02T03:04:05Z",
        "size": "9",
        "link": "https://example.com/1?at=8",
        "repo_id": 5,
        "labels": [{"name": "x"}],
    },
    {"id": 2, "title": None, "form": None, "made_at": None, "size": "", "link": None, "labels": []},
]


class Played(Origin):
    """An origin that holds two issues."""

    api = "played"

    def objects(self, collection: str) -> list[dict[str, Any]]:
        return HELD


@dlt.source
def played(audit: bool = False) -> Iterator[DltResource]:
    """Nothing is ever loaded here."""
    yield dlt.resource([], name="issues")


def location(mirror: type[Mirror] = Mirror) -> Location[Played]:
    return Location(
        name="played",
        origin=Played,
        mirror=mirror,
        groups={"all": played},
        tables={"issues": ISSUES},
        address="sources.played.api_url",
        credential="sources.played.token",
        key="",
        numbers=(),
        size=1,
        sample=Sample(table="issues", group="all", path="/issues", number="id", changes=()),
        refused="",
        asked_first="",
        lists=(),
    )


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse[Played]:
    """As it must be."""
    made = Warehouse(location(), Played("http://127.0.0.1:9"), tmp_path)
    with duckdb.connect(made.file) as database:
        database.execute("CREATE SCHEMA played_raw; USE played_raw")
        database.execute(
            "CREATE TABLE issues (id BIGINT, title TEXT, form JSON, made_at TIMESTAMPTZ, size BIGINT, "
            "link TEXT, repo_id BIGINT, deleted_at TIMESTAMPTZ, _undeclared JSON);"
            "CREATE TABLE issue_labels (issue_id BIGINT, name TEXT, _undeclared JSON);"
            "INSERT INTO issues VALUES (1, 'one\ufffd', '{\"a\":[1]}', '2026-01-02 03:04:05+00', 9, '', 5, NULL, NULL);"
            "INSERT INTO issues VALUES (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);"
            "INSERT INTO issue_labels VALUES (1, 'x', NULL)"
        )
    return made


def test_what_is_as_the_origin_has_it_passes(warehouse: Warehouse[Played]) -> None:
    assert_mirrors(warehouse)


def test_a_row_that_says_that_it_is_deleted_may_remain(warehouse: Warehouse[Played]) -> None:
    with warehouse.opened() as database:
        database.execute("INSERT INTO issues SELECT * REPLACE (3 AS id, now() AS deleted_at) FROM issues WHERE id = 2")
    assert_mirrors(warehouse)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        ("DELETE FROM issues WHERE id = 2", "issues: 1 differences"),
        ("INSERT INTO issues SELECT * REPLACE (3 AS id) FROM issues WHERE id = 2", "not at the origin: "),
        ("INSERT INTO issues FROM issues WHERE id = 2", "two rows with the key"),
        ("UPDATE issues SET title = 'two' WHERE id = 2", "title: 'two', at the origin None"),
        ("UPDATE issues SET title = 'one' WHERE id = 1", "title: 'one', at the origin"),
        ("UPDATE issues SET form = '{\"a\": []}' WHERE id = 1", "form: "),
        ("UPDATE issues SET made_at = '2026-01-02 03:04:06+00' WHERE id = 1", "made_at: "),
        ("UPDATE issues SET size = 8 WHERE id = 1", "size: 8, at the origin 9"),
        ("UPDATE issues SET link = NULL WHERE id = 1", "link: None, at the origin"),
        ("UPDATE issues SET link = '?at=1' WHERE id = 2", "link: '?at=1', at the origin None"),
        ("UPDATE issues SET repo_id = 6 WHERE id = 1", "repo_id: 6, at the origin 5"),
        ("UPDATE issues SET deleted_at = now() WHERE id = 1", "deleted_at: "),
        ("UPDATE issues SET _undeclared = '{}' WHERE id = 1", "_undeclared: "),
        ("DELETE FROM issue_labels", "issue_labels: 1 differences"),
        ("INSERT INTO issue_labels VALUES (2, 'x', NULL)", "not at the origin: "),
        ("INSERT INTO issue_labels VALUES (3, 'x', NULL)", "not at the origin: "),
    ],
)
def test_what_differs_is_named(spoil: str, told: str, warehouse: Warehouse[Played]) -> None:
    with warehouse.opened() as database:
        database.execute(spoil)
    with pytest.raises(AssertionError) as failure:
        assert_mirrors(warehouse)
    assert told in str(failure.value)


class Forgetful(Mirror):
    """Of an API that does not tell of everything."""

    def held(self) -> list[Held]:
        return [Held(HELD[0], {"repo_id": 5})]

    def gone(self) -> list[Held]:
        return [Held(HELD[1])]

    def may_be_missing(self, row: dict[str, Any]) -> bool:
        return bool(row["id"] == 2)

    def may_remain(self, row: dict[str, Any]) -> bool:
        return bool(row["id"] == 3)


def forgetful(warehouse: Warehouse[Played]) -> Warehouse[Played]:
    return Warehouse(location(Forgetful), warehouse.origin, warehouse.folder)


@pytest.mark.parametrize(
    "spoil",
    [
        "DELETE FROM issues WHERE id = 2",
        "INSERT INTO issues SELECT * REPLACE (3 AS id) FROM issues WHERE id = 2",
        "INSERT INTO issue_labels VALUES (2, 'of what is gone', NULL)",
    ],
)
def test_what_a_location_allows_may_differ(spoil: str, warehouse: Warehouse[Played]) -> None:
    with warehouse.opened() as database:
        database.execute(spoil)
    assert_mirrors(forgetful(warehouse))


@pytest.mark.parametrize(
    "spoil",
    [
        "UPDATE issues SET title = 'two' WHERE id = 2",
        "INSERT INTO issues SELECT * REPLACE (4 AS id) FROM issues WHERE id = 2",
        "DELETE FROM issues WHERE id = 1",
        "INSERT INTO issue_labels VALUES (1, 'of what lives', NULL)",
    ],
)
def test_what_it_does_not_allow_may_not(spoil: str, warehouse: Warehouse[Played]) -> None:
    with warehouse.opened() as database:
        database.execute(spoil)
    with pytest.raises(AssertionError):
        assert_mirrors(forgetful(warehouse))
