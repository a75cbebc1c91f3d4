"""What the suites have in common."""

from typing import Any, ClassVar

import pytest

from ingest_testing.location import AnyLocation
from ingest_testing.runs import Run, run_job
from ingest_testing.warehouse import Warehouse


class Suite:
    """Tests of a location. A parameter ``table`` is each of its tables, ``any_table`` each child table too."""

    location: ClassVar[AnyLocation]

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        roots = list(self.location.tables.values())
        values = {
            "table": roots,
            "any_table": [table for root in roots for table in root.with_children],
            "number": list(self.location.numbers),
            "job": ["ingest", "audit", *map(self.location.job_of, self.location.groups)],
        }
        for name in values.keys() & set(metafunc.fixturenames):
            found = {getattr(value, "name", value): value for value in values[name]}  # type: ignore[attr-defined]
            metafunc.parametrize(name, found.values(), ids=found.keys())

    def run_sample(self, warehouse: Warehouse[Any], **settings: str) -> Run:
        """A run that loads the sample table alone."""
        sample = self.location.sample
        return run_job(warehouse, self.location.job_of(sample.group), sample.table, **settings)
