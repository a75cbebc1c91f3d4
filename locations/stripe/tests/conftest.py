"""What the location's tests share, in addition to the fixtures of :mod:`ingest_testing.plugin`."""

import pytest

from ingest_testing import Location

from .origin import STRIPE, Origin

pytest_plugins = "ingest_testing.plugin"


@pytest.fixture(scope="session")
def location() -> Location[Origin]:
    return STRIPE
