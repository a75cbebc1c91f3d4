"""What the tests must know of a location."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from dlt.extract.source import DltSource

from ingest_shared.tables import Table
from ingest_testing.mirror import Mirror
from ingest_testing.sandbox import Json, Origin

OriginT = TypeVar("OriginT", bound=Origin)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A table whose list is plain, for what goes wrong on the way to any table."""

    table: str
    group: str
    path: str
    """What the address of its list has in it, as a regular expression."""
    number: str
    """A column of it with a whole number from each of its rows, at the top of them."""
    changes: Sequence[str]
    """The kinds of change that make a row of it, and of other tables of the group; none in a list per row of it."""
    etags: bool = True
    """Whether no row is sent again while nothing changes, as with ETags. Without them, each sync reads again what its
    walk says: the rows of the last ``lag`` seconds before the newest one, or the whole list."""


@dataclass(frozen=True, kw_only=True)
class Location(Generic[OriginT]):
    """A location, its settings for the sandbox, and what the standard suites try on it."""

    name: str
    origin: type[OriginT]
    mirror: type[Mirror] = Mirror
    """How its rows follow from what the origin holds."""
    groups: Mapping[str, Callable[[bool], DltSource]]
    """The dlt source of each group; its argument is whether to audit."""
    tables: Mapping[str, Table]
    other_assets: Sequence[str] = ()
    """Assets that are no table of these."""

    address: str
    """The setting with the API's address, such as ``sources.github.api_url``."""
    credential: str
    """The setting with the credential."""
    key: str
    """The credential that the sandbox takes."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Further ones, as environment variables."""
    numbers: Sequence[str]
    """The settings that are numbers; the first one is the pace, in calls a second."""

    size: float
    """Of the worlds of most tests."""
    options: Sequence[str] = ()
    """Of the sandbox."""

    sample: Sample
    refused: str
    """What the API says to a credential that it does not know."""
    asked_first: str
    """What the address of the very first request has in it, as a regular expression."""
    lists: Sequence[str]
    """What the addresses of all lists have in them, as regular expressions, for faults to strike."""
    faults: Sequence[Json] = ()
    """What else may go wrong with a request, and is right when it is sent once more."""
    untold: Sequence[str] = ()
    """Kinds of change of which the API gives rows no new time, so that only an audit sees them."""
    rare: Sequence[str] = ()
    """Kinds of change that do not come by chance: an audit may have to find what they did."""
    kept: Sequence[str] = ()
    """Tables in which rows stay that the API shows no more, so that no audit can tell of one that is too much."""
    seen_first: bool = False
    """Whether the origin may hide what changed before the first load."""

    def job_of(self, group: str) -> str:
        """The job that loads a group, without the location's name."""
        return f"{group}_ingest" if len(self.groups) > 1 else "ingest"

    @property
    def module(self) -> str:
        return f"{self.name}_location"

    def tables_of(self, group: str) -> list[str]:
        """The names of the tables that a group loads."""
        return list(self.groups[group](False).resources)

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


def variable(setting: str) -> str:
    """The environment variable of a setting of dlt's: ``SOURCES__GITHUB__API_URL``."""
    return setting.upper().replace(".", "__")


AnyLocation = Location[Any]
