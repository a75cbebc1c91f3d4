"""What holds for every location holds for this one."""

from ingest_testing import StandardTests

from .origin import GITHUB


class TestStandard(StandardTests):
    location = GITHUB
