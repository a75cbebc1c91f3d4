"""JSON pages become typed Arrow tables: nothing lost, nothing guessed, nothing let through."""

import json as stdlib_json
from collections.abc import Callable
from datetime import UTC, datetime
from datetime import date as day
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_shared.columnar import Decoder, Page, arrow_schema, without_nul
from ingest_shared.errors import NotJson, PayloadError
from ingest_shared.reading.listings import instants, seconds
from ingest_shared.tables import (
    BIGINT,
    UNDECLARED,
    Child,
    Column,
    Table,
    bigint,
    boolean,
    date,
    decimal,
    derived,
    double,
    epoch,
    epoch_millis,
    json,
    names_of,
    present,
    rfc2822,
    text,
    timestamp,
    utc_timestamp,
)


def decoder(
    *columns: Column,
    children: tuple[Child, ...] = (),
    unused: tuple[str, ...] = (),
    rows_at: str | None = None,
    told: tuple[str, ...] = (),
) -> Decoder:
    """A decoder of a table with an ``id`` and these columns."""
    return Decoder(
        Table(
            name="issues",
            description="Issues.",
            docs="",
            key=("id",),
            columns=(bigint("id", "Id."), *columns),
            children=children,
            unused=unused,
        ),
        rows_at,
        told,
    )


LABELS = Child(
    name="issue_labels",
    description="Labels on issues.",
    path="labels",
    key=("issue_id", "label_id"),
    columns=(
        bigint("issue_id", "Issue.", path="id", origin="parent"),
        bigint("label_id", "Label.", path="id"),
        text("color", "Colour."),
    ),
)
TOPICS = Child(
    name="issue_topics",
    description="Topics.",
    path="topics",
    key=("issue_id", "topic"),
    columns=(
        bigint("issue_id", "Issue.", path="id", origin="parent"),
        text("topic", "Topic.", path="."),
    ),
)


def body(*rows: Any) -> bytes:
    return stdlib_json.dumps(rows).encode()


def arrow(decoder: Decoder, *rows: Any) -> dict[str, pa.Table]:
    return decoder.arrow([decoder.page(body(*rows))])


def column(decoder: Decoder, name: str, *rows: Any) -> list[Any]:
    values: list[Any] = arrow(decoder, *rows)["issues"][name].to_pylist()
    return values


def converted(column_: Column, value: Any) -> Any:
    """The value that the warehouse gets for one value in the JSON."""
    return column(decoder(column_), column_.name, {"id": 1, column_.path: value})[0]


# Values


IN_QUOTES = [
    (bigint, "12", 12),
    (bigint, "-9223372036854775808", -(2**63)),
    (double, "1.5", 1.5),
    (boolean, "true", True),
    (boolean, "false", False),
    (bigint, "", None),
    (boolean, None, None),
]


@pytest.mark.parametrize(("kind", "sent", "held"), IN_QUOTES)
def test_a_number_or_boolean_may_stand_in_quotes(kind: Callable[..., Column], sent: Any, held: Any) -> None:
    assert converted(kind("value", "Value.", sent_as_text=True), sent) == held


@pytest.mark.parametrize("sent", ["1.5", "many", "9223372036854775808"])
def test_a_text_that_is_no_whole_number_is_named(sent: str) -> None:
    with pytest.raises(PayloadError, match=f"column value, row id=1: expected bigint .*; the value is '{sent}'"):
        converted(bigint("value", "Value.", sent_as_text=True), sent)


@pytest.mark.parametrize("kind", [timestamp, date, decimal])
def test_an_empty_text_is_null_where_a_value_is_wanted(kind: Callable[..., Column]) -> None:
    assert converted(kind("value", "Value."), "") is None


def test_a_value_is_found_at_its_nested_path() -> None:
    nested = decoder(text("login", "Login.", path="head.user.login"))
    assert column(nested, "login", {"id": 1, "head": {"user": {"login": "ada"}}}) == ["ada"]


@pytest.mark.parametrize("row", [{"head": {"user": None}}, {"head": {}}, {"head": None}, {}])
def test_a_value_below_an_object_that_is_null_or_missing_is_null(row: dict[str, Any]) -> None:
    nested = decoder(text("login", "Login.", path="head.user.login"))
    assert column(nested, "login", {"id": 1, **row}) == [None]


