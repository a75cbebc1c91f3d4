"""Lists that show new rows first and neither take a time nor sort by change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from github_location.source.repositories import Repository
from ingest_shared.errors import ApiError
from ingest_shared.reading.listings import (
    Cursor,
    NumberedPage,
    Piece,
    Progress,
    Scope,
    Step,
    Walk,
    iso,
    seconds,
)
from ingest_shared.reading.reader import Reader
from ingest_shared.reading.walks import ByCreated, FullList
from ingest_shared.reading.windows import FOREVER, Window, check_sorted

DAY = 86_400
RUN_AGAIN_WITHIN = 30 * DAY
"""https://docs.github.com/en/actions/how-tos/manage-workflow-runs/re-run-workflows-and-jobs"""
LASTS = RUN_AGAIN_WITHIN + 35 * DAY
"""Seconds after which a run has ended, even if it was run again on its last day and waited 30 days for an approval:
https://docs.github.com/en/actions/reference/limits"""
INDEX_IS_LATE = 3_600
"""Seconds for which a filtered list, which comes from a search index, may lack new runs."""
RELEASES_SHOWN = 1_000
"""Number of releases that GitHub shows: it has shown no more than the newest 1,000, and documents 10,000 today:
https://github.com/MeltanoLabs/tap-github/issues/182"""
LONG = 100
"""Pages after which GitHub may cut a list short: 100, 300 and 400 are known."""
OPEN_APART = 10
"""Up to this many unfinished runs are read with a call each; more of them are read in one span of time."""


def created(row: Any) -> int:
    return seconds(row.created_at)


def changed(row: Any) -> int:
    return seconds(row.updated_at)


@dataclass(frozen=True)
class Recent(Walk):
    """All pages at first; later from the newest row down to known ones, including changes of those.

    The audit finds changes further down and rows that vanish. ``changes`` is False if rows never change. A row that
    appears or vanishes in the meantime moves others to pages that were already read, so several pages are read until no
    further row appears. GitHub guarantees no order: a row is new by its time or by its id, since rows that come with a
    transferred issue have new ids but keep their times.
    """

    needs = ("created_at",)
    keeps_keys = True
    changes: bool = True
    lag: int = 60
    """Seconds read again before the newest row: a list may show a row a little late."""
    cost = (
        "One call, which costs no quota while the newest 100 are unchanged, and one for each further 100 new rows; "
        "at first one for each page, and one more for each that costs no quota while it is unchanged."
    )

    def has_changed(self, cursor: Cursor, row: Any) -> bool:
        is_new = created(row) > cursor.get("newest", 0) or row.id > cursor.get("top", row.id)
        return is_new or (self.changes and changed(row) >= cursor.get("changed", 0))

    def start(self, reader: Reader, scope: Scope, cursor: Cursor) -> list[Piece]:
        return [Piece(scope, request=reader.request(scope))]

    def fetch(self, reader: Reader, piece: Piece, cursor: Cursor) -> Step:
        request, already = piece.request, reader.progress[piece.scope.id].numbered
        assert request
        is_first = request == reader.request(piece.scope)
        known = already.get(request)
        etag = known.etag if known else cursor.get("etag") if is_first else None
        try:
            answer = reader.send_if_changed(piece.scope, request, etag, was_last=known is not None and known.was_last)
        except ApiError as error:
            if not is_end(error):
                raise
            return Step(cursor={"cut": True})
        if answer is None:
            return Step()
        page, response = answer
        check_newest_first(page.rows)
        step = Step([page], newest=max(map(created, page.rows), default=None))
        if is_first and not known:  # a later reading leaves what changed in the meantime to the next sync
            lowest = min(map(created, page.rows), default=0)
            step.cursor = {"etag": response.headers.get("ETag"), "lowest": lowest, "changed": reader.sync.now}
        following = reader.following(request, page, response)
        if "newest" in cursor:
            new = {row.id for row in page.rows if self._is_new(row, cursor)}
            following = [] if page.rows and not new else reader.next(request, page, response)
            page.rows = [row for row in page.rows if row.id in new or self._is_changed(row, cursor)]
        step.pieces = [replace(piece, request=later) for later in following if later not in already]
        keys = [row.id for row in page.rows if created(row) < reader.sync.now]
        step.numbered = request, NumberedPage(keys, response.headers.get("ETag"), "next" not in response.links)
        return step

    def audited(self, reader: Reader, scope: Scope) -> Mapping[str, Any]:
        """In a list that GitHub may have cut short, rows older than its last one are not gone."""
        progress = reader.progress[scope.id]
        if len(progress.numbered) < LONG and not progress.cursor.get("cut"):
            return scope.values
        _, since = progress.noted["oldest"]
        return {**scope.values, "created_at": Window(since, FOREVER)}

    def note(self, progress: Progress, step: Step) -> None:
        if step.numbered:
            progress.stood_still &= progress.there.issuperset(step.numbered[1].keys)
        if rows := [(row.id, created(row)) for page in step.pages for row in page.rows]:
            progress.noted["oldest"] = min([*rows, progress.noted.get("oldest", rows[0])])
            progress.cursor["top"] = max(max(rows)[0], progress.cursor.get("top", 0))

    def again(self, reader: Reader, scope: Scope, progress: Progress) -> list[Piece]:
        if progress.stood_still or len(progress.numbered) < 2:
            return []
        progress.stood_still = True  # unless a page of this round has a further row
        return [Piece(scope, request=request) for request in progress.numbered]

    def _is_new(self, row: Any, cursor: Cursor) -> bool:
        return bool(created(row) >= cursor["newest"] - self.lag or row.id > cursor.get("top", row.id))

    def _is_changed(self, row: Any, cursor: Cursor) -> bool:
        return self.changes and changed(row) >= cursor.get("changed", 0) - self.lag


