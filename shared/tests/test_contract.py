"""A table is compared with what the vendor publishes: nothing is passed over, nothing made up, nothing too narrow."""

from collections.abc import Mapping
from typing import Any

import pytest

from ingest_shared.contract import Contract, differences
from ingest_shared.tables import Child, Column, Table, bigint, double, epoch, json, present, text, timestamp

INTEGER = {"type": "integer"}
STRING = {"type": "string"}
NULL = {"type": "null"}


def published(**fields: Mapping[str, Any]) -> dict[str, Any]:
    """An object that always has an id, and perhaps these fields."""
    return {"type": "object", "properties": {"id": INTEGER, **fields}, "required": ["id"]}


def table(*columns: Column, unused: str = "", children: tuple[Child, ...] = ()) -> Table:
    return Table(
        name="things",
        description="Things.",
        docs="",
        key=("id",),
        columns=(bigint("id", "Id."), *columns),
        unused=tuple(unused.split()),
        children=children,
    )


def parts(column: Column, *columns: Column) -> Child:
    """A child table whose key is, within a thing, the first column."""
    owner = bigint("thing_id", "Thing.", path="id", origin="parent")
    key = (owner.name, column.name)
    return Child(name="parts", description="Parts.", path="parts", key=key, columns=(owner, column, *columns))


def found(table: Table, schema: Mapping[str, Any]) -> list[str]:
    return sorted(map(str, differences(table, schema)))


class TestFields:
    def test_every_published_one_is_a_column_or_unused(self) -> None:
        schema = published(title=STRING, node_id=STRING, url=STRING)
        assert found(table(text("title", "Title."), unused="url"), schema) == [
            "things.node_id is neither a column nor unused"
        ]

    def test_those_of_an_object_count_when_parts_of_it_are_columns(self) -> None:
        login = text("login", "Login.", path="user.login")
        schema = published(user=published(login=STRING))
        assert found(table(login), schema) == ["things.user.id is neither a column nor unused"]
        assert found(table(login, unused="user.*"), schema) == []

    def test_those_of_an_object_kept_whole_do_not_count(self) -> None:
        assert found(table(json("user", "User.")), published(user=published(login=STRING))) == []

    def test_that_nobody_publishes_are_told(self) -> None:
        described = table(text("title", "Title."), text("login", "Login.", path="user.login"), unused="url user.*")
        assert found(described, published(user=published())) == [
            "things.title is not in the schema",
            "things.url is not in the schema",
            "things.user.login is not in the schema",
        ]

    def test_what_the_reader_gives_is_not_looked_for(self) -> None:
        assert found(table(bigint("repo_id", "Repository.", origin="reader")), published()) == []


class TestTypes:
    @pytest.mark.parametrize(
        ("column", "schema", "problem"),
        [
            (bigint("size", ""), {"type": "number"}, "may be number, but is declared as bigint"),
            (bigint("size", ""), {"anyOf": [STRING, INTEGER]}, "may be string, but is declared as bigint"),
            (double("size", ""), {"anyOf": [INTEGER, {"type": "number"}]}, ""),
            (epoch("size", ""), STRING, "may be string, but is declared as epoch"),
            (timestamp("size", ""), {"type": "string", "format": "date-time"}, ""),
            (timestamp("size", ""), STRING, "may be string, but is declared as timestamp"),
            (text("size", ""), {"type": "string", "format": "date-time"}, ""),
            (text("size", ""), {"anyOf": [STRING, NULL]}, ""),
            (text("size", ""), {}, "may be anything, but is declared as text"),
            (json("size", ""), {}, ""),
            (present("size", ""), published(), ""),
        ],
        ids=str,
    )
    def test_a_column_holds_all_that_is_legal(self, column: Column, schema: dict[str, Any], problem: str) -> None:
        assert found(table(column), published(size=schema)) == [f"things.size {problem}"] * bool(problem)

    def test_a_key_is_always_there(self) -> None:
        problem = ["things.id may be null, but is declared as bigint"]
        assert found(table(), {**published(), "required": []}) == problem
        assert found(table(), published(id={"anyOf": [INTEGER, NULL]})) == problem

    def test_what_columns_are_taken_from_is_an_object(self) -> None:
        login = text("login", "Login.", path="user.login")
        user = {"anyOf": [STRING, {"type": "object", "properties": {"login": STRING}}]}
        assert found(table(login), published(user=user)) == ["things.user may be string, but is declared as an object"]

    def test_definitions_are_followed_also_in_a_circle(self) -> None:
        schema = published(parent={"$ref": "#/$defs/thing"})
        schema["$defs"] = {"thing": schema.copy()}
        described = table(bigint("parent_id", "Parent.", path="parent.parent.id"), unused="parent.* parent.parent.*")
        assert found(described, schema) == []


class TestLists:
    def test_elements_are_compared_with_the_child_table(self) -> None:
        child = parts(bigint("part_id", "Part.", path="id"), text("size", "Size."))
        schema = published(parts={"type": "array", "items": published(size=INTEGER, name=STRING)})
        assert found(table(children=(child,)), schema) == [
            "parts.name is neither a column nor unused",
            "parts.size may be integer, but is declared as text",
        ]

    def test_elements_that_may_be_null_are_told(self) -> None:
        schema = published(parts={"type": "array", "items": {"anyOf": [published(), NULL]}})
        child = parts(bigint("part_id", "Part.", path="id"))
        assert found(table(children=(child,)), schema) == [
            "things.parts may be null, but is declared as a list of objects"
        ]

    def test_elements_may_be_plain_values(self) -> None:
        child = parts(text("part", "Part.", path="."))
        assert found(table(children=(child,)), published(parts={"type": "array", "items": STRING})) == []
        assert found(table(children=(child,)), published(parts={"type": "array", "items": INTEGER})) == [
            "parts.. may be integer, but is declared as text"
        ]

    def test_that_are_something_else_are_told(self) -> None:
        child = parts(bigint("part_id", "Part.", path="id"))
        assert "things.parts may be string, but is declared as a list" in found(
            table(children=(child,)), published(parts=STRING)
        )


class TestContract:
    SCHEMAS: Mapping[str, Any] = {"things": published(title=STRING)}

    def test_prints_what_is_broken_and_fails(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert Contract("vendor 1.0", self.SCHEMAS, accepted={}).report([table()]) == 1
        assert capsys.readouterr().out.splitlines() == [
            "vendor 1.0",
            "  things: 1 difference",
            "    things.title is neither a column nor unused",
        ]

    def test_passes_what_is_accepted_with_a_reason(self, capsys: pytest.CaptureFixture[str]) -> None:
        contract = Contract("vendor 1.0", self.SCHEMAS, accepted={"things.title": "It is always empty."})
        assert contract.report([table()]) == 0
        assert capsys.readouterr().out == "vendor 1.0\n  things: no differences\n"

    def test_tells_what_need_not_be_accepted(self) -> None:
        contract = Contract("", self.SCHEMAS, accepted={"things.title": "", "things.size": ""})
        assert contract.not_met([table()]) == {"things.size"}
