"""The reader of all lists.

It reads several lists side by side with many requests in flight, moves cursors only when a scope was read completely,
does not let a bad scope stop the others, believes deletes only after a second look, and runs the audit.
"""

import logging
import pickle
import sys
import time
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from copy import copy
from functools import reduce
from hashlib import blake2b
from itertools import islice
from typing import Any

import msgspec
import pyarrow as pa
from dlt.extract.resource import DltResource

from ingest_shared.columnar import Page, value_at
from ingest_shared.errors import ApiError, IngestError, PayloadError
from ingest_shared.loading import Load, mirror
from ingest_shared.reading.api import NOT_FOUND, Api, Usage
from ingest_shared.reading.audit import Audit
from ingest_shared.reading.crawl import crawl
from ingest_shared.reading.envelopes import Request
from ingest_shared.reading.fetcher import Fetcher
from ingest_shared.reading.listings import Cursor, Listing, Piece, Progress, Scope, Step, seconds
from ingest_shared.reading.per_row import PerRow
from ingest_shared.reading.sync import Sync
from ingest_shared.reading.tombstones import DELETED_AT, deleted, key_in, living, warehouse_opened_once
from ingest_shared.reading.windows import FOREVER, Window
from ingest_shared.shards import Shard
from ingest_shared.tables import BIGINT, Column, Table, names_of

logger = logging.getLogger("ingest")

BEGINS_FOR = 180.0
"""Seconds after which a list begins no further scopes (or pieces, in a first load); what was read is then loaded, and
the run continues with the rest. A run that is stopped loses no more than that."""
SCOPES_AT_ONCE = 1_000
"""Scopes of a list that are read completely before others begin: what is remembered about their pages takes memory."""
IN_VAIN = 100
"""Missing rows that are requested by themselves in vain before those with smaller keys, which are mostly older, count
as gone too: an API may remove any number of rows that became too old."""
REFUSED = 403
REFUSALS = 10
"""Lists per row that are refused, while none can be read, before the others are not requested: if their parent's list
is refused as well, the credential lacks a right, and there may be a million rows in the warehouse."""
ROUNDS = 6
"""How often the pages of a list are read before it is given up because they keep changing."""


class Postponed(IngestError):
    """A piece was postponed so that what was read is loaded first."""

    def __init__(self, piece: Piece) -> None:
        super().__init__("the rest is read when this is loaded")
        self.piece = piece


def digest(row: Any, volatile: Sequence[str] = ()) -> int:
    """A 64-bit digest of everything in a row, apart from what is at the paths ``volatile``."""
    sent = msgspec.json.encode(row)
    if volatile:
        values = msgspec.json.decode(sent)
        for path in volatile:
            *parents, name = names_of(path)
            reduce(lambda value, parent: value.get(parent) or {}, parents, values).pop(name, None)
        sent = msgspec.json.encode(values)
    return int.from_bytes(blake2b(sent, digest_size=8).digest())


