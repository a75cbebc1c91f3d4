"""What a query may request: all that the UI does, and nothing that keeps the webserver busy for minutes."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import dagster_webserver
import pytest
from dagster_graphql.schema import create_schema
from graphql import (
    DefinitionNode,
    DocumentNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    OperationDefinitionNode,
    Visitor,
    get_introspection_query,
    parse,
    validate,
    visit,
)

from ingest_host.access.bounds import ALIASES, DEPTH, SELECTIONS, Bounded

SCHEMA = create_schema().graphql_schema
BUILD = Path(dagster_webserver.__file__).parent / "webapp" / "build"
DEFINITION = re.compile(
    r"""(?P<quote>['"])(?:\\n|\s)*(?:query|mutation|subscription|fragment)\s\w+(?!\w*(?P=quote))(?:(?!(?P=quote))[^\\]|\\.)*(?P=quote)"""
)
"""A string in the UI's JavaScript that is a part of a GraphQL document."""


def judged(query: str | DocumentNode) -> list[str]:
    document = parse(query) if isinstance(query, str) else query
    return [
        error.message.removeprefix("this query asks for too much at once: ")
        for error in validate(SCHEMA, document, [Bounded])
    ]


def definitions() -> Iterator[DefinitionNode]:
    for file in sorted(BUILD.rglob("*.js")):
        for found in DEFINITION.finditer(file.read_text()):
            yield from parse(ast.literal_eval(found[0]), no_location=True).definitions


class Spreads(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_fragment_spread(self, node: FragmentSpreadNode, *_: object) -> None:
        self.names.add(node.name.value)


def queries_of_the_ui() -> Iterator[tuple[str, DocumentNode]]:
    """Returns the queries of the UI, each with the fragments that it uses."""
    found = list(definitions())
    fragments = {one.name.value: one for one in found if isinstance(one, FragmentDefinitionNode)}
    for operation in found:
        if isinstance(operation, OperationDefinitionNode):
            assert operation.name
            used: dict[str, DefinitionNode] = {}
            todo: list[DefinitionNode] = [operation]
            while todo:
                visit(todo.pop(), spreads := Spreads())
                new = {name: fragments[name] for name in spreads.names - used.keys()}
                used |= new
                todo += new.values()
            yield operation.name.value, DocumentNode(definitions=(operation, *used.values()))


def test_every_query_of_the_ui_is_within_bounds() -> None:
    queries = dict(queries_of_the_ui())
    assert len(queries) > 150, "the UI writes its queries otherwise: see DEFINITION"
    assert {name: told for name, query in queries.items() if (told := judged(query))} == {}


def test_tools_can_read_the_schema() -> None:
    assert judged(get_introspection_query()) == []


TYPES = "__schema { types { name fields { name type { name } } } }"
DOUBLED = " ".join(f"fragment F{one} on Query {{ ...F{one + 1} ...F{one + 1} }}" for one in range(60))
RUN = "... on Run { id b: id c: id d: id }"
EXCESSES = {
    "the same, many times": (" ".join(f"a{one}: {TYPES}" for one in range(824)), f"{ALIASES} aliases"),
    "each of a few, a few times": (
        " ".join(f"a{one}: runOrError(runId: 1) {{ {RUN} }}" for one in range(9)),
        f"{ALIASES} aliases",
    ),
    "fragments that double": (
        f"...F0 }} {DOUBLED} fragment F60 on Query {{ version",
        f"{SELECTIONS} fields and fragments",
    ),
    "a fragment in itself": ("...A } fragment A on Query { ...A", f"{SELECTIONS} fields and fragments"),
    "the same field, without an alias": ("version " * 4_000, f"{SELECTIONS} fields and fragments"),
    "there and back again": (
        "repositoriesOrError { ... on RepositoryConnection { nodes { jobs { repository { jobs { name } } } } } }",
        "jobs of Repository inside itself",
    ),
    "there and back again, by a fragment": (
        "assetNodes { ...A } } fragment A on AssetNode { dependencies { asset { ...B } } }"
        " fragment B on AssetNode { dependencies { asset { id } }",
        "dependencies of AssetNode inside itself",
    ),
    "deeper than any page": (f"__schema {{ types {{ {'ofType { ' * 20} name {'} ' * 20} }} }}", f"{DEPTH} levels"),
}


@pytest.mark.parametrize(("query", "told"), EXCESSES.values(), ids=EXCESSES)
def test_a_query_that_asks_for_too_much_is_refused(query: str, told: str) -> None:
    (said,) = judged(f"{{ {query} }}")
    assert told in said


def test_each_operation_of_a_text_is_judged() -> None:
    query, told = EXCESSES["the same, many times"]
    assert told in judged(f"query A {{ version }} query B {{ {query} }}")[0]


def test_what_the_schema_does_not_know_is_left_to_the_other_rules() -> None:
    assert judged("{ nothing { like { this } } ...Nowhere }") == []
