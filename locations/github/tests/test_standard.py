"""What holds for every location holds for this one."""

from collections.abc import Callable
from typing import Any

import pytest

from ingest_testing import StandardTests
from ingest_testing.sandbox import TINY

from .origin import GITHUB, WITH_ALL, Warehouse


class TestStandard(StandardTests):
    location = GITHUB

    @pytest.fixture(scope="class")
    @classmethod
    def tiny_load(cls, run_origin: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
        """Histories are of the tables on request too."""
        with run_origin(TINY) as origin:
            warehouse = Warehouse(WITH_ALL, origin, tmp_path_factory.mktemp("tiny"))
            warehouse.sync()
        return warehouse
