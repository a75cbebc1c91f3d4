"""The commits of every branch: all of them once, then what comparing the heads shows as new."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import msgspec

from github_location.source.repositories import LATE, PER_PAGE, Repository
from github_location.source.tables import code
from ingest_shared.columnar import Decoder, Page
from ingest_shared.errors import ApiError, PayloadError
from ingest_shared.reading.envelopes import Request
from ingest_shared.reading.listings import Cursor, Piece, Scope, Step, Walk, seconds
from ingest_shared.reading.reader import Reader


class _Head(msgspec.Struct):
    sha: str


class _Branch(msgspec.Struct):
    name: str
    commit: _Head


_BRANCHES = msgspec.json.Decoder(list[_Branch])
_COMPARED = Decoder(code.commits, rows_at="commits", told=("total_commits",))


@dataclass(frozen=True)
class Commits(Walk):
    """Compares the head of each branch with the previously known one.

    A comparison finds exactly the commits that one head has and the other does not, even after a merge of older commits
    or a force-push. If GitHub cannot compare (no common history, or a diff that is too large), the branch is listed:
    https://docs.github.com/en/rest/commits/commits#compare-two-commits
    """

    cost = (
        "None while nothing is pushed. Then one for the list of branches, and one for each 100 new commits of each "
        "branch that moved; at first one for each page."
    )

    def start(self, reader: Reader, scope: Scope, cursor: Cursor) -> list[Piece]:
        assert isinstance(scope, Repository)
        known = reader.known.get(scope.id, {})
        if reader.sync.audit and known and known["pushed_at"] != scope.pushed_at:
            reader.progress[scope.id].changed = _Branches(reader, scope, known).new()
        return [] if cursor.get("pushed_at", "") == scope.pushed_at else [Piece(scope)]

    def fetch(self, reader: Reader, piece: Piece, cursor: Cursor) -> Step:
        if piece.request:
            return self._listed(reader, piece.scope, piece.request)
        return _Branches(reader, piece.scope, cursor).step()

    @staticmethod
    def _listed(reader: Reader, scope: Scope, request: Request) -> Step:
        page, response = reader.send(scope, request)
        following = reader.following(request, page, response)
        return Step([page], [Piece(scope, request=later) for later in following])


@dataclass
class _Branches:
    """The branches of one repository, and what is new on them."""

    reader: Reader
    scope: Scope
    cursor: Cursor

    @cached_property
    def heads(self) -> dict[str, str]:
        """The head of each branch."""
        heads: dict[str, str] = {}
        path: str | None = f"/repositories/{self.scope.id}/branches?per_page={PER_PAGE}"
        while path:
            response = self.reader.respond(self.scope, Request(path))
            try:
                heads |= {branch.name: branch.commit.sha for branch in _BRANCHES.decode(response.body)}
            except msgspec.ValidationError as error:
                raise PayloadError(f"table commits: the list of branches at {path} cannot be read ({error})") from None
            path = response.links.get("next")
        return heads

    def step(self) -> Step:
        repository, known = self.scope, self.cursor.get("heads", {})
        assert isinstance(repository, Repository)
        # More may be pushed within the second of the last push, and a head may appear late: then look again.
        is_over = not repository.pushed_at or seconds(repository.pushed_at) < self.reader.sync.now - LATE
        step = Step(cursor={"heads": self.heads, "pushed_at": repository.pushed_at if is_over else ""})
        if not self.heads:  # an empty repository
            return step
        # The default branch may have been renamed since the repository was listed.
        main = repository.default_branch if repository.default_branch in self.heads else next(iter(self.heads))
        if self.heads[main] != known.get(main):
            step.pages, step.pieces = self._new([known.get(main)], self.heads[main])
        for branch, head in self.heads.items():
            if branch != main and head != known.get(branch):
                # Commits in the list of the main branch need no comparison with previous heads.
                bases = [self.heads[main]] if step.pieces else [known.get(branch), self.heads[main]]
                pages, pieces = self._new(bases, head)
                step.pages += pages
                step.pieces += pieces
        return step

    def new(self) -> set[str]:
        """The commits that the branches have gained since then."""
        step = self.step()
        pages = list(step.pages)
        requests = [piece.request for piece in step.pieces]
        while requests:
            request = requests.pop()
            assert request
            page, response = self.reader.send(self.scope, request)
            pages.append(page)
            requests += self.reader.following(request, page, response)
        return {row.sha for page in pages if isinstance(page, Page) for row in page.rows}

    def _new(self, bases: Iterable[str | None], head: str) -> tuple[list[Page], list[Piece]]:
        """The commits of ``head`` that the first comparable one of ``bases`` does not have; otherwise all commits of
        ``head``."""
        for base in filter(None, bases):
            if (pages := self._compared(base, head)) is not None:
                return pages, []
        return [], [Piece(self.scope, request=self.reader.request(self.scope, sha=head))]

    def _compared(self, base: str, head: str) -> list[Page] | None:
        """The commits of ``head`` that ``base`` does not have; None if GitHub cannot compare them or shows only
        some."""
        pages: list[Page] = []
        path: str | None = f"/repositories/{self.scope.id}/compare/{base}...{head}?per_page={PER_PAGE}"
        while path:
            try:
                response = self.reader.respond(self.scope, Request(path))
            except ApiError as error:
                if error.status in (404, 422) or (error.status or 0) >= 500:
                    return None
                raise
            pages.append(_COMPARED.page(response.body, self.scope.values))
            path = response.links.get("next")
        is_whole = sum(len(page.rows) for page in pages) >= (pages[0].told["total_commits"] or 0)
        return pages if is_whole else None