@dataclass(frozen=True)
class Releases(FullList):
    """Every page at every sync, as far as GitHub shows the list; a list of one page only if it changed.

    Only those who may push see drafts: https://docs.github.com/en/rest/releases/releases#list-releases
    """

    def audited(self, reader: Reader, scope: Scope) -> Mapping[str, Any]:
        assert isinstance(scope, Repository)
        return scope.values if scope.may_push else {**scope.values, "draft": False}

    def fetch(self, reader: Reader, piece: Piece, cursor: Cursor) -> Step:
        try:
            return super().fetch(reader, piece, cursor)
        except ApiError as error:
            if not is_end(error):
                raise
            return Step()


def is_end(error: ApiError) -> bool:
    """Whether GitHub refuses a page because it does not show more of the list."""
    said = error.reason.lower()
    return error.status == 422 and ("pagination is limited" in said or "results are available" in said)


def check_newest_first(rows: Sequence[Any]) -> None:
    """Raises :class:`PayloadError` if a page is not sorted newest first, neither by time nor by id."""
    if (ids := [row.id for row in rows]) != sorted(ids, reverse=True):
        check_sorted([created(row) for row in rows], ascending=False)


def within(start: int, end: int) -> Mapping[str, str]:
    """Parameters for the runs created in a half-open span of time."""
    return {"created": f"{iso(start)}..{iso(min(end, 253_000_000_000) - 1)}"}


@dataclass(frozen=True)
class Runs(ByCreated):
    """The newest 100 and the unfinished runs at every sync; once a day all that may be run again.

    A filtered list of runs ends after 1,000, and an unfiltered one moves while it is read: at first, and in an audit,
    it is read in spans of time, with only the first page of each. A filtered list comes from a search index, which may
    lack a run: an audit requests missing ones by themselves, until all that remain are gone because of their age.
    https://docs.github.com/en/rest/actions/workflow-runs#list-workflow-runs-for-a-repository
    """

    keeps_keys = True
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
        pieces, unread = self.recent.start(reader, scope, cursor), cursor["lowest"] + 1
        # What was run again since the last look was young enough then, and may be older by now.
        if cursor["synced"] - RUN_AGAIN_WITHIN >= cursor["lowest"]:  # all of that was on the page of the last sync
            noted["looked"] = cursor["synced"]
        elif now - cursor["looked"] >= DAY:
            noted["looked"] = now
            since = cursor["looked"] - RUN_AGAIN_WITHIN
            pieces.append(Piece(scope, Window(since, unread)))
            unread = since
        opened = sorted({at for at in cursor["open"].values() if at < unread})
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
            # Newer ones may be missing: the next sync sees them in the unfiltered list.
            newest = max(map(created, page.rows), default=None)
            step.newest = newest and min(newest, reader.sync.now - INDEX_IS_LATE)
        return step

    def again(self, reader: Reader, scope: Scope, progress: Progress) -> list[Piece]:
        return self.recent.again(reader, scope, progress)

    def note(self, progress: Progress, step: Step) -> None:
        self.recent.note(progress, step)
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