def test_a_field_name_that_python_reserves_is_read() -> None:
    named = decoder(text("from_ref", "Where from.", path="from"), text("dashed", "Dashed.", path="x-y"))
    row = arrow(named, {"id": 1, "from": "a", "x-y": "b"})["issues"].to_pylist()[0]
    assert (row["from_ref"], row["dashed"]) == ("a", "b")


def test_an_iso_instant_is_kept_in_utc() -> None:
    expected = datetime(2024, 5, 1, 10, 30, tzinfo=UTC)
    assert converted(timestamp("at", "At."), "2024-05-01T10:30:00Z") == expected
    assert converted(timestamp("at", "At."), "2024-05-01T12:30:00+02:00") == expected
    nanoseconds = converted(timestamp("at", "At."), "2024-05-01T10:30:00.123456789Z")
    assert nanoseconds == expected.replace(microsecond=123_456)


@pytest.mark.parametrize("never", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.9999999Z"])
def test_nanoseconds_stand_beside_instants_that_have_none(never: str) -> None:
    """.NET writes seven digits, and its first or last instant for "never"."""
    rows = [{"id": 1, "at": "2024-05-01T10:30:00.1234567Z"}, {"id": 2, "at": never}]
    held = column(decoder(timestamp("at", "At.")), "at", *rows)
    assert held == [datetime(2024, 5, 1, 10, 30, 0, 123_456, UTC), datetime.fromisoformat(never)]


@pytest.mark.parametrize("sent", ["Wed, 01 May 2024 10:30:00 +0000", "Wed, 1 May 2024 12:30:00 +0200"])
def test_an_instant_may_be_written_as_in_mail(sent: str) -> None:
    """https://www.twilio.com/docs/usage/twilios-response, https://www.rfc-editor.org/rfc/rfc2822#section-3.3"""
    at = datetime(2024, 5, 1, 10, 30, tzinfo=UTC)
    assert converted(rfc2822("at", "At."), sent) == at
    assert seconds(sent) == at.timestamp()
    assert converted(rfc2822("at", "At."), "") is None
    message = error_of(decoder(rfc2822("at", "At.")), {"id": 2, "at": "2024-05-01T10:30:00Z"})
    assert message.startswith("table issues, column at, row id=2: expected rfc2822 ")


@pytest.mark.parametrize("sent", ["2024-05-01T10:30:00", "2024-05-01 10:30:00", "2024-05-01T10:30"])
def test_an_instant_without_a_zone_is_in_utc_where_that_is_declared(sent: str) -> None:
    at = datetime(2024, 5, 1, 10, 30, tzinfo=UTC)
    assert converted(utc_timestamp("at", "At."), sent) == at
    assert seconds(sent) == at.timestamp()
    if sent.endswith(":00"):
        assert converted(utc_timestamp("at", "At."), f"{sent}.123456789") == at.replace(microsecond=123_456)
    message = error_of(decoder(utc_timestamp("at", "At.")), {"id": 2, "at": f"{sent}+02:00"})
    assert message.startswith("table issues, column at, row id=2: expected utc_timestamp ")


def test_an_epoch_is_kept_as_the_instant_it_names() -> None:
    at = datetime(2024, 5, 1, 10, 30, tzinfo=UTC)
    assert converted(epoch("at", "At."), 1_714_559_400) == at
    assert converted(epoch_millis("at", "At."), 1_714_559_400_007) == at.replace(microsecond=7_000)


@pytest.mark.parametrize(
    ("column", "sent"),
    [
        (epoch("at", "At."), 1_714_559_400.000216),
        (epoch("at", "At.", sent_as_text=True), "1714559400.000216"),
        (epoch_millis("at", "At.", sent_as_text=True), "1714559400000.216"),
    ],
)
def test_an_instant_as_a_number_may_have_a_fraction_and_stand_in_quotes(column: Column, sent: Any) -> None:
    """Reddit's ``created_utc``, and https://docs.slack.dev/messaging/retrieving-messages/#individual_messages"""
    assert converted(column, sent) == datetime(2024, 5, 1, 10, 30, 0, 216, UTC)
    assert converted(column, None) is None


def test_what_is_no_number_is_no_instant() -> None:
    message = error_of(decoder(epoch("at", "At.", sent_as_text=True)), {"id": 2, "at": "never"})
    assert message.startswith("table issues, column at, row id=2: expected epoch ")


def test_a_dot_in_a_name_is_written_with_a_backslash() -> None:
    r"""Microsoft's ``@odata.etag``: https://learn.microsoft.com/en-us/graph/query-parameters#count"""
    reader = decoder(
        text("etag", "ETag.", path=r"@odata\.etag"),
        text("site", "Site.", path=r"x\.y.site\.id"),
        unused=(r"@odata\.type", r"x\.y.*"),
        rows_at=r"the\.rows",
        told=(r"@odata\.nextLink",),
    )
    row = {"id": 1, "@odata.etag": "W/1", "@odata.type": "#user", "x.y": {"site.id": "s", "more": 1}}
    sent = {"@odata.nextLink": "https://next", "the.rows": [row]}
    page = reader.page(stdlib_json.dumps(sent).encode())
    assert page.told == {r"@odata\.nextLink": "https://next"}
    assert not page.new_fields
    assert reader.arrow([page])["issues"].select(["id", "etag", "site"]).to_pylist() == [
        {"id": 1, "etag": "W/1", "site": "s"}
    ]
    new = reader.page(stdlib_json.dumps({"the.rows": [row | {"a.b": 1}]}).encode()).new_fields
    assert new == {r"a\.b"}  # as `unused` takes it


@pytest.mark.parametrize("path", ["updated-at", "from", "@timestamp", r"changed\.at", "meta.updated-at"])
def test_a_walk_may_go_by_a_field_whatever_its_name(path: str) -> None:
    *parents, name = names_of(path)
    row: Any = {name: "2024-01-31T00:00:00Z"}
    for parent in parents:
        row = {parent: row}
    page = decoder(timestamp("at", "At.", path=path)).page(stdlib_json.dumps([{"id": 1, **row}]).encode())
    assert instants(page.rows, path) == [1_706_659_200]


def test_a_date_is_kept_as_the_day_it_names() -> None:
    assert converted(date("due", "Due."), "2024-01-31") == day(2024, 1, 31)
    message = error_of(decoder(date("due", "Due.")), {"id": 2, "due": "31.1.2024"})
    assert message.startswith("table issues, column due, row id=2: expected date ")


@pytest.mark.parametrize(
    "value",
    [
        1_706_659_200,
        1_706_659_200_999,
        1_706_659_200.5,
        "1706659200.000216",
        "1706659200999",
        "2024-01-31",
        "2024-01-31T01:00:00+01:00",
        day(2024, 1, 31),
    ],
)
def test_a_walk_may_go_by_any_type_of_time(value: Any) -> None:
    assert seconds(value) == 1_706_659_200


def test_a_decimal_is_kept_exactly() -> None:
    assert converted(decimal("amount", "Amount."), "0.1") == Decimal("0.1")
    assert converted(decimal("amount", "Amount."), "12345678901234567890.123456789012") == Decimal(
        "12345678901234567890.123456789012"
    )


@pytest.mark.parametrize("digits", [27, 29, 38, 39, 78])
def test_a_decimal_that_does_not_fit_is_an_error_and_no_other_number(digits: int) -> None:
    amount = decimal("amount", "Amount.", sent_as_text=True)
    message = error_of(decoder(amount), {"id": 2, "amount": "12345678901" + "1" * (digits - 11)})
    assert message.startswith("table issues, column amount, row id=2: expected decimal ")


def test_json_is_kept_as_it_was_sent() -> None:
    raw = decoder(json("extra", "Extra."))
    page = raw.page(b'[{"id": 1, "extra": {"b": 1.10, "a": [ ]}}]')
    assert raw.arrow([page])["issues"]["extra"].to_pylist() == ['{"b": 1.10, "a": [ ]}']


def test_json_null_is_null() -> None:
    assert converted(json("extra", "Extra."), None) is None


@pytest.mark.parametrize(("row", "expected"), [({"pull": {"url": 1}}, True), ({"pull": None}, False), ({}, False)])
def test_presence_tells_whether_anything_but_null_was_sent(row: dict[str, Any], expected: bool) -> None:
    assert column(decoder(present("is_pull", "Pull.", path="pull")), "is_pull", {"id": 1, **row}) == [expected]


def test_a_whole_number_is_accepted_as_a_floating_point_number() -> None:
    assert converted(double("share", "Share."), 3) == 3.0


def test_a_given_column_holds_what_the_reader_gave_to_the_page() -> None:
    issues = decoder(bigint("repo_id", "Repository.", origin="reader"))
    pages = [
        issues.page(body({"id": 1}, {"id": 2}), {"repo_id": 7}),
        issues.page(body({"id": 3}), {"repo_id": 8}),
    ]
    assert issues.arrow(pages)["issues"]["repo_id"].to_pylist() == [7, 7, 8]


def test_a_derived_column_is_computed_from_other_columns() -> None:
    net = derived("net", "Net.", BIGINT, ("gross", "fee"), pc.subtract)
    issues = decoder(bigint("gross", "Gross."), bigint("fee", "Fee."), net)
    assert column(issues, "net", {"id": 1, "gross": 10, "fee": 3}, {"id": 2}) == [7, None]


def test_the_arrow_schema_is_the_same_with_and_without_rows() -> None:
    issues = decoder(timestamp("at", "At."), decimal("amount", "Amount."), children=(LABELS,))
    assert arrow(issues)["issues"].schema == arrow_schema(issues.table)
    assert arrow(issues, {"id": 1})["issues"].schema == arrow_schema(issues.table)
    assert arrow(issues)["issue_labels"].schema == arrow_schema(LABELS)


def test_the_key_of_a_merged_table_is_not_null_in_the_schema() -> None:
    schema = arrow_schema(decoder(text("title", "Title.")).table)
    assert not schema.field("id").nullable
    assert schema.field("title").nullable


# Children


def test_the_elements_of_a_list_become_rows_that_name_their_parent() -> None:
    issues = decoder(children=(LABELS,))
    labels = arrow(
        issues, {"id": 1, "labels": [{"id": 5, "color": "red"}, {"id": 6}]}, {"id": 2, "labels": [{"id": 5}]}
    )
    assert labels["issue_labels"].drop_columns(UNDECLARED).to_pylist() == [
        {"issue_id": 1, "label_id": 5, "color": "red"},
        {"issue_id": 1, "label_id": 6, "color": None},
        {"issue_id": 2, "label_id": 5, "color": None},
    ]


def test_the_elements_of_a_list_of_plain_values_become_rows() -> None:
    issues = decoder(children=(TOPICS,))
    topics = arrow(issues, {"id": 1, "topics": ["a", "b"]})["issue_topics"]
    assert topics.select(["issue_id", "topic"]).to_pylist() == [
        {"issue_id": 1, "topic": "a"},
        {"issue_id": 1, "topic": "b"},
    ]


@pytest.mark.parametrize("row", [{"labels": []}, {"labels": None}, {}])
def test_a_parent_without_elements_is_named_by_a_row_without_a_key(row: dict[str, Any]) -> None:
    labels = arrow(decoder(children=(LABELS,)), {"id": 1, **row})["issue_labels"]
    assert labels.select(["issue_id", "label_id"]).to_pylist() == [{"issue_id": 1, "label_id": None}]


def test_a_list_may_stand_below_an_object() -> None:
    lines = Child(
        name="lines",
        description="Lines.",
        path="lines.data",
        key=("issue_id", "id"),
        columns=(bigint("issue_id", "Issue.", path="id", origin="parent"), bigint("id", "Line.")),
    )
    issues = decoder(children=(lines,), unused=("lines.*",))
    rows = arrow(issues, {"id": 1, "lines": {"data": [{"id": 4}], "url": "x"}}, {"id": 2, "lines": None})["lines"]
    assert rows.select(["issue_id", "id"]).to_pylist() == [{"issue_id": 1, "id": 4}, {"issue_id": 2, "id": None}]


def test_a_child_gets_the_given_and_derived_columns_of_its_parent() -> None:
    child = Child(
        name="parts",
        description="Parts.",
        path="parts",
        key=("issue_id", "repo_id", "doubled", "id"),
        columns=(
            bigint("issue_id", "Issue.", path="id", origin="parent"),
            bigint("repo_id", "Repository.", origin="parent"),
            bigint("doubled", "Twice the id.", origin="parent"),
            bigint("id", "Part."),
        ),
    )
    twice = derived("doubled", "Twice the id.", BIGINT, ("id",), lambda ids: pc.multiply(ids, 2))
    issues = decoder(bigint("repo_id", "Repository.", origin="reader"), twice, children=(child,))
    page = issues.page(body({"id": 1, "parts": [{"id": 5}]}), {"repo_id": 9})
    (part,) = issues.arrow([page])["parts"].drop_columns(UNDECLARED).to_pylist()
    assert part == {"issue_id": 1, "repo_id": 9, "doubled": 2, "id": 5}


def test_the_elements_of_a_child_without_an_id_are_told_apart_by_their_place() -> None:
    child = Child(
        name="tiers",
        description="Tiers.",
        path="tiers",
        key=("issue_id", "position"),
        columns=(
            bigint("issue_id", "Issue.", path="id", origin="parent"),
            bigint("position", "Place.", origin="position"),
            bigint("up_to", "Last unit."),
        ),
    )
    rows = arrow(decoder(children=(child,)), {"id": 1, "tiers": [{"up_to": 9}, {"up_to": 5}]}, {"id": 2, "tiers": []})
    assert [tuple(row.values())[:3] for row in rows["tiers"].to_pylist()] == [(1, 0, 9), (1, 1, 5), (2, None, None)]


# Undeclared fields


def undeclared(tables: dict[str, pa.Table], name: str = "issues") -> list[Any]:
    return [value and stdlib_json.loads(value) for value in tables[name][UNDECLARED].to_pylist()]


def test_an_unknown_field_is_kept_beside_its_row_and_reported() -> None:
    issues = decoder(text("title", "Title."))
    page = issues.page(body({"id": 1, "title": "a", "mood": {"x": [1]}}, {"id": 2, "title": "b"}))
    assert page.new_fields == {"mood"}
    tables = issues.arrow([page])
    assert undeclared(tables) == [{"mood": {"x": [1]}}, None]
    assert tables["issues"]["title"].to_pylist() == ["a", "b"]


def test_an_unknown_field_of_a_nested_object_is_kept_and_reported_with_its_path() -> None:
    issues = decoder(text("login", "Login.", path="head.user.login"))
    page = issues.page(body({"id": 1, "head": {"user": {"login": "ada", "age": 9}, "sha": "f"}}))
    assert page.new_fields == {"head.user.age", "head.sha"}
    assert undeclared(issues.arrow([page])) == [{"head": {"user": {"age": 9}, "sha": "f"}}]


def test_an_unknown_field_of_a_list_element_is_kept_beside_the_element() -> None:
    issues = decoder(children=(LABELS,))
    page = issues.page(body({"id": 1, "labels": [{"id": 5, "size": 2}, {"id": 6}]}))
    assert page.new_fields == {"labels.size"}
    assert undeclared(issues.arrow([page]), "issue_labels") == [{"size": 2}, None]


def test_an_unknown_object_of_a_single_row_is_kept() -> None:
    issues = decoder()
    page = issues.row(b'{"id": 1, "mood": {"x": 1}}')
    assert page.new_fields == {"mood"}
    assert undeclared(issues.arrow([page])) == [{"mood": {"x": 1}}]


@pytest.mark.parametrize("element", [{"id": None, "color": "red"}, {"color": "red"}])
def test_a_list_element_without_its_key_is_kept_beside_its_row_and_reported(element: dict[str, Any]) -> None:
    issues = decoder(children=(LABELS,))
    page = issues.page(body({"id": 1, "labels": [element, {"id": 5}]}))
    assert page.new_fields == {"labels without id"}
    tables = issues.arrow([page])
    assert undeclared(tables) == [{"labels": [element]}]
    assert tables["issue_labels"]["label_id"].to_pylist() == [5]


def test_null_elements_of_a_list_are_no_rows() -> None:
    issues = decoder(children=(LABELS, TOPICS))
    page = issues.page(body(None, {"id": 1, "labels": [None, {"id": 5}], "topics": ["a", None]}, {"id": 2}))
    assert page.new_fields == frozenset()
    tables = issues.arrow([page])
    assert tables["issues"]["id"].to_pylist() == [1, 2]
    assert tables["issue_labels"]["label_id"].to_pylist() == [5, None]
    assert tables["issue_topics"]["topic"].to_pylist() == ["a", None]
    assert undeclared(tables) == [None, None]


def test_what_is_declared_as_unused_is_neither_kept_nor_reported() -> None:
    issues = decoder(text("login", "Login.", path="user.login"), unused=("url", "user.*"))
    page = issues.page(body({"id": 1, "url": "u", "user": {"login": "ada", "age": 9, "more": {"x": 1}}}))
    assert page.new_fields == frozenset()
    assert undeclared(issues.arrow([page])) == [None]


def test_what_is_declared_as_unused_stays_so_beside_an_unknown_field() -> None:
    issues = decoder(text("login", "Login.", path="user.login"), unused=("url", "user.*"))
    page = issues.page(body({"id": 1, "url": "u", "user": {"login": "ada", "age": 9}, "mood": 1}))
    assert page.new_fields == {"mood"}
    assert undeclared(issues.arrow([page])) == [{"mood": 1}]


def test_every_further_field_of_a_list_element_can_be_declared_as_unused() -> None:
    element = Child(**{**vars(LABELS), "unused": ("*",)})
    page = decoder(children=(element,)).page(body({"id": 1, "labels": [{"id": 5, "size": 2}]}))
    assert page.new_fields == frozenset()


# Values that are wrong


def error_of(issues: Decoder, *rows: Any) -> str:
    with pytest.raises(PayloadError) as caught:
        arrow(issues, {"id": 1}, *rows)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_value_of_the_wrong_type_is_named_with_table_column_and_row() -> None:
    assert error_of(decoder(text("title", "Title.")), {"id": 2, "title": 5}) == (
        "table issues, column title, row id=2: expected `str | null`, got `int`; the value is 5"
    )


def test_a_wrong_value_below_an_object_is_named_by_its_column() -> None:
    nested = decoder(text("user_login", "Login.", path="user.login"))
    assert error_of(nested, {"id": 2, "user": {"login": 5}}) == (
        "table issues, column user_login, row id=2: expected `str | null`, got `int`; the value is 5"
    )


def test_a_wrong_value_in_a_list_element_is_named_by_its_path_and_the_parent() -> None:
    message = error_of(decoder(children=(LABELS,)), {"id": 2, "labels": [{"id": 5}, {"id": "six"}]})
    assert message.startswith("table issues, column labels.id, row id=2: ")
    assert message.endswith("the value is 'six'")


def test_an_object_that_is_a_text_is_named() -> None:
    message = error_of(decoder(text("login", "Login.", path="user.login")), {"id": 2, "user": "ada"})
    assert message.startswith("table issues, column user, row id=2: ")


def test_a_row_without_its_key_is_refused_by_name() -> None:
    message = error_of(decoder(text("title", "Title.")), {"title": "a"})
    assert message.startswith("table issues, column id, row unknown: ")
    assert "missing" in message
    assert message.endswith("the value is {'title': 'a'}")


def test_a_row_whose_key_is_null_is_refused() -> None:
    assert error_of(decoder(), {"id": None}).startswith("table issues, column id, row id=None: ")


def test_a_number_too_large_for_64_bits_is_named() -> None:
    message = error_of(decoder(bigint("size", "Size.")), {"id": 2, "size": 2**63})
    assert message.startswith("table issues, column size, row id=2: expected bigint ")
    assert message.endswith(f"the value is {2**63}")


@pytest.mark.parametrize("value", ["yesterday", "2024-05-01T10:30:00", "two\nlines"])
def test_a_text_that_is_no_instant_is_named(value: str) -> None:
    message = error_of(decoder(timestamp("at", "At.")), {"id": 2, "at": value})
    assert message.startswith("table issues, column at, row id=2: expected timestamp ")
    assert message.endswith(f"the value is {value!r}")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (timestamp("at", "At."), "0000-01-01T00:00:00Z"),
        (epoch("at", "At."), 300_000_000_000),
        (epoch_millis("at", "At."), 300_000_000_000_000),
    ],
    ids=["year 0", "year 11476", "year 11476 in milliseconds"],
)
def test_an_instant_that_no_warehouse_can_hold_is_named(column: Column, value: Any) -> None:
    message = error_of(decoder(column), {"id": 2, "at": value})
    assert message.startswith(f"table issues, column at, row id=2: expected {column.type.name} (a year from 1 to 9999)")


