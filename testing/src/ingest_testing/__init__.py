"""What the tests of every code location share.

    from ingest_testing import StandardTests

    class TestStandard(StandardTests):
        location = GITHUB

gets a location every standard suite: its definitions, its jobs, its mirror, bad input, crashes,
faults, planted losses and pace. :mod:`ingest_testing.plugin` has the fixtures.
"""

import pytest

# Before they are imported, so that a failed assertion in them says what the values were.
pytest.register_assert_rewrite("ingest_testing.mirror", "ingest_testing.planted", "ingest_testing.suites")

from ingest_testing.fake import Answer, Asked, FakeOrigin, Refused  # noqa: E402
from ingest_testing.folders import FileLocation, FolderOrigin  # noqa: E402
from ingest_testing.location import Location, Sample  # noqa: E402
from ingest_testing.mirror import Held, Mirror, assert_mirrors  # noqa: E402
from ingest_testing.runs import Run, run_job  # noqa: E402
from ingest_testing.sandbox import Json, Origin  # noqa: E402
from ingest_testing.suites import StandardTests  # noqa: E402
from ingest_testing.warehouse import Warehouse  # noqa: E402

__all__ = [
    "Answer",
    "Asked",
    "FakeOrigin",
    "FileLocation",
    "FolderOrigin",
    "Held",
    "Json",
    "Location",
    "Mirror",
    "Origin",
    "Refused",
    "Run",
    "Sample",
    "StandardTests",
    "Warehouse",
    "assert_mirrors",
    "run_job",
]
