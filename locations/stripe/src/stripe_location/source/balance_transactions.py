"""Balance transactions, which change once: when they become available."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ingest_shared.reading.listings import Cursor, Piece, Progress, Scope, Step
from ingest_shared.reading.reader import Reader
from ingest_shared.reading.walks import ByCreated
from ingest_shared.reading.windows import Window
from stripe_location.source.account import sync_of
from stripe_location.source.api import API_VERSION
from stripe_location.source.objects import is_older


@dataclass(frozen=True)
class BalanceTransactions(ByCreated):
    """What was created since; pending ones are read again until they are available, because no event reports that."""

    cost = "One call and one for each page since the oldest pending one; at first one for each page, side by side."

    def start(self, reader: Reader, scope: Scope, cursor: Cursor) -> list[Piece]:
        sync = sync_of(reader)
        loaded: int = cursor.get("start", sync.start)
        start = min(loaded, sync.start)
        reader.progress[scope.id].noted.update(start=start, pending_from=sync.now - self.lag)
        if (left := self.left(scope, cursor)) and not is_older(cursor):
            reader.progress[scope.id].noted["pending_from"] = cursor["pending_from"]
            return left + [Piece(scope, Window(start, loaded))] * (start < loaded)
        reader.progress[scope.id].cursor.pop("began", None)
        known = "read_again_from" in cursor and not is_older(cursor)
        again = max(cursor["read_again_from"], loaded) if known else loaded
        windows = [Window(start, loaded), *sync.history(scope, again)]
        return [Piece(scope, window) for window in windows if window.start < window.end]

    def has_changed(self, cursor: Cursor, row: Any) -> bool:
        return super().has_changed(cursor, row) or row.available_on >= cursor.get("until", 0)

    def note(self, progress: Progress, step: Step) -> None:
        pending = [row.created for page in step.pages for row in page.rows if row.status == "pending"]
        progress.noted["pending_from"] = min([progress.noted["pending_from"], *pending])

    def finish(self, reader: Reader, scope: Scope, progress: Progress) -> None:
        super().finish(reader, scope, progress)
        noted = progress.noted
        progress.cursor.pop("pending_from", None)
        progress.cursor |= {
            "read_again_from": noted["pending_from"],
            "start": noted["start"],
            "version": API_VERSION,
        }

    def leave(self, reader: Reader, progress: Progress) -> Cursor:
        noted = {"pending_from": progress.noted["pending_from"], "start": progress.noted["start"]}
        return super().leave(reader, progress) | noted | {"version": API_VERSION}

    def audited(self, reader: Reader, scope: Scope) -> Mapping[str, Any]:
        return {**scope.values, "created": Window(sync_of(reader).start, reader.sync.now)}
