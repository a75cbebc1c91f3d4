"""What GitHub shows only for a single object, at a call each."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from github_location.source.repositories import GitHubSync
from github_location.source.tables import code
from ingest_shared.errors import SettingError
from ingest_shared.keys import Keys
from ingest_shared.loading import Load
from ingest_shared.reading.envelopes import Request
from ingest_shared.reading.listings import Cursor, Piece, Progress, Scope, Step, Walk
from ingest_shared.reading.per_row import PerRow, Row
from ingest_shared.reading.reader import Reader
from ingest_shared.reading.sync import Sync
from ingest_shared.reading.tombstones import held_where, held_without
from ingest_shared.tables import Table


class OfPull(PerRow):
    """The pull requests that changed, except where they are switched off: GitHub answers 404 for each of them then.

    They come back unchanged when they are switched on again, so the rows of their lists stay as they are.
    https://docs.github.com/en/repositories/managing-your-repositorys-settings-and-features/enabling-features-for-your-repository/disabling-pull-requests
    """

    def reads(self, sync: Sync, values: Mapping[str, Any]) -> bool:
        assert isinstance(sync, GitHubSync)
        return super().reads(sync, values) and sync.repositories[sync.part_of(values)].has_pull_requests


class PullRequests(OfPull):
    """The pull requests that changed, and all open ones: whether these can be merged changes without a trace."""

    def scopes(self, sync: Sync, load: Load) -> Iterator[Row]:
        found = Keys()
        for scope in super().scopes(sync, load):
            found.add({scope.id: None})
            yield scope
        for row in held_where(self.parent, [*self.values.values()], {"state": "open"}) or ():
            values = {name: row[column] for name, column in self.values.items()}
            if self.reads(sync, values):
                scope = self._scope(values)
                if scope.id not in found:
                    yield scope


@dataclass(frozen=True)
class PullRequest(Walk):
    """The pull request itself.

    When an open one is requested, GitHub begins a test merge and does not know the result yet: it is requested once
    more after all others were read. https://docs.github.com/en/rest/pulls/pulls#get-a-pull-request
    """

    cost = "One for each pull request that changed, and for each that is open at every load."
    deletes = "with its pull request."
    tells_deletes = True

    def has_changed(self, cursor: Cursor, row: object) -> bool:
        return getattr(row, "state", None) == "open"

    def start(self, reader: Reader, scope: Scope, cursor: Cursor) -> list[Piece]:
        return [Piece(scope, request=reader.request(scope))]

    def fetch(self, reader: Reader, piece: Piece, cursor: Cursor) -> Step:
        assert piece.request
        page = reader.row(piece.scope, reader.respond(piece.scope, piece.request).body)
        is_unknown = any(row.state == "open" and row.mergeable is None for row in page.rows)
        return Step() if is_unknown and not reader.progress[piece.scope.id].stood_still else Step([page])

    def note(self, progress: Progress, step: Step) -> None:
        progress.noted["is_there"] = bool(step.pages)

    def again(self, reader: Reader, scope: Scope, progress: Progress) -> list[Piece]:
        if progress.noted.get("is_there", True) or progress.stood_still:
            return []
        progress.stood_still = True
        return self.start(reader, scope, progress.cursor)


class Reruns(PerRow):
    """The workflow runs with more than one attempt."""

    def scopes(self, sync: Sync, load: Load) -> Iterator[Row]:
        return (scope for scope in super().scopes(sync, load) if scope.values["attempts"] > 1)


@dataclass(frozen=True)
class EarlierAttempts(Walk):
    """The attempts of a run before the latest.

    https://docs.github.com/en/rest/actions/workflow-runs#get-a-workflow-run-attempt
    """

    cost = "None, except one for each earlier attempt when a run was run again."
    deletes = "with its run."
    tells_deletes = True
    keeps_keys = True

    def start(self, reader: Reader, scope: Scope, cursor: Cursor) -> list[Piece]:
        paths = (
            reader.listing.path.format(**scope.values, attempt_number=number)
            for number in range(1, scope.values["attempts"])
        )
        return [Piece(scope, request=Request(path)) for path in paths]

    def fetch(self, reader: Reader, piece: Piece, cursor: Cursor) -> Step:
        assert piece.request
        return Step([reader.row(piece.scope, reader.respond(piece.scope, piece.request).body)])


class NewCommits(PerRow):
    """The commits without details so far, since a commit never changes; an audit reads all."""

    def scopes(self, sync: Sync, load: Load) -> Iterator[Row]:
        columns = ["repo_id", "sha"]
        held = held_where(self.parent, columns, {}) if sync.audit else held_without(self.parent, code.commit_details)
        if held is None and self.parent.name not in sync.turns.read:
            raise SettingError(f"{load.resource} is read per row of commits, which was never loaded: select both")
        known = {(row["repo_id"], row["sha"]) for row in held or () if sync.reads(row)}
        for repo_id, sha in known | {(row["repo_id"], row["sha"]) for row in sync.rows_loaded(self.parent.name)}:
            values = {"repo_id": repo_id, "commit_sha": sha}
            yield Row(f"{repo_id} {sha}", f"commit {sha}", values, (repo_id, sha) not in known)

    def gone(self, sync: Sync, table: Table) -> Iterator[Row]:
        return iter(())


@dataclass(frozen=True)
class OneCommit(Walk):
    """The commit itself; if it changes many files, each page repeats it with more files.

    https://docs.github.com/en/rest/commits/commits#get-a-commit
    """

    cost = "One for each new commit, and one for each further 300 files in it."
    deletes = "never: what a commit changed stays. Those that left every branch have `deleted_at` in `commits`."

    def start(self, reader: Reader, scope: Scope, cursor: Cursor) -> list[Piece]:
        return [Piece(scope, request=reader.request(scope))]

    def fetch(self, reader: Reader, piece: Piece, cursor: Cursor) -> Step:
        assert piece.request
        response = reader.respond(piece.scope, piece.request)
        body = response.body
        while following := response.links.get("next"):
            response = reader.respond(piece.scope, Request(following))
            body = _with_more_files(body, response.body)
        return Step([reader.row(piece.scope, body)])

    def is_cut(self, progress: Progress) -> bool:
        return True


def _with_more_files(body: bytes, further: bytes) -> bytes:
    """A commit with the files of another page added."""
    commit, more = msgspec.json.decode(body), msgspec.json.decode(further)
    return msgspec.json.encode({**commit, "files": [*commit["files"], *more["files"]]})
