"""What GitHub holds, as facts without repetition: JSON is made of them in `render`.

An issue points at its labels, milestone and people, so that a renamed label shows in every
issue at once, as it does at GitHub: without a new ``updated_at``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from .. import wire
from ..ordered import Key, View

R = TypeVar("R")


@dataclass(slots=True, eq=False)
class Row:
    """An object of a list of `plain`: its facts are what its payload is made of."""

    id: Any
    created_at: int
    updated_at: int
    facts: dict[str, Any]
    parent: Any = None


@dataclass(slots=True, eq=False)
class Account:
    id: int
    login: str
    type: str = "User"
    name: str = ""
    rows: dict[str, dict[Any, Row]] = field(default_factory=dict)
    """Of an organization: the rows of each list of `plain`."""
    has_viewer: bool = True
    """Of an organization: whether the token's user is a member, and so sees those who conceal that they are."""


GHOST = Account(10_137, "ghost")
"""Whom GitHub names as the author where an account is deleted."""


@dataclass(slots=True, eq=False)
class Label:
    id: int
    name: str
    color: str
    description: str | None
    default: bool


@dataclass(slots=True, eq=False)
class Milestone:
    id: int
    number: int
    title: str
    description: str | None
    creator: Account | None
    created_at: int
    updated_at: int
    due_on: int | None
    closed_at: int | None = None


@dataclass(slots=True, eq=False)
class Pull:
    """What a pull request has beyond its issue. `id` is not the issue's."""

    id: int
    draft: bool
    head_ref: str
    head_sha: str
    base_sha: str
    reviewers: list[Account]
    commits: int
    additions: int
    deletions: int
    changed_files: int
    head_repository_gone: bool = False
    merge_commit_sha: str | None = None
    merged_at: int | None = None
    merged_by: Account | None = None
    conflicts: bool = False
    """Whether it cannot be merged as it is."""
    tested: tuple[Any, ...] = ()
    """Of what GitHub knows whether it can be merged."""

    @property
    def state_to_test(self) -> tuple[Any, ...]:
        return self.head_sha, self.base_sha, self.merge_commit_sha


@dataclass(slots=True, eq=False)
class Issue:
    id: int
    number: int
    title: str
    body: str | None
    author: Account | None
    association: str
    created_at: int
    updated_at: int
    labels: list[Label] = field(default_factory=list)
    assignees: list[Account] = field(default_factory=list)
    milestone: Milestone | None = None
    reactions: dict[str, int] = field(default_factory=dict)
    comments: int = 0
    locked: bool = False
    state_reason: str | None = None
    closed_at: int | None = None
    closed_by: Account | None = None
    pull: Pull | None = None
    type: Row | None = None
    """Of the types of the organization."""
    parent: tuple[Repository, Issue] | None = None
    """The issue that it is a part of, and where that one is."""
    sub_issues: list[Issue] = field(default_factory=list)

    @property
    def state(self) -> str:
        return "open" if self.closed_at is None else "closed"


@dataclass(slots=True, eq=False)
class Comment:
    id: int
    issue: Issue
    body: str
    author: Account | None
    association: str
    created_at: int
    updated_at: int
    reactions: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Commit:
    sha: str
    order: int
    """Parents have smaller ones."""
    tree: str
    parents: tuple[str, ...]
    author: Account | None
    """None where the address belongs to no account."""
    name: str
    email: str
    message: str
    authored_at: int
    committed_at: int
    verified: bool
    comments: int = 0

    @property
    def place(self) -> Key:
        """Where it stands in lists: by its date, then after its parents."""
        return (self.committed_at, self.order)


@dataclass(slots=True, eq=False)
class Branch:
    name: str
    sha: str
    protected: bool = False


@dataclass(slots=True, eq=False)
class Asset:
    id: int
    name: str
    size: int
    downloads: int
    created_at: int


@dataclass(slots=True, eq=False)
class Release:
    id: int
    tag: str
    target: str
    name: str | None
    body: str
    prerelease: bool
    author: Account
    created_at: int
    updated_at: int
    assets: list[Asset]
    draft: bool = False
    """Whether only those who may push see it."""