def test_an_epoch_beyond_the_calendar_is_named() -> None:
    message = error_of(decoder(epoch("at", "At.")), {"id": 2, "at": 99_999_999_999_999})
    assert message.startswith("table issues, column at, row id=2: expected epoch ")


@pytest.mark.parametrize("value", ["much", "0.0000000000001"])
def test_a_text_that_is_no_exact_number_is_named(value: str) -> None:
    message = error_of(decoder(decimal("amount", "Amount.")), {"id": 2, "amount": value})
    assert message.startswith("table issues, column amount, row id=2: expected decimal ")


def test_a_wrong_text_in_a_list_element_is_named_by_the_elements_key() -> None:
    closed = Child(**{**vars(LABELS), "columns": (*LABELS.columns, timestamp("at", "At."))})
    message = error_of(decoder(children=(closed,)), {"id": 2, "labels": [{"id": 5, "at": "soon"}]})
    assert message.startswith("table issue_labels, column at, row label_id=5: expected timestamp ")


def test_a_value_of_the_wrong_type_beside_an_unknown_field_is_still_refused() -> None:
    assert "column title, row id=2" in error_of(decoder(text("title", "Title.")), {"id": 2, "mood": 1, "title": 5})


def test_a_long_value_is_shortened_in_the_error() -> None:
    assert len(error_of(decoder(bigint("size", "Size.")), {"id": 2, "size": "x" * 5000})) < 250


