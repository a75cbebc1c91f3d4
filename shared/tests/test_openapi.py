"""A draft is valid Python, holds every field of the document, and agrees with it."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from ingest_shared import openapi, tables
from ingest_shared.contract import differences
from ingest_shared.errors import SettingError
from ingest_shared.tables import Table

TICKETS = yaml.safe_load("""
openapi: 3.0.3
paths:
  /v2/tickets:
    get:
      summary: All tickets of the account
      externalDocs: {url: https://docs.example.com/tickets}
      parameters: [{name: starting_after, in: query, schema: {type: string}}]
      responses:
        "200":
          content:
            application/json:
              schema:
                type: object
                properties:
                  has_more: {type: boolean}
                  data: {type: array, items: {$ref: "#/components/schemas/Ticket"}}
  /v2/tickets/{ticket_id}/comments:
    parameters: [{$ref: "#/components/parameters/ticket"}]
    get:
      responses:
        "200":
          headers: {Link: {schema: {type: string}}}
          content:
            application/json:
              schema:
                type: array
                items: {properties: {id: {type: integer}, ticket_id: {type: integer}, text: {type: string}}}
components:
  parameters:
    ticket: {name: ticket_id, in: path, schema: {type: integer}}
  schemas:
    Stamped:
      type: object
      required: [createdAt]
      properties:
        createdAt: {type: string, format: date-time, description: "When it was *made*. In UTC."}
    Ticket:
      allOf:
        - $ref: "#/components/schemas/Stamped"
        - type: object
          required: [id]
          properties:
            id: {type: integer}
            type: {type: string, nullable: true, description: 'What "it" is.'}
            due: {type: string, format: date}
            score: {oneOf: [{type: integer}, {type: number}]}
            is_open: {type: boolean}
            tags: {type: array, items: {type: string}}
            owner: {$ref: "#/components/schemas/Owner"}
            owner_id: {type: integer, description: The same.}
            place: {properties: {city: {type: string}, at: {properties: {x: {type: number}}}}}
    Owner: {type: object, properties: {id: {type: string}, name: {type: string}}}
""")
USERS = yaml.safe_load("""
openapi: 3.1.0
paths:
  /users.json:
    get:
      parameters: [{name: cursor, in: query}]
      responses:
        "200":
          content:
            application/json:
              schema:
                properties:
                  users:
                    type: array
                    items: {required: [uuid], properties: {uuid: {type: string}, age: {type: [integer, "null"]}}}
                  errors: {type: array, items: {properties: {code: {type: string}}}}
                  meta: {properties: {next_cursor: {type: string}}}
""")


def columns(table: Table) -> dict[str, tuple[str, str, str]]:
    return {column.name: (column.type.name, column.path, column.origin) for column in table.columns}


def test_every_field_is_a_column_of_its_type() -> None:
    table = openapi.draft(TICKETS, "/v2/tickets").table
    assert columns(table) == {
        "created_at": ("timestamp", "createdAt", "payload"),
        "id": ("bigint", "id", "payload"),
        "type": ("text", "type", "payload"),
        "due": ("date", "due", "payload"),
        "score": ("double", "score", "payload"),
        "is_open": ("boolean", "is_open", "payload"),
        "tags": ("json", "tags", "payload"),
        "owner_id": ("text", "owner.id", "payload"),
        "owner_id_2": ("bigint", "owner_id", "payload"),
        "place_city": ("text", "place.city", "payload"),
        "place_at": ("json", "place.at", "payload"),
        "deleted_at": ("timestamp", "deleted_at", "reader"),
    }
    assert (table.name, table.key, table.unused) == ("tickets", ("id",), ("owner.*",))
    assert (table.description, table.docs) == ("All tickets of the account.", "https://docs.example.com/tickets")


def test_a_description_is_the_first_sentence_or_the_name() -> None:
    said = {column.name: column.description for column in openapi.draft(TICKETS, "/v2/tickets").table.columns}
    assert (said["created_at"], said["type"], said["is_open"]) == ("When it was made.", 'What "it" is.', "Is open.")


def test_a_list_per_row_has_its_owner_in_its_key() -> None:
    drafted = openapi.draft(TICKETS, "/v2/tickets/{ticket_id}/comments")
    assert (drafted.table.name, drafted.table.key) == ("ticket_comments", ("ticket_id", "id"))
    assert columns(drafted.table)["ticket_id"] == ("bigint", "ticket_id", "reader")
    assert 'per=PerRow(tables.tickets, {"ticket_id": "id"})' in drafted.listing
    assert "envelope=LinkHeader()" in drafted.listing


def test_types_of_3_1_and_a_list_among_others() -> None:
    table = openapi.draft(USERS, "/users.json").table
    assert (table.name, table.key) == ("users", ("uuid",))
    assert columns(table)["age"][0] == "bigint"


@pytest.mark.parametrize(
    ("params", "fields", "envelope"),
    [
        (["page"], {"total_pages": "integer"}, 'PageNumber(rows="data", pages="total_pages")'),
        (["page"], {"has_more": "boolean"}, 'PageNumber(rows="data", more="has_more")'),
        (["page"], {}, 'PageNumber(rows="data")'),
        (["offset"], {"total": "integer"}, 'Offset(rows="data", total="total", limit=100)'),
        (["starting_after"], {"has_more": "boolean"}, 'HasMore(rows="data", more="has_more", after="starting_after")'),
        (["cursor"], {"next_cursor": "string"}, 'CursorIn(rows="data", at="next_cursor", param="cursor")'),
        ([], {"next": "string"}, 'NextLink(rows="data", at="next")'),
        ([], {}, 'Envelope(rows="data")'),
        ([], {"@odata.nextLink": "string"}, r'NextLink(rows="data", at="@odata\\.nextLink")'),
        (["pageToken"], {"nextPageToken": "string"}, 'CursorIn(rows="data", at="nextPageToken", param="pageToken")'),
        (
            ["offset"],
            {"next_page": {"offset": "string"}},
            'CursorIn(rows="data", at="next_page.offset", param="offset")',
        ),
        ([], {"_links": {"next": {"href": "string"}}}, 'NextLink(rows="data", at="_links.next.href")'),
        (
            ["page[number]"],
            {"meta": {"total_pages": "integer"}},
            'PageNumber(rows="data", pages="meta.total_pages", param="page[number]")',
        ),
        (["skip", "$top"], {"count": "integer"}, 'Offset(rows="data", limit=100, param="skip", limit_param="$top")'),
    ],
)
def test_how_pages_continue(params: list[str], fields: dict[str, Any], envelope: str) -> None:
    rows = {"type": "array", "items": {"properties": {"id": {"type": "integer"}}}}

    def schema(field: Any) -> dict[str, Any]:
        if isinstance(field, str):
            return {"type": field}
        return {"type": "object", "properties": {name: schema(inner) for name, inner in field.items()}}

    properties = {"data": rows, **{name: schema(field) for name, field in fields.items()}}
    operation = {
        "parameters": [{"name": name} for name in params],
        "responses": {"200": {"content": {"application/json": {"schema": {"properties": properties}}}}},
    }
    assert f"envelope={envelope}," in openapi.draft({"paths": {"/things": {"get": operation}}}, "/things").listing


def document(path: str, schema: Any, method: str = "get", status: Any = "200", **more: Any) -> dict[str, Any]:
    """One with a single list."""
    answer = {"content": {"text/csv": {}, "application/json": {"schema": schema}}}
    return {"paths": {path: {method: {"responses": {status: answer}, **more}}}}


def rows(*names: str) -> dict[str, Any]:
    return {"type": "array", "items": {"properties": {name: {"type": "string"} for name in names}}}


def test_a_bare_list_in_pages() -> None:
    drafted = openapi.draft(document("/sites", rows("id"), parameters=[{"name": "page"}]), "/sites")
    assert "envelope=PageNumber(rows=None)," in drafted.listing


@pytest.mark.parametrize(
    ("path", "name", "parent"),
    [
        ("/repositories/{workspace}", "repositories", "workspaces"),
        ("/{scope}/roles", "roles", "scopes"),
        ("/boards/{board}/cards", "board_cards", "boards"),
        ("/databases/{database}/query", "database_query", "databases"),
        ("/users.list", "users", None),
        ("/transactions/get", "transactions", None),
    ],
)
def test_a_table_and_its_parent_are_called_as_in_the_path(path: str, name: str, parent: str | None) -> None:
    drafted = openapi.draft(document(path, rows("id", "name")), path)
    assert drafted.table.name == name
    assert ("per=" in drafted.listing) is (parent is not None)
    assert parent is None or f"PerRow(tables.{parent}, " in drafted.listing


def test_a_placeholder_that_is_called_like_a_field_gets_another_name() -> None:
    drafted = openapi.draft(document("/boards/{id}/cards", rows("id", "name")), "/boards/{id}/cards")
    assert drafted.table.key == ("board_id", "id")
    assert '"/boards/{board_id}/cards"' in drafted.listing
    assert 'PerRow(tables.boards, {"board_id": "id"})' in drafted.listing


@pytest.mark.parametrize(
    ("fields", "key", "is_a_guess"),
    [
        (("name", "gid"), "gid", False),
        (("name", "ContactID"), "contact_id", False),
        (("name", "owner_id"), "name", True),
        (("size", "kind"), "size", True),
    ],
)
def test_a_key_that_is_a_guess_is_called_one(fields: tuple[str, ...], key: str, is_a_guess: bool) -> None:
    drafted = openapi.draft(document("/contacts", rows(*fields)), "/contacts")
    assert drafted.table.key == (key,)
    assert (f"what identifies a row; {key} is a guess" in drafted.listing) is is_a_guess


def test_the_rows_may_stand_deeper_beside_other_lists() -> None:
    schema = {"properties": {"order": rows("by"), "payload": {"properties": {"cards": rows("id", "name", "size")}}}}
    drafted = openapi.draft(document("/cards", schema), "/cards")
    assert 'envelope=Envelope(rows="payload.cards")' in drafted.listing
    assert "does not say how pages continue" in drafted.listing


def test_a_list_that_is_asked_for_with_a_body() -> None:
    asked = {"content": {"application/json": {"schema": {"properties": {"start_cursor": {"type": "string"}}}}}}
    schema = {"properties": {"results": rows("id"), "next_cursor": {"type": "string"}}}
    drafted = openapi.draft(document("/search", schema, "post", requestBody=asked), "/search")
    assert 'CursorIn(rows="results", at="next_cursor", param="start_cursor")' in drafted.listing
    assert "body={}," in drafted.listing


@pytest.mark.parametrize("status", [200, "2XX", "201", "default"])
def test_the_response_of_any_success(status: Any) -> None:
    assert openapi.draft(document("/cards", rows("id"), status=status), "/cards").table.key == ("id",)


def test_references_into_any_part_of_the_document() -> None:
    whole = document("/cards", rows("id"))
    place = "#/paths/~1cards/get/responses/200/content/application~1json/schema"
    for path, reference in (
        ("/a", place),
        ("/b", f"{place}/items/properties/id"),
        ("/c", place.replace("~1c", "%2Fc")),
    ):
        schema = {"properties": {"data": {"type": "array", "items": {"properties": {"id": {"$ref": reference}}}}}}
        whole["paths"][path] = document(path, schema)["paths"][path]
        whole["paths"][f"{path}/list"] = document(path, {"$ref": reference})["paths"][path]
    assert columns(openapi.draft(whole, "/b").table)["id"][0] == "text"
    assert openapi.draft(whole, "/a/list").table.key == ("id",)
    whole["paths"]["/d"] = document("/d", {"$ref": "#/components/schemas/Card"})["paths"]["/d"]
    with pytest.raises(SettingError, match="refers to #/components/schemas/Card, which it does not have"):
        openapi.draft(whole, "/d")


def test_an_example_stands_in_for_a_schema() -> None:
    whole = document("/cards", {})
    seen = {"cards": [{"id": 1, "at": None}, {"id": 2, "at": "2026-01-02T03:04:05Z", "who": {"id": 5, "name": "x"}}]}
    media = whole["paths"]["/cards"]["get"]["responses"]["200"]["content"]["application/json"]
    media["examples"] = {"cut": {"value": '{"cards": ['}, "whole": {"value": seen}}
    held = columns(openapi.draft(whole, "/cards").table)
    assert {name: type_ for name, (type_, _, _) in held.items()} == {
        "id": "bigint",
        "at": "timestamp",
        "who_id": "bigint",
        "deleted_at": "timestamp",
    }


def test_a_response_that_is_not_described_is_said_to_be() -> None:
    with pytest.raises(SettingError, match="the response of GET /cards is not described in the document"):
        openapi.draft(document("/cards", {}), "/cards")


def test_a_dot_in_a_name_is_written_as_paths_have_it() -> None:
    table = openapi.draft(document("/cards", rows("id", "@odata.etag")), "/cards").table
    assert columns(table)["odata_etag"] == ("text", r"@odata\.etag", "payload")


def test_swagger_2_has_its_schema_in_the_response() -> None:
    rows = {"type": "array", "items": {"$ref": "#/definitions/Thing"}}
    thing = {"type": "object", "properties": {"id": {"type": "integer"}}}
    document = {
        "paths": {"/things": {"get": {"responses": {"200": {"schema": rows}}}}},
        "definitions": {"Thing": thing},
    }
    assert openapi.draft(document, "/things").table.key == ("id",)


@pytest.mark.parametrize(("document", "path"), [(TICKETS, "/v2/tickets"), (USERS, "/users.json")])
def test_what_is_printed_makes_the_same_table(document: dict[str, Any], path: str) -> None:
    table = openapi.draft(document, path).table
    names = dict(vars(tables))
    exec(openapi.source_of(table), names)  # noqa: S102
    assert names[table.name] == table


def test_what_a_declaration_need_not_say_is_not_printed() -> None:
    printed = str(openapi.draft(TICKETS, "/v2/tickets"))
    assert "    key=" not in printed
    assert "        DELETED_AT,\n    )," in printed
    assert "    key=('ticket_id', 'id')," in str(openapi.draft(TICKETS, "/v2/tickets/{ticket_id}/comments"))


def test_a_draft_agrees_with_its_document() -> None:
    """As `make contract` would judge it: no field is left out, and no type is too narrow."""
    row = USERS["paths"]["/users.json"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    schema = openapi._plain(row["properties"]["users"]["items"])
    assert not [*differences(openapi.draft(USERS, "/users.json").table, schema)]


@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        (json.dumps(TICKETS), "/tickets", "the document has no GET /tickets; it has /v2/tickets"),
        (json.dumps({"paths": {}}), "/tickets", "it has nothing like it"),
        ("{", "/tickets", "is neither JSON nor YAML"),
        ("a: 1", "/tickets", "is not an OpenAPI document: it has no `paths`"),
    ],
)
def test_bad_input_is_one_line(
    text: str, path: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "openapi.yaml").write_text(text)
    assert openapi.main([str(tmp_path / "openapi.yaml"), path]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_response_without_a_list_is_refused() -> None:
    schema: dict[str, Any] = {"properties": {"id": {}}}
    operation = {"responses": {"200": {"content": {"application/json": {"schema": schema}}}}}
    with pytest.raises(SettingError, match="has no list of objects, only the fields id"):
        openapi.draft({"paths": {"/me": {"get": operation}}}, "/me")
