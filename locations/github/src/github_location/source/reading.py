"""How GitHub's lists are read: whole, to the cursor, and without losing what moves meanwhile.

Each reader yields pages to :func:`ingest_shared.loading.mirror`. Cursors are kept per repository
id in dlt's resource state and move only when the repository was read to its end. Rows that
change after the sync began are left to the next one, so no row is read twice or half.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import pyarrow as pa

from github_location.source import tables
from github_location.source.api import GitHub, configured_repositories, connect, reconcile_seconds
from ingest_shared.columnar import Decoder, Page
from ingest_shared.errors import ApiError
from ingest_shared.http import Answer, Usage, json_as, server_time
from ingest_shared.loading import Load
from ingest_shared.paging import Task, Window, crawl, cut, one_second
from ingest_shared.tombstones import vanished

PER_PAGE = 100
PASSES = 5
"""Times that a list of several pages is read until it stands still meanwhile."""
LAG = 60
"""Seconds read again before the newest row: GitHub's lists may show a change a little late."""

LEFT_OUT = {
    403: "the credential may not read it",
    404: "there is no such repository, or the credential may not see it",
    410: "it is switched off",
    451: "it is blocked for legal reasons",
}
"""Answers that leave a repository out of this load, into ``load_gaps``, while the others go on."""


class _Head(msgspec.Struct):
    sha: str


class _Branch(msgspec.Struct):
    name: str
    commit: _Head


_BRANCHES = json_as(list[_Branch])
_PAGE_NUMBER = re.compile(r"([?&]page=)(\d+)")


@dataclass(frozen=True)
class Repository:
    """What the readers must know of a repository; ``entry`` is why it is mirrored."""

    id: int
    entry: str
    full_name: str
    default_branch: str
    pushed_at: str | None


@dataclass
class Sync:
    """What the resources of one run share: the API, its clock, and which repositories there are."""

    decoder: Decoder
    api: GitHub = field(init=False)
    horizon: int = 0
    """The API's time when the sync began; what changes from then on belongs to the next one."""
    entries: list[str] = field(default_factory=list)
    repositories: dict[int, Repository] = field(default_factory=dict)
    pages: list[Page] = field(default_factory=list)
    missing: dict[str, int] = field(default_factory=dict)
    """The status that an entry, or a repository that left its entry, was answered with."""
    gone: set[int] = field(default_factory=set)
    blocked: set[int] = field(default_factory=set)
    _listed: bool = False

    def begin(self, load: Load) -> None:
        """Lists the configured repositories, once for all resources, and looks for moved ones.

        A repository that was mirrored under an entry and is not listed there any more is asked
        for by id: it may have been renamed or transferred. An entry that cannot be read is left
        out of every resource.
        """
        if not self._listed:
            self.entries = configured_repositories()
            self.api = connect()
            for entry in self.entries:
                try:
                    for answer in self._list(entry, load.usage):
                        self._keep(answer, entry)
                except ApiError as error:
                    if error.status not in LEFT_OUT:
                        raise
                    self.missing[entry] = error.status
            self._listed = True
        for known, cursor in load.state.setdefault("repositories", {}).items():
            looked_for = int(known) in self.repositories.keys() | self.gone | self.blocked
            if not looked_for and cursor.get("entry") in self.entries and cursor["entry"] not in self.missing:
                self._look_for(int(known), cursor["entry"], load.usage)
        for scope, status in self.missing.items():
            load.leave_out(scope, LEFT_OUT[status], status)

    def read(self, load: Load) -> Iterator[Page | pa.Table]:
        """The repositories themselves; those that are gone get ``deleted_at``."""
        self.begin(load)
        yield from self.pages
        known = load.state["repositories"]
        if self.gone:
            living = {int(id_) for id_ in known} - self.gone | self.repositories.keys()
            yield vanished(tables.repositories, {}, living, self.horizon)
        load.state["repositories"] = {id_: cursor for id_, cursor in known.items() if int(id_) not in self.gone} | {
            str(r.id): {"entry": r.entry} for r in self.repositories.values()
        }

    def _list(self, entry: str, usage: Usage) -> Iterator[Answer[Page]]:
        owner, _, name = entry.partition("/")
        if name != "*":
            yield self.api.get(f"/repos/{entry}", parse=self.decoder.row, usage=usage)
            return
        try:
            answer = self._first_page(f"/orgs/{owner}/repos", usage)
        except ApiError as error:
            if error.status != 404:
                raise
            answer = self._first_page(f"/users/{owner}/repos", usage)
        yield answer
        while url := answer.links.get("next"):
            answer = self.api.get(url, parse=self.decoder.page, usage=usage)
            yield answer

    def _first_page(self, path: str, usage: Usage) -> Answer[Page]:
        return self.api.get(path, {"per_page": PER_PAGE, "sort": "created"}, parse=self.decoder.page, usage=usage)

    def _look_for(self, repository_id: int, entry: str, usage: Usage) -> None:
        try:
            self._keep(self.api.get(f"/repositories/{repository_id}", parse=self.decoder.row, usage=usage), entry)
        except ApiError as error:
            if error.status not in LEFT_OUT:
                raise
            if error.status == 404:
                self.gone.add(repository_id)
            else:
                self.blocked.add(repository_id)
                self.missing[f"repository {repository_id} of {entry}"] = error.status

    def _keep(self, answer: Answer[Page], entry: str) -> None:
        page = whole(answer)
        self.horizon = self.horizon or server_time(answer.headers)
        page.rows = [row for row in page.rows if row.id not in self.repositories]
        self.pages.append(page)
        for row in page.rows:
            self.repositories[row.id] = Repository(row.id, entry, row.full_name, row.default_branch, row.pushed_at)


