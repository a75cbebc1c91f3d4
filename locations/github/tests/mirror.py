"""The warehouse under test, and its comparison with the origin.

What a table must hold is worked out here from the origin's JSON, by the paths that the table's
description declares and by nothing else of the code under test.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import duckdb
import psycopg2

from github_location import source
from github_location.source.repositories import LISTING
from github_location.source.tables import TABLES
from ingest_shared.pipelines import pipeline
from ingest_shared.reading.per_row import PerRow
from ingest_shared.tables import Child, Column, Table

from .origin import TOKEN, Json, Origin

SOURCES = {
    "activity": source.activity,
    "actions": source.actions_and_deployments,
    "people": source.people_of_repositories,
    "catalog": source.catalog,
}
LISTS_OF = {
    "activity": source.ACTIVITY,
    "actions": source.ACTIONS,
    "people": source.PEOPLE,
    "catalog": (LISTING, *source.CATALOG),
}
TABLES_OF = {group: tuple(list_.table.name for list_ in lists) for group, lists in LISTS_OF.items()}
TOLD_BY_AUDIT = {
    list_.table.name for list_ in source.LISTINGS if not list_.walk.finds_deletes or isinstance(list_.per, PerRow)
}
"""Tables of which a sync may keep what was deleted."""
Key = tuple[Any, ...]
Rows = dict[Key, dict[str, Any]]


class Warehouse:
    """One warehouse, by default a DuckDB file in ``folder``, and the syncs that fill it.

    Each sync works as in a new process: nothing is left of the one before but the warehouse.
    """

    location = "github"

    def __init__(self, origin: Origin, folder: Path, repositories: str = "acme/*", **settings: str) -> None:
        self.origin = origin
        self.folder = folder
        self.settings = {
            "SOURCES__GITHUB__API_URL": f"{origin.url}/github",
            "SOURCES__GITHUB__ACCESS_TOKEN": TOKEN,
            "SOURCES__GITHUB__REPOSITORIES": repositories,
            "SOURCES__GITHUB__CALLS_PER_SECOND": "1000",
            "INGEST_DATA_DIR": str(folder),
            **settings,
        }

    @contextmanager
    def configured(self, **settings: str) -> Iterator[None]:
        with mock.patch.dict(os.environ, {**self.settings, **settings}):
            yield

    def sync(self, *groups: str, audit: bool = False, **settings: str) -> None:
        """Loads the groups named, or all; raises what dlt raises when that fails."""
        with self.configured(**settings):
            for group in groups or SOURCES:
                pipeline("github", group).drop().run(SOURCES[group](audit))

    def audit(self, *groups: str) -> dict[str, tuple[int, int, int]]:
        """Audits the groups named, or all; gives for each table what was missing, surplus and stale, if anything."""
        self.sync(*groups, audit=True)
        found = self.query("SELECT resource, sum(missing), sum(surplus), sum(stale) FROM {audits} GROUP BY resource")
        return {str(table): (int(m), int(s), int(t)) for table, m, s, t in found if m or s or t}

    def query(self, sql: str, *args: Any) -> list[tuple[Any, ...]]:
        """The answer to an SQL query, where ``{name}`` stands for a table of the dataset."""
        sql = re.sub(r"\{(\w+)\}", r"github_raw.\1", sql)
        if address := self.settings.get("DESTINATION__POSTGRES__CREDENTIALS"):
            with psycopg2.connect(address) as connection, connection.cursor() as cursor:
                cursor.execute(sql, args)
                return list(cursor.fetchall())
        with duckdb.connect(self.folder / "github.duckdb", read_only=True) as database:
            return list(database.execute(sql.replace("%s", "?"), args).fetchall())

    def rows(self, table: Table | Child) -> list[dict[str, Any]]:
        """Every row with every declared column, and ``_undeclared``."""
        names = [*(column.name for column in table.columns), "_undeclared"]
        quoted = ", ".join(f'"{name}"' for name in names)
        return [dict(zip(names, row, strict=True)) for row in self.query(f"SELECT {quoted} FROM {{{table.name}}}")]

    def contents(self, *groups: str) -> dict[str, list[str]]:
        """All rows of all tables of the groups, by default of all, in an order of their own."""
        roots = [TABLES[name] for group in groups or TABLES_OF for name in TABLES_OF[group]]
        tables = [table for root in roots for table in root.with_children]
        return {table.name: sorted(map(repr, self.rows(table))) for table in tables}


def assert_mirrors(warehouse: Warehouse, *tables: str, audited: bool = False) -> None:
    """Every row and every declared value of the tables (all by default) is as the origin has it.

    Rows with ``deleted_at`` remain, with the child rows they had. Until the tables are ``audited``,
    this may differ too, because GitHub does not tell of it:

    - issues, comments and others that were deleted may live on, where no list is read whole;
    - so may commits that a force-push made unreachable, which are still found by their sha;
    - a label that was deleted in the repository may remain on an issue;
    - addresses may still lead through a former name of the repository.
    """
    for name in tables or TABLES:
        _Comparison(warehouse, TABLES[name], audited).assert_equal()


class _Comparison:
    def __init__(self, warehouse: Warehouse, table: Table, audited: bool) -> None:
        self.origin = warehouse.origin
        self.warehouse = warehouse
        self.table = table
        self.audited = audited
        self.held = self.origin.objects(table.name)
        if table.name in ("teams", "members"):  # those of organisations that own a mirrored repository
            owners = {found["object"]["owner"]["id"] for found in self.origin.objects("repositories")}
            self.held = [found for found in self.held if found["organisation_id"] in owners]
        self.gone = {gone["id"] for gone in self.origin.deleted(table.name)}

    def assert_equal(self) -> None:
        expected = by_key(self.table, [self._expected(item) for item in self.held])
        actual = by_key(self.table, self._actual(self.table))
        remaining = {key for key in actual.keys() - expected.keys() if self._may_remain(actual[key])}
        self._compare(self.table, expected, actual, remaining)
        for child in self.table.children:
            self._compare_child(child, {key: actual[key] for key in remaining})

    def _expected(self, item: Json) -> dict[str, Any]:
        given = _given(item)
        return {c.name: expected_value(c, item["object"], given) for c in self.table.columns} | {"_undeclared": None}

    def _actual(self, table: Table | Child) -> list[dict[str, Any]]:
        return [parsed(table, row) for row in self.warehouse.rows(table)]

    def _may_remain(self, row: Mapping[str, Any]) -> bool:
        if row["deleted_at"] or self.audited:
            return bool(row["deleted_at"])
        if self.table.name == "commits":
            return self.origin.has_commit(row["repo_id"], row["sha"])
        return self.table.name in TOLD_BY_AUDIT and row[self.table.key[-1]] in self.gone

    def _compare_child(self, child: Child, remaining_parents: Rows) -> None:
        parent_columns = {c.name: c for c in self.table.columns}
        expected = by_key(
            child,
            [
                {
                    column.name: expected_value(parent_columns[column.path], item["object"], _given(item))
                    if column.origin == "parent"
                    else expected_value(column, element, {})
                    for column in child.columns
                }
                | {"_undeclared": None}
                for item in self.held
                for element in value_at(item["object"], child.path) or ()
            ],
        )
        actual = by_key(child, self._actual(child))
        owners = {c.name: c.path for c in child.columns if c.origin == "parent"}
        of_gone = {tuple(row[path] for path in owners.values()) for row in remaining_parents.values()}
        tells_of_labels = self.audited or child.name != "issue_labels"
        gone_labels = set() if tells_of_labels else {gone["id"] for gone in self.origin.deleted("labels")}
        remaining = {
            key
            for key in actual.keys() - expected.keys()
            if tuple(actual[key][name] for name in owners) in of_gone or actual[key].get("label_id") in gone_labels
        }
        self._compare(child, expected, actual, remaining)

    def _compare(self, table: Table | Child, expected: Rows, actual: Rows, remaining: set[Key]) -> None:
        problems = [f"missing: {expected[key]}" for key in expected.keys() - actual.keys()]
        problems += [f"not at the origin: {actual[key]}" for key in actual.keys() - expected.keys() - remaining]
        for key in expected.keys() & actual.keys():
            problems += [
                f"{key} {column}: {actual[key][column]!r}, at the origin {value!r}"
                for column, value in expected[key].items()
                if actual[key][column] != value and not self._only_renamed(expected[key], actual[key][column], value)
            ]
        shown = "\n".join(problem[:500] for problem in problems[:10])
        assert not problems, f"{table.name}: {len(problems)} differences\n{shown}"

    def _only_renamed(self, row: Mapping[str, Any], actual: Any, expected: Any) -> bool:
        """Whether two values differ in nothing but addresses with a former name of the repository."""
        renamed = row.get("repo_id") in self.origin.renamed and not self.audited
        return renamed and _without_names(actual) == _without_names(expected)


def _given(item: Json) -> dict[str, Any]:
    """What a row is known by besides its own fields."""
    of = {"repo_id": item.get("repository_id"), "organization_id": item.get("organisation_id")}
    return {**of, **item.get("given", {})}


def by_key(table: Table | Child, rows: Any) -> Rows:
    """The rows by their key; fails where two have the same."""
    found: Rows = {}
    for row in rows:
        key = tuple(row[name] for name in table.key)
        assert key not in found, f"{table.name}: two rows with the key {key}"
        found[key] = row
    return found


def value_at(payload: Any, path: str) -> Any:
    """The value at a dotted path; None where it, or an object on the way, is not there."""
    if path == ".":
        return payload
    for name in path.split("."):
        if payload is None:
            return None
        payload = payload.get(name)
    return payload


def expected_value(column: Column, payload: Any, given: Mapping[str, Any]) -> Any:
    """What the column must hold for an object of the API."""
    if column.origin == "given":
        return given.get(column.path)
    value = value_at(payload, column.path)
    match column.type.name:
        case "present":
            return value is not None
        case "timestamp":
            return value and datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        case "epoch":
            return None if value is None else datetime.fromtimestamp(value, UTC)
        case "text" | "json":
            return _storable(value)
        case _:
            return value


def _storable(value: Any) -> Any:
    """The value with U+FFFD for NUL, which PostgreSQL cannot hold."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, list):
        return [_storable(element) for element in value]
    if isinstance(value, dict):
        return {_storable(name): _storable(element) for name, element in value.items()}
    return value


def parsed(table: Table | Child, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the warehouse with its JSON parsed and its times in UTC."""
    as_json = {column.name for column in table.columns if column.type.name == "json"} | {"_undeclared"}
    return {
        name: json.loads(value)
        if isinstance(value, str) and name in as_json
        else value.astimezone(UTC)
        if isinstance(value, datetime)
        else value
        for name, value in row.items()
    }


def _without_names(value: Any) -> str:
    """The value as JSON, with the names of repositories taken out of its addresses."""
    return re.sub(
        r"(https://(?:api\.github\.com/repos|github\.com))/[^/]+/[^/\"]+", r"\1", json.dumps(value, default=str)
    )
