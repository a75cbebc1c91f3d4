"""Lists per row of another table: the comments of each ticket, the reviews of each pull request."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ingest_shared.errors import SettingError
from ingest_shared.loading import Load
from ingest_shared.reading.listings import Scope, Walk, seconds
from ingest_shared.reading.sync import Sync
from ingest_shared.reading.tombstones import held_where
from ingest_shared.reading.windows import FOREVER, Window
from ingest_shared.tables import Table


@dataclass(frozen=True)
class Row(Scope):
    """A row of the parent; an audit reports all rows as one part."""

    is_always_read: bool = field(default=False, kw_only=True)
    """Whether its list is read at every sync, and in a request of its own."""
    changed: bool | None = None
    """Whether the row changed after the previous sync; None if it has no time of change."""

    def keeps_cursor(self, walk: Walk) -> bool:
        """Only a walk that goes by time gets one: there may be many rows, and no other walk reads less for it."""
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

    ``values`` names the parent's column for each placeholder of the path and reader column. With
    ``changed``, the parent's time of change, only the lists of changed rows are read, and those of
    the last one once more if it changed less than ``lag`` before it was read; an audit reads all. Without it, all
    lists are read: by a walk that goes by time, only what changed in each. A list that could not be read is tried
    again at the next sync. If the API responds twice with a status in ``absent``, the row is gone, and its list with
    it; otherwise such a response is a gap.

    With ``at_once``, one request reads the lists of that many rows: ``{ticket_id}`` in a parameter becomes
    their keys, separated by commas, and in a body a list of them. ``values`` then names only the key.
    """

    parent: Table
    values: Mapping[str, str]
    changed: str | None = None
    lag: int = 60
    """Seconds of parents' changes that are read again."""
    absent: Sequence[int] = ()
    at_once: int = 1

    def scopes(self, sync: Sync, load: Load) -> Iterator[Row]:
        """The parent's rows whose lists are to be read; raises if the parent was never loaded."""
        columns = [*self.values.values(), *([self.changed] if self.changed else [])]
        known = load.state.get("parents_until")
        window = {}
        reads_all = sync.audit or load.resource in sync.turns.was_killed
        if self.changed and known is not None and not reads_all:
            is_over = known + self.lag < load.state.get("parents_read", 0)
            window = {self.changed: Window(known + 1 if is_over else known - self.lag, FOREVER)}
        # What the parent loaded in runs without this list is in the warehouse; what it loads in this one is not yet.
        held, is_read = held_where(self.parent, columns, window), self.parent.name in sync.turns.read
        if held is None and not is_read:
            raise SettingError(
                f"{load.resource} is read per row of {self.parent.name}, which was never loaded: select both tables"
            )
        left_out = [one for left in load.state.get("left_out", []) for one in self._one_by_one(left)]
        rows = [{column: left.get(name) for name, column in self.values.items()} for left in left_out]
        rows += [*(held or ()), *sync.loaded.get(self.parent.name, [])]
        rows = [row for row in rows if sync.reads({name: row[column] for name, column in self.values.items()})]
        gone = sync.gone_keys.get(self.parent.name, set())
        newest = known
        scopes: dict[str, Row] = {}
        for row in rows:
            if self.changed and (changed := row.get(self.changed)):
                newest = max(newest or 0, seconds(changed))
            if row[self.values[self._key]] not in gone:
                values = {name: row[column] for name, column in self.values.items()}
                scope = self._scope(values, self._has_changed(row, known))
                scopes[scope.id] = scope
        if newest is not None:
            # Nobody knows when a parent was read that another run loads: its last rows are looked at again.
            read_at = sync.now if is_read else 0
            load.at_end.append(lambda: load.state.update(parents_until=newest, parents_read=read_at))
        yield from self._together([*scopes.values()]) if self.at_once > 1 else scopes.values()

    def gone(self, sync: Sync) -> Iterator[Row]:
        """The parent's rows that this run found to be gone; their lists are gone with them."""
        for key in sync.gone_keys.get(self.parent.name, ()):
            yield self._scope({self._key: key})

    @property
    def _key(self) -> str:
        """The name of the value that is the parent's key."""
        return next(name for name, column in self.values.items() if column in self.parent.key)

    def _together(self, rows: list[Row]) -> Iterator[Row]:
        for has_changed in (True, False, None):
            alike = sorted(row.values[self._key] for row in rows if row.changed is has_changed)
            for i in range(0, len(alike), self.at_once):
                keys = tuple(alike[i : i + self.at_once])
                yield Row(str(keys), f"{self.parent.name} {keys[0]} to {keys[-1]}", {self._key: keys}, has_changed)

    def _one_by_one(self, left: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        keys = left[self._key]
        yield from [{self._key: key} for key in keys] if self.at_once > 1 and not isinstance(keys, str) else [left]

    def _has_changed(self, row: Mapping[str, Any], known: int | None) -> bool | None:
        at = row.get(self.changed) if self.changed else None
        return None if at is None else seconds(at) > (known or 0)

    def _scope(self, values: dict[str, Any], has_changed: bool | None = None) -> Row:
        is_always_read = self.changed is None and self.at_once == 1
        name = f"{self.parent.name} {values[self._key]}"
        return Row(str(values[self._key]), name, values, has_changed, is_always_read=is_always_read)