# Bodies


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"<html>502 Bad Gateway</html>",
        b'[{"id": 1}',
        pytest.param(b'[{"id": 1, "mood": 2}, {"id"', id="truncated after an unknown field"),
        pytest.param(b'[{"id": 1, "title": "\xff"}]', id="not UTF-8"),
        pytest.param(b'[{"id": 1, "title": ' + b"[" * 100_000, id="too deep"),
    ],
)
def test_a_body_that_is_not_json_is_an_error_that_a_retry_may_mend(sent: bytes) -> None:
    with pytest.raises(NotJson, match="table issues: the response body is not valid JSON") as caught:
        decoder(text("title", "Title.")).page(sent)
    assert caught.value.retry


@pytest.mark.parametrize("sent", [b'{"message": "no"}', b"null", b"[1]"])
def test_json_that_is_no_list_of_rows_is_refused(sent: bytes) -> None:
    with pytest.raises(PayloadError, match=r"^table issues"):
        decoder().page(sent)


def test_a_nul_in_a_text_becomes_the_replacement_character() -> None:
    assert converted(text("title", "Title."), "a\0b\0\0") == "a\ufffdb\ufffd\ufffd"


@pytest.mark.parametrize("value", ["\\u0000", "C:\\u0000", "\\\\u0000"])
def test_an_escaped_backslash_before_u0000_is_left_alone(value: str) -> None:
    assert converted(text("title", "Title."), value) == value


