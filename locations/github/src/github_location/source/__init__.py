"""GitHub as dlt sources. Nothing here knows of Dagster.

https://dlthub.com/docs/general-usage/source
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import dlt
from dlt.common.configuration.specs import BaseConfiguration
from dlt.extract.resource import DltResource

from github_location.source.api import tables_left_out, tables_requested
from github_location.source.commits import Commits
from github_location.source.conversations import Conversations
from github_location.source.daily import LastDays, Today
from github_location.source.details import (
    EarlierAttempts,
    NewCommits,
    OfPull,
    OneCommit,
    PullRequest,
    PullRequests,
    Reruns,
)
from github_location.source.members import Members
from github_location.source.recent import RELEASES_SHOWN, Recent, Releases, Runs, within
from github_location.source.repositories import (
    LISTING,
    PER_PAGE,
    GitHubSync,
    Organizations,
    Repositories,
    RepositoriesReader,
)
from github_location.source.reviews import Reviews, TogetherWithOthers
from github_location.source.tables import actions, code, metrics, people, repository, review, tracker
from ingest_shared.errors import SettingError
from ingest_shared.loading import mirror
from ingest_shared.reading.envelopes import LinkHeader
from ingest_shared.reading.listings import Listing, Walk, iso
from ingest_shared.reading.per_row import PerRow
from ingest_shared.reading.reader import Reader
from ingest_shared.reading.walks import ChangedSince, FullList, NewestFirst
from ingest_shared.shards import WHOLE_SOURCE, Shard
from ingest_shared.tables import Table

EVERY = Repositories()
WITH_CONVERSATIONS = Repositories(with_conversations=True)
WITH_PULL_REQUESTS = Repositories(with_pull_requests=True)
ARCHIVED_TOO = Repositories(read_only=False)
"""These change even in an archived repository: downloads, stars, deleted runs, teams."""
PUSHED_TO = Repositories(pushed_to=True, read_only=False)


def listing(table: Table, path: str, walk: Walk, per: Any = EVERY, rows: str | None = None, **params: Any) -> Listing:
    """A list of each repository, or of each row of another table in it."""
    return Listing(
        table,
        f"/repositories/{{repo_id}}{path}",
        walk=walk,
        envelope=LinkHeader(rows=rows),
        per=per,
        params={"per_page": PER_PAGE, **params},
    )


def alone(table: Table, path: str, walk: Walk, per: PerRow) -> Listing:
    """A single object for each row of another table, which no list shows."""
    return Listing(table, f"/repositories/{{repo_id}}{path}", walk=walk, per=per)


def of_organizations(table: Table, path: str, walk: Walk) -> Listing:
    """A list of each organization."""
    return Listing(
        table,
        f"/organizations/{{organization_id}}{path}",
        walk=walk,
        envelope=LinkHeader(),
        per=Organizations(),
        params={"per_page": PER_PAGE},
    )


def since(instant: int) -> Mapping[str, str]:
    return {"since": iso(instant)}


OLDEST_CHANGE = {"sort": "updated", "direction": "asc"}
PULLS = NewestFirst(
    "updated_at",
    whole={"sort": "created", "direction": "asc"},
    changed={"sort": "updated", "direction": "desc"},
)
OF_PULL = OfPull(
    review.pull_requests,
    {"repo_id": "repo_id", "pull_request_id": "id", "pull_request_number": "number"},
    changed="updated_at",
    absent=(404,),
)
OF_PULL_AND_OTHERS = TogetherWithOthers(**{**vars(OF_PULL), "values": {**OF_PULL.values, "node_id": "node_id"}})
A_PULL = PullRequests(**vars(OF_PULL))
A_COMMIT = NewCommits(code.commits, {"repo_id": "repo_id", "commit_sha": "sha"})
OF_RUN = PerRow(actions.workflow_runs, {"repo_id": "repo_id", "run_id": "id"}, changed="updated_at", absent=(404,))
OF_RERUN = Reruns(
    actions.workflow_runs,
    {"repo_id": "repo_id", "run_id": "id", "attempts": "run_attempt"},
    changed="updated_at",
    absent=(404,),
)
OF_DEPLOYMENT = PerRow(
    actions.deployments, {"repo_id": "repo_id", "deployment_id": "id"}, changed="updated_at", absent=(404,)
)

ACTIVITY = (
    listing(
        tracker.issues, "/issues", Conversations("updated_at", since), WITH_CONVERSATIONS, state="all", **OLDEST_CHANGE
    ),
    listing(review.pull_requests, "/pulls", PULLS, WITH_PULL_REQUESTS, state="all"),
    listing(review.reviews, "/pulls/{pull_request_number}/reviews", Reviews(), OF_PULL_AND_OTHERS),
    listing(
        review.review_comments,
        "/pulls/comments",
        ChangedSince("updated_at", since),
        WITH_PULL_REQUESTS,
        **OLDEST_CHANGE,
    ),
    listing(
        tracker.issue_comments,
        "/issues/comments",
        Conversations("updated_at", since),
        WITH_CONVERSATIONS,
        **OLDEST_CHANGE,
    ),
    listing(tracker.issue_events, "/issues/events", Recent(changes=False)),
    listing(code.commits, "/commits", Commits()),
    alone(review.pull_request_details, "/pulls/{pull_request_number}", PullRequest(), A_PULL),
    listing(
        review.pull_request_files,
        "/pulls/{pull_request_number}/files",
        FullList(at_most=review.FILES_SHOWN),
        OF_PULL,
    ),
    listing(
        review.pull_request_commits,
        "/pulls/{pull_request_number}/commits",
        FullList(at_most=review.COMMITS_SHOWN),
        OF_PULL,
    ),
    alone(code.commit_details, "/commits/{commit_sha}", OneCommit(), A_COMMIT),
)
ACTIONS = (
    replace(
        listing(actions.workflow_runs, "/actions/runs", Runs("created_at", within), ARCHIVED_TOO, "workflow_runs"),
        one="/repositories/{repo_id}/actions/runs/{id}",
    ),
    alone(
        actions.workflow_run_attempts,
        "/actions/runs/{run_id}/attempts/{attempt_number}",
        EarlierAttempts(),
        OF_RERUN,
    ),
    listing(actions.workflow_jobs, "/actions/runs/{run_id}/jobs", FullList(), OF_RUN, rows="jobs", filter="all"),
    listing(actions.deployments, "/deployments", Recent(), ARCHIVED_TOO),
    listing(actions.deployment_statuses, "/deployments/{deployment_id}/statuses", FullList(), OF_DEPLOYMENT),
)
PEOPLE = (
    listing(people.stargazers, "/stargazers", FullList(), ARCHIVED_TOO),
    listing(people.collaborators, "/collaborators", FullList(), ARCHIVED_TOO),
    of_organizations(people.teams, "/teams", FullList()),
    of_organizations(people.members, "/members", Members()),
)
CATALOG = (
    listing(tracker.labels, "/labels", FullList()),
    listing(tracker.milestones, "/milestones", FullList(), state="all"),
    listing(repository.releases, "/releases", Releases(at_most=RELEASES_SHOWN), ARCHIVED_TOO),
    listing(code.branches, "/branches", FullList()),
    listing(code.tags, "/tags", FullList()),
    of_organizations(tracker.issue_types, "/issue-types", FullList()),
    Listing(metrics.repo_stats_daily, LISTING.path, walk=Today(), per=ARCHIVED_TOO),
    listing(metrics.traffic_views, "/traffic/views", LastDays(), PUSHED_TO, rows="views"),
    listing(metrics.traffic_clones, "/traffic/clones", LastDays(), PUSHED_TO, rows="clones"),
)
LISTINGS = (LISTING, *ACTIVITY, *ACTIONS, *PEOPLE, *CATALOG)
ON_REQUEST = {"pull_request_details", "pull_request_files", "pull_request_commits", "commit_details"}
"""Tables that are loaded only if ``sources.github.with`` names them: they cost a call for each row of another table."""


def _mirrors(listings: Iterable[Listing], sync: GitHubSync) -> Iterator[DltResource]:
    """The resources of a group, without those of tables that are left out or not requested: these cost no call.

    Raises :class:`SettingError` if a setting names a table that it must not, or the parent of a list per row.
    """
    left_out, requested = set(tables_left_out()), set(tables_requested())
    for name in sorted(left_out - {list_.table.name for list_ in LISTINGS}):
        raise SettingError(f"sources.github.without has {name!r}, which is not a table of this location")
    for name in sorted(requested - ON_REQUEST):
        raise SettingError(f"sources.github.with has {name!r}; valid values are {', '.join(sorted(ON_REQUEST))}")
    left_out |= ON_REQUEST - requested
    for list_ in listings:
        name, parent = list_.table.name, getattr(list_.per, "parent", None)
        if name in left_out:
            continue
        if parent and parent.name in left_out:
            raise SettingError(
                f"sources.github.without has {parent.name!r}, but {name} is read per row of it: leave out both"
            )
        yield mirror((RepositoriesReader if list_ is LISTING else Reader)(list_, sync))


# Its arguments come from the run alone: without this spec, dlt would also take them from variables like AUDIT.
@dlt.source(name="github_activity", section="github", spec=BaseConfiguration)
def activity(audit: bool = False, only: Sequence[str] = (), shard: Shard = WHOLE_SOURCE) -> Iterable[DltResource]:
    """Activity: issues, pull requests, reviews, comments, events and commits."""
    yield from _mirrors(ACTIVITY, GitHubSync(audit, only, shard))


@dlt.source(name="github_actions", section="github", spec=BaseConfiguration)
def actions_and_deployments(
    audit: bool = False, only: Sequence[str] = (), shard: Shard = WHOLE_SOURCE
) -> Iterable[DltResource]:
    """Actions: workflow runs with their jobs, deployments with their statuses."""
    yield from _mirrors(ACTIONS, GitHubSync(audit, only, shard))


@dlt.source(name="github_people", section="github", spec=BaseConfiguration)
def people_of_repositories(
    audit: bool = False, only: Sequence[str] = (), shard: Shard = WHOLE_SOURCE
) -> Iterable[DltResource]:
    """People: stargazers, collaborators, teams and members."""
    yield from _mirrors(PEOPLE, GitHubSync(audit, only, shard))


@dlt.source(name="github_catalog", section="github", spec=BaseConfiguration)
def catalog(audit: bool = False, only: Sequence[str] = (), shard: Shard = WHOLE_SOURCE) -> Iterable[DltResource]:
    """What the activity refers to and seldom changes: repositories, releases, labels and so on; and daily
    statistics."""
    yield from _mirrors((LISTING, *CATALOG), GitHubSync(audit, only, shard))
