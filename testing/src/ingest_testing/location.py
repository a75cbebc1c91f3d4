"""What the tests need to know about a location."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Generic, TypeVar

from dlt.extract.source import DltSource

from ingest_shared.tables import Table
from ingest_testing.mirror import Mirror
from ingest_testing.sandbox import Json, Origin

OriginT = TypeVar("OriginT", bound=Origin)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A table with a simple list, for tests of errors that can occur with any table."""

    table: str
    group: str
    path: str = ""
    """A regular expression that matches the address of its list."""
    number: str
    """A column of numbers or texts that is a top-level field of every row, but not the key: it gets wrong values."""
    changes: Sequence[str] = ()
    """Kinds of change that create a row in it and in other tables of the group, but not in a list per row of it."""
    etags: bool = True
    """Whether unchanged rows are not sent again, as with ETags. Without them, each sync reads again what its walk
    requires: the rows of the last ``lag`` seconds before the newest one, or the whole list."""


@dataclass(frozen=True, kw_only=True)
class Location(Generic[OriginT]):
    """A location, its settings for the sandbox, and what the standard suites try with it."""

    name: str
    origin: type[OriginT]
    mirror: type[Mirror] = Mirror
    """How its rows follow from the origin's objects."""
    groups: Mapping[str, Callable[[bool], DltSource]]
    """The dlt source of each group; its argument is whether to audit."""
    tables: Mapping[str, Table]
    other_assets: Sequence[str] = ()
    """Assets besides these tables."""

    address: str
    """The setting with the API's address, such as ``sources.github.api_url``."""
    credential: str
    """The setting with the credential."""
    key: str
    """The credential that the sandbox accepts."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """More settings, as environment variables."""
    numbers: Sequence[str]
    """The settings that are numbers; the first one is the pace, in calls a second."""

    size: float
    """The size of most tests' worlds: large enough for a hundred rows, since a test spoils that many."""
    options: Sequence[str] = ()
    """Options of the sandbox."""

    sample: Sample
    refused: str
    """The API's error message for an unknown credential."""
    unauthorized: int = 401
    """The status of that response; 200 for an API that puts all errors into the body."""
    asked_first: str
    """A regular expression that matches the address of the very first request."""
    lists: Sequence[str]
    """Regular expressions that match the addresses of all lists, for faults to strike."""
    faults: Sequence[Json] = ()
    """More faults that a retry of the request overcomes."""
    untold: Sequence[str] = ()
    """Kinds of change after which rows keep their time of change, so that only an audit sees them."""
    rare: Sequence[str] = ()
    """Kinds of change that random changes leave out: an audit may have to find their effects."""
    kept: Sequence[str] = ()
    """Tables that keep rows the API no longer shows, so that no audit can find a surplus row."""
    seen_first: bool = False
    """Whether the origin may hide changes from before the first load."""

    def job_of(self, group: str) -> str:
        """The job that loads a group, without the location's name."""
        return f"{group}_ingest" if len(self.groups) > 1 else "ingest"

    @property
    def module(self) -> str:
        return f"{self.name}_location"

    def tables_of(self, group: str) -> list[str]:
        """The names of the tables that a group loads."""
        return list(self.groups[group](False).resources)

    def lists_per_row_of(self, table: str) -> set[str]:
        """The names of the tables whose lists are read per row of this one."""
        listings = getattr(import_module(f"{self.module}.source"), "LISTINGS", ())
        parents = {one.table.name: getattr(one.per, "parent", None) for one in listings}
        return {name for name, parent in parents.items() if parent and parent.name == table}

    def group_of(self, table: str) -> str:
        return next(group for group in self.groups if table in self.tables_of(group))

    def settings_for(self, url: str) -> dict[str, str]:
        """The environment in which the location reads a sandbox, as fast as it can."""
        return {
            variable(self.address): f"{url}/{self.origin.api}",
            variable(self.credential): self.key,
            **{variable(number): "1000" for number in self.numbers if "calls_per_second" in number},
            **self.settings,
        }


@dataclass(frozen=True, kw_only=True)
class PlainLocation(Location[OriginT]):
    """A location whose origin is a folder or a database instead of an API: its address is the only setting."""

    credential: str = ""
    key: str = ""
    numbers: Sequence[str] = ()
    size: float = 1.0
    refused: str = ""
    asked_first: str = ""
    lists: Sequence[str] = ()

    def settings_for(self, url: str) -> dict[str, str]:
        return {variable(self.address): url, **self.settings}


def variable(setting: str) -> str:
    """The environment variable of a dlt setting: ``SOURCES__GITHUB__API_URL``."""
    return setting.upper().replace(".", "__")


AnyLocation = Location[Any]