@given(st.text(alphabet=st.sampled_from(["\\", "\0", "u", "0", '"', "x"]), max_size=12))
def test_only_nul_is_replaced_in_any_text(value: str) -> None:
    assert stdlib_json.loads(without_nul(stdlib_json.dumps(value).encode())) == value.replace("\0", "\ufffd")


def test_a_nul_in_an_undeclared_field_and_in_json_is_replaced_too() -> None:
    issues = decoder(json("extra", "Extra."))
    tables = arrow(issues, {"id": 1, "extra": "a\0", "mood": "b\0"})
    assert tables["issues"]["extra"].to_pylist() == ['"a\\ufffd"']
    assert undeclared(tables) == [{"mood": "b\ufffd"}]


def test_rows_are_read_from_under_their_key_of_the_response() -> None:
    page = decoder(rows_at="data").page(b'{"object": "list", "data": [{"id": 1}], "has_more": true}')
    assert [row.id for row in page.rows] == [1]


def test_what_the_response_says_beside_its_rows_is_told() -> None:
    issues = decoder(rows_at="data.items", told=("paging.next", "data.total", "more"))
    page = issues.page(b'{"paging": {"next": "x"}, "data": {"total": 2, "items": [{"id": 1}]}}')
    assert page.told == {"paging.next": "x", "data.total": 2, "more": None}
    assert issues.page(b'{"paging": null, "data": {"items": []}}').told == dict.fromkeys(page.told)