@dataclass(frozen=True)
class Piece(Task):
    """A part of one repository's list: a window of time, or the address of a page."""

    repository: Repository
    window: Window = Window(0, 0)
    url: str | None = None

    def split(self, parts: int) -> list["Piece"]:
        if self.url:
            return [self]
        return [replace(self, window=window) for window in self.window.split(parts)]


Cursor = Mapping[str, Any]
Fetched = tuple[list[Page], list[Piece]]


class Reader:
    """Reads one list of every repository; each subclass knows how its kind of list moves."""

    def __init__(self, sync: Sync, decoder: Decoder, path: str, **params: Any) -> None:
        self.sync = sync
        self.decoder = decoder
        self.path = path
        self.params = {"per_page": PER_PAGE, **params}
        self.moved: dict[int, dict[str, Any]] = {}

    def __call__(self, load: Load) -> Iterator[Page | pa.Table]:
        """Yields the pages of all repositories, then moves the cursors of those read to the end."""
        self.sync.begin(load)
        cursors = load.state["repositories"]
        left_out: set[int] = set()

        def leave_out(repository: Repository, error: ApiError) -> None:
            if error.status not in LEFT_OUT:
                raise error
            load.leave_out(repository.full_name, LEFT_OUT[error.status], error.status)
            left_out.add(repository.id)

        def fetch(piece: Piece) -> Fetched:
            try:
                return self.fetch(piece, cursors.get(str(piece.repository.id), {}), load)
            except ApiError as error:
                leave_out(piece.repository, error)
                return [], []

        pieces = [
            piece
            for repository in self.sync.repositories.values()
            if (piece := self.first(repository, cursors.get(str(repository.id), {})))
        ]
        for pages in crawl(fetch, pieces, self.sync.api.in_flight):
            yield from pages
        for repository in self.sync.repositories.values():
            if repository.id not in left_out:
                try:
                    yield from self.finish(repository, load)
                except ApiError as error:
                    leave_out(repository, error)
            if repository.id not in left_out:
                cursor = {"entry": repository.entry, **self.moved.get(repository.id, {})}
                cursors.setdefault(str(repository.id), {}).update(cursor)

    def finish(self, repository: Repository, load: Load) -> Iterator[pa.Table]:
        """What is left to say of a repository that was read to its end."""
        yield from ()

    def first(self, repository: Repository, cursor: Cursor) -> Piece | None:
        """The piece to begin with; None when it is known without a call that nothing changed."""
        return Piece(repository)

    def fetch(self, piece: Piece, cursor: Cursor, load: Load) -> Fetched:
        """The pages that a piece brings, and the pieces still to be read.

        What it leaves in ``moved`` becomes the repository's cursor once all of it was read.
        """
        raise NotImplementedError

    def get(self, piece: Piece, load: Load, etag: str | None = None, **params: Any) -> Answer[Page]:
        given = {"repo_id": piece.repository.id}
        return self.sync.api.get(
            piece.url or f"/repositories/{piece.repository.id}{self.path}",
            None if piece.url else {**self.params, **params},
            parse=lambda body: self.decoder.page(body, given),
            usage=load.usage,
            headers={"If-None-Match": etag} if etag else None,
        )

    def move(self, repository: Repository, **cursor: Any) -> None:
        """Notes a part of the repository's next cursor."""
        self.moved.setdefault(repository.id, {}).update(cursor)

    def _all_before_horizon(self, page: Page) -> bool:
        """Whether no row is left to the next sync: only then may an unchanged answer be skipped."""
        return all(updated_at(row) < self.sync.horizon for row in page.rows)

    def seen_until(self, piece: Piece, rows: list[Any], before: int = 0) -> None:
        """Moves the cursor ``updated_at`` up to the newest of ``rows``."""
        known = self.moved.get(piece.repository.id, {}).get("updated_at", before)
        self.move(piece.repository, updated_at=max([known, *map(updated_at, rows)]))


