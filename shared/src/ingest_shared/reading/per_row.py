"""Lists per row of another table: the comments of each ticket, the reviews of each pull request."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import dlt

from ingest_shared.errors import SettingError
from ingest_shared.keys import Keys
from ingest_shared.loading import Load
from ingest_shared.reading.listings import Scope, Walk, seconds
from ingest_shared.reading.sync import Sync
from ingest_shared.reading.tombstones import held_where, held_without_parent
from ingest_shared.reading.windows import FOREVER, Window
from ingest_shared.tables import Table

Mark = tuple[int, int]
"""The newest change among the parent's rows whose lists were read, and when the parent was read."""
NEVER: Mark = (0, 0)


@dataclass(frozen=True, slots=True)
class Row(Scope):
    """A row of the parent; an audit reports all rows together."""

    is_always_read: bool = field(default=False, kw_only=True)
    """Whether its list is read at every sync, and in a request of its own."""
    changed: bool | None = None
    """Whether the row changed after the previous sync; None if it has no time of change."""

    def keeps_cursor(self, walk: Walk) -> bool:
        """Only a walk that goes by time gets one: there may be many rows, and no other walk would read less with it."""
        return self.is_always_read and bool(walk.needs)

    @property
    def part(self) -> str:
        return "the lists of all rows"

    @property
    def has_changed(self) -> bool | None:
        return self.changed


