"""The YAML component: names in it that stand for nothing."""

import pytest
from dagster import ResolutionContext
from dagster.components.resolved.errors import ResolutionException

from ingest_shared.component import Load


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("ingest_shared.groups.ITEMS", "module 'ingest_shared.groups' has no attribute 'ITEMS'"),
        ("zendesk_location.source.items", "No module named 'zendesk_location'"),
        ("items of zendesk", "invalid format: 'items of zendesk'"),
    ],
)
def test_a_name_that_stands_for_nothing_is_told_in_a_line(path: str, why: str) -> None:
    found = "ingest_shared.tables.Table"
    named = Load.model()(group=path, source=found, tables=found)
    with pytest.raises(ResolutionException) as caught:
        Load.resolve_from_model(ResolutionContext.default(), named)
    *_, line = str(caught.value).strip().splitlines()
    assert line.endswith(f"defs.yaml names {path!r}, which cannot be found ({why})")
