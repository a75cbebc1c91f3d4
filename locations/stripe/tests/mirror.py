"""The warehouse under test, and its comparison with the origin.

What a table must hold is worked out here from the origin's JSON, by the paths that the table's
description declares and by nothing else of the code under test.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

import duckdb
import psycopg2

from ingest_shared.pipelines import pipeline
from ingest_shared.tables import Child, Column, Table
from stripe_location import source
from stripe_location.source.tables import TABLES

from .origin import KEY, Json, Origin

SOURCES = {
    "billing": source.billing,
    "payments": source.payments,
    "checkout": source.checkouts,
    "connect": source.connect,
}
TABLES_OF = {
    group: tuple(listing.table.name for listing in lists)
    for group, lists in zip(SOURCES, (source.BILLING, source.PAYMENTS, source.CHECKOUT, source.CONNECT), strict=True)
}
EVERY_GROUP = tuple(SOURCES)
ACCOUNT = "acct_1SandboxAcme0000"
EVENTS_KEPT = 30 * 86_400
DECIMALS = {"usd": 2, "eur": 2, "gbp": 2, "jpy": 0, "kwd": 3}
"""Of the currencies that the sandbox knows."""
Key = tuple[Any, ...]
Rows = dict[Key, dict[str, Any]]


class Warehouse:
    """One warehouse, by default a DuckDB file in ``folder``, and the syncs that fill it.

    It has the tables of some ``groups``, since each costs time. Each sync works as in a new process:
    nothing is left of the one before but the warehouse.
    """

    location = "stripe"

    def __init__(
        self, origin: Origin, folder: Path, groups: Sequence[str] = ("billing", "payments"), **settings: str
    ) -> None:
        self.origin = origin
        self.groups = groups
        self.folder = folder
        self.settings = {
            "SOURCES__STRIPE__API_BASE": f"{origin.url}/stripe",
            "SOURCES__STRIPE__API_KEY": KEY,
            "SOURCES__STRIPE__CALLS_PER_SECOND": "1000",
            "SOURCES__STRIPE__CALLS_PER_SECOND_PER_ENDPOINT": "1000",
            "INGEST_DATA_DIR": str(folder),
            **settings,
        }
        self.loaded_since: dict[str, int] = {}
        """When the first load of each group was begun, at the origin's time; not known of a job's."""
        self.made = origin.now()

    @contextmanager
    def configured(self, **settings: str) -> Iterator[None]:
        with mock.patch.dict(os.environ, {**self.settings, **settings}):
            yield

    def sync(self, *groups: str, audit: bool = False, **settings: str) -> None:
        """Loads the groups named, or all; raises what dlt raises when that fails."""
        with self.configured(**settings):
            for group in groups or self.groups:
                began = self.origin.now()
                pipeline("stripe", group).drop().run(SOURCES[group](audit))
                self.loaded_since.setdefault(group, began)

    def audit(self, *groups: str) -> dict[str, tuple[int, int, int]]:
        """Audits the groups named, or all; gives for each table what was missing, surplus and stale, if anything."""
        self.sync(*groups, audit=True)
        found = self.query("SELECT resource, sum(missing), sum(surplus), sum(stale) FROM {audits} GROUP BY resource")
        return {str(table): (int(m), int(s), int(t)) for table, m, s, t in found if m or s or t}

    def query(self, sql: str, *args: Any) -> list[tuple[Any, ...]]:
        """The answer to an SQL query, where ``{name}`` stands for a table of the dataset."""
        sql = re.sub(r"\{(\w+)\}", r"stripe_raw.\1", sql)
        if address := self.settings.get("DESTINATION__POSTGRES__CREDENTIALS"):
            with psycopg2.connect(address) as connection, connection.cursor() as cursor:
                cursor.execute(sql, args)
                return list(cursor.fetchall())
        with duckdb.connect(self.folder / "stripe.duckdb", read_only=True) as database:
            return list(database.execute(sql.replace("%s", "?"), args).fetchall())

    def rows(self, table: Table | Child) -> list[dict[str, Any]]:
        """Every row with every declared column, and ``_undeclared``."""
        names = [*(column.name for column in table.columns), "_undeclared"]
        quoted = ", ".join(f'"{name}"' for name in names)
        return [dict(zip(names, row, strict=True)) for row in self.query(f"SELECT {quoted} FROM {{{table.name}}}")]

    def contents(self, *groups: str) -> dict[str, list[str]]:
        """All rows of all tables of the groups, by default of all, in an order of their own."""
        roots = [TABLES[name] for group in groups or self.groups for name in TABLES_OF[group]]
        tables = [table for root in roots for table in root.with_children]
        return {table.name: sorted(map(repr, self.rows(table))) for table in tables}


def assert_mirrors(warehouse: Warehouse, *tables: str) -> None:
    """Every row and every declared value of the tables (all that there are by default) is as the origin has it.

    A deleted object is there as it was last, with ``deleted_at``. What may be missing is only what
    Stripe did not tell of any more when the first load began: what was deleted before, reviews that
    were closed, and events that were over 30 days old.
    """
    for name in tables or [name for group in warehouse.groups for name in TABLES_OF[group]]:
        _Comparison(warehouse, TABLES[name]).assert_equal()


class _Comparison:
    def __init__(self, warehouse: Warehouse, table: Table) -> None:
        self.warehouse = warehouse
        self.table = table
        self.held = warehouse.origin.objects(table.name)
        self.deleted = warehouse.origin.deleted(table.name)
        self.last_seen = last_seen(warehouse.origin, self.deleted) if self.deleted else {}
        group = next(group for group, names in TABLES_OF.items() if table.name in names)
        self.loaded_since = warehouse.loaded_since.get(group, warehouse.made)

    def assert_equal(self) -> None:
        living = [expected_row(self.table, row, None) for row in self.held]
        gone = [expected_row(self.table, row, self.deleted[id_]) for id_, row in self.last_seen.items()]
        actual = by_key(self.table, filter(self._is_told, self._actual(self.table)))
        expected = by_key(self.table, living + gone)
        missing = {key for key in expected.keys() - actual.keys() if self._may_be_missing(expected[key])}
        _compare(self.table, {key: row for key, row in expected.items() if key not in missing}, actual)
        for child in self.table.children:
            self._compare_child(child)

    def _actual(self, table: Table | Child) -> list[dict[str, Any]]:
        return [parsed(table, row) for row in self.warehouse.rows(table)]

    def _is_told(self, row: Mapping[str, Any]) -> bool:
        """Whether an event shows the row as it was last, if it is deleted; else it must be marked, whenever."""
        told = row["id"] not in self.deleted or row["id"] in self.last_seen
        assert told or row["deleted_at"], f"{self.table.name}: {row['id']} is not marked as deleted"
        return told

    def _may_be_missing(self, row: Mapping[str, Any]) -> bool:
        if row["id"] in self.deleted:
            return self.deleted[row["id"]] <= self.loaded_since
        if self.table.name == "reviews":
            return not row["open"] and row["id"] not in self._closed_since()
        return self.table.name == "events" and row["created"].timestamp() <= self.loaded_since - EVENTS_KEPT + 5

    def _closed_since(self) -> set[str]:
        """The reviews that were closed after the first load began; before, no list shows them."""
        events = self.warehouse.origin.objects("events")
        return {
            event["data"]["object"]["id"]
            for event in events
            if event["type"] == "review.closed" and event["created"] > self.loaded_since
        }

    def _compare_child(self, child: Child) -> None:
        expected = by_key(child, [row for payload in self.held for row in expected_children(child, payload)])
        actual = by_key(child, self._actual(child))
        # Of a deleted object the event shows the first ten of its nested list.
        (owner,) = (c.name for c in child.columns if c.origin == "parent" and c.path == "id")
        gone = {key for key in actual if actual[key][owner] in self.deleted}
        _compare(child, expected, {key: row for key, row in actual.items() if key not in gone})
        shown = [row for payload in self.last_seen.values() for row in expected_children(child, payload)]
        owners = {actual[key][owner] for key in gone}
        assert {tuple(row[name] for name in child.key) for row in shown if row[owner] in owners} <= gone


def last_seen(origin: Origin, deleted: Mapping[str, int]) -> dict[str, Json]:
    """The deleted objects as the events of their deletion show them, by id."""
    found: dict[str, Json] = {}
    for event in origin.objects("events"):
        shown = event["data"]["object"]
        if shown.get("id") in deleted and event["type"] == f"{shown['object']}.deleted":
            found[shown["id"]] = shown
    return found


def expected_row(table: Table, payload: Json, deleted_at: int | None) -> dict[str, Any]:
    return _expected(table, payload, {"account_id": ACCOUNT, "livemode": False, "deleted_at": deleted_at})


def expected_children(child: Child, payload: Json) -> list[dict[str, Any]]:
    owner = {**payload, "account_id": ACCOUNT}
    return [_expected(child, element, owner) for element in value_at(payload, child.path) or ()]


def _expected(table: Table | Child, payload: Json, given: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for column in table.columns:
        row[column.name] = money(*(row[n] for n in column.of)) if column.of else expected_value(column, payload, given)
    return row | {"_undeclared": None}


def money(amount: int | None, currency: str | None) -> Decimal | None:
    return None if amount is None or currency is None else Decimal(amount).scaleb(-DECIMALS[currency])


def _compare(table: Table | Child, expected: Rows, actual: Rows) -> None:
    problems = [f"missing: {expected[key]}" for key in expected.keys() - actual.keys()]
    problems += [f"not at the origin: {actual[key]}" for key in actual.keys() - expected.keys()]
    for key in expected.keys() & actual.keys():
        problems += [
            f"{key} {column}: {actual[key][column]!r}, at the origin {value!r}"
            for column, value in expected[key].items()
            if actual[key][column] != value
        ]
    shown = "\n".join(problem[:500] for problem in problems[:10])
    assert not problems, f"{table.name}: {len(problems)} differences\n{shown}"


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
    for name in path.split("."):
        if payload is None:
            return None
        payload = payload.get(name)
    return payload


def expected_value(column: Column, payload: Json, given: Mapping[str, Any]) -> Any:
    """What the column must hold for an object of the API."""
    value = given[column.path] if column.origin in ("given", "parent") else value_at(payload, column.path)
    if value is None:
        return None
    match column.type.name:
        case "epoch":
            return datetime.fromtimestamp(value, UTC)
        case "decimal":
            return Decimal(value)
        case _:
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