class Since(Reader):
    """A list with ``since``, oldest change first: windows of time, read side by side.

    Issues and comments. Each request starts at a time, never at a page number, so rows that move
    to the end or vanish while the list is read shift nothing. GitHub does not tell of deletes:
    every ``sources.github.reconcile_days`` the whole list is read and compared with the warehouse.
    """

    def __init__(self, sync: Sync, decoder: Decoder, path: str, **params: Any) -> None:
        super().__init__(sync, decoder, path, **params)
        self.seen: dict[int, set[int]] = {}

    def first(self, repository: Repository, cursor: Cursor) -> Piece | None:
        read_whole_every = reconcile_seconds()
        if "whole_at" in cursor and self.sync.horizon - cursor["whole_at"] < read_whole_every:
            return Piece(repository, Window(max(0, cursor["updated_at"] - LAG), self.sync.horizon))
        if "whole_at" in cursor:
            self.seen[repository.id] = set()
        self.move(repository, whole_at=self.sync.horizon)
        return Piece(repository, Window(0, self.sync.horizon))

    def finish(self, repository: Repository, load: Load) -> Iterator[pa.Table]:
        if (seen := self.seen.get(repository.id)) is None:
            return
        # What changed while the list was read has moved to its end: it is not gone.
        answer = self.get(Piece(repository), load, since=iso(self.sync.horizon))
        seen.update(row.id for row in whole(answer).rows)
        while url := answer.links.get("next"):
            answer = self.get(Piece(repository, url=url), load)
            seen.update(row.id for row in whole(answer).rows)
        table = tables.TABLES[self.decoder.table.name]
        yield vanished(table, {"repo_id": repository.id}, seen, self.sync.horizon)

    def fetch(self, piece: Piece, cursor: Cursor, load: Load) -> Fetched:
        window = piece.window
        since = {"since": iso(window.start)} if window.start else {}
        conditional = window == self._window_of(cursor) and piece.repository.id not in self.seen
        answer = self.get(piece, load, cursor.get("etag") if conditional else None, **since)
        if answer.value is None:
            return [], []
        page, more = answer.value, "next" in answer.links
        if not more and (since or not page.rows) and self._all_before_horizon(page):
            self.move(piece.repository, etag=answer.headers.get("ETag"), etag_since=window.start)
        rows, rest = cut(page.rows, updated_at, window, ascending=True, more=more)
        if more and rows and one_second(page.rows, updated_at):
            second = updated_at(rows[0])
            page.rows = rows = list(self._rows_of_second(piece.repository, second, load).values())
            rest = [Window(second + 1, window.end)]
        if (seen := self.seen.get(piece.repository.id)) is not None:
            seen.update(row.id for row in page.rows)
        self.seen_until(piece, rows, cursor.get("updated_at", 0))
        page.rows = rows
        return [page], [replace(piece, window=left) for left in rest]

    def _window_of(self, cursor: Cursor) -> Window | None:
        """The window for which the remembered ETag stands."""
        return Window(cursor["etag_since"], self.sync.horizon) if cursor.get("etag") else None

    def _rows_of_second(self, repository: Repository, second: int, load: Load) -> dict[int, Any]:
        """The rows that changed in one second, when they are more than a page.

        Only page numbers lead through them, and a row that moves away shifts the others: so they
        are read again until nothing new appears.
        """
        found: dict[int, Any] = {}
        known = -1
        while len(found) > known:
            known = len(found)
            answer = self.get(Piece(repository), load, since=iso(second))
            while True:
                page = whole(answer)
                found |= {row.id: row for row in page.rows if updated_at(row) == second and row.id not in found}
                if not (url := answer.links.get("next")) or updated_at(page.rows[-1]) > second:
                    break
                answer = self.get(Piece(repository, url=url), load)
        return found