class Reader(Fetcher):
    """Reads one list for :func:`ingest_shared.loading.mirror`; an audit compares the whole list with the warehouse."""

    def __init__(self, listing: Listing, sync: Sync) -> None:
        super().__init__(listing, sync)
        self.walk = listing.walk
        self.volatile = [column.path for column in listing.table.columns if column.volatile]
        sync.readers[listing.table.name] = self
        if parent := getattr(listing.per, "parent", None):
            sync.loaded.setdefault(parent.name, [])
            sync.needed[parent.name].update([*listing.per.values.values(), listing.per.changed or ""])

    @property
    def shard(self) -> Shard:
        return self.sync.shard

    def __call__(self, load: Load) -> Iterator[Page | pa.Table | None]:
        """Yields the pages of all scopes, then moves the cursors of those that were read completely.

        It yields None while it has nothing, so that dlt asks the other lists of the run.
        """
        turns = self.sync.turns
        with turns.of(self.listing.table.name):
            yield None  # until all lists of the run are known
            while not turns.may_begin(self.listing):
                yield None
            if turns.begin(self.listing, load):
                yield from self._read(load)
                self.sync.refused_parts[self.listing.table.name] = self._refused_parts()
                turns.end(self.listing, is_part=self._count_postponed() > 0)

    def _read(self, load: Load) -> Iterator[Page | pa.Table | None]:
        self.load = load
        self.calls.clear()
        self.refusals = Counter[Any]()
        self.sync.begin(load)
        cursors: dict[str, Cursor] = load.state.setdefault("cursors", {})
        self.known = dict(cursors)
        self.digests = load.state.get("digests", {})
        # Whether this reading deliberately skips scopes, whose cursors and gaps stay valid.
        self.is_part = self.sync.anew or bool(self.sync.done[self.listing.table.name])
        self.noted_gaps = dict(load.state.get("noted_gaps", {}))
        self.noted_parts = set(load.state.get("left_out_parts", ()))
        self.scopes: dict[str, Scope] = {}
        self.forgotten, self.forgotten_parts = 0, set[str]()
        self.unread: list[dict[str, Any]] = []
        self.has_begun = False
        self.until = float("inf") if self.sync.reads_all else time.monotonic() + BEGINS_FOR
        self.progress: dict[str, Progress] = {}
        self.doubted: list[tuple[Scope, set[Any], int]] = []
        self.vanished: list[Scope] = []
        audit = Audit(self.decoder, load, self._has_changed, self._owner) if self.sync.audit else None
        pages = self._all_pages({} if self.sync.reads_all else cursors)
        yield from audit.differing(pages) if audit else pages
        yield from self._deletes(audit)
        if audit and audit.doubtful:
            self._excuse(audit)
        load.at_end.append(lambda: self._move_cursors(audit))

    def _move_cursors(self, audit: Audit | None) -> None:
        """Moves the cursors of scopes that were read completely and have no unloadable value."""
        for page, error in self.load.unreadable:
            self._leave_out(page.scope, error)
        left_out = [self.scopes[id_] for id_, progress in self.progress.items() if progress.error]
        read = [scope for id_, scope in self.scopes.items() if not (id_ in self.progress and self.progress[id_].error)]
        parts: dict[str, list[str]] = {}
        for scope in read:
            # A scope that was never loaded cannot have lost anything.
            if scope.id in self.known if scope.keeps_cursor(self.walk) else not self.load.is_first:
                parts.setdefault(scope.part, []).append(scope.id)
            if scope.keeps_cursor(self.walk):
                self.load.state["cursors"][scope.id] = {**scope.noted, **self.progress[scope.id].cursor}
        self._note_left()
        digests = self._digests(read)
        if audit:
            for scope in self.vanished:
                parts.get(scope.part, []).append(scope.id)
            for part, ids in parts.items():
                calls, has_changed = sum(self.calls[id_] for id_ in ids), digests.get(part) != self.digests.get(part)
                audit.close(part, ids, calls, self.sync.now, has_changed=has_changed)
        self.load.state["digests"] = self.digests | digests if self.is_part else digests
        failed = [scope for scope in left_out if not scope.keeps_cursor(self.walk)]
        if self.is_part:  # otherwise this load's gaps would replace all earlier ones
            self.load.gaps = self.noted_gaps | self.load.gaps
        self.load.state["noted_gaps"] = self.load.gaps
        self._note_done(read)
        unseen = filter(self._is_unseen, self.load.state.get("left_out", ()))
        self.load.state["left_out"] = [*unseen, *self.unread, *(dict(scope.values) for scope in failed)]
        # For lists per row of this table: a later run must read rows of these.
        left_out_parts = self.sync.left_out_parts[self.listing.table.name] | self.noted_parts
        if left_out_parts or "left_out_parts" in self.load.state:
            self.load.state["left_out_parts"] = sorted(left_out_parts)
        # A shard without any scope has none to read.
        has_scopes = self.scopes or self.forgotten or self.shard.is_whole
        self.load.scopes_read = len(read) + self.forgotten if has_scopes else None
        self.scopes, self.progress, self.known, self.unread = {}, {}, {}, []  # others are still being read

    def _count_postponed(self) -> int:
        begun = sum(isinstance(progress.error, Postponed) for progress in self.progress.values())
        return len(self.unread) + begun

    def _note_done(self, read: Iterable[Scope]) -> None:
        """What the next part of this run need not read again, if there is one."""
        table = self.listing.table.name
        self.load.postponed = self._count_postponed()
        if self.load.postponed:
            self.sync.done[table].add({scope.id: None for scope in read})
            failed = {id_ for id_ in self.progress if self._has_failed(self.scopes[id_])}
            self.sync.failed[table] = failed
        else:
            self.sync.done.pop(table, None)

    def _is_unseen(self, values: Mapping[str, Any]) -> bool:
        """Whether a list that was left out belongs to a part of the shard that this run does not see."""
        per = self.listing.per
        is_read = not isinstance(per, PerRow) or per.reads(self.sync, values)
        return not is_read and self.shard.has(self.sync.part_of(values))

    def _note_left(self) -> None:
        """Records in the cursors of partly read scopes what remains."""
        for id_, progress in self.progress.items():
            was_left = progress.begun and isinstance(progress.error, Postponed)
            if was_left and all(self.walk.may_wait(piece, progress.cursor) for piece in progress.left):
                self.load.state["cursors"][id_] = progress.cursor | self.walk.leave(self, progress)

    def _has_changed(self, scope: Scope, row: Any) -> bool:
        """Whether a row appeared or changed after its scope was last read."""
        if scope.has_changed or self.decoder.key(row) in self._told_changed(scope):
            return True
        return self.walk.has_changed(self.known.get(scope.id, {}), row)

    def _told_changed(self, scope: Scope) -> Container[Any]:
        return self.progress[scope.id].changed if scope.id in self.progress else ()

    def _owner(self, scope: Scope, row: Any) -> Any:
        """The key of the parent's row whose list a row is in, if that had not changed when it was read."""
        per = self.listing.per
        if not isinstance(per, PerRow) or not per.changed or scope.has_changed is not False:
            return None
        if per.at_once == 1:
            return scope.values[per.key]
        return row[per.key] if isinstance(row, Mapping) else _held_in(self.listing.table, per.key, row)

    def _excuse(self, audit: Audit) -> None:
        """Reads once more which rows of the parent have changed: what came to their lists after they were read was not
        lost."""
        per = self.listing.per
        if parent := self.sync.readers.get(per.parent.name):
            at = per.read_at(self.sync, self.load)
            audit.excuse(parent.changed_since(at, per.values[per.key], per.changed, self.load.usage))

    def changed_since(self, at: int, key: str, changed: str, usage: Usage) -> set[Any]:
        """The values of the column ``key`` in the rows with a time of change since ``at``: reads the whole list, and
        loads nothing."""
        other = copy(self)
        other.sync = copy(self.sync)
        other.sync.audit, other.sync.anew, other.sync.now, other.sync.loaded = False, False, FOREVER, {}
        other.load, other.calls, other.unreadable = Load(self.listing.table.name, {}, usage), Counter(), []
        other.refusals = Counter()
        other.scopes = {scope.id: scope for scope in other.sync.scopes(self.listing, other.load)}
        other.has_begun, other.until, other.known = False, float("inf"), {}
        other.progress = {id_: Progress({}) for id_ in other.scopes}
        pieces = other._wanted(other.scopes.values(), lambda scope, _: self.walk.start(other, scope, {}))
        rows = (row for page in other._pages(pieces, alone=True) if isinstance(page, Page) for row in page.rows)
        dated = ((row, _held_in(self.listing.table, changed, row)) for row in rows)
        return {_held_in(self.listing.table, key, row) for row, when in dated if when and seconds(when) >= at}

    def _digests(self, read: Iterable[Scope]) -> dict[str, int]:
        """A digest of all rows of each part, if neither the rows nor their scope say when they change.

        It shows an audit whether the origin changed after the previous sync. A list that was not read because its page
        is unchanged keeps its digest.
        """
        if not self.walk.tells_deletes:
            return {}
        parts: dict[str, int] = {}
        for scope in read:
            progress = self.progress.get(scope.id)
            if progress and scope.has_changed is None and progress.lists_all:
                parts[scope.part] = (parts.get(scope.part, 0) + progress.digest) % 2**64
        named = self.forgotten_parts.union(scope.part for scope in read)
        return {part: self.digests[part] for part in named if part in self.digests} | parts

    def _all_pages(self, cursors: Mapping[str, Cursor]) -> Iterator[Page | pa.Table | None]:
        """The pages of all scopes."""
        scopes = (scope for scope in self.sync.scopes(self.listing, self.load) if not self._is_done(scope))
        while some := {scope.id: scope for scope in islice(scopes, SCOPES_AT_ONCE)}:
            self.scopes |= some
            for id_, scope in some.items():
                self.progress[id_] = Progress(dict(cursors.get(id_, {})))
                self.noted_gaps.pop(scope.name, None)
                self.noted_parts.discard(scope.values.get(self.sync.part))
            yield from self._pages(self._wanted(some.values(), self._start))
            with warehouse_opened_once():
                for id_, scope in some.items():
                    self._settle(scope, self.progress[id_])

    def _is_done(self, scope: Scope) -> bool:
        return self.sync.is_done(self.listing.table.name, scope)

    def _settle(self, scope: Scope, progress: Progress) -> None:
        """Finds which rows of a scope are gone; of its progress, only what the end of the load needs is kept."""
        if isinstance(progress.error, Postponed) and not progress.begun and not scope.keeps_cursor(self.walk):
            self.unread.append(dict(scope.values))
            del self.scopes[scope.id], self.progress[scope.id]
            return
        read_all = self.sync.reads_all or self.walk.has_read_all(progress)
        shows_all = read_all and not self.walk.is_cut(progress)
        progress.lists_all = self.walk.lists_all(progress)
        missing, held = self._missing(scope, progress) if shows_all and not progress.error else (set(), 0)
        if self._is_doubtful(missing, held):
            self.doubted.append((scope, missing, held))
            return
        progress.gone |= dict.fromkeys(missing, self.sync.now)
        if scope.keeps_cursor(self.walk):
            self._finish(scope, progress)
        elif progress.error or progress.gone or (progress.lists_all and scope.has_changed is None):
            progress.numbered, progress.noted, progress.cursor, progress.there = {}, {}, {}, set()
        else:
            self._forget(scope)

    def _finish(self, scope: Scope, progress: Progress) -> None:
        """Completes the cursor of a scope that was read completely."""
        if not progress.error:
            self.walk.finish(self, scope, progress)
            progress.numbered, progress.noted, progress.there = {}, {}, set()

    def _forget(self, scope: Scope) -> None:
        """Keeps only the id of a row whose list was read: there may be millions. An audit counts by them."""
        del self.progress[scope.id]
        if not self.sync.audit:
            del self.scopes[scope.id]
            self.forgotten += 1
            self.forgotten_parts.add(scope.part)
            self.sync.done[self.listing.table.name].add({scope.id: None})

    def _start(self, scope: Scope, known: Progress) -> list[Piece]:
        return [] if scope.is_unchanged(known.cursor) else self.walk.start(self, scope, known.cursor)

    def _wanted(self, scopes: Iterable[Scope], want: Callable[[Scope, Progress], list[Piece]]) -> list[Piece]:
        """The first pieces of each scope; a scope for which even that fails is left out."""
        pieces: list[Piece] = []
        for scope in scopes:
            try:
                pieces += want(scope, self.progress[scope.id])
            except (ApiError, PayloadError) as error:
                self._leave_out_or_raise(scope, error)
        return pieces

    def _pages(self, pieces: list[Piece], *, alone: bool = False) -> Iterator[Page | pa.Table | None]:
        """The pages of the pieces, and of those that the walk reads again until nothing moves."""
        before = {id_: dict(self.progress[id_].cursor) for id_ in {piece.scope.id for piece in pieces}}

        def fetch(piece: Piece) -> tuple[tuple[Scope, Step | IngestError], list[Piece]]:
            return self._fetch(piece, before[piece.scope.id])

        for _ in range(ROUNDS):
            for found in crawl(fetch, pieces, self.sync.in_flight, None if alone else self.sync.arrived):
                if found is None:
                    yield None
                    continue
                scope, step = found
                if isinstance(step, Postponed):
                    self.progress[scope.id].left.append(step.piece)
                    self.progress[scope.id].error = self.progress[scope.id].error or step
                    continue
                if isinstance(step, IngestError):
                    self._leave_out_or_raise(scope, step)
                    continue
                self._fold(scope, step)
                yield from step.pages
            self._leave_out_incomplete()
            pieces = self._wanted(
                {piece.scope.id: piece.scope for piece in pieces if not self.progress[piece.scope.id].error}.values(),
                lambda scope, progress: self.walk.again(self, scope, progress),
            )
            if not pieces:
                return
        for scope in {piece.scope.id: piece.scope for piece in pieces}.values():
            self._leave_out(scope, PayloadError(f"its list changed each of the {ROUNDS} times it was read"))

    def _fetch(self, piece: Piece, cursor: Cursor) -> tuple[tuple[Scope, Step | IngestError], list[Piece]]:
        if self._has_failed(piece.scope):
            return (piece.scope, Step()), []
        part = self.sync.part_of(piece.scope.values)
        if self.refusals[part] >= REFUSALS and part in self._parents_refused:
            return (piece.scope, self._not_requested()), []
        # What remains of a scope is recorded in its cursor; one that has none is read to the end once it is begun.
        keeps_cursor, progress = piece.scope.keeps_cursor(self.walk), self.progress[piece.scope.id]
        may_wait = not progress.begun or (keeps_cursor and self.walk.may_wait(piece, cursor))
        if may_wait and self.has_begun and time.monotonic() > self.until:
            return (piece.scope, Postponed(piece)), []
        self.has_begun = progress.begun = True
        try:
            step = self._fetch_believed(piece, cursor)
        except (ApiError, PayloadError) as error:
            if isinstance(error, ApiError) and error.status == REFUSED:
                self.refusals[part] += 1
            return (piece.scope, error), []
        self.refusals[part] = -sys.maxsize  # what can be read is requested, whatever else is refused
        return (piece.scope, step), step.pieces

    @property
    def _parents_refused(self) -> set[Any]:
        """The parts in which nothing of the parent may be read."""
        per = self.listing.per
        return self.sync.refused_parts[per.parent.name] if isinstance(per, PerRow) else set()

    def _not_requested(self) -> ApiError:
        parent = self.listing.per.parent.name
        said = f"not requested: the list of {parent} is refused, and so were {REFUSALS} lists of its rows"
        return ApiError(said, status=REFUSED, reason=said)

    def _refused_parts(self) -> set[Any]:
        """The parts of which lists were refused, and none was read."""
        return {part for part, refusals in self.refusals.items() if refusals > 0}

    def _fetch_believed(self, piece: Piece, cursor: Cursor) -> Step:
        """A response that means "the row is gone" is requested a second time, since the first one may be wrong."""
        try:
            return self.walk.fetch(self, piece, cursor)
        except ApiError as error:
            if not self._is_absent(error, piece.scope):
                raise
            return self.walk.fetch(self, piece, cursor)

    def _fold(self, scope: Scope, step: Step) -> None:
        progress = self.progress[scope.id]
        progress.cursor |= step.cursor
        if step.newest is not None:
            progress.cursor["newest"] = max(step.newest, progress.cursor.get("newest", step.newest))
        if step.numbered:
            request, page_read = step.numbered
            known = progress.numbered.get(request)
            progress.moved |= known is not None and known.keys != page_read.keys
            progress.numbered[request] = page_read
        self.walk.note(progress, step)
        progress.there.update(step.also_there)
        progress.gone.update(step.gone)
        for page in step.pages:
            if not isinstance(page, pa.Table):
                page.scope = scope
                if self.sync.reads_all or self.walk.keeps_keys:
                    self.load.keep_new(page, self.decoder, progress.there)
                if self.walk.lists_all(progress) and DELETED_AT not in page.given:
                    progress.digest += sum(digest(row, self.volatile) for row in page.rows)
                self._note_for_others(page)

    def _note_for_others(self, page: Page) -> None:
        """Keeps what the lists per row of this table need."""
        if (noted := self.sync.loaded.get(self.listing.table.name)) is not None:
            needed = self.sync.needed[self.listing.table.name]
            columns = [c for c in self.listing.table.columns if c.origin == "payload" and c.name in needed]
            held = ({c.name: _as_held(c, value_at(row, c.path)) for c in columns} for row in page.rows)
            # Of rows that were read for many at once, only the row itself says for which.
            noted.append(pickle.dumps([{**page.given, **row} for row in held]))

    def _leave_out_or_raise(self, scope: Scope, error: IngestError) -> None:
        if isinstance(error, ApiError) and error.status is None and error.retry:
            raise error  # nothing answers: the next scope would fail, too
        if isinstance(error, ApiError) and self._is_absent(error, scope) and self.sync.sees(scope, self.load):
            keys = living(self.listing.table, scope.values)
            self.progress[scope.id].gone.update(dict.fromkeys(keys, self.sync.now))
            self.progress[scope.id].changed = keys  # the row was there when it was read
            return
        self._leave_out(scope, error)

    def _is_absent(self, error: ApiError, scope: Scope) -> bool:
        """Whether the error says that the parent row is gone, rather than all that it is part of."""
        per = self.listing.per
        if error.status not in getattr(per, "absent", ()):
            return False
        return self.sync.part_of(scope.values) not in self.sync.left_out_parts[per.parent.name]

    def _has_failed(self, scope: Scope) -> bool:
        """Whether the scope is left out, rather than postponed."""
        error = self.progress[scope.id].error if scope.id in self.progress else None
        return error is not None and not isinstance(error, Postponed)

    def _leave_out(self, scope: Scope, error: IngestError) -> None:
        if not self._has_failed(scope):
            if scope.id not in self.scopes:
                self.scopes[scope.id] = scope
                self.forgotten -= 1
            self.progress.setdefault(scope.id, Progress({})).error = error
            status = error.status if isinstance(error, ApiError) else None
            self.load.leave_out(scope.name, self.sync.why(error), status)
            if self.sync.part in scope.values:
                self.sync.left_out_parts[self.listing.table.name].add(self.sync.part_of(scope.values))

    def _leave_out_incomplete(self) -> None:
        """Leaves out the scopes with unreadable rows: their cursors stay, and no row counts as gone."""
        while self.unreadable:
            self._leave_out(*self.unreadable.pop(0))

    # Deletes.

    def _deletes(self, audit: Audit | None) -> Iterator[Page | pa.Table | None]:
        """The rows that are gone, marked as deleted, including those of scopes that no longer exist.

        Before them, the rows that exist although the list did not show them.
        """
        shown_alone: list[Page | pa.Table | None] = []
        gone = self._gone(shown_alone)
        yield from audit.differing(shown_alone) if audit else shown_alone
        for scope, keys in gone:
            # What moved to another scope still exists.
            staged = self.load.staged(keys, scope.values, self.decoder)
            at = {key: at for key, at in keys.items() if key not in staged}
            if at:
                rows = deleted(self.listing.table, scope.values, at)
                if unknown := len(at) - rows.num_rows:
                    self.load.warn(f"{unknown} rows of {scope.name} were deleted before they could be loaded")
                if audit:
                    self._count_gone(audit, scope, rows)
                self.sync.gone_keys.setdefault(self.listing.table.name, set()).update(at)
                yield rows

    def _count_gone(self, audit: Audit, scope: Scope, rows: pa.Table) -> None:
        """Counts gone rows: those that a sync should have found, that only an audit can find, or that went after the
        previous sync."""
        told, key = self._told_changed(scope), key_in(self.listing.table, scope.values)
        lost = "surplus" if self.walk.tells_deletes else "deleted"
        for row in rows.to_pylist():
            if scope.has_changed or row[key] in told:
                audit.count(scope.id, "changed")
            else:
                audit.count(scope.id, lost, self._owner(scope, row))

    def _gone(self, shown_alone: list[Page | pa.Table | None]) -> list[tuple[Scope, dict[Any, int]]]:
        """When each row of a scope was found to be gone, by key, as far as its walk can tell."""
        gone = [(self.scopes[id_], progress.gone) for id_, progress in self.progress.items() if not progress.error]
        with warehouse_opened_once():
            for scope in self.sync.gone(self.listing, self.load):
                gone.append((scope, dict.fromkeys(living(self.listing.table, scope.values), self.sync.now)))
                self.load.state["cursors"].pop(scope.id, None)
                self.vanished.append(scope)
        for scope, missing, held in self.doubted:  # with the warehouse closed, as always while the API is read
            gone.append((scope, dict.fromkeys(self._look_again(scope, missing, held, shown_alone), self.sync.now)))
            if scope.keeps_cursor(self.walk):
                self._finish(scope, self.progress[scope.id])
        return gone

    def _missing(self, scope: Scope, progress: Progress) -> tuple[set[Any], int]:
        """The keys that the warehouse has and one reading lacks, and how many the warehouse has."""
        held = living(self.listing.table, self.walk.audited(self, scope))
        return held - progress.there - progress.gone.keys(), len(held)

    def _is_doubtful(self, missing: set[Any], held: int) -> bool:
        """Whether one reading is not enough: it is if few rows are missing and the walk reads the list until nothing
        moves."""
        is_few = self.walk.tells_deletes and len(missing) <= held * self.sync.api.deletes_believed
        return bool(missing) and not is_few

    def _look_again(
        self, scope: Scope, missing: set[Any], held: int, shown_alone: list[Page | pa.Table | None]
    ) -> set[Any]:
        """The missing keys that are really gone: they are requested by themselves if possible, otherwise the list is
        read again."""
        if self.listing.one:
            return missing - self._ask_for(scope, missing, shown_alone)
        counts = f"{len(missing)} of {held} rows"
        logger.warning("%s: %s of %s are missing: reading the list once more", self.load.resource, counts, scope.name)
        again = self._read_again(scope)
        error = again.error
        if not error and (back := missing & again.there):
            error = PayloadError(
                f"{counts} were missing in one reading, but {len(missing - back)} in the next: none is marked as "
                "deleted"
            )
            self._leave_out(scope, error)
        self.progress[scope.id].error = error
        return set() if error else missing

    def _ask_for(self, scope: Scope, keys: set[Any], shown_alone: list[Page | pa.Table | None]) -> set[Any]:
        """The keys that the API still has (all of them, if it gives no clear answer for one); adds their rows."""
        wanted, there = sorted(keys, reverse=True), set[Any]()
        for i in range(0, len(wanted), IN_VAIN):
            found = self._ask_for_each(scope, wanted[i : i + IN_VAIN], shown_alone)
            if self._has_failed(scope):
                return keys
            if not found:
                break
            there |= found
        return there

    def _ask_for_each(self, scope: Scope, keys: Iterable[Any], shown_alone: list[Page | pa.Table | None]) -> set[Any]:
        """Those of the keys that the API still has; adds their rows."""

        def fetch(piece: Piece) -> tuple[Page | IngestError | None, list[Piece]]:
            assert piece.request
            try:
                return self.row(scope, self.respond(scope, piece.request).body), []
            except ApiError as error:
                return None if error.status == NOT_FOUND else error, []

        key = key_in(self.listing.table, scope.values)
        paths = (self.listing.one.format(**scope.values, **{key: one}) for one in keys)
        there: set[Any] = set()
        for page in crawl(fetch, [Piece(scope, request=Request(path)) for path in paths], self.sync.in_flight):
            if isinstance(page, IngestError):
                self._leave_out_or_raise(scope, page)
            elif page:
                there.update(map(self.decoder.key, page.rows))
                self._fold(scope, Step([page]))
                shown_alone.append(page)
        self._leave_out_incomplete()
        return there

    def _read_again(self, scope: Scope) -> Progress:
        """Reads a scope only for its keys; the rows are already loaded."""
        first = self.progress[scope.id]
        self.progress[scope.id] = again = Progress({}, begun=True)
        for _ in self._pages(self.walk.start(self, scope, {}), alone=True):
            pass
        self.progress[scope.id] = first
        return again

    def read_window(self, scope: Scope, window: Window, load: Load) -> Iterator[Page | pa.Table]:
        """The pages of one window, for a source that needs them besides its tables; raises errors."""
        self.load, self.scopes, self.progress = load, {scope.id: scope}, {scope.id: Progress({})}

        def fetch(piece: Piece) -> tuple[Step, list[Piece]]:
            step = self.walk.fetch(self, piece, {})
            return step, step.pieces

        for step in crawl(fetch, [Piece(scope, window)], lambda: self.sync.api.in_flight):
            yield from step.pages
        for _, error in self.unreadable:
            raise error


def resources(listings: Iterable[Listing], connect: Callable[[], Api], audit: bool = False) -> list[DltResource]:
    """A dlt resource for each list, which one run reads side by side; ``connect`` is called at the first request."""
    sync = Sync(connect, audit)
    return [mirror(Reader(listing, sync)) for listing in listings]


def _held_in(table: Table, name: str, row: Any) -> Any:
    """A row's value for a column, as the warehouse returns it."""
    column = next(column for column in table.columns if column.name == name)
    return _as_held(column, value_at(row, column.path))


def _as_held(column: Column, value: Any) -> Any:
    """A number in quotes as the warehouse returns it; any other value stays as it is."""
    if not isinstance(value, str) or column.type.arrow != BIGINT.arrow:
        return value
    try:
        return column.type.convert([value], column.type.arrow)[0].as_py()
    except pa.ArrowInvalid:
        return value
