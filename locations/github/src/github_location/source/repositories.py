"""Which repositories are mirrored: the configured ones, even after they were renamed or moved."""

import zlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import msgspec
import pyarrow as pa

from github_location.source.api import INSTALLED, GitHub, Selection, configured_repositories, connect
from github_location.source.tables import metrics, repository
from ingest_shared.columnar import Decoder, Page
from ingest_shared.errors import ApiError, IngestError, SettingError
from ingest_shared.loading import Load
from ingest_shared.reading.api import NOT_MODIFIED, Response, server_time
from ingest_shared.reading.audit import Audit
from ingest_shared.reading.envelopes import LinkHeader, Request
from ingest_shared.reading.listings import WHOLE, Cursor, Listing, Scope, seconds
from ingest_shared.reading.reader import Reader, digest
from ingest_shared.reading.sync import Sync
from ingest_shared.reading.tombstones import deleted, living
from ingest_shared.reading.walks import FullList
from ingest_shared.shards import WHOLE_SOURCE, Shard, shard_of

PER_PAGE = 100
INSTALLATION = "/installation/repositories"
"""https://docs.github.com/en/rest/apps/installations#list-repositories-accessible-to-the-app-installation"""
LATE = 60
"""Seconds after which a list certainly shows a change: a push, or anything done before the repository was archived."""
LEFT_OUT = {
    403: "the credential may not read it",
    404: "it does not exist, or the credential may not see it",
    410: "it is switched off",
    451: "it is blocked for legal reasons",
}
"""What GitHub's refusals mean: https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api"""

COUNTS = [column.name for column in metrics.repo_stats_daily.columns if column.name.endswith(("_count", "size"))]
_RIGHTS = msgspec.json.Decoder(dict[str, bool] | None)

_LISTED: dict[str, Response] = {}
"""The pages of repositories that this process read last: its groups list the same ones, one after the other. Their
bodies are compressed, to less than a fifth."""


@dataclass(frozen=True)
class Repository(Scope):
    """What the walks must know about a repository; ``entry`` is the entry for which it is mirrored."""

    entry: str = ""
    default_branch: str = ""
    pushed_at: str | None = None
    has_issues: bool = True
    has_pull_requests: bool = True
    owner_id: int = 0
    owner: str = ""
    owner_type: str = ""
    archived_at: str | None = None
    """When it last changed, if it has been archived since."""
    may_push: bool = False
    """Whether the credential may push to it, if GitHub says so."""
    counts: Mapping[str, int | None] = field(default_factory=dict)
    """GitHub's counts for it, by column of repo_stats_daily."""

    @property
    def noted(self) -> dict[str, Any]:
        """What its cursors record, to look for it when its entry no longer lists it."""
        return {"entry": self.entry} | ({"archived_at": self.archived_at} if self.archived_at else {})

    def is_unchanged(self, cursor: Cursor) -> bool:
        """The contents of an archived repository are read-only; unarchiving it gives it a newer time."""
        return self.archived_at is not None and cursor.get("archived_at") == self.archived_at


@dataclass(frozen=True)
class Repositories:
    """A list per repository.

    ``with_conversations`` leaves out those in which issues and pull requests are switched off, ``with_pull_requests``
    those in which pull requests are, ``pushed_to`` those to which the credential may not push. ``read_only`` is whether
    the list of an archived one cannot change:
    https://docs.github.com/en/repositories/archiving-a-github-repository/archiving-repositories
    """

    with_conversations: bool = False
    with_pull_requests: bool = False
    pushed_to: bool = False
    read_only: bool = True

    def scopes(self, sync: "GitHubSync", load: Load) -> Iterator[Repository]:
        for found in sync.repositories.values():
            has_conversations = found.has_issues or found.has_pull_requests
            if (
                (has_conversations or not self.with_conversations)
                and (found.has_pull_requests or not self.with_pull_requests)
                and (found.may_push or not self.pushed_to)
            ):
                yield found if self.read_only else replace(found, archived_at=None)


@dataclass(frozen=True)
class Organizations:
    """A list per organization that owns a mirrored repository; by id, which a rename does not change."""

    def scopes(self, sync: "GitHubSync", load: Load) -> Iterator[Scope]:
        owners = {found.owner_id: found for found in sync.repositories.values() if found.owner_type == "Organization"}
        for id_, found in owners.items():
            yield Scope(str(id_), found.owner, {"organization_id": id_})


