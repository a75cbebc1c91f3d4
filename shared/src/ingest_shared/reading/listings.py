"""A list of an API as an object, declared next to its table.

A location says in one line where the list is, which scopes it has, how its pages continue and how its rows
change; :class:`~ingest_shared.reading.reader.Reader` reads all lists in the same way.

    Listing(tickets, "/tickets", walk=ChangedSince("updated_at", since=lambda at: {"updated_since": iso(at)}))
    Listing(labels, "/repositories/{repo_id}/labels", per=REPOSITORY, envelope=LinkHeader(), walk=FullList())
"""

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ingest_shared.columnar import Page, getter
from ingest_shared.errors import IngestError, PayloadError
from ingest_shared.reading.crawl import Task
from ingest_shared.reading.envelopes import Envelope, Request
from ingest_shared.reading.tombstones import DELETED_AT
from ingest_shared.reading.windows import FOREVER, Window
from ingest_shared.tables import Table

if TYPE_CHECKING:
    from ingest_shared.reading.reader import Reader

Cursor = dict[str, Any]
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_EPOCH = re.compile(r"-?\d{9,}(\.\d+)?")
"""A number of seconds or milliseconds since 1970. Fewer digits could be a day, ``20240131``."""


@dataclass(frozen=True, slots=True)
class Scope:
    """A part of a list that is read, fails and advances on its own: a repository, an account, a parent's row.

    ``id`` names its cursor, so it must never change; ``name`` is for people; ``values``
    fill the placeholders of the path, and the columns that the payload does not contain.
    """

    id: str
    name: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def keeps_cursor(self, walk: "Walk") -> bool:
        """Whether a cursor records how far the walk has read it."""
        return True

    def fill(self, value: Any, *, in_query: bool = False) -> Any:
        """A parameter or a part of a body, with the scope's value for each placeholder ``{name}``.

        A text that consists only of a placeholder becomes the value itself. Several keys become one text with commas in
        a query or a longer text, and a list in a body; an object within a list there is repeated for each key.
        """
        if isinstance(value, Mapping):
            return {name: self.fill(one) for name, one in value.items()}
        if isinstance(value, list):
            return [filled for one in value for filled in self._for_each_key(one)]
        if not isinstance(value, str):
            return value
        if (name := value[1:-1]) in self.values and value == f"{{{name}}}":
            own = self.values[name]
            return own if own is None or not in_query else _in_text(own)
        # Not by format(): a GraphQL query has braces of its own.
        return _PLACEHOLDER.sub(lambda found: _in_text(self.values.get(found[1], found[0])), value)

    def _for_each_key(self, value: Any) -> Iterator[Any]:
        for name, keys in self.values.items():
            if isinstance(keys, tuple) and isinstance(value, Mapping) and f"{{{name}}}" in value.values():
                yield from (replace(self, values={**self.values, name: key}).fill(value) for key in keys)
                return
        yield self.fill(value)

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers for each request, if a header says whose list is requested."""
        return {}

    @property
    def part(self) -> str:
        """The name under which an audit reports it."""
        return self.name

    @property
    def has_changed(self) -> bool | None:
        """Whether anything in it changed after the previous sync; None if unknown."""
        return None

    @property
    def noted(self) -> Mapping[str, Any]:
        """What its cursor records in addition to how far it was read."""
        return {}

    def is_unchanged(self, cursor: Cursor) -> bool:
        """Whether it is known without a call that nothing in it changed since its cursor moved."""
        return False


WHOLE = Scope("whole", "the whole list")
"""The scope of a list without parts."""


@dataclass(frozen=True)
class Listing:
    """One list of an API.

    ``path`` has a placeholder for each value of its scopes that it needs; so may parameters and body. ``per`` names
    the kind of scope, as :meth:`Sync.scopes` understands it; ``params`` go into the query. ``one`` is the path of a
    single row, with a placeholder for its key: a row that the list lacks is asked for there before it counts as gone.
    """

    table: Table
    path: str
    walk: "Walk"
    envelope: Envelope = field(default_factory=Envelope)
    per: Any = None
    params: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    one: str = ""

    @property
    def after(self) -> set[str]:
        """The tables of the same source that must be read before it."""
        parent = getattr(self.per, "parent", None)
        return {*self.walk.after, *([parent.name] if parent else [])}

    def __post_init__(self) -> None:
        names = {column.path for column in self.table.columns}
        for path in self.walk.needs:
            if path not in names:
                raise ValueError(f"table {self.table.name}: {type(self.walk).__name__} needs the column {path!r}")
        values = getattr(self.per, "values", None)
        own = values.keys() if isinstance(values, Mapping) and self.per.at_once == 1 else ()
        for column in self.table.columns:
            if column.name in own and column.origin == "payload":
                raise ValueError(
                    f'table {self.table.name}: `per` fills the column {column.name!r}; declare it with origin="reader"'
                )
        if getattr(self.per, "at_once", 1) > 1:
            for name in self.per.values.keys() - {column.name for column in self.table.columns}:
                raise ValueError(
                    f"table {self.table.name}: its rows are read for many rows of {self.per.parent.name} at once; "
                    f"declare a column {name!r}, which says for which one"
                )
        told = [column.name for column in self.table.columns if column.name in self.table.key]
        given = [column.name for column in self.table.columns if column.origin == "reader"]
        if len(own_key := [name for name in told if name not in given]) != 1:
            raise ValueError(
                f"table {self.table.name}: its key needs exactly one column of the rows, to find those that are gone, "
                f'but has {" and ".join(own_key) or "none"}: give the columns that its scope fills origin="reader"'
            )
        if DELETED_AT not in {column.name for column in self.table.columns}:
            raise ValueError(
                f"table {self.table.name}: add the column for rows that are gone, `DELETED_AT` of ingest_shared.tables"
            )


@dataclass(frozen=True)
class Piece(Task):
    """A part of a scope's list: a window that is still to be read, or the request for a page."""

    scope: Scope
    window: Window | None = None
    request: Request | None = None
    linked: "dict[Request, NumberedPage]" = field(default_factory=dict, compare=False, kw_only=True)
    """The pages of its window that led to the request."""

    def split(self, parts: int) -> Sequence["Piece"]:
        if self.request or not self.window:
            return [self]
        return [replace(self, window=window) for window in self.window.split(parts)]