class Newest(Reader):
    """A list without ``since``: pages side by side at first, then newest change first to the cursor.

    Pull requests. They cannot be deleted and new ones come last, so the numbered pages of the
    first load stand still.
    """

    def first(self, repository: Repository, cursor: Cursor) -> Piece | None:
        return Piece(repository)

    def fetch(self, piece: Piece, cursor: Cursor, load: Load) -> Fetched:
        if "updated_at" in cursor:
            return self._to_cursor(piece, cursor, load), []
        answer = self.get(piece, load, sort="created", direction="asc")
        page = whole(answer)
        page.rows = [row for row in page.rows if updated_at(row) < self.sync.horizon]
        self.seen_until(piece, page.rows)
        return [page], [replace(piece, url=url) for url in further(piece.url, answer.links)]

    def _to_cursor(self, piece: Piece, cursor: Cursor, load: Load) -> list[Page]:
        pages: list[Page] = []
        seen: set[int] = set()
        answer = self.get(piece, load, cursor.get("etag"), sort="updated", direction="desc")
        if answer.value is None:
            return []
        whole_page = self._all_before_horizon(answer.value)
        self.move(piece.repository, etag=answer.headers.get("ETag") if whole_page else None)
        while True:
            page = whole(answer)
            reached = any(updated_at(row) < cursor["updated_at"] - LAG for row in page.rows)
            page.rows = [
                row
                for row in page.rows
                if cursor["updated_at"] - LAG <= updated_at(row) < self.sync.horizon and row.id not in seen
            ]
            seen.update(row.id for row in page.rows)
            pages.append(page)
            if reached or not (following := answer.links.get("next")):
                break
            answer = self.get(replace(piece, url=following), load)
        self.seen_until(piece, [row for page in pages for row in page.rows], cursor["updated_at"])
        return pages


class Commits(Reader):
    """The commits of every branch: all of them once, then what comparing the heads shows as new.

    A comparison finds exactly the commits that one head has and the other has not, also after a
    merge of older commits or a force-push:
    https://docs.github.com/en/rest/commits/commits#compare-two-commits
    """

    def first(self, repository: Repository, cursor: Cursor) -> Piece | None:
        return None if cursor.get("pushed_at") == repository.pushed_at else Piece(repository)

    def fetch(self, piece: Piece, cursor: Cursor, load: Load) -> Fetched:
        if piece.url:
            answer = self.get(piece, load)
            return [whole(answer)], [replace(piece, url=url) for url in further(piece.url, answer.links)]
        repository = piece.repository
        heads = self._heads(piece, load)
        # More may be pushed within the second of the last push: until it is over, look again.
        over = (repository.pushed_at or "") < iso(self.sync.horizon)
        self.move(repository, heads=heads, pushed_at=repository.pushed_at if over else None)
        main = heads.get(repository.default_branch)
        if main is None:  # an empty repository
            return [], []
        known = dict(cursor.get("heads", {}))
        pages, rest = self._main(piece, known.get(repository.default_branch), main, load)
        for branch in heads.keys() - {repository.default_branch}:
            if heads[branch] != known.get(branch):
                # A row comes once: the list of the default branch has all that it shares with others.
                bases: list[str | None] = [main] if rest else [known.get(branch), main]
                pages += self._branch(piece, bases, heads[branch], load)
        seen: set[str] = set()
        for page in pages:
            page.rows = [row for row in page.rows if row.sha not in seen]
            seen.update(row.sha for row in page.rows)
        return pages, rest

    def _heads(self, piece: Piece, load: Load) -> dict[str, str]:
        """The head of each branch."""
        heads: dict[str, str] = {}
        url: str | None = f"/repositories/{piece.repository.id}/branches?per_page={PER_PAGE}"
        while url:
            answer = self.sync.api.get(url, parse=_BRANCHES, usage=load.usage)
            heads |= {branch.name: branch.commit.sha for branch in answer.value or ()}
            url = answer.links.get("next")
        return heads

    def _main(self, piece: Piece, known: str | None, head: str, load: Load) -> Fetched:
        """What is new on the default branch; all of it when nothing connects it with ``known``."""
        if known == head:
            return [], []
        if known and (pages := self._compare(piece, known, head, load)) is not None:
            return pages, []
        answer = self.get(piece, load, sha=head)
        return [whole(answer)], [replace(piece, url=url) for url in further(None, answer.links)]

    def _branch(self, piece: Piece, bases: list[str | None], head: str, load: Load) -> list[Page]:
        """What another branch has and the first of ``bases`` that it shares history with has not."""
        for base in filter(None, bases):
            if (pages := self._compare(piece, base, head, load)) is not None:
                return pages
        answer = self.get(piece, load, sha=head)
        pages = [whole(answer)]
        while url := answer.links.get("next"):
            answer = self.get(replace(piece, url=url), load)
            pages.append(whole(answer))
        return pages

    def _compare(self, piece: Piece, base: str, head: str, load: Load) -> list[Page] | None:
        """The commits of ``head`` that ``base`` has not; None when they share no history."""
        given = {"repo_id": piece.repository.id}
        pages: list[Page] = []
        url: str | None = f"/repositories/{piece.repository.id}/compare/{base}...{head}?per_page={PER_PAGE}"
        while url:
            try:
                answer = self.sync.api.get(
                    url, parse=lambda body: self.decoder.page_at("commits", body, given), usage=load.usage
                )
            except ApiError as error:
                if error.status == 404:
                    return None
                raise
            pages.append(whole(answer))
            url = answer.links.get("next")
        return pages


