"""GitHub as the sandbox plays it, and how the rows of the mirror follow from what it holds."""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

from dlt.extract.source import DltSource

import ingest_testing
from github_location import source
from github_location.defs.views import ALL_VIEWS
from github_location.source.daily import LastDays, Today
from github_location.source.tables import TABLES
from ingest_shared.reading.per_row import PerRow
from ingest_shared.reading.walks import FullList
from ingest_shared.tables import Child, Column
from ingest_testing import Held, Json, Location, Mirror, Sample

TOKEN = "sandbox-github-token"
BY_DAY = {list_.table.name for list_ in source.LISTINGS if isinstance(list_.walk, LastDays | Today)}
CONVERSATIONS = {list_.table.name for list_ in source.LISTINGS if list_.per == source.WITH_CONVERSATIONS}
KEPT = BY_DAY | {"commit_details"}
TOLD_BY_AUDIT = {
    list_.table.name
    for list_ in source.LISTINGS
    if not isinstance(list_.walk, FullList) or isinstance(list_.per, PerRow)
}
"""Tables of which a sync may keep what was deleted."""


class Origin(ingest_testing.Origin):
    """Its objects come as ``{"repository_id", "object", "given"}``, those of an organization with its id."""

    api = "github"

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.renamed: set[int] = set()
        """Repositories that were renamed or transferred, by id."""
        self.types_renamed = False

    def deleted(self, collection: str) -> list[Json]:
        """What was deleted since the world began."""
        found: list[Json] = self._ask("GET", f"objects/{self.api}/{collection}/deleted")
        return found

    def has_commit(self, repository_id: int, sha: str) -> bool:
        """Whether the commit is found by its sha, though no branch may lead to it any more."""
        return self.get(f"/repositories/{repository_id}/commits/{sha}", TOKEN).ok

    def login(self) -> str:
        """The login of the token's user."""
        return str(self.get("/user", TOKEN).json()["login"])

    def note(self, changes: list[Json]) -> None:
        for done in changes:
            self.types_renamed |= done["kind"] == "github.issue_type.edit"
            if done["kind"] in ("github.repository.rename", "github.repository.transfer"):
                self.renamed.update(touched["repository_id"] for touched in done["changed"])


class GitHubMirror(Mirror):
    """Rows with ``deleted_at`` remain, with the child rows they had.

    Until the tables are audited, this may differ too, because GitHub does not tell of it:

    - issues, comments and others that were deleted may live on, where no list is read whole;
    - so may commits that a force-push made unreachable, which are still found by their sha;
    - a label that was deleted in the repository may remain on an issue;
    - addresses may still lead through a former name of the repository, and issues have the former name of their type.

    Rows for days that GitHub shows no more remain as they are, and so do issues where they are switched off.
    """

    origin: Origin

    def held(self) -> Iterator[Held]:
        if self.table.name == "repo_stats_daily":
            # Of the day of the newest load.
            (day,) = self.warehouse.query("SELECT max(day) FROM {repo_stats_daily}")[0]
            for item in self.origin.objects("repositories"):
                yield Held({**item["object"], "day": day.isoformat()}, {"repo_id": item["repository_id"]})
            return
        owners, without_issues = self._owners(), self._without_issues()
        for item in self.origin.objects(self.table.name):
            if item.get("repository_id") in without_issues and not _is_of_pull(item["object"]):
                continue
            if "organization_id" not in item:
                yield Held(item["object"], {"repo_id": item["repository_id"], **item.get("given", {})})
            elif item["organization_id"] in owners:
                yield Held(item["object"], {"organization_id": item["organization_id"]})

    def may_remain(self, row: dict[str, Any]) -> bool:
        if row["deleted_at"] or (row.get("repo_id") in self._without_issues() and not _is_of_pull(row)):
            return True
        if self.table.name in BY_DAY:
            return bool(row["day"] < self._shown_since())
        if self.table.name == "commit_details":
            return (row["repo_id"], row["sha"]) not in self._reachable()
        if self.audited:
            return False
        if self.table.name == "commits":
            return self.origin.has_commit(row["repo_id"], row["sha"])
        return self.table.name in TOLD_BY_AUDIT and row[self.table.key[-1]] in self._gone(self.table.name)

    def derived(self, column: Column, *of: Any) -> Any:
        return of[0] > {"changed_files": 3_000, "commits": 250}[column.of[0]]

    def child_may_remain(self, child: Child, row: dict[str, Any]) -> bool:
        return child.name == "issue_labels" and not self.audited and row["label_id"] in self._gone("labels")

    def same(self, row: dict[str, Any], actual: Any, expected: Any) -> bool:
        if self.audited:
            return False
        if self.origin.types_renamed and expected == row.get("type_name"):
            return actual is not None
        renamed = row.get("repo_id") in self.origin.renamed
        if self.origin.renamed and expected == row.get("parent_issue_url"):  # which may be in another repository
            renamed = True
        return renamed and _without_names(actual) == _without_names(expected)

    def _owners(self) -> set[int]:
        """The organizations that own a mirrored repository."""
        return {found["object"]["owner"]["id"] for found in self.origin.objects("repositories")}

    def _without_issues(self) -> set[int]:
        """The repositories in which GitHub shows only pull requests in the table, for issues are switched off."""
        if self.table.name not in CONVERSATIONS:
            return set()
        return {i["repository_id"] for i in self.origin.objects("repositories") if not i["object"]["has_issues"]}

    def _shown_since(self) -> datetime:
        """The first of the days that GitHub shows."""
        newest: datetime = max(row["day"] for row in self.warehouse.rows(self.table)).astimezone(UTC)
        return newest - timedelta(days=0 if self.table.name == "repo_stats_daily" else 13)

    def _reachable(self) -> set[tuple[int, str]]:
        return {(found["repository_id"], found["object"]["sha"]) for found in self.origin.objects("commits")}

    def _gone(self, collection: str) -> set[int]:
        return {gone["id"] for gone in self.origin.deleted(collection)}