@dataclass(slots=True, eq=False)
class Repository:
    id: int
    owner: Account
    name: str
    description: str | None
    language: str | None
    topics: list[str]
    created_at: int
    updated_at: int
    pushed_at: int
    default_branch: str = "main"
    archived: bool = False
    private: bool = False
    has_issues: bool = True
    has_pull_requests: bool = True
    may_push: bool = True
    """Whether the token may push, and so see the traffic."""
    forbidden: bool = False
    """Listed, but the token may not read it: 403."""
    hidden: bool = False
    """Whether no token may see it any more: it is in no list, and not found."""
    next_number: int = 1
    labels: dict[int, Label] = field(default_factory=dict)
    milestones: dict[int, Milestone] = field(default_factory=dict)
    """By number."""
    milestones_made: int = 0
    issues: dict[int, Issue] = field(default_factory=dict)
    """By number. Pull requests are issues with a `Pull`."""
    deleted_issues: set[int] = field(default_factory=set)
    moved_issues: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Number to the repository and the number that a transfer gave it."""
    comments: dict[int, Comment] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)
    """By sha. One that left every branch by a force-push stays, found by its sha alone."""
    branches: dict[str, Branch] = field(default_factory=dict)
    releases: dict[int, Release] = field(default_factory=dict)
    rows: dict[str, dict[Any, Row]] = field(default_factory=dict)
    """Of each list of `plain`, by id."""
    _memory: dict[Any, Any] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        return f"{self.owner.login}/{self.name}"

    def shows(self, row: Issue) -> bool:
        """Whether anybody sees it: issues and pull requests are switched off separately."""
        return self.has_pull_requests if row.pull else self.has_issues

    def take_number(self) -> int:
        """The next number; issues and pull requests share them."""
        number, self.next_number = self.next_number, self.next_number + 1
        return number

    def changed(self) -> None:
        """Forget what was rendered and sorted: objects show each other, so all of it may differ."""
        self._memory = {}

    def remember(self, key: Any, make: Callable[[], R]) -> R:
        """What `make` gave first since the last change."""
        try:
            found: R = self._memory[key]
        except KeyError:
            found = self._memory[key] = make()
        return found

    def view(self, name: str, keyed: Callable[[], Iterable[tuple[Key, R]]]) -> View[R]:
        """A sorted view under a name, sorted again after a change only."""
        return self.remember(name, lambda: View(keyed()))

    def rendered(self, render: Callable[[Repository, R], Any], row: R) -> wire.Rendered:
        """The JSON of a row by one of the functions of `render`, encoded once."""
        return self.remember((render, row), lambda: wire.render(render(self, row)))

    def lineage(self, sha: str) -> dict[str, Commit]:
        """A commit and all its ancestors, by sha; raises `KeyError` for a sha that is unknown."""
        found: dict[str, Commit] = {}
        waiting = [sha]
        while waiting:
            commit = self.commits[waiting.pop()]
            found[commit.sha] = commit
            waiting.extend(parent for parent in commit.parents if parent not in found)
        return found

    def history(self, sha: str) -> View[Commit]:
        """A commit and all its ancestors, by date."""
        return self.view(
            f"history of {sha}",
            lambda: ((commit.place, commit) for commit in self.lineage(sha).values()),
        )

    def tally(self) -> dict[Milestone | None, tuple[int, int]]:
        """Open and closed issues of each milestone; those of all issues under None."""

        def count() -> dict[Milestone | None, tuple[int, int]]:
            counts: dict[Milestone | None, tuple[int, int]] = {None: (0, 0)}
            for issue in self.issues.values():
                for key in {None, issue.milestone}:
                    opened, closed = counts.get(key, (0, 0))
                    is_open = issue.closed_at is None
                    counts[key] = (opened + is_open, closed + (not is_open))
            return counts

        return self.remember("tally", count)


# The first id of each kind, of the size of GitHub's own today: comments pass 32 bits.
_FIRST_ID = {
    "repository": 611_000_000,
    "issue": 2_050_000_000,
    "pull": 1_720_000_000,
    "comment": 4_310_000_000,
    "label": 5_400_000_000,
    "milestone": 10_200_000,
    "release": 131_000_000,
    "asset": 142_000_000,
}


class Forge:
    """All accounts and repositories."""

    def __init__(self, organizations: list[Account], people: list[Account]) -> None:
        self.organizations = {account.login: account for account in organizations}
        self.people = people
        self.repositories: dict[int, Repository] = {}
        self.former_names: dict[str, int] = {}
        """Full name, in lower case, to the repository that had it."""
        self.deleted: list[dict[str, Any]] = []
        """Every object that was deleted: collection, repository_id, id, deleted_at."""
        self.touched: list[dict[str, Any]] = []
        """What the changes so far did; whoever makes a change takes it away."""
        self._next_id = dict(_FIRST_ID)

    @property
    def viewer(self) -> Account:
        """The person whose token it is."""
        return self.people[0]

    def account(self, login: str) -> Account | None:
        """The organization or person of this login, whatever the case."""
        accounts = (*self.organizations.values(), *self.people)
        return next((one for one in accounts if one.login.lower() == login.lower()), None)

    def owned(self, owner: Account | None = None) -> list[Repository]:
        """The repositories of an owner, or of all organizations."""
        owners = list(self.organizations.values()) if owner is None else [owner]
        return [repo for repo in self.repositories.values() if repo.owner in owners]

    def new_id(self, kind: str, first: int = 1) -> int:
        """An id that was never given; of a kind that has none yet the `first`."""
        taken = self._next_id.get(kind, first)
        # Other people's objects lie between ours.
        self._next_id[kind] = taken + 7
        return taken

    def named(self, full_name: str) -> Repository | None:
        """The repository that has this name now, whatever the case."""
        wanted = full_name.lower()
        for repository in self.repositories.values():
            if repository.full_name.lower() == wanted:
                return repository
        return None

    def touch(
        self, action: str, collection: str, home: Repository | Account, id: int | str, **more: Any
    ) -> dict[str, Any]:
        """Write down what a change did to an object, and forget what its repository had rendered."""
        of = "repository_id" if isinstance(home, Repository) else "organization_id"
        done = {"collection": collection, of: home.id, "id": id, **more}
        self.touched.append({"action": action, **done})
        if isinstance(home, Repository):
            home.changed()
        return done

    def remove(self, at: int, collection: str, home: Repository | Account, id: int | str, **more: Any) -> None:
        """Write down a deletion."""
        self.deleted.append({**self.touch("deleted", collection, home, id, **more), "deleted_at": at})
