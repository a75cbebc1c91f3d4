"""The members of organizations, of whom GitHub may show only a part."""

from dataclasses import dataclass

from ingest_shared.errors import PayloadError
from ingest_shared.reading.envelopes import Request
from ingest_shared.reading.listings import Piece, Progress, Scope
from ingest_shared.reading.reader import Reader
from ingest_shared.reading.tombstones import living
from ingest_shared.reading.walks import FullList


@dataclass(frozen=True)
class Members(FullList):
    """Every page at every sync; a list of one page only when it changed.

    To a credential without the permission, or whose user is not a member, GitHub answers 200 with the public members
    only: https://docs.github.com/en/rest/orgs/members#list-organization-members. So if many are missing from a list
    that has no others, none is marked as deleted.
    """

    def again(self, reader: Reader, scope: Scope, progress: Progress) -> list[Piece]:
        pieces = super().again(reader, scope, progress)
        if pieces or not progress.numbered:
            return pieces
        held = living(reader.listing.table, scope.values)
        missing = len(held - progress.there)
        is_doubtful = missing > max(1, len(held) * reader.sync.api.deletes_believed)
        if is_doubtful and progress.there == self._public(reader, scope):
            raise PayloadError(
                f"{missing} of {len(held)} members are missing, and only public ones are shown: check whether the "
                "credential still sees the others. If they left, set sources.github.deletes_believed to 1 for one run"
            )
        return []

    @staticmethod
    def _public(reader: Reader, scope: Scope) -> set[int]:
        """The ids of the members who do not conceal that they are."""
        found: set[int] = set()
        path: str | None = f"/organizations/{scope.id}/public_members?per_page={reader.listing.params['per_page']}"
        while path:
            response = reader.respond(scope, Request(path))
            found.update(map(reader.decoder.key, reader.decoder.page(response.body, scope.values).rows))
            path = response.links.get("next")
        return found
