"""How much a GraphQL query may ask for. It is judged before it runs, by its text alone.

The UI's own queries are far within these bounds; `host/tests/access/test_bounds.py` has each of them judged. How long
the lists are that a query asks for, nobody knows before it runs.
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
"""Fields and fragments, each as often as it is used. The UI's largest query has 897."""
ALIASES = 20
"""With an alias, a query asks for the same field once more. The UI's have up to 4."""
DEPTH = 20
"""Fields inside each other. The UI's have up to 11, the query by which tools read the schema 15."""
TYPE_OF_A_TYPE = "ofType"
"""Tools that read the schema ask for this field inside itself: it leads to one thing, and never to a list."""


class Bounded(ValidationRule):
    """Refuses a query that asks for far more than any page does: https://spec.graphql.org/October2021/#sec-Validation"""

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
        """What the operation has too much of; fragments count wherever they are used, also within themselves."""
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