def test_an_unknown_field_of_a_row_under_a_key_is_kept() -> None:
    issues = decoder(rows_at="data", told=("has_more",))
    page = issues.page(b'{"url": "x", "data": [{"id": 1, "mood": 2}], "has_more": true}')
    assert page.new_fields == {"mood"}
    assert page.told == {"has_more": True}
    assert undeclared(issues.arrow([page])) == [{"mood": 2}]


def test_a_wrong_value_of_a_row_under_a_key_is_named_without_the_key() -> None:
    with pytest.raises(PayloadError, match=r"^table issues, column title, row id=2: "):
        decoder(text("title", "Title."), rows_at="data").page(b'{"data": [{"id": 2, "title": 5}]}')


def test_a_response_without_the_key_of_its_rows_is_refused() -> None:
    with pytest.raises(PayloadError, match=r"^table issues.*`data`"):
        decoder(rows_at="data").page(b'{"error": "x"}')


def test_the_rows_of_a_child_can_be_read_from_a_response_of_their_own() -> None:
    elements = Decoder(LABELS, rows_at="data").page(b'{"data": [{"id": 6, "color": "red", "size": 1}]}')
    issues = decoder(children=(LABELS,))
    page = issues.page(body({"id": 1, "labels": [{"id": 5}]}))
    page.rows[0].labels.extend(elements.rows)
    assert elements.new_fields == {"size"}
    assert issues.arrow([page])["issue_labels"]["label_id"].to_pylist() == [5, 6]


