"""Tables with a row for each day: GitHub shows some numbers as of now, others for the last two weeks.

What GitHub no longer shows stays as it was last seen.
"""

from dataclasses import dataclass

import msgspec

from github_location.source.repositories import Repository
from ingest_shared.reading.listings import Cursor, Piece, Progress, Step, Walk, iso
from ingest_shared.reading.reader import Reader
from ingest_shared.reading.walks import FullList

DAY = 86_400
KEPT = "never: what GitHub no longer shows stays until the repository is gone."


@dataclass(frozen=True)
class Today(Walk):
    """A row for today, from the list of repositories."""

    cost = "None."
    deletes = KEPT
    tells_deletes = True

    def fetch(self, reader: Reader, piece: Piece, cursor: Cursor) -> Step:
        assert isinstance(piece.scope, Repository)
        day = iso(reader.sync.now - reader.sync.now % DAY)
        body = msgspec.json.encode([{"day": day, **piece.scope.counts}])
        return Step([reader.decoder.page(body, piece.scope.values)])

    def is_cut(self, progress: Progress) -> bool:
        return True

    def lists_all(self, progress: Progress) -> bool:
        return True


@dataclass(frozen=True)
class LastDays(FullList):
    """The days that GitHub shows, at every sync if they changed."""

    cost = "One, which costs no quota while nothing changed."
    deletes = KEPT

    def is_cut(self, progress: Progress) -> bool:
        return True
