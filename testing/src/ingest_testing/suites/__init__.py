"""The suites that a location adds with one line each, or all at once with :class:`StandardTests`."""

from ingest_testing.suites.bad_input import BadInput
from ingest_testing.suites.crashes import Crashes
from ingest_testing.suites.definitions import Assets, Definitions
from ingest_testing.suites.files import FileCrashes, FileMirrors, FileSettings
from ingest_testing.suites.jobs import Jobs, Reports
from ingest_testing.suites.losses import Losses
from ingest_testing.suites.mirrors import Mirrors
from ingest_testing.suites.pace import Pace


class StandardTests(Definitions, Assets, Jobs, Reports, Mirrors, BadInput, Crashes, Losses, Pace):
    """The tests of a location that mirrors an API."""


class FileTests(Definitions, Assets, Jobs, Reports, FileMirrors, FileCrashes, Losses, FileSettings):
    """The tests of a location that mirrors files."""


__all__ = [
    "Assets",
    "BadInput",
    "Crashes",
    "Definitions",
    "FileTests",
    "Jobs",
    "Losses",
    "Mirrors",
    "Pace",
    "Reports",
    "StandardTests",
]
