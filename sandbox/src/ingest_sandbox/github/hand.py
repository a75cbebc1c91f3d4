"""What a change has in hand: how it finds what it is about, and writes down what it did."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from ..moment import Change, Moment
from .model import Branch, Comment, Commit, Forge, Issue, Label, Milestone, Release, Repository

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Hand:
    """One change at work: finds what it is about, and writes down what it did."""

    forge: Forge
    moment: Moment

    @property
    def change(self) -> Change:
        return self.moment.change

    def repositories(self) -> Iterator[Repository]:
        """Those that the change may be about: the one it names, or the organizations' that take changes."""
        wanted = self.change.repository
        if wanted is None:
            yield from (repo for repo in self.forge.owned() if not (repo.archived or repo.forbidden or repo.hidden))
            return
        for repo in self.forge.repositories.values():
            if wanted == repo.id or str(wanted).lower() == repo.full_name.lower():
                yield repo

    def repository(self, wanted: Callable[[Repository], bool] = lambda _: True) -> Repository:
        return self.moment.choose(filter(wanted, self.repositories()))

    def issue(self, wanted: Callable[[Issue], bool] = lambda _: True) -> tuple[Repository, Issue]:
        return self._one(
            lambda repo: filter(repo.shows, repo.issues.values()),
            lambda row: (row.number, row.pull.id if row.pull else row.id, row.id),
            wanted,
        )

    def comment(self) -> tuple[Repository, Comment]:
        return self._one(
            lambda repo: (row for row in repo.comments.values() if repo.shows(row.issue)),
            lambda row: (row.issue.number, row.id),
        )

    def label(self) -> tuple[Repository, Label]:
        return self._one(lambda repo: repo.labels.values(), lambda row: (None, row.id, row.name))

    def milestone(self, wanted: Callable[[Milestone], bool] = lambda _: True) -> tuple[Repository, Milestone]:
        return self._one(lambda repo: repo.milestones.values(), lambda row: (row.number, row.id), wanted)

    def release(self, wanted: Callable[[Release], bool] = lambda _: True) -> tuple[Repository, Release]:
        return self._one(lambda repo: repo.releases.values(), lambda row: (None, row.id, row.tag), wanted)

    def branch(self, wanted: Callable[[Repository, Branch], bool] = lambda *_: True) -> tuple[Repository, Branch]:
        return self._one(
            lambda repo: (row for row in repo.branches.values() if wanted(repo, row)), lambda row: (None, row.name)
        )

    def commit(self) -> tuple[Repository, Commit]:
        def on_branches(repo: Repository) -> Iterator[Commit]:
            for branch in repo.branches.values():
                yield from repo.history(branch.sha).rows

        return self._one(on_branches, lambda row: (None, row.sha))

    def _one(
        self,
        of: Callable[[Repository], Iterable[R]],
        names: Callable[[R], tuple[Any, ...]],
        wanted: Callable[[R], bool] = lambda _: True,
    ) -> tuple[Repository, R]:
        """A row of a repository: the one that the change names by its number or an id, or a seeded one."""
        return self.moment.choose(
            (repo, row) for repo in self.repositories() for row in of(repo) if self.named(*names(row)) and wanted(row)
        )

    def named(self, number: int | None, *ids: int | str) -> bool:
        """Whether the change names this row, or names none."""
        return (self.change.number is None or self.change.number == number) and (
            self.change.id is None or self.change.id in ids
        )

    def assign(self, row: Any) -> None:
        """Give the record the values that the change sets."""
        for field, value in self.change.set.items():
            setattr(row, field, value)

    def touch_issue(self, repo: Repository, row: Issue, action: str = "updated") -> None:
        if action == "updated":
            row.updated_at = self.moment.at
        self.show_issue(repo, row, action)

    def show_issue(self, repo: Repository, row: Issue, action: str = "updated") -> None:
        """Write down that the issue shows a change, whatever its ``updated_at`` says."""
        self.forge.touch(action, "issues", repo, row.id, number=row.number)
        if row.pull:
            self.forge.touch(action, "pull_requests", repo, row.pull.id, number=row.number)