class GitHubSync(Sync):
    """The repositories of one run, listed once for all its tables."""

    api: GitHub
    part = "repo_id"

    def __init__(self, audit: bool = False, only: Sequence[str] = (), shard: Shard = WHOLE_SOURCE) -> None:
        """``only`` names the repositories to reload, as ``owner/name``; all others stay as they are."""
        super().__init__(partial(connect, shard.count), audit, anew=bool(only), shard=shard)
        self.only = only
        self.selection: Selection
        self.entries: Sequence[str] = ()
        self.repositories: dict[int, Repository] = {}
        self.digests: dict[str, int] = {}
        """A digest of what GitHub sent about each repository."""
        self.pages: list[Page] = []
        """The repositories' own rows, if their table is read."""
        self.left_out: dict[str, ApiError] = {}
        """Why an entry, or a repository that left its entry, could not be read."""
        self.not_found: set[int] = set()
        self.doubted: set[int] = set()
        """Repositories that were not found, but too many at once to count as deleted."""
        self.looked_for: set[int] = set()
        self.shown: Counter[str] = Counter()
        """How many repositories each entry lists, of all shards."""
        self.listed = Reader(LISTING, self)

    def begin(self, load: Load) -> None:
        """Lists the configured repositories, once for all tables, and looks for those that moved.

        A repository that was mirrored under an entry and is no longer listed there is requested by id: it may have been
        renamed or transferred. An entry that cannot be read is left out of every table.
        """
        if not self.entries:
            self.selection = configured_repositories()
            super().begin(load)
            self.entries = self.only or self.selection.entries
            for name in self.only:
                self.selection.check(name)
            if self.only and self.audit:
                raise SettingError("an audit compares all repositories: launch it without `repositories`")
            for entry in self.entries:
                try:
                    self._list(entry, load)
                except ApiError as error:
                    self._note(entry, error)
            down = [error for error in self.left_out.values() if (error.status or 0) >= 500]
            if len(down) == len(self.entries):
                raise down[0]
        known: defaultdict[str, set[int]] = defaultdict(set)
        entries = {entry.lower(): entry for entry in self.entries}
        for id_, cursor in () if self.anew else load.state.get("cursors", {}).items():
            configured = entries.get(cursor.get("entry", "").lower())
            if configured and configured not in self.left_out:
                self.look_for(int(id_), configured, load)
                known[configured].add(int(id_))
        shown: dict[str, int] = {} if self.anew else load.state.setdefault("shown", {})
        for entry, ids in known.items():
            shown[entry] = self._doubt(entry, ids, shown.get(entry, 0), load)
        for scope, refusal in self.left_out.items():
            load.leave_out(scope, self.why(refusal), refusal.status)

    def gone(self, listing: Listing, load: Load) -> Iterable[Scope]:
        if not isinstance(listing.per, Repositories):
            yield from super().gone(listing, load)
            return
        known = load.state.get("cursors", {})
        for id_ in sorted(self.gone_ids & {int(id_) for id_ in known}):
            yield Scope(str(id_), f"repository {id_}", {"repo_id": id_})

    @property
    def parts(self) -> Collection[int]:
        """The rows of a repository that the run does not see would seem to be gone."""
        return self.repositories.keys()

    def sees(self, scope: Scope, load: Load) -> bool:
        """GitHub answers 404 also for what the credential may not see any more, even in the middle of a run."""
        try:
            self._get(Request(f"/repositories/{scope.values[self.part]}"), load)
        except ApiError as error:
            if error.status is None:
                raise
            return False
        return True

    def why(self, error: IngestError) -> str:
        said, status = super().why(error), error.status if isinstance(error, ApiError) else None
        meaning = LEFT_OUT.get(status or 0, said)
        return f"{meaning} ({said})" if status == 403 else meaning

    def look_for(self, id_: int, entry: str, load: Load) -> None:
        """Requests a repository that no entry lists: it moved or is gone."""
        if id_ in self.repositories or id_ in self.looked_for:
            return
        self.looked_for.add(id_)
        try:
            self._keep(self._get(Request(f"/repositories/{id_}"), load), entry, single=True)
        except ApiError as error:
            if error.status == 404:
                self.not_found.add(id_)
            else:
                self._note(f"repository {id_} of {entry}", error)

    @property
    def gone_ids(self) -> set[int]:
        return self.not_found - self.doubted

    def _doubt(self, entry: str, known: set[int], shown_before: int, load: Load) -> int:
        """GitHub answers 404 for what was deleted and for what the credential may no longer see.

        Each shard may have just one repository, so the share of missing ones is judged by the list that all shards have
        in common. Returns how many that list had when it was last believed.
        """
        missing, shown = known & self.not_found, self.shown[entry]
        gone, of = len(missing), len(known)
        if missing and not self.shard.is_whole:
            gone, of = max(gone, shown_before - shown), max(of, shown_before)
        if (self.audit and shown) or gone <= max(1 if shown else 0, of * self.api.deletes_believed):
            return shown
        self.doubted |= missing
        reason = (
            f"{gone} of {of} repositories can no longer be found: check whether the credential still sees them. "
            "If they were deleted, set sources.github.deletes_believed to 1 for one run"
        )
        load.leave_out(entry, reason, 404)
        return shown_before

    def _note(self, scope: str, error: ApiError) -> None:
        if error.status is None:
            raise error
        self.left_out[scope] = error

    def _list(self, entry: str, load: Load) -> None:
        owner, _, name = entry.partition("/")
        if self.only:
            self._keep(self._get(Request(f"/repos/{entry}"), load), self.selection.entry_of(entry), single=True)
            return
        if entry == INSTALLED:
            if not self.api.is_app:
                raise SettingError(
                    "sources.github.repositories has '*', which means everything that an App is installed on: set "
                    "sources.github.app_id, or write owner/*"
                )
            self._list_all(INSTALLATION, entry, load)
            return
        if name != "*":
            self._keep(self._get(Request(f"/repos/{entry}"), load), entry, single=True)
            return
        try:
            self._list_all(f"/orgs/{owner}/repos", entry, load)
        except ApiError as error:
            if error.status != 404:
                raise
            self._list_all(f"/users/{owner}/repos", entry, load)
            self._list_private(owner, entry, load)

    def _list_private(self, owner: str, entry: str, load: Load) -> None:
        """A user's list holds only public repositories; others that the credential may see are in a different list."""
        if self.api.is_app:
            self._list_all(INSTALLATION, entry, load, owner)
            return
        try:
            self._list_all("/user/repos", entry, load, owner, affiliation="owner,collaborator")
        except ApiError as error:
            if error.status not in LEFT_OUT:
                raise
            load.warn(f"{entry}: GitHub lists only public repositories to this credential ({self.why(error)})")

    def _list_all(self, path: str, entry: str, load: Load, owner: str = "", **params: str) -> None:
        requests = [Request(path, {"per_page": PER_PAGE, "sort": "created", **params})]
        while requests:
            request = requests.pop(0)
            response = self._get_listed(request, load)
            if (hidden := response.headers.get("X-GitHub-SSO", "")).startswith("partial-results"):
                reason = (
                    f"authorize the credential for single sign-on: without that, GitHub hides some of them ({hidden})"
                )
                raise ApiError(reason, status=response.status, retry=False)
            page = self._keep(response, entry, owner=owner)
            requests += LISTING.envelope.following(request, page, response)

    def _get_listed(self, request: Request, load: Load) -> Response:
        """A page of repositories; one that another group of this process has read costs no quota if it is unchanged.

        An audit reads everything again.
        """
        key = f"{self.api.identity} {request.path} {sorted(request.params.items())}"
        known = None if self.audit else _LISTED.get(key)
        etag = known.headers.get("ETag") if known else None
        response = self._get(request, load, {"If-None-Match": etag} if etag else None)
        if known and response.status == NOT_MODIFIED:
            body = zlib.decompress(known.body)
            response = replace(known, body=body, links=response.links)  # which an ETag does not cover
        _LISTED[key] = replace(response, body=zlib.compress(response.body))
        return response

    def _get(self, request: Request, load: Load, headers: Mapping[str, str] | None = None) -> Response:
        response = self.api.get(request.path, request.params or None, usage=load.usage, headers=headers)
        self.now = self.now or server_time(response.headers)
        return response

    def _keep(self, response: Response, entry: str, *, single: bool = False, owner: str = "") -> Page:
        decoder = self.listed.decoder if response.body.lstrip()[:1] == b"[" or single else _INSTALLED
        page = decoder.row(response.body) if single else decoder.page(response.body)
        mirrored = [row for row in page.rows if self.selection.has(row, entry)]
        self.shown[entry] += len(mirrored)
        for row in mirrored if self.only else ():
            self._check_shard(row)
        self.looked_for |= {row.id for row in page.rows} - {row.id for row in mirrored}
        page.rows = [
            row
            for row in mirrored
            if self.shard.has(row.id)
            and row.id not in self.repositories
            and owner.lower() in ("", (row.owner.login or "").lower())
        ]
        page.scope = WHOLE
        if isinstance(self.readers[LISTING.table.name], RepositoriesReader):
            self.pages.append(page)
        for row in page.rows:
            self.digests[str(row.id)] = digest(row)
            self.repositories[row.id] = Repository(
                str(row.id),
                row.full_name,
                {"repo_id": row.id},
                entry,
                row.default_branch,
                row.pushed_at,
                row.has_issues is not False,
                row.has_pull_requests is not False,
                row.owner.id or 0,
                row.owner.login or "",
                row.owner.type or "",
                row.updated_at if row.archived and seconds(row.updated_at) < self.now - LATE else None,
                # GitHub reports no permission to an App, whatever it was granted.
                self.api.is_app or (_RIGHTS.decode(row.permissions) or {}).get("push", False),
                {name: getattr(row, name) for name in COUNTS},
            )
        return page

    def _check_shard(self, row: Any) -> None:
        """Raises :class:`SettingError` if a run names a repository that another shard loads."""
        if not self.shard.has(row.id):
            raise SettingError(
                f"the run names the repository {row.full_name!r}, which is not in the shard {self.shard.name}: "
                f"launch it for the partition {shard_of(row.id, self.shard.count).name}"
            )