def test_a_page_of_nothing_names_its_scope_only() -> None:
    labels = Decoder(
        Table(
            name="labels",
            description="",
            docs="",
            key=("id",),
            merge_key=("repo_id",),
            columns=(bigint("id", "Id."), bigint("repo_id", "Repository.", origin="reader")),
        )
    )
    rows = labels.arrow([labels.nothing({"repo_id": 7})])["labels"].select(["id", "repo_id"])
    assert rows.to_pylist() == [{"id": None, "repo_id": 7}]


def test_no_pages_make_empty_tables() -> None:
    tables = decoder(children=(LABELS,)).arrow([])
    assert [table.num_rows for table in tables.values()] == [0, 0]


# Any row


_INT = st.integers(-(2**63), 2**63 - 1)
_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
_ROW = st.fixed_dictionaries(
    {"id": _INT},
    optional={
        "title": st.none() | _TEXT,
        "share": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "open": st.none() | st.booleans(),
        "user": st.none() | st.fixed_dictionaries({}, optional={"login": st.none() | _TEXT, "id": st.none() | _INT}),
        "labels": st.none() | st.lists(st.fixed_dictionaries({"id": _INT, "color": st.none() | _TEXT}), max_size=3),
        "topics": st.none() | st.lists(_TEXT, max_size=3),
        "mood": st.none() | _TEXT | st.dictionaries(_TEXT, st.none() | _INT | st.lists(_TEXT, max_size=2), max_size=2),
    },
)
_ANY = decoder(
    text("title", "Title."),
    double("share", "Share."),
    boolean("open", "Open."),
    text("user_login", "Login.", path="user.login"),
    bigint("user_id", "Id.", path="user.id"),
    children=(LABELS, TOPICS),
)


