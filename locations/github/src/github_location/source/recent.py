"""Lists that show new rows first and neither take a time nor sort by change."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ingest_shared.reading.listings import (
    Cursor,
    Piece,
    Progress,
    Scope,
    Step,
    Walk,
    iso,
    seconds,
)
from ingest_shared.reading.reader import Reader
from ingest_shared.reading.walks import ByCreated
from ingest_shared.reading.windows import Window, check_sorted

DAY = 86_400
RUN_AGAIN_WITHIN = 30 * DAY
"""https://docs.github.com/en/actions/how-tos/manage-workflow-runs/re-run-workflows-and-jobs"""
LASTS = 35 * DAY
"""A run is ended then: https://docs.github.com/en/actions/reference/limits"""
OPEN_APART = 10
"""So many runs that have not ended are read a call each; more of them in one span of time."""


def created(row: Any) -> int:
    return seconds(row.created_at)


def changed(row: Any) -> int:
    return seconds(row.updated_at)


@dataclass(frozen=True)
class Recent(Walk):
    """All pages at first; then from the newest row down to those that are known, and of these what changed.

    What changes further down, and what vanishes, the audit finds. ``changes`` is False where a row never does.
    """

    needs = ("created_at",)
    changes: bool = True
    lag: int = 60
    """Seconds read again before the newest row: a list may show a row a little late."""
    cost = (
        "One call, which costs no quota while the newest 100 are unchanged, and one for each further 100 new rows; "
        "at first one for each page."
    )

    def has_changed(self, cursor: Cursor, row: Any) -> bool:
        is_new = created(row) > cursor.get("newest", 0)
        return is_new or (self.changes and changed(row) >= cursor.get("changed", 0))

    def start(self, reader: Reader, scope: Scope, cursor: Cursor) -> list[Piece]:
        return [Piece(scope, request=reader.request(scope))]

    def fetch(self, reader: Reader, piece: Piece, cursor: Cursor) -> Step:
        request = piece.request
        assert request
        is_first = request == reader.request(piece.scope)
        answer = reader.send_if_changed(piece.scope, request, cursor.get("etag") if is_first else None, was_last=False)
        if answer is None:
            return Step()
        page, response = answer
        check_sorted([created(row) for row in page.rows], ascending=False)
        step = Step([page])
        if is_first:
            lowest = min(map(created, page.rows), default=0)
            step.cursor = {"etag": response.headers.get("ETag"), "lowest": lowest, "changed": reader.sync.now}
        step.newest = max(map(created, page.rows), default=None)
        if "newest" not in cursor:
            step.pieces = [replace(piece, request=later) for later in reader.following(request, page, response)]
            return step
        since = cursor["newest"] - self.lag
        if not page.rows or created(page.rows[-1]) >= since:
            step.pieces = [replace(piece, request=later) for later in reader.next(request, page, response)]
        page.rows = [row for row in page.rows if created(row) >= since or self._is_changed(row, cursor)]
        return step

    def _is_changed(self, row: Any, cursor: Cursor) -> bool:
        return self.changes and changed(row) >= cursor.get("changed", 0) - self.lag


def within(start: int, end: int) -> Mapping[str, str]:
    """The runs that were created in a span of time, without its end."""
    return {"created": f"{iso(start)}..{iso(min(end, 253_000_000_000) - 1)}"}


@dataclass(frozen=True)
class Runs(ByCreated):
    """The newest 100 at every sync, besides those that had not ended; once a day all that may be run again.

    A list of runs ends after 1,000 where it is filtered, and moves while it is read where it is not: at
    first, and in an audit, it is read in spans of time, of which no page but the first is asked for.
    https://docs.github.com/en/rest/actions/workflow-runs#list-workflow-runs-for-a-repository
    """

    recent: Recent = Recent()
    cost = (
        "One call, which costs no quota while the newest 100 are unchanged, one for each further run that has not "
        "ended, and once a day one for each 100 runs of the last 30 days; at first one for each 100."
    )

    def has_changed(self, cursor: Cursor, row: Any) -> bool:
        return bool(created(row) > cursor.get("newest", 0) or changed(row) >= cursor.get("synced", 0))

    def start(self, reader: Reader, scope: Scope, cursor: Cursor) -> list[Piece]:
        now, noted = reader.sync.now, reader.progress[scope.id].noted
        if "newest" not in cursor:
            noted["looked"] = now
            return [Piece(scope, Window(0, now + 1))]
        pieces = self.recent.start(reader, scope, cursor)
        if now - RUN_AGAIN_WITHIN >= cursor["lowest"]:  # at the last sync, all that may be run again was on its page
            noted["looked"] = cursor["synced"]
        elif now - cursor["looked"] >= DAY:
            noted["looked"] = now
            return [*pieces, Piece(scope, Window(now - RUN_AGAIN_WITHIN, cursor["lowest"] + 1))]
        opened = sorted({at for at in cursor["open"].values() if at <= cursor["lowest"]})
        if len(opened) > OPEN_APART:
            return [*pieces, Piece(scope, Window(opened[0], opened[-1] + 1))]
        return pieces + [Piece(scope, Window(at, at + 1)) for at in opened]

    def fetch(self, reader: Reader, piece: Piece, cursor: Cursor) -> Step:
        if not piece.window:
            return self.recent.fetch(reader, piece, cursor)
        step = super().fetch(reader, piece, cursor)
        for page in step.pages:
            opened, since = cursor.get("open", {}), cursor.get("looked", 0) - self.lag
            page.rows = [row for row in page.rows if str(row.id) in opened or changed(row) >= since]
            step.newest = max(map(created, page.rows), default=None)
        return step

    def note(self, progress: Progress, step: Step) -> None:
        opened = progress.noted.setdefault("open", dict(progress.cursor.get("open", {})))
        for page in step.pages:
            for row in page.rows:
                opened.pop(str(row.id), None)
                if row.status != "completed":
                    opened[str(row.id)] = created(row)

    def finish(self, reader: Reader, scope: Scope, progress: Progress) -> None:
        now = reader.sync.now
        opened = {id_: at for id_, at in progress.noted["open"].items() if at > now - LASTS}
        defaults = {"newest": 0, "lowest": now + 1, "changed": now}
        looked = progress.noted.get("looked", progress.cursor.get("looked"))
        progress.cursor = defaults | progress.cursor | {"open": opened, "looked": looked, "synced": now}