class RepositoriesReader(Reader):
    """The repositories themselves, as the sync found them."""

    def __call__(self, load: Load) -> Iterator[Page | pa.Table | None]:
        sync = self.sync
        assert isinstance(sync, GitHubSync)

        def has_changed(row: Any) -> bool:
            return bool(sync.digests[str(row.id)] != cursors.get(str(row.id), {}).get("digest"))

        sync.begin(load)
        cursors = dict(load.state.get("cursors", {}))
        audit = Audit(self.decoder, load, lambda _, row: has_changed(row)) if sync.audit else None
        held = living(self.listing.table, {}) if audit else set()
        known = set(map(int, cursors))
        for id_ in held - known:  # the others were listed or looked for, or are selected no more
            sync.look_for(id_, f"repository {id_}", load)
        yield from audit.differing(sync.pages) if audit else sync.pages
        load.at_end.append(lambda: self._leave_out_unreadable(load))
        if gone := (known | held) & sync.gone_ids:
            yield deleted(self.listing.table, {}, dict.fromkeys(gone, sync.now))
        if audit and not load.is_first:
            audit.found[WHOLE.id, "changed"] += len(held & sync.gone_ids & known)
            audit.found[WHOLE.id, "surplus"] += len(held & sync.gone_ids - known)
            audit.close(WHOLE.name, [WHOLE.id], load.usage.api_calls, sync.now)
        left_out = {id_: c for id_, c in cursors.items() if int(id_) not in sync.gone_ids}
        listed = {r.id: {**r.noted, "digest": sync.digests[r.id]} for r in sync.repositories.values()}
        load.state["cursors"] = left_out | listed
        load.scopes_read = len(sync.entries) - len(sync.left_out)

    @staticmethod
    def _leave_out_unreadable(load: Load) -> None:
        for _, error in load.unreadable:
            load.leave_out("repositories", str(error))


LISTING = Listing(repository.repositories, "/orgs/{owner}/repos", walk=FullList(), envelope=LinkHeader())
_INSTALLED = Decoder(repository.repositories, rows_at="repositories")
