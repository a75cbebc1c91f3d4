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
KINDS = "has_issues", "has_pull_requests"


@dataclass(frozen=True)
class Conversations(ChangedSince):
    """What changed since the newest row of the previous sync; if issues are switched off, only pull requests.

    The issues are hidden then, and come back with their earlier times when they are switched on again, so their rows
    stay as they are, and the list is then read from where it last showed them. The same goes for pull requests.
    GitHub documents 410 for a single issue of such a repository; should the list answer 410, it counts as empty.
    """

    deletes = "found by the audit; not those of comments where issues or pull requests are switched off."

    def start(self, reader: Reader, scope: Scope, cursor: Cursor) -> list[Piece]:
        reader.progress[scope.id].noted["hides"] = bool(_switched_off(scope)) and not _tells_kind(reader)
        back = cursor.get("shown_until", {}).keys() - _switched_off(scope)
        newest = {"newest": min(cursor["shown_until"][kind] for kind in back)} if back else {}
        return super().start(reader, scope, cursor | newest)

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
        """Notes the newest row of the last sync in which a hidden kind was shown."""
        known, hidden = reader.known.get(scope.id, {}), _switched_off(scope)
        if progress.cursor.pop("is_off", False):
            hidden = set(KINDS)
        shown_until = {kind: known.get("newest", 0) for kind in hidden} | known.get("shown_until", {})
        progress.cursor["shown_until"] = {kind: at for kind, at in shown_until.items() if kind in hidden}


def _switched_off(scope: Scope) -> set[str]:
    """What is switched off of issues and pull requests."""
    return {kind for kind in KINDS if not getattr(scope, kind)}


def _tells_kind(reader: Reader) -> bool:
    """Whether the rows of the table say if they are of a pull request."""
    return any(column.name == IS_PULL_REQUEST for column in reader.listing.table.columns)