@dataclass(frozen=True)
class NumberedPage:
    """The keys of a page in order, its ETag, and whether no page followed."""

    keys: list[Any]
    etag: str | None
    was_last: bool


@dataclass
class Step:
    """What one piece returned: rows to load, pieces still to read, and the scope's new cursor.

    Rows that are already Arrow have no child rows: those loaded before stay.
    ``newest`` moves the cursor's ``newest`` forward, never back. ``also_there`` are keys of rows that the
    origin has but that are left to the next sync.
    """

    pages: list[Page | pa.Table] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    cursor: Cursor = field(default_factory=dict)
    newest: int | None = None
    also_there: Iterable[Any] = ()
    numbered: "tuple[Request, NumberedPage] | None" = None
    """What is remembered about a page whose rows may move to another page."""
    gone: Mapping[Any, int] = field(default_factory=dict)
    """Keys that are known to be gone, with the time."""


@dataclass(slots=True)
class Progress:
    """How far a scope has been read; only the reader's own thread touches it."""

    cursor: Cursor
    there: set[Any] = field(default_factory=set)
    """The keys of the origin that were read so far."""
    numbered: dict[Request, NumberedPage] = field(default_factory=dict)
    moved: bool = False
    """Whether a numbered page changed its rows while the list was read."""
    stood_still: bool = False
    """Whether the walk has already read its pages a second time."""
    gone: dict[Any, int] = field(default_factory=dict)
    changed: Container[Any] = ()
    """Keys that appeared, changed or disappeared after the previous sync, if an audit can learn that from the API."""
    digest: int = 0
    """A digest of the rows read, regardless of order, if the walk reads all of them at every sync."""
    noted: dict[str, Any] = field(default_factory=dict)
    """What the walk keeps until the end of the reading."""
    lists_all: bool = False
    """Whether every row was listed."""
    begun: bool = False
    """Whether any of its pieces was requested."""
    left: list[Piece] = field(default_factory=list)
    """Pieces that this load did not begin to read."""
    error: IngestError | None = None


