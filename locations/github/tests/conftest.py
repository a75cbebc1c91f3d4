"""What the location's tests share, in addition to the fixtures of :mod:`ingest_testing.plugin`."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from github_location import source
from ingest_testing import Location

from .origin import GITHUB, Origin

pytest_plugins = "ingest_testing.plugin"


@pytest.fixture(scope="session")
def location() -> Location[Origin]:
    return GITHUB


@pytest.fixture
def per_page(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes the pages of all lists so short, that a small world has many."""

    def shorten(rows: int) -> None:
        for group in ("ACTIVITY", "ACTIONS", "PEOPLE", "CATALOG"):
            short = [replace(list_, params={**list_.params, "per_page": rows}) for list_ in getattr(source, group)]
            monkeypatch.setattr(source, group, short)

    return shorten
