"""GitHub's own description judges the tables, and the sandbox that plays GitHub."""

import json

import pytest

from ingest_shared.tables import Table

from .origin import Origin
from .vendor import CONTRACT, JUDGED, PUBLISHED

each_table = pytest.mark.parametrize("table", JUDGED, ids=lambda table: table.name)


@pytest.fixture(scope="module")
def sandbox(shared_origin: Origin) -> Origin:
    """A world in which much has happened."""
    shared_origin.change_at_random(seed=1, count=200)
    return shared_origin


@each_table
def test_a_table_holds_or_names_all_that_github_publishes(table: Table) -> None:
    assert CONTRACT.broken(table) == []


def test_nothing_is_accepted_that_does_not_differ() -> None:
    assert CONTRACT.not_met(JUDGED) == set()


@each_table
def test_the_sandbox_sends_what_github_would(table: Table, sandbox: Origin) -> None:
    for held in sandbox.objects(table.name):
        for model in PUBLISHED[table.name]:
            model.model_validate_json(json.dumps(held["object"]), strict=True)
