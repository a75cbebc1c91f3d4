"""GitHub as dlt sources. Nothing here knows of Dagster.

https://dlthub.com/docs/general-usage/source
"""

from collections.abc import Iterable, Mapping
from typing import Any

import dlt
from dlt.extract.resource import DltResource

from github_location.source.commits import Commits
from github_location.source.repositories import LISTING, PER_PAGE, GitHubSync, Repositories, RepositoriesReader
from github_location.source.tables import code, repository, review, tracker
from ingest_shared.loading import mirror
from ingest_shared.reading.envelopes import LinkHeader
from ingest_shared.reading.listings import Listing, Walk, iso
from ingest_shared.reading.reader import Reader
from ingest_shared.reading.walks import ChangedSince, FullList, NewestFirst
from ingest_shared.tables import Table

EVERY = Repositories()
WITH_ISSUES = Repositories(with_issues=True)


def listing(table: Table, path: str, walk: Walk, per: Repositories = EVERY, **params: Any) -> Listing:
    """A list of each repository."""
    return Listing(
        table,
        f"/repositories/{{repo_id}}{path}",
        walk=walk,
        envelope=LinkHeader(),
        per=per,
        params={"per_page": PER_PAGE, **params},
    )


def since(instant: int) -> Mapping[str, str]:
    return {"since": iso(instant)}


OLDEST_CHANGE = {"sort": "updated", "direction": "asc"}
PULLS = NewestFirst(
    "updated_at",
    whole={"sort": "created", "direction": "asc"},
    changed={"sort": "updated", "direction": "desc"},
)

ACTIVITY = (
    listing(tracker.issues, "/issues", ChangedSince("updated_at", since), WITH_ISSUES, state="all", **OLDEST_CHANGE),
    listing(review.pull_requests, "/pulls", PULLS, state="all"),
    listing(
        tracker.issue_comments, "/issues/comments", ChangedSince("updated_at", since), WITH_ISSUES, **OLDEST_CHANGE
    ),
    listing(code.commits, "/commits", Commits()),
)
CATALOG = (
    listing(tracker.labels, "/labels", FullList()),
    listing(tracker.milestones, "/milestones", FullList(), state="all"),
    listing(repository.releases, "/releases", FullList()),
)
LISTINGS = (LISTING, *ACTIVITY, *CATALOG)


@dlt.source(name="github_activity", section="github")
def activity(audit: bool = False) -> Iterable[DltResource]:
    """What people do, all day long: issues, pull requests, comments and commits."""
    sync = GitHubSync(audit=audit)
    yield from [mirror(Reader(list_, sync)) for list_ in ACTIVITY]


@dlt.source(name="github_catalog", section="github")
def catalog(audit: bool = False) -> Iterable[DltResource]:
    """What the activity refers to, and changes seldom: repositories, labels, milestones, releases."""
    sync = GitHubSync(audit=audit)
    yield mirror(RepositoriesReader(LISTING, sync))
    yield from [mirror(Reader(list_, sync)) for list_ in CATALOG]