class Walk:
    """How the rows of a list change, and so how to read it without losing any."""

    needs: Sequence[str] = ()
    """Paths of the columns that the walk requires."""
    after: Sequence[str] = ()
    """Tables of the same source that must be read first, besides the parent of a list per row."""
    keeps_keys = False
    """Whether the walk needs to know which keys it has read."""
    tells_deletes = False
    """Whether a sync finds what is gone; otherwise only an audit does."""
    cost = ""
    """How many calls a load costs, in a sentence for docs/tables."""
    deletes = ""
    """How rows that are gone are found, for docs/tables, if it is neither by the full list nor by the audit."""

    def start(self, reader: "Reader", scope: Scope, cursor: Cursor) -> list[Piece]:
        """The first pieces; none if it is known without a call that nothing changed."""
        return [Piece(scope)]

    def fetch(self, reader: "Reader", piece: Piece, cursor: Cursor) -> Step:
        """Reads a piece; called in threads."""
        raise NotImplementedError

    def note(self, progress: Progress, step: Step) -> None:
        """Keeps what :meth:`finish` needs from a step; called in the reader's own thread."""

    def again(self, reader: "Reader", scope: Scope, progress: Progress) -> list[Piece]:
        """Pieces to read once more, after all pieces of the previous round."""
        return []

    def may_wait(self, piece: Piece, cursor: Cursor) -> bool:
        """Whether a piece of a scope may be left to a later load, in this run or another."""
        return False

    def leave(self, reader: "Reader", progress: Progress) -> Cursor:
        """What the cursor records about the remaining pieces, so that :meth:`start` begins with them."""
        raise NotImplementedError

    def finish(self, reader: "Reader", scope: Scope, progress: Progress) -> None:
        """Completes the cursor of a scope that was read completely."""

    def has_read_all(self, progress: Progress) -> bool:
        """Whether a sync read every key of the scope, so that other keys are gone; otherwise the audit finds them."""
        return False

    def is_cut(self, progress: Progress) -> bool:
        """Whether the API shows only the newest rows of the list, so that rows missing from it may still exist."""
        return False

    def lists_all(self, progress: Progress) -> bool:
        """Whether a sync has listed every row, so that an audit can tell whether the list as a whole has changed."""
        return self.has_read_all(progress)

    def has_changed(self, cursor: Cursor, row: Any) -> bool:
        """Whether a row appeared or changed after the sync that left this cursor, by the row's own times."""
        return False

    def audited(self, reader: "Reader", scope: Scope) -> Mapping[str, Any]:
        """The rows of the warehouse that the whole list covers: values of columns, or windows of instants."""
        return scope.values


def seconds(value: float | str | date) -> int:
    """An instant, as an API sends it or a warehouse returns it, in whole seconds since 1970.

    A number beyond the year 9987 is in milliseconds; a day means its beginning in UTC.
    """
    text = str(value)
    if isinstance(value, int | float) or _EPOCH.fullmatch(text):
        number = int(float(text))
        return number if number < FOREVER else number // 1000
    # RFC 2822 begins with a weekday.
    at = parsedate_to_datetime(text) if text[:1].isalpha() else datetime.fromisoformat(text)
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())


def instants(rows: Iterable[Any], path: str) -> list[int]:
    """The instant at a path of each row, in whole seconds since 1970; raises :class:`PayloadError` without one."""
    try:
        return [seconds(at) for at in map(getter(path), rows)]
    except (AttributeError, TypeError, ValueError):
        raise PayloadError(f"a row has no time at {path!r}, by which the list is read") from None


def _in_text(value: Any) -> str:
    """A scope's value as part of a text: several keys separated by commas, true and false as in JSON."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def iso(instant: int) -> str:
    """Seconds since 1970 as ISO 8601 in UTC."""
    return datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
