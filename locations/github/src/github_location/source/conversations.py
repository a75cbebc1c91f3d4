"""Issues and pull requests with their comments: GitHub lists both together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from github_location.source.repositories import Repository
from ingest_shared.errors import ApiError
from ingest_shared.reading.listings import Cursor, Piece, Progress, Scope, Step
from ingest_shared.reading.reader import Reader
from ingest_shared.reading.walks import ChangedSince

GONE = 410
IS_PULL_REQUEST = "is_pull_request"


@dataclass(frozen=True)
class Conversations(ChangedSince):
    """What changed since the newest row of the previous sync; if issues are switched off, only pull requests.

    The issues are hidden then, and come back unchanged when they are switched on again, so their rows stay as they are;
    and so do those of pull requests that are switched off.
    GitHub documents 410 for a single issue of such a repository; should the list answer 410, it counts as empty.
    """

    deletes = "found by the audit; not those of comments where issues or pull requests are switched off."

    def start(self, reader: Reader, scope: Scope, cursor: Cursor) -> list[Piece]:
        assert isinstance(scope, Repository)
        shows_all = scope.has_issues and scope.has_pull_requests
        reader.progress[scope.id].noted["hides"] = not shows_all and not _tells_kind(reader)
        return super().start(reader, scope, cursor)

    def fetch(self, reader: Reader, piece: Piece, cursor: Cursor) -> Step:
        try:
            return super().fetch(reader, piece, cursor)
        except ApiError as error:
            if error.status != GONE:
                raise
            return Step(cursor={"is_off": True})

    def is_cut(self, progress: Progress) -> bool:
        return bool(progress.noted.get("hides")) or "is_off" in progress.cursor

    def audited(self, reader: Reader, scope: Scope) -> Mapping[str, Any]:
        """The rows of the kind that is shown, where one is switched off."""
        assert isinstance(scope, Repository)
        is_one_kind = scope.has_issues != scope.has_pull_requests and _tells_kind(reader)
        return {**scope.values, **({IS_PULL_REQUEST: scope.has_pull_requests} if is_one_kind else {})}

    def finish(self, reader: Reader, scope: Scope, progress: Progress) -> None:
        progress.cursor.pop("is_off", None)


def _tells_kind(reader: Reader) -> bool:
    """Whether the rows of the table say if they are of a pull request."""
    return any(column.name == IS_PULL_REQUEST for column in reader.listing.table.columns)
