"""One import has what a source declares with."""

import re
from pathlib import Path

from ingest_shared import rest, tables

PAGE = Path(__file__).parents[2] / "docs" / "lists.md"


def test_it_has_every_class_that_the_page_about_lists_names() -> None:
    named = set(re.findall(r"\b([A-Z][A-Za-z]+)\(", PAGE.read_text()))
    assert len(named) > 15
    assert {name for name in named if not hasattr(rest, name) and not hasattr(tables, name)} == set()