@dataclass(frozen=True)
class PerRow:
    """One list for each row of ``parent``, which is read before it in the same source.

    ``values`` names the parent's column for each placeholder of the path and reader column. With ``changed``, the
    parent's time of change, only the lists of changed rows are read, and the lists of rows that changed less than
    ``lag`` before they were read are read once more; an audit reads all. Without it, all lists are read; a walk that
    goes by time reads only what changed in each. A list that could not be read is tried again at the next sync. If the
    API responds twice with a status in ``absent``, the row is gone, and its list with it; otherwise such a response is
    a gap.

    With ``at_once``, one request reads the lists of that many rows: ``{ticket_id}`` in a parameter becomes
    their keys, separated by commas, and in a body a list of them. ``values`` then names only the key.
    """

    parent: Table
    values: Mapping[str, str]
    changed: str | None = None
    lag: int = 60
    """Seconds of the parent's changes that are read again."""
    absent: Sequence[int] = ()
    at_once: int = 1

    def __post_init__(self) -> None:
        # A subclass may find its rows itself.
        if len(self.parent.key) > 1 and type(self).scopes is PerRow.scopes:
            raise ValueError(
                f"lists per row of {self.parent.name}: its key must be one column, not {', '.join(self.parent.key)}, "
                "so that no two rows have the same list"
            )

    def scopes(self, sync: Sync, load: Load) -> Iterator[Row]:
        """The parent's rows whose lists are to be read, as they are needed: there may be millions.

        Raises :class:`SettingError` if the parent was never loaded.
        """
        marks = _marks(sync, load)
        # Rows that the parent loaded in runs without this list are in the warehouse; those of this run are not yet.
        held, is_read = self._held(sync, load, marks), self.parent.name in sync.turns.read
        if held is None and not is_read:
            raise SettingError(
                f"{load.resource} is read per row of {self.parent.name}, which was never loaded: select both tables"
            )
        left_out = [one for left in load.state.get("left_out", []) for one in self._one_by_one(left)]
        again = ({column: left.get(name) for name, column in self.values.items()} for left in left_out)
        newest: dict[str, int] = {}
        load.at_end.append(lambda: self._move_marks(sync, load, marks, newest, is_read=is_read))
        rows = chain(self._read_now(sync, load, marks), held or (), again)  # the latest version of a row comes first
        scopes = self._scopes(sync, rows, marks, newest)
        yield from self._together([*scopes]) if self.at_once > 1 else scopes

    def _scopes(
        self, sync: Sync, rows: Iterable[Mapping[str, Any]], marks: Mapping[str, Mark], newest: dict[str, int]
    ) -> Iterator[Row]:
        """The first of the rows with each key, unless it is gone; ``newest`` becomes the newest change of each part."""
        gone, seen = sync.gone_keys.get(self.parent.name, set()), Keys()
        for row in rows:
            values = {name: row[column] for name, column in self.values.items()}
            if not self.reads(sync, values):
                continue
            part = str(sync.part_of(values))
            if self.changed and (changed := row.get(self.changed)):
                newest[part] = max(newest.get(part, 0), seconds(changed))
            if values[self.key] not in gone and not seen.add({str(values[self.key]): None}):
                yield self._scope(values, self._has_changed(row, marks.get(part, NEVER)))

    def reads(self, sync: Sync, values: Mapping[str, Any]) -> bool:
        """Whether this run reads the list of a row with these values."""
        return sync.reads(values)

    def _parts(self, sync: Sync) -> set[Any]:
        return {part for part in sync.parts if self.reads(sync, {sync.part: part})}

    def _held(self, sync: Sync, load: Load, marks: Mapping[str, Mark]) -> list[dict[str, Any]] | None:
        """The warehouse's rows since the mark of their part, or all of a part without one; None before the first
        load."""
        columns = [*self.values.values(), *([self.changed] if self.changed else [])]
        reads_all = self._reads_all(sync, load)
        alike: defaultdict[int | None, list[Any]] = defaultdict(list)
        for part in self._parts(sync):
            mark = None if reads_all else marks.get(str(part))
            alike[mark and self._since(*mark)].append(part)
        found: list[dict[str, Any]] = []
        for since, parts in alike.items():
            wanted: dict[str, Any] = {} if since is None else {self.changed or "": Window(since, FOREVER)}
            if len(alike) > 1:
                wanted[self.values[sync.part]] = tuple(parts)
            held = held_where(self.parent, columns, wanted)
            if held is None:
                return None
            found += held
        return found

    def _reads_all(self, sync: Sync, load: Load) -> bool:
        return sync.reads_all or load.resource in sync.turns.was_killed or not self.changed

    def _read_now(self, sync: Sync, load: Load, marks: Mapping[str, Mark]) -> Iterator[dict[str, Any]]:
        """What this run read of the parent, but not what the warehouse already has with the same time of change.

        A parent that is read in full shows every row each time. Of those since the mark, :meth:`_held` has the rest.
        """
        has_loaded_some = load.resource in sync.turns.waited
        if has_loaded_some or self._reads_all(sync, load):
            return sync.rows_loaded(self.parent.name)
        changed = self.changed or ""
        old: dict[tuple[str, ...], int] = {}
        for row in sync.rows_loaded(self.parent.name):
            mark = marks.get(str(sync.part_of({name: row[column] for name, column in self.values.items()})))
            at = row.get(changed)
            if mark and at and seconds(at) < self._since(*mark):
                old.setdefault(self._identity(row), seconds(at))
        if not old:
            return sync.rows_loaded(self.parent.name)
        span = Window(min(old.values()), max(old.values()) + 1)
        held = held_where(self.parent, [*self.values.values(), changed], {changed: span}) or ()
        same = {one for row in held if old.get(one := self._identity(row)) == seconds(row[changed])}
        return (row for row in sync.rows_loaded(self.parent.name) if self._identity(row) not in same)

    def _identity(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(str(row[column]) for column in self.values.values())

    def _since(self, until: int, read_at: int) -> int:
        return until + 1 if until + self.lag < read_at else until - self.lag

    def _move_marks(
        self, sync: Sync, load: Load, marks: Mapping[str, Mark], newest: Mapping[str, int], *, is_read: bool
    ) -> None:
        """All parts of which the parent was read in this run get the same mark, so that one query finds their rows.

        If another run loads the parent, the time of that reading is unknown, so the last rows of each part are checked
        again. A part of which the parent could not be read keeps its mark: what is read later may have changed before.
        """
        until = max([*newest.values(), *(mark[0] + 1 for mark in marks.values())], default=None)
        moved = dict(marks)
        left_out = sync.left_out_parts[self.parent.name].union(
            () if is_read else dlt.current.resource_state(self.parent.name).get("left_out_parts", ())
        )
        for part in map(str, self._parts(sync) - left_out):
            if is_read and until is not None:
                moved[part] = min(until, sync.now), sync.now  # others may have changed after they were read, too
            elif newest.get(part, 0) > marks.get(part, NEVER)[0]:
                moved[part] = newest[part], 0
        load.state["parents"] = moved

    def gone(self, sync: Sync, table: Table) -> Iterator[Row]:
        """The parent's rows that this run found to be gone, and their lists with them; in an audit also other runs'."""
        keys = sync.gone_keys.get(self.parent.name, set())
        yield from (self._scope({self.key: key}, has_changed=True) for key in keys)
        if sync.audit:
            yield from (self._scope({self.key: key}) for key in self._orphaned(sync, table) - keys)

    def _orphaned(self, sync: Sync, table: Table) -> set[Any]:
        """Keys of rows that went in a run without ``table``, or in one that was killed before it read their lists."""
        column, part = self.values[self.key], [sync.part] if sync.part in self.values else []
        loaded = {row[column] for row in sync.rows_loaded(self.parent.name)}
        left_out = sync.left_out_parts[self.parent.name]
        return {
            row[self.key]
            for row in held_without_parent(table, self.key, part, self.parent, column)
            if row[self.key] not in loaded and (at := sync.part_of(row)) not in left_out and sync.shard.has(at)
        }

    def read_at(self, sync: Sync, load: Load) -> int:
        """The time since which the parent's rows may have changed unseen."""
        if self.parent.name in sync.turns.read:
            return sync.now
        return min((mark[0] + 1 for mark in _marks(sync, load).values()), default=0)

    @property
    def key(self) -> str:
        """The name of the value that is the parent's key."""
        return next(name for name, column in self.values.items() if column in self.parent.key)

    def _together(self, rows: list[Row]) -> Iterator[Row]:
        for has_changed in (True, False, None):
            alike = sorted(row.values[self.key] for row in rows if row.changed is has_changed)
            for i in range(0, len(alike), self.at_once):
                keys = tuple(alike[i : i + self.at_once])
                yield Row(str(keys), f"{self.parent.name} {keys[0]} to {keys[-1]}", {self.key: keys}, has_changed)

    def _one_by_one(self, left: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        keys = left[self.key]
        yield from [{self.key: key} for key in keys] if self.at_once > 1 and not isinstance(keys, str) else [left]

    def _has_changed(self, row: Mapping[str, Any], mark: Mark) -> bool | None:
        at = row.get(self.changed) if self.changed else None
        return None if at is None else seconds(at) > mark[0]

    def _scope(self, values: dict[str, Any], has_changed: bool | None = None) -> Row:
        is_always_read = self.changed is None and self.at_once == 1
        name = f"{self.parent.name} {values[self.key]}"
        return Row(str(values[self.key]), name, values, has_changed, is_always_read=is_always_read)


def _marks(sync: Sync, load: Load) -> dict[str, Mark]:
    """The mark of each part; parts of which no list was read yet have none."""
    if "parents_until" in load.state:  # one mark for all, as versions before 2026-12 recorded it
        mark = load.state.pop("parents_until"), load.state.pop("parents_read", 0)
        load.state["parents"] = {str(part): mark for part in sync.parts}
    return {part: (until, read_at) for part, (until, read_at) in load.state.get("parents", {}).items()}
