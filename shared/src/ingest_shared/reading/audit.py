"""The audit: compares everything at the origin with the warehouse, value by value.

The origin's rows come from the same walk as a first load. What differs is loaded, what the
origin does not have is marked as deleted, and both are counted by scope in the table ``audits``. It costs
as many calls as a first load, and loads only what was wrong. What appeared, changed or disappeared after the
previous sync is loaded too, but counted separately: it was not lost.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import msgspec
import pyarrow as pa

from ingest_shared.columnar import Decoder, Page
from ingest_shared.loading import Load, to_arrow
from ingest_shared.reading import tombstones
from ingest_shared.tables import JSON, UNDECLARED, AnyTable, Child, Table

Values = dict[str, Any]
Key = tuple[Any, ...]
HasChanged = Callable[[Any, Any], bool]
"""Whether a row of a scope appeared or changed after the previous sync: it was not lost."""
Owner = Callable[[Any, Any], Any]
"""The key of the parent's row whose list a row of a scope is in; None if the list has no parent with times."""
ROWS_AT_ONCE = 5_000
"""Rows compared at once: each comparison opens the warehouse."""
COUNTS = ("compared", "missing", "surplus", "stale", "changed", "deleted")


class Audit:
    """The comparison of one list with the warehouse."""

    def __init__(self, decoder: Decoder, load: Load, has_changed: HasChanged, owner: Owner = lambda *_: None) -> None:
        assert isinstance(decoder.table, Table)
        self.table = decoder.table
        self.decoder = decoder
        self.load = load
        self.has_changed = has_changed
        self.owner = owner
        self.audits: list[Values] = []
        load.audits = self.audits
        self.found: Counter[tuple[str, str]] = Counter()
        """Counts by scope and kind of finding."""
        self.doubtful: Counter[tuple[str, Any, str]] = Counter()
        """The same by scope, row of the parent and kind, if the parent's row had not changed when it was read."""

    def differing(self, pages: Iterable[Page | pa.Table | None]) -> Iterator[Page | pa.Table | None]:
        """The pages with only the rows that the warehouse lacks or holds with other values; passes None through."""
        batch: list[Page] = []
        rows = 0
        for page in pages:
            if not isinstance(page, Page):
                yield page
                continue
            batch.append(page)
            rows += len(page.rows)
            if rows >= ROWS_AT_ONCE:
                yield from self._compare(batch)
                batch, rows = [], 0
        yield from self._compare(batch)

    def close(self, part: str, scopes: Collection[str], calls: int, at: int, *, has_changed: bool = False) -> None:
        """Records what was found in a part of the list whose scopes, by id, were read completely.

        ``has_changed`` is whether the part changed after the previous sync, for lists whose rows do not say.
        """
        counts = {name: sum(self.found[scope, name] for scope in scopes) for name in COUNTS}
        if has_changed:
            lost = ("missing", "surplus", "stale")
            counts["changed"] += sum(counts[name] for name in lost)
            counts |= dict.fromkeys(lost, 0)
        self.audits.append({"scope": part, "audited_at": at, **counts, "calls": calls})

    def count(self, scope: str, kind: str, owner: Any = None) -> None:
        """Counts a finding; ``owner`` is the row of the parent that may have changed in the meantime."""
        self.found[scope, kind] += 1
        if owner is not None:
            self.doubtful[scope, owner, kind] += 1

    def excuse(self, owners: Collection[Any]) -> None:
        """Counts as changed what was found in the lists of these rows of the parent: they have changed after all."""
        for (scope, owner, kind), count in self.doubtful.items():
            if owner in owners:
                self.found[scope, kind] -= count
                self.found[scope, "changed"] += count

    def _compare(self, batch: list[Page]) -> Iterator[Page]:
        pages, arrow = to_arrow(self.load, self.decoder, batch)
        verdicts = iter(self._wrong({name: rows.to_pylist() for name, rows in arrow.items()}))
        for page in pages:
            its = list(islice(verdicts, len(page.rows)))
            scope = page.scope
            self.found[scope.id, "compared"] += len(its)
            wrong = [(row, verdict) for row, verdict in zip(page.rows, its, strict=True) if verdict]
            for row, verdict in wrong:
                if self.has_changed(scope, row):
                    self.count(scope.id, "changed")
                else:
                    self.count(scope.id, verdict, self.owner(scope, row))
            page.rows = [row for row, _ in wrong]
            yield page

    def _wrong(self, origin: Mapping[str, list[Values]]) -> list[str | None]:
        """For each row of the origin, whether the warehouse lacks it or holds it with other values."""
        rows = origin[self.table.name]
        with tombstones.warehouse_opened_once():
            held = _grouped(self.table, self.table.key, tombstones.held_rows(self.table, rows))
            verdicts = [self._verdict(row, held.get(_key(self.table.key, row), [])) for row in rows]
            for child in self.table.children:
                self._add_children(child, origin, verdicts)
        return verdicts

    def _verdict(self, row: Values, held: list[Values]) -> str | None:
        if not held:
            return "missing"
        return None if held == [_plain(self.table, row)] else "stale"

    def _add_children(self, child: Child, origin: Mapping[str, list[Values]], verdicts: list[str | None]) -> None:
        """A row whose child rows differ is stale, since a row and its child rows are replaced together."""
        own_key = next(name for name in child.key if name not in child.merge_key)
        owners = {column.name: column.path for column in child.columns if column.name in child.merge_key}
        sent = _grouped(child, child.merge_key, (row for row in origin[child.name] if row[own_key] is not None))
        held = _grouped(child, child.merge_key, tombstones.held_rows(child, origin[child.name]))
        for index, row in enumerate(origin[self.table.name]):
            owner = tuple(row[owners[name]] for name in child.merge_key)
            if verdicts[index] is None and sent.get(owner) != held.get(owner):
                verdicts[index] = "stale"


def _key(names: Iterable[str], row: Values) -> Key:
    return tuple(row[name] for name in names)


def _grouped(table: AnyTable, by: Iterable[str], rows: Iterable[Values]) -> dict[Key, list[Values]]:
    """The rows by the values of some columns, in the order of their keys; a row may occur twice."""
    found: dict[Key, list[Values]] = {}
    for row in sorted(rows, key=lambda row: [(row[name] is not None, row[name]) for name in table.key]):
        found.setdefault(_key(by, row), []).append(_plain(table, row))
    return found


def _plain(table: AnyTable, row: Values) -> Values:
    """The row in the form that is compared: JSON is parsed, since a destination may format it differently; volatile
    columns are dropped."""
    texts = {column.name for column in table.columns if column.type is JSON} | {UNDECLARED}
    volatile = {column.name for column in table.columns if column.volatile}
    return {
        name: _parsed(value) if name in texts and isinstance(value, str) else value
        for name, value in row.items()
        if name not in volatile
    }


def _parsed(value: str) -> Any:
    try:
        return msgspec.json.decode(value)
    except msgspec.DecodeError:  # it has a number that no float can hold
        return value