def expected_root(row: dict[str, Any]) -> dict[str, Any]:
    user = row.get("user") or {}
    return {
        "id": row["id"],
        "title": row.get("title"),
        "share": row.get("share"),
        "open": row.get("open"),
        "user_login": user.get("login"),
        "user_id": user.get("id"),
        UNDECLARED: {"mood": row["mood"]} if "mood" in row else None,
    }


@given(st.lists(_ROW, max_size=6), st.booleans())
def test_whatever_the_api_sends_is_what_the_tables_hold(rows: list[dict[str, Any]], in_one_page: bool) -> None:
    pages: list[Page] = (
        [_ANY.page(body(*rows))] if in_one_page else [_ANY.row(stdlib_json.dumps(row).encode()) for row in rows]
    )
    tables = _ANY.arrow(pages)
    root = [
        {**row, UNDECLARED: row[UNDECLARED] and stdlib_json.loads(row[UNDECLARED])}
        for row in tables["issues"].to_pylist()
    ]
    assert root == [expected_root(row) for row in rows]
    assert [(r["issue_id"], r["label_id"], r["color"]) for r in tables["issue_labels"].to_pylist()] == [
        (row["id"], label["id"], label["color"])
        for row in rows
        for label in row.get("labels") or [{"id": None, "color": None}]
    ]
    assert [(r["issue_id"], r["topic"]) for r in tables["issue_topics"].to_pylist()] == [
        (row["id"], topic) for row in rows for topic in row.get("topics") or [None]
    ]