def _is_of_pull(shown: Mapping[str, Any]) -> bool:
    return "/pull/" in shown["html_url"]


def _without_names(value: Any) -> str:
    """The value as JSON, with the names of repositories taken out of its addresses."""
    return re.sub(
        r"(https://(?:api\.github\.com/repos|github\.com))/[^/]+/[^/\"]+", r"\1", json.dumps(value, default=str)
    )


GITHUB = Location(
    name="github",
    origin=Origin,
    mirror=GitHubMirror,
    groups={
        "activity": source.activity,
        "actions": source.actions_and_deployments,
        "people": source.people_of_repositories,
        "catalog": source.catalog,
    },
    tables={name: table for name, table in TABLES.items() if name not in source.ON_REQUEST},
    other_assets=("licenses", *(view.name for view in ALL_VIEWS)),
    address="sources.github.api_url",
    credential="sources.github.access_token",
    key=TOKEN,
    settings={"SOURCES__GITHUB__REPOSITORIES": "acme/*"},
    numbers=("sources.github.calls_per_second", "sources.github.deletes_believed", "sources.github.longest_wait"),
    size=0.25,  # 300 issues, 130 of which share a second in acme/platform
    options=("--github-quota", "1000000"),
    sample=Sample(
        table="milestones",
        group="catalog",
        path="/milestones",
        number="open_issues",
        changes=("milestone.create", "label.create", "release.create", "repository.edit"),
    ),
    refused="Bad credentials",
    asked_first="/orgs",
    lists=(
        *"/issues /comments /pulls /reviews /events /commits /compare /labels /releases /branches /tags".split(),
        *"/graphql /issue-types /traffic/views /traffic/clones /files /attempts/ /pulls/\\d+$ /commits/\\w".split(),
        *"/actions/runs /jobs /deployments /statuses /stargazers /collaborators /teams /members /orgs".split(),
    ),
    faults=(
        {"kind": "status", "status": 429, "retry_after": 0},
        {"kind": "status", "status": 403, "retry_after": 0},
    ),
    untold=("label.rename", "label.delete", "repository.rename", "repository.transfer", "issue_type.edit"),
    rare=(
        *"issue.transfer issue.convert account.delete pull.delete_head pull.test_merge pull.push branch.rename".split(),
        *"review.edit workflow_run.edit repository.rename repository.hide repository.show".split(),
        *"repository.issues_off repository.issues_on".split(),
    ),
    kept=tuple(KEPT),
    seen_first=True,  # a repository that leaves its owner before it was ever seen belongs to no entry
)


def _with_all(make: Callable[[bool], DltSource]) -> Callable[[bool], DltSource]:
    def made(audit: bool) -> DltSource:
        with mock.patch.dict(os.environ, REQUESTED):
            return make(audit)

    return made


REQUESTED: Mapping[str, str] = {"SOURCES__GITHUB__WITH": ",".join(sorted(source.ON_REQUEST))}
WITH_ALL = replace(GITHUB, tables=TABLES, groups={name: _with_all(make) for name, make in GITHUB.groups.items()})
"""The location with the tables on request."""
ACTIVITY = GITHUB.tables_of("activity")
ACTIONS = GITHUB.tables_of("actions")
PEOPLE = GITHUB.tables_of("people")
CATALOG = GITHUB.tables_of("catalog")
Warehouse = ingest_testing.Warehouse[Origin]
