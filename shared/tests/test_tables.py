"""A description is checked when it is written, not when the first row arrives."""

from dataclasses import replace

import pytest

from ingest_shared.columnar import Decoder
from ingest_shared.errors import PayloadError
from ingest_shared.tables import UNDECLARED, Child, Column, Table, all_columns, bigint, json, text


def table(*columns: Column, key: tuple[str, ...] = ("id",), merge_key: tuple[str, ...] = ()) -> Table:
    return Table(name="things", description="Things.", docs="", key=key, columns=columns, merge_key=merge_key)


def child(*columns: Column, key: tuple[str, ...]) -> Child:
    return Child(name="parts", description="Parts.", path="parts", key=key, columns=columns)


def test_a_column_is_found_under_its_own_name_unless_told_otherwise() -> None:
    assert text("title", "Title.").path == "title"
    assert text("login", "Login.", path="user.login").path == "user.login"


def test_a_key_column_must_be_declared() -> None:
    with pytest.raises(ValueError, match="table things: key column 'number' is not declared"):
        table(bigint("id", "Id."), key=("id", "number"))


def test_an_owner_column_must_be_declared() -> None:
    with pytest.raises(ValueError, match="key column 'repo_id' is not declared"):
        table(bigint("id", "Id."), merge_key=("repo_id",))


def test_a_key_column_of_a_child_must_be_declared() -> None:
    with pytest.raises(ValueError, match="key column 'part_id' is not declared"):
        Table(
            name="things",
            description="",
            docs="",
            key=("id",),
            columns=(bigint("id", "Id."),),
            children=(child(bigint("thing_id", "Thing.", path="id", origin="parent"), key=("part_id",)),),
        )


def test_only_the_elements_of_a_child_have_a_place() -> None:
    with pytest.raises(ValueError, match='origin="position" is only for the elements of a child list'):
        table(bigint("id", "Id."), bigint("position", "Place.", origin="position"))


def test_a_column_is_declared_once() -> None:
    with pytest.raises(ValueError, match="column 'id' is declared twice"):
        table(bigint("id", "Id."), text("id", "Id again."))


def test_a_column_is_declared_by_the_name_that_it_has_in_the_warehouse() -> None:
    """dlt would rename it, and a question for it would find nothing."""
    with pytest.raises(ValueError, match=r"call the column 'companyId' 'company_id' .* with path='companyId'"):
        table(bigint("companyId", "Id."), key=("companyId",))


def test_a_table_is_declared_by_the_name_that_it_has_in_the_warehouse() -> None:
    with pytest.raises(ValueError, match="table repoLabels: dlt would call it 'repo_labels' in the warehouse"):
        replace(table(bigint("id", "Id.")), name="repoLabels")


def test_a_child_table_names_its_parent_in_its_key() -> None:
    """By it the rows of a parent are replaced; without it each load would add them again."""
    part = child(bigint("thing_id", "Thing.", path="id", origin="parent"), bigint("part_id", "Part."), key=("part_id",))
    with pytest.raises(ValueError, match="table parts: its key needs a column with path='id' and origin=\"parent\""):
        Table(name="things", description="", docs="", key=("id",), columns=(bigint("id", "Id."),), children=(part,))


def test_a_reference_names_a_table() -> None:
    with pytest.raises(ValueError, match=r"column owner_id: to='owners\.id' must be just the name of a table"):
        bigint("owner_id", "Owner.", to="owners.id")


def test_what_is_generated_for_each_response_says_so() -> None:
    told = "Where to pay; generated for each response, so no audit compares it."
    assert text("url", "Where to pay.", volatile=True).description == told


def test_a_value_has_a_known_origin() -> None:
    with pytest.raises(
        ValueError, match="column id: origin 'scope' must be one of payload, reader, parent, position, derived"
    ):
        bigint("id", "Id.", origin="scope")


def test_a_path_has_one_type() -> None:
    with pytest.raises(ValueError, match="path 'id' is declared as"):
        Decoder(table(bigint("id", "Id."), text("id_text", "Id as text.", path="id")))


def test_a_path_is_a_value_or_an_object_and_not_both() -> None:
    with pytest.raises(ValueError, match="declared both as a value and as an object"):
        Decoder(table(bigint("id", "Id."), json("user", "User."), text("login", "Login.", path="user.login")))


def test_every_table_ends_with_the_column_of_undeclared_fields() -> None:
    assert [column.name for column in all_columns(table(bigint("id", "Id.")))] == ["id", UNDECLARED]


def test_a_child_is_replaced_within_its_parent() -> None:
    parts = child(
        bigint("thing_id", "Thing.", path="id", origin="parent"),
        text("thing_name", "Not part of the key.", path="name", origin="parent"),
        bigint("part_id", "Part.", path="id"),
        key=("thing_id", "part_id"),
    )
    assert parts.merge_key == ("thing_id",)


def test_a_key_that_stands_deeper_in_a_row_is_required_there() -> None:
    decoder = Decoder(table(bigint("id", "Id.", path="user.id")))
    (row,) = decoder.page(b'[{"user": {"id": 7}}]').rows
    assert decoder.key(row) == 7
    for body in (b"[{}]", b'[{"user": null}]', b'[{"user": {}}]', b'[{"user": {"id": null}}]'):
        with pytest.raises(PayloadError, match="table things"):
            decoder.page(body)
