"""The suites that a location adds with one line each, or all at once with :class:`StandardTests`."""

from ingest_testing.suites.bad_input import BadInput
from ingest_testing.suites.crashes import Crashes
from ingest_testing.suites.definitions import Assets, Definitions
from ingest_testing.suites.jobs import Jobs, Reports
from ingest_testing.suites.losses import Losses
from ingest_testing.suites.mirrors import Mirrors
from ingest_testing.suites.pace import Pace


class ComponentTests(Definitions, Jobs, Mirrors, Crashes, Losses, Pace):
    """The tests of a location whose assets are a YAML component, which shows less and retries as dlt does."""


class StandardTests(ComponentTests, Assets, Reports, BadInput):
    """The tests of every location."""


__all__ = [
    "Assets",
    "BadInput",
    "ComponentTests",
    "Crashes",
    "Definitions",
    "Jobs",
    "Losses",
    "Mirrors",
    "Pace",
    "Reports",
    "StandardTests",
]
