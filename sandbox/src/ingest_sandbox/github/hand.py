"""What a change has in hand: how it finds what it is about, and writes down what it did."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..moment import Change, Moment
from .model import Branch, Comment, Commit, Forge, Issue, Label, Milestone, Release, Repository


@dataclass(frozen=True, slots=True)
class Hand:
    """One change at work: finds what it is about, and writes down what it did."""

    forge: Forge
    moment: Moment

    @property
    def change(self) -> Change:
        return self.moment.change

    def repositories(self) -> Iterator[Repository]:
        """Those that the change may be about: the one it names, or the organisations' that take changes."""
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
        return self.moment.choose(
            (repo, row)
            for repo in self.repositories()
            if repo.has_issues
            for row in repo.issues.values()
            if self.named(row.number, row.pull.id if row.pull else row.id, row.id) and wanted(row)
        )

    def comment(self) -> tuple[Repository, Comment]:
        return self.moment.choose(
            (repo, row)
            for repo in self.repositories()
            if repo.has_issues
            for row in repo.comments.values()
            if self.named(row.issue.number, row.id)
        )

    def label(self) -> tuple[Repository, Label]:
        return self.moment.choose(
            (repo, row)
            for repo in self.repositories()
            for row in repo.labels.values()
            if self.named(None, row.id, row.name)
        )

    def milestone(self, wanted: Callable[[Milestone], bool] = lambda _: True) -> tuple[Repository, Milestone]:
        return self.moment.choose(
            (repo, row)
            for repo in self.repositories()
            for row in repo.milestones.values()
            if self.named(row.number, row.id) and wanted(row)
        )

    def release(self, wanted: Callable[[Release], bool] = lambda _: True) -> tuple[Repository, Release]:
        return self.moment.choose(
            (repo, row)
            for repo in self.repositories()
            for row in repo.releases.values()
            if self.named(None, row.id, row.tag) and wanted(row)
        )

    def branch(self, wanted: Callable[[Repository, Branch], bool] = lambda *_: True) -> tuple[Repository, Branch]:
        return self.moment.choose(
            (repo, row)
            for repo in self.repositories()
            for row in repo.branches.values()
            if self.named(None, row.name) and wanted(repo, row)
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

    def commit(self) -> tuple[Repository, Commit]:
        return self.moment.choose(
            (repo, row)
            for repo in self.repositories()
            for branch in repo.branches.values()
            for row in repo.history(branch.sha).rows
            if self.named(None, row.sha)
        )

    def touch_issue(self, repo: Repository, row: Issue, action: str = "updated") -> None:
        if action == "updated":
            row.updated_at = self.moment.at
        self.show_issue(repo, row, action)

    def show_issue(self, repo: Repository, row: Issue, action: str = "updated") -> None:
        """Write down that the issue shows a change, whatever its ``updated_at`` says."""
        self.forge.touch(action, "issues", repo, row.id, number=row.number)
        if row.pull:
            self.forge.touch(action, "pull_requests", repo, row.pull.id, number=row.number)
