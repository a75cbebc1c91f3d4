"""Limits on what a GraphQL query may request, checked on its text alone before it runs.

The UI's own queries are far within these limits; `host/tests/access/test_bounds.py` checks each of them. The length of
the lists that a query requests is not known before it runs.
"""

from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    ValidationContext,
    ValidationRule,
)

SELECTIONS = 3_000
"""Fields and fragments, each counted as often as it is used. The UI's largest query has 897."""
ALIASES = 20
"""With an alias, a query requests the same field once more. The UI's queries have up to 4."""
DEPTH = 20
"""Levels of nested fields. The UI's queries have up to 11, the introspection query of GraphQL tools has 15."""
TYPE_OF_A_TYPE = "ofType"
"""Introspection queries nest this field inside itself: it leads to a single type, never to a list."""


class Bounded(ValidationRule):
    """Refuses a query that requests far more than any page: https://spec.graphql.org/October2021/#sec-Validation"""

    context: ValidationContext

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        self._types: dict[int, str] = {}

    def enter_selection_set(self, node: SelectionSetNode, *_: Any) -> None:
        kind = self.context.get_parent_type()
        self._types[id(node)] = kind.name if kind else ""

    def leave_document(self, node: DocumentNode, *_: Any) -> None:
        for operation in node.definitions:
            if isinstance(operation, OperationDefinitionNode) and (excess := self._excess(operation)):
                self.report_error(GraphQLError(f"this query asks for too much at once: {excess}", operation))

    def _excess(self, operation: OperationDefinitionNode) -> str | None:
        """Returns which limit the operation exceeds; fragments count wherever they are used, even in themselves."""
        selections = aliases = 0
        todo: list[tuple[SelectionSetNode, tuple[tuple[str, str], ...]]] = [(operation.selection_set, ())]
        while todo:
            selected, above = todo.pop()
            for one in selected.selections:
                path = above
                if isinstance(one, FieldNode):
                    path = (*above, (self._types[id(selected)], one.name.value))
                    aliases += one.alias is not None
                    if path[-1] in above and one.name.value != TYPE_OF_A_TYPE:
                        return f"{one.name.value} of {path[-1][0]} inside itself"
                selections += 1
                if selections > SELECTIONS:
                    return f"more than {SELECTIONS} fields and fragments"
                if aliases > ALIASES:
                    return f"more than {ALIASES} aliases"
                if len(path) > DEPTH:
                    return f"more than {DEPTH} levels"
                if inner := self._inner(one):
                    todo.append((inner, path))
        return None

    def _inner(self, one: SelectionNode) -> SelectionSetNode | None:
        if isinstance(one, FragmentSpreadNode):
            fragment = self.context.get_fragment(one.name.value)
            return fragment.selection_set if fragment else None
        assert isinstance(one, FieldNode | InlineFragmentNode)
        return one.selection_set
