"""What the lists of one run share."""

import pickle
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ingest_shared.errors import IngestError, QuotaSpent
from ingest_shared.keys import Keys
from ingest_shared.loading import Load
from ingest_shared.reading.api import Api
from ingest_shared.reading.crawl import Arrived
from ingest_shared.reading.listings import WHOLE, Listing, Scope
from ingest_shared.reading.turns import Turns
from ingest_shared.shards import WHOLE_SOURCE, Shard

if TYPE_CHECKING:
    from ingest_shared.reading.reader import Reader


class Sync:
    """What the resources of one run share: the API, its clock, and the scopes.

    A location subclasses it if its lists have parts, or if its API must be queried first.
    """

    part = ""
    """The value of a list per row that names its part of the source, if not every run reads all parts."""

    def __init__(self, connect: Any, audit: bool = False, *, anew: bool = False, shard: Shard = WHOLE_SOURCE) -> None:
        self._connect = connect
        self.audit = audit
        self.shard = shard
        """The part of the scopes that the run reads."""
        self.anew = anew
        """Whether only some scopes are reloaded, each from its beginning; cursors of the others stay."""
        self.api: Api
        self.now = 0
        """The API's time when the sync began; later changes belong to the next sync."""
        self.loaded: dict[str, list[bytes]] = {}
        """The pages that this run has read of tables with lists per row: see :meth:`rows_loaded`."""
        self.needed: defaultdict[str, set[str]] = defaultdict(set)
        """The names of these columns, by table."""
        self.readers: dict[str, Reader] = {}
        """The readers of all lists of the source, by table."""
        self.gone_keys: dict[str, set[Any]] = {}
        """The keys of such tables that this run has found to be gone."""
        self.left_out_parts: defaultdict[str, set[Any]] = defaultdict(set)
        """The parts that this run could not read of a table."""
        self.refused_parts: defaultdict[str, set[Any]] = defaultdict(set)
        """The parts of a table of which this run may read no list."""
        self.done: defaultdict[str, Keys] = defaultdict(Keys)
        """The scopes of each table that this run has read, if it loads in several parts."""
        self.failed: defaultdict[str, set[str]] = defaultdict(set)
        """Those of them that its latest part could not read completely."""
        self.turns = Turns()
        self.arrived = Arrived()
        """Counts the pages of all tables that wait to be taken."""

    def rows_loaded(self, table: str) -> Iterator[dict[str, Any]]:
        """The rows that this run has read of a table with lists per row, with the columns that those lists need; of a
        row that it has read twice, the latest version comes first.

        Until then they are pickled: as objects, they would take six times the memory, of which there may be millions.
        """
        for page in reversed(self.loaded.get(table, ())):
            yield from reversed(pickle.loads(page))  # noqa: S301, this process pickled it

    def is_done(self, table: str, scope: Scope) -> bool:
        """Whether an earlier part of this run has read the scope completely."""
        return scope.id in self.done[table] and scope.id not in self.failed[table]

    def in_flight(self) -> int:
        """How many requests may be in flight for each list that is being read."""
        return max(1, self.api.in_flight // max(1, len(self.turns.reading)))

    @property
    def reads_all(self) -> bool:
        """Whether every list is read from its beginning, so that missing rows are gone."""
        return self.audit or self.anew

    def begin(self, load: Load) -> None:
        """Connects, once; raises SettingError for a missing or refused credential."""
        if not hasattr(self, "api"):
            self.api = self._connect()

    def scopes(self, listing: Listing, load: Load) -> Iterable[Scope]:
        """The scopes of a list to read now."""
        if listing.per is not None:
            found: Iterable[Scope] = listing.per.scopes(self, load)
            return found
        return (WHOLE,)

    @property
    def parts(self) -> Collection[Any]:
        """The values of ``part`` that this run reads."""
        return ("",)

    def part_of(self, values: Mapping[str, Any]) -> Any:
        """The part that a list per row belongs to, by the values of its row."""
        return values.get(self.part, "")

    def reads(self, values: Mapping[str, Any]) -> bool:
        """Whether this run reads such a list: the warehouse may also have rows of other parts."""
        return self.part_of(values) in self.parts

    def sees(self, scope: Scope, load: Load) -> bool:
        """Whether the part of a list per row can still be read, so that a row that is not found there is gone."""
        return True

    def gone(self, listing: Listing, load: Load) -> Iterable[Scope]:
        """The scopes that no longer exist; all their rows are gone, and so are their cursors."""
        found: Iterable[Scope] = listing.per.gone(self, listing.table) if hasattr(listing.per, "gone") else ()
        return found

    def why(self, error: IngestError) -> str:
        """Why a scope was left out, for people to read: of a refusal its status, its path and what the API said."""
        return error.reason if isinstance(error, QuotaSpent) else str(error)