class Whole(Reader):
    """A short list that is read whole, so that what vanished from it vanishes here too.

    Labels, milestones and releases. A list of one page is only sent again when it changed; one of
    several, whose pages are numbered, is read until no row moved from one to another meanwhile.
    """

    def fetch(self, piece: Piece, cursor: Cursor, load: Load) -> Fetched:
        answer = self.get(piece, load, cursor.get("etag"))
        if answer.value is None:
            return [], []
        for _ in range(PASSES):
            answers = {piece: answer}
            while url := answer.links.get("next"):
                following = replace(piece, url=url)
                answers[following] = answer = self.get(following, load)
            if len(answers) == 1 or self._stand_still(answers, load):
                self.move(piece.repository, etag=None if len(answers) > 1 else answer.headers.get("ETag"))
                return [self._together(piece, [whole(answer) for answer in answers.values()])], []
            answer = self.get(piece, load)
        load.leave_out(piece.repository.full_name, f"its list changed each of the {PASSES} times it was read")
        return [], []

    def _stand_still(self, answers: Mapping[Piece, Answer[Page]], load: Load) -> bool:
        """Whether the pages still hold the same rows: one that vanished moved others to pages already read.

        A page that did not change at all costs nothing of the quota; one whose rows were edited is fine.
        """
        for page, read in answers.items():
            again = self.get(page, load, read.headers.get("ETag")).value
            if again and [row.id for row in again.rows] != [row.id for row in whole(read).rows]:
                return False
        return True

    def _together(self, piece: Piece, pages: list[Page]) -> Page:
        rows = [row for page in pages for row in page.rows]
        if not rows:
            return self.decoder.nothing({"repo_id": piece.repository.id})
        return replace(pages[0], rows=rows, new_fields=frozenset().union(*(page.new_fields for page in pages)))


def whole(answer: Answer[Page]) -> Page:
    """The page of an answer to an unconditional request."""
    assert answer.value is not None
    return answer.value


def further(url: str | None, links: Mapping[str, str]) -> list[str]:
    """The addresses that follow the page at ``url``: all the others at once where they are numbered.

    GitHub numbers the pages of a list, up to a size; the pages of a larger one only know the next.
    """
    if url and _PAGE_NUMBER.search(url):
        return []
    last = _PAGE_NUMBER.search(links.get("last", ""))
    if not last:
        return [links["next"]] if "next" in links else []
    return [_PAGE_NUMBER.sub(rf"\g<1>{number}", links["last"]) for number in range(2, int(last[2]) + 1)]


def updated_at(row: Any) -> int:
    """When the row last changed, in whole seconds since 1970."""
    return int(datetime.fromisoformat(row.updated_at).timestamp())


def iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
