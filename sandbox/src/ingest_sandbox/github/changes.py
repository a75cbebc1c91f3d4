"""Changes to GitHub, each with the traces it leaves there.

Who gets a new ``updated_at`` here; GitHub documents hardly any of it, so this is the assumption:

- an issue, by anything done to it or to its comments; not by a label that is renamed or deleted;
- the issues of a deleted milestone or type, since each of them is taken out of it;
- an issue and its parent, when it becomes a part of that one or is no more; not by what happens to parts;
- a repository, by pushes and by changes of its own settings;
- nothing at all, by the kinds of `SILENT`.
"""

from collections.abc import Callable
from dataclasses import replace

from .. import prose
from ..moment import ChangeRefused, Fields, Kind, Moment
from . import build
from .hand import Hand
from .model import GHOST, Account, Branch, Forge, Issue, Repository, Row
from .plain import COLLECTIONS
from .plain.collection import Making, kinds_of
from .plain.people import MEMBERS, TEAMS, is_public
from .plain.review import REVIEWS
from .plain.tracker import ISSUE_EVENTS

_ISSUE: Fields = {"title": str, "body": str | None, "locked": bool}
_COMMENT: Fields = {"body": str}
_LABEL: Fields = {"name": str}
_MILESTONE: Fields = {"title": str, "description": str | None, "due_on": int | None}
_RELEASE: Fields = {"name": str | None, "body": str, "prerelease": bool, "draft": bool}
_NAME: Fields = {"name": str}
_TARGET: Fields = {"repository": str}
_PART: Fields = {"sub_issue_id": int}
_SETTINGS: Fields = {
    "description": str | None,
    "topics": list[str],
    "has_issues": bool,
    "has_pull_requests": bool,
    "private": bool,
    "may_push": bool,
    "forbidden": bool,
    "hidden": bool,
}


def _issue_open(hand: Hand) -> None:
    repo = hand.repository(lambda repo: repo.has_issues)
    row = build.issue(hand.forge, hand.moment.rng, repo, hand.moment.at)
    hand.assign(row)
    hand.touch_issue(repo, row, "created")


def _pull_open(hand: Hand) -> None:
    repo = hand.repository(lambda repo: repo.has_issues and bool(repo.branches))
    row = build.pull(hand.forge, hand.moment.rng, repo, hand.moment.at)
    hand.assign(row)
    hand.touch_issue(repo, row, "created")


def _edit(hand: Hand, repo: Repository, row: Issue) -> None:
    if not hand.change.set:
        row.title, row.body = prose.title(hand.moment.rng), prose.body(hand.moment.rng)
    hand.assign(row)
    hand.touch_issue(repo, row)


def _issue_edit(hand: Hand) -> None:
    _edit(hand, *hand.issue())


def _pull_edit(hand: Hand) -> None:
    _edit(hand, *hand.issue(lambda row: row.pull is not None))


def _issue_close(hand: Hand) -> None:
    repo, row = hand.issue(lambda row: row.closed_at is None)
    row.closed_at, row.closed_by = hand.moment.at, hand.moment.rng.choice(hand.forge.people)
    row.state_reason = None if row.pull else "completed"
    hand.touch_issue(repo, row)


def _issue_reopen(hand: Hand) -> None:
    repo, row = hand.issue(lambda row: row.closed_at is not None and not (row.pull and row.pull.merged_at))
    row.closed_at = row.closed_by = None
    row.state_reason = None if row.pull else "reopened"
    hand.touch_issue(repo, row)


def _issue_label(hand: Hand) -> None:
    repo, row, added = hand.moment.choose(
        (repo, row, label) for repo, row in [hand.issue()] for label in repo.labels.values() if label not in row.labels
    )
    row.labels = [*row.labels, added]
    hand.touch_issue(repo, row)


def _issue_unlabel(hand: Hand) -> None:
    repo, row = hand.issue(lambda row: bool(row.labels))
    gone = hand.moment.rng.choice(row.labels)
    row.labels = [label for label in row.labels if label is not gone]
    hand.touch_issue(repo, row)


def _issue_assign(hand: Hand) -> None:
    # GitHub takes ten assignees at most.
    repo, row = hand.issue(lambda row: len(row.assignees) < 10)
    free = [user for user in hand.forge.people[:-1] if user not in row.assignees]
    row.assignees = [*row.assignees, hand.moment.rng.choice(free)]
    hand.touch_issue(repo, row)


def _issue_unassign(hand: Hand) -> None:
    repo, row = hand.issue(lambda row: bool(row.assignees))
    gone = hand.moment.rng.choice(row.assignees)
    row.assignees = [user for user in row.assignees if user is not gone]
    hand.touch_issue(repo, row)


def _issue_delete(hand: Hand) -> None:
    # A pull request cannot be deleted.
    repo, row = hand.issue(lambda row: row.pull is None)
    for comment in [found for found in repo.comments.values() if found.issue is row]:
        del repo.comments[comment.id]
        hand.forge.remove(hand.moment.at, "issue_comments", repo, comment.id)
    for event in _events(repo, row):
        ISSUE_EVENTS.remove(hand, repo, event)
    _leave_family(hand, repo, row)
    del repo.issues[row.number]
    repo.deleted_issues.add(row.number)
    hand.forge.remove(hand.moment.at, "issues", repo, row.id, number=row.number)


def _events(repo: Repository, issue: Issue) -> list[Row]:
    return [event for event in ISSUE_EVENTS.rows(repo).values() if event.parent is issue]


def _issue_type(hand: Hand) -> None:
    repo, row = hand.issue(lambda row: row.pull is None)
    types = repo.owner.rows.get("issue_types", {}).values()
    row.type = hand.moment.choose(found for found in (None, *types) if found is not row.type)
    hand.touch_issue(repo, row)


def _sub_issue_add(hand: Hand) -> None:
    """Make an issue a part of another one, of the same owner.

    https://docs.github.com/en/issues/tracking-your-work-with-issues/using-issues/adding-sub-issues
    """
    repo, parent = hand.issue(lambda row: row.pull is None)
    wanted = hand.moment.value("sub_issue_id", 0)
    home, part = hand.moment.choose(
        (home, row)
        for home in hand.forge.owned(repo.owner)
        if home.has_issues and not (home.archived or home.forbidden or home.hidden)
        for row in home.issues.values()
        if row.pull is None and row.parent is None and wanted in (0, row.id) and row not in _and_above(parent)
    )
    part.parent = repo, parent
    parent.sub_issues.append(part)
    hand.touch_issue(home, part)
    hand.touch_issue(repo, parent)


def _and_above(row: Issue) -> list[Issue]:
    return [row, *(_and_above(row.parent[1]) if row.parent else ())]


def _sub_issue_remove(hand: Hand) -> None:
    repo, row = hand.issue(lambda row: row.parent is not None)
    _leave_parent(hand, row)
    hand.touch_issue(repo, row)


def _leave_parent(hand: Hand, row: Issue) -> None:
    if row.parent:
        home, parent = row.parent
        parent.sub_issues.remove(row)
        row.parent = None
        hand.touch_issue(home, parent)


def _parts(forge: Forge, row: Issue) -> list[tuple[Repository, Issue]]:
    """The sub-issues of an issue, each with its repository."""
    homes = forge.repositories.values()
    return [(home, part) for part in row.sub_issues for home in homes if home.issues.get(part.number) is part]


def _leave_family(hand: Hand, repo: Repository, row: Issue) -> None:
    """The issue goes: it is no longer a sub-issue, and its sub-issues have no parent."""
    _leave_parent(hand, row)
    for home, part in _parts(hand.forge, row):
        part.parent = None
        hand.touch_issue(home, part)
    row.sub_issues.clear()


def _issue_transfer(hand: Hand) -> None:
    """Move an issue to another repository of its owner, under a new id and number.

    Its comments go along under their ids and times, its events under new ids and their times. Labels
    and milestone stay where the target has ones of the same name, see
    https://docs.github.com/en/issues/tracking-your-work-with-issues/using-issues/transferring-an-issue-to-another-repository.
    """
    source, row = hand.issue(lambda row: row.pull is None and row.closed_at is None)
    target = _transfer_target(hand, source)
    names, title = {label.name for label in row.labels}, row.milestone and row.milestone.title
    moved = replace(
        row,
        id=hand.forge.new_id("issue"),
        number=target.take_number(),
        updated_at=hand.moment.at,
        labels=[label for label in target.labels.values() if label.name in names],
        milestone=next((found for found in target.milestones.values() if found.title == title), None),
    )
    if row.parent:
        siblings = row.parent[1].sub_issues
        siblings[siblings.index(row)] = moved
    for home, part in _parts(hand.forge, row):
        part.parent = target, moved
        hand.touch_issue(home, part)
    target.issues[moved.number] = moved
    del source.issues[row.number]
    source.moved_issues[row.number] = (target.id, moved.number)
    hand.forge.remove(hand.moment.at, "issues", source, row.id, number=row.number)
    hand.show_issue(target, moved, "created")
    for event in _events(source, row):
        ISSUE_EVENTS.remove(hand, source, event)
        ISSUE_EVENTS.insert(hand, target, replace(event, parent=moved))
    for comment in [found for found in source.comments.values() if found.issue is row]:
        comment.issue = moved
        target.comments[comment.id] = source.comments.pop(comment.id)
        hand.forge.touch("updated", "issue_comments", target, comment.id, number=moved.number)


def _transfer_target(hand: Hand, source: Repository) -> Repository:
    wanted = hand.moment.value("repository", "").lower()
    return hand.moment.choose(
        repo
        for repo in hand.forge.owned(source.owner)
        if repo is not source
        and repo.has_issues
        and not repo.archived
        and (source.private <= repo.private)
        and wanted in ("", repo.full_name.lower())
    )


def _pull_merge(hand: Hand) -> None:
    repo, row = hand.issue(lambda row: row.pull is not None and row.closed_at is None and not row.pull.draft)
    assert row.pull is not None
    if repo.default_branch not in repo.branches:
        raise ChangeRefused(f"{hand.change.kind}: {repo.full_name} has no default branch")
    rng, at, branch = hand.moment.rng, hand.moment.at, repo.branches[repo.default_branch]
    work = build.commit(hand.forge, rng, repo, at, (branch.sha,), name=row.pull.head_sha)
    merge = build.commit(hand.forge, rng, repo, at, (branch.sha, work.sha))
    row.pull.merge_commit_sha, row.pull.merged_at = merge.sha, at
    row.closed_at = at
    row.pull.merged_by = row.closed_by = rng.choice(hand.forge.people)
    hand.touch_issue(repo, row)
    _moved(hand, repo, branch, merge.sha, (work.sha, merge.sha))


def _pull_test_merge(hand: Hand) -> None:
    """GitHub repeats the test merge of an open pull request.

    https://docs.github.com/en/rest/pulls/pulls#get-a-pull-request
    """
    repo, row = hand.issue(lambda row: row.pull is not None and row.closed_at is None)
    assert row.pull is not None
    row.pull.merge_commit_sha = build.sha(hand.moment.rng)
    row.pull.conflicts = not row.pull.conflicts
    hand.forge.touch("updated", "pull_requests", repo, row.pull.id, number=row.number)


def _pull_push(hand: Hand) -> None:
    """Push one more commit to an open pull request."""
    repo, row = hand.issue(lambda row: row.pull is not None and row.closed_at is None)
    assert row.pull is not None
    rng, pull = hand.moment.rng, row.pull
    pull.head_sha, pull.commits = build.sha(rng), pull.commits + 1
    pull.changed_files, pull.additions, pull.deletions = rng.randint(1, 9), rng.randint(1, 400), rng.randint(0, 200)
    hand.touch_issue(repo, row)


def _pull_delete_head(hand: Hand) -> None:
    """The fork that a pull request came from is deleted: its `head.repo` is null."""
    repo, row = hand.issue(lambda row: row.pull is not None and not row.pull.head_repository_gone)
    assert row.pull is not None
    row.pull.head_repository_gone = True
    hand.forge.touch("updated", "pull_requests", repo, row.pull.id, number=row.number)


def _account_delete(hand: Hand) -> None:
    """What somebody wrote becomes the ghost's; their commits lead to no account any more.

    https://docs.github.com/en/account-and-profile/how-tos/account-management/deleting-your-personal-account
    """
    people = [user for user in hand.forge.people[:-1] if user is not hand.forge.viewer]
    gone = hand.moment.choose(user for user in people if hand.named(None, user.id, user.login))
    hand.forge.people.remove(gone)
    for repo in hand.forge.repositories.values():
        for issue in repo.issues.values():
            if issue.author is gone:
                issue.author = GHOST
                hand.show_issue(repo, issue)
        for comment in repo.comments.values():
            if comment.author is gone:
                comment.author = GHOST
                hand.forge.touch("updated", "issue_comments", repo, comment.id, number=comment.issue.number)
        for commit in repo.commits.values():
            if commit.author is gone:
                commit.author = None
                hand.forge.touch("updated", "commits", repo, commit.sha)
    for collection in COLLECTIONS:
        collection.forget(hand, gone)


def _moved(hand: Hand, repo: Repository, branch: Branch, head: str, added: tuple[str, ...]) -> None:
    branch.sha = head
    repo.pushed_at = repo.updated_at = hand.moment.at
    for sha in added:
        hand.forge.touch("created", "commits", repo, sha)
    hand.forge.touch("updated", "branches", repo, branch.name, sha=head)
    hand.forge.touch("updated", "repositories", repo, repo.id)


def _push(hand: Hand, repo: Repository, branch: Branch, base: str) -> None:
    added: list[str] = []
    for _ in range(hand.moment.rng.randint(1, 3)):
        parent = added[-1] if added else base
        row = build.commit(hand.forge, hand.moment.rng, repo, hand.moment.at, (parent,))
        added.append(row.sha)
    _moved(hand, repo, branch, added[-1], tuple(added))


def _commit_push(hand: Hand) -> None:
    if hand.change.repository is not None:
        repo = hand.repository()
        if not repo.branches:  # The first push to an empty repository makes its branch.
            first = build.commit(hand.forge, hand.moment.rng, repo, hand.moment.at, ())
            branch = repo.branches[repo.default_branch] = Branch(repo.default_branch, first.sha)
            _moved(hand, repo, branch, first.sha, (first.sha,))
            return
    repo, branch = hand.branch()
    _push(hand, repo, branch, branch.sha)


def _commit_force_push(hand: Hand) -> None:
    """Throw the newest commits of a branch away and put others in their place.

    Those thrown away are listed no longer, but still found by their sha.
    """
    repo, branch = hand.branch()
    kept = branch.sha
    for _ in range(hand.moment.rng.randint(1, 3)):
        kept = next(iter(repo.commits[kept].parents), kept)
    _push(hand, repo, branch, kept)


def _commit_merge(hand: Hand) -> None:
    """Merge a branch that nobody has seen and whose commits are older than the head.

    By date they come after commits that were there before, so whoever reads the newest commits
    until a known one misses them.
    """
    repo, branch = hand.moment.choose(
        (repo, repo.branches[repo.default_branch])
        for repo in hand.repositories()
        if repo.default_branch in repo.branches
    )
    rng, head = hand.moment.rng, repo.commits[branch.sha]
    fork, steps = head, rng.randint(1, 4)
    # A second at least must lie between the fork and the head.
    while fork.parents and (steps > 0 or fork.committed_at > head.committed_at - 2):
        fork, steps = repo.commits[fork.parents[0]], steps - 1
    moments = range(fork.committed_at + 1, head.committed_at)
    if not moments:
        raise ChangeRefused(f"{hand.change.kind}: {repo.full_name} has too short a history")
    added: list[str] = []
    for at in sorted(rng.choices(moments, k=rng.randint(1, 3))):
        parent = added[-1] if added else fork.sha
        added.append(build.commit(hand.forge, rng, repo, at, (parent,)).sha)
    merge = build.commit(hand.forge, rng, repo, hand.moment.at, (head.sha, added[-1]))
    _moved(hand, repo, branch, merge.sha, (*added, merge.sha))


def _commit_relink(hand: Hand) -> None:
    """Somebody else adds the commit's address to their account."""
    repo, row = hand.commit()
    row.author = hand.moment.choose(user for user in hand.forge.people if user is not row.author)
    hand.forge.touch("updated", "commits", repo, row.sha)


def _commit_comment(hand: Hand) -> None:
    repo, row = hand.commit()
    row.comments += 1
    hand.forge.touch("updated", "commits", repo, row.sha)


def _branch_rename(hand: Hand) -> None:
    """Rename a branch; if it is the default branch, the repository follows.

    https://docs.github.com/en/rest/branches/branches#rename-a-branch
    """
    repo, branch = hand.branch()
    old, new = branch.name, hand.moment.value("name", f"renamed/{prose.slug(hand.moment.rng)}")
    if new in repo.branches:
        raise ChangeRefused(f"{hand.change.kind}: {repo.full_name} has a branch {new!r}")
    branch.name = new
    repo.branches[new] = repo.branches.pop(old)
    hand.forge.remove(hand.moment.at, "branches", repo, old)
    hand.forge.touch("created", "branches", repo, new, sha=branch.sha)
    if repo.default_branch == old:
        repo.default_branch = new
        _settings(hand, repo)


def _branch_create(hand: Hand) -> None:
    """A branch where another one is; nothing is pushed."""
    repo, base = hand.branch()
    name = hand.moment.value("name", f"topic/{prose.slug(hand.moment.rng)}")
    if name in repo.branches:
        raise ChangeRefused(f"{hand.change.kind}: {repo.full_name} has a branch {name!r}")
    repo.branches[name] = Branch(name, base.sha)
    hand.forge.touch("created", "branches", repo, name, sha=base.sha)


def _branch_delete(hand: Hand) -> None:
    repo, branch = hand.branch(lambda repo, branch: branch.name != repo.default_branch)
    del repo.branches[branch.name]
    hand.forge.remove(hand.moment.at, "branches", repo, branch.name)


def _comment_create(hand: Hand) -> None:
    repo, parent = hand.issue()
    row = build.comment(hand.forge, hand.moment.rng, repo, parent, hand.moment.at)
    hand.assign(row)
    hand.forge.touch("created", "issue_comments", repo, row.id, number=parent.number)
    hand.touch_issue(repo, parent)


def _comment_edit(hand: Hand) -> None:
    repo, row = hand.comment()
    row.body = prose.comment(hand.moment.rng)
    hand.assign(row)
    row.updated_at = hand.moment.at
    hand.forge.touch("updated", "issue_comments", repo, row.id, number=row.issue.number)
    hand.touch_issue(repo, row.issue)


def _comment_delete(hand: Hand) -> None:
    repo, row = hand.comment()
    del repo.comments[row.id]
    row.issue.comments -= 1
    hand.forge.remove(hand.moment.at, "issue_comments", repo, row.id, number=row.issue.number)
    hand.touch_issue(repo, row.issue)


def _free_label(hand: Hand, repo: Repository) -> str:
    name = hand.moment.value("name", f"area: {prose.slug(hand.moment.rng)}")
    if any(row.name.lower() == name.lower() for row in repo.labels.values()):
        raise ChangeRefused(f"{hand.change.kind}: {repo.full_name} has a label {name!r}")
    return name


def _label_create(hand: Hand) -> None:
    repo = hand.repository()
    name = _free_label(hand, repo)
    row = build.label(hand.forge, hand.moment.rng, repo, name)
    hand.forge.touch("created", "labels", repo, row.id, name=name)


def _label_rename(hand: Hand) -> None:
    repo, row = hand.label()
    row.name = _free_label(hand, repo)
    hand.forge.touch("updated", "labels", repo, row.id, name=row.name)


def _label_delete(hand: Hand) -> None:
    repo, row = hand.label()
    del repo.labels[row.id]
    for issue in repo.issues.values():
        if row in issue.labels:
            issue.labels = [label for label in issue.labels if label is not row]
    hand.forge.remove(hand.moment.at, "labels", repo, row.id, name=row.name)


def _milestone_create(hand: Hand) -> None:
    repo = hand.repository()
    row = build.milestone(hand.forge, hand.moment.rng, repo, hand.moment.at)
    hand.assign(row)
    hand.forge.touch("created", "milestones", repo, row.id, number=row.number)


def _milestone_close(hand: Hand) -> None:
    repo, row = hand.milestone(lambda row: row.closed_at is None)
    row.closed_at = row.updated_at = hand.moment.at
    hand.forge.touch("updated", "milestones", repo, row.id, number=row.number)


def _milestone_delete(hand: Hand) -> None:
    repo, row = hand.milestone()
    del repo.milestones[row.number]
    for issue in repo.issues.values():
        if issue.milestone is row:
            issue.milestone = None
            hand.touch_issue(repo, issue)
    hand.forge.remove(hand.moment.at, "milestones", repo, row.id, number=row.number)


def _release_create(hand: Hand) -> None:
    repo = hand.repository(lambda repo: bool(repo.branches))
    row = build.release(hand.forge, hand.moment.rng, repo, hand.moment.at)
    hand.assign(row)
    hand.forge.touch("created", "releases", repo, row.id, tag=row.tag)


def _release_edit(hand: Hand) -> None:
    repo, row = hand.release()
    row.body = prose.comment(hand.moment.rng)
    hand.assign(row)
    row.updated_at = hand.moment.at
    hand.forge.touch("updated", "releases", repo, row.id, tag=row.tag)


def _release_delete(hand: Hand) -> None:
    repo, row = hand.release()
    del repo.releases[row.id]
    hand.forge.remove(hand.moment.at, "releases", repo, row.id, tag=row.tag)


def _asset_create(hand: Hand) -> None:
    repo, row = hand.release()
    row.assets.append(build.asset(hand.forge, hand.moment.rng, f"{row.tag}-more-{len(row.assets)}.zip", hand.moment.at))
    hand.forge.touch("updated", "releases", repo, row.id, tag=row.tag)


def _asset_delete(hand: Hand) -> None:
    repo, row = hand.release(lambda row: bool(row.assets))
    row.assets.remove(hand.moment.rng.choice(row.assets))
    hand.forge.touch("updated", "releases", repo, row.id, tag=row.tag)


def _asset_download(hand: Hand) -> None:
    """Somebody downloads a file: its count goes up, and no ``updated_at`` moves."""
    repo, row = hand.release(lambda row: bool(row.assets))
    hand.moment.rng.choice(row.assets).downloads += 1
    hand.forge.touch("updated", "releases", repo, row.id, tag=row.tag)


def _free_name(hand: Hand, owner: Account) -> str:
    name = hand.moment.value("name", f"service-{prose.slug(hand.moment.rng)}")
    full_name = f"{owner.login}/{name}"
    if hand.forge.named(full_name):
        raise ChangeRefused(f"{hand.change.kind}: {full_name} exists")
    # A name that is taken again redirects no longer.
    hand.forge.former_names.pop(full_name.lower(), None)
    return name


def _repository_create(hand: Hand) -> None:
    owner = hand.forge.organizations["acme"]
    name = _free_name(hand, owner)
    repo = build.repository(hand.forge, hand.moment.rng, hand.moment.at, owner, name)
    hand.forge.touch("created", "repositories", repo, repo.id, full_name=repo.full_name)


def _settings(hand: Hand, repo: Repository) -> None:
    repo.updated_at = hand.moment.at
    hand.forge.touch("updated", "repositories", repo, repo.id, full_name=repo.full_name)


def _repository_rename(hand: Hand) -> None:
    repo = hand.repository()
    name = _free_name(hand, repo.owner)
    hand.forge.former_names[repo.full_name.lower()] = repo.id
    repo.name = name
    _settings(hand, repo)
    _show_anew(hand.forge)


def _repository_transfer(hand: Hand) -> None:
    """Give the repository to the other organization."""
    repo = hand.repository()
    owners = hand.forge.organizations.values()
    owner = hand.moment.choose(owner for owner in owners if owner is not repo.owner)
    if hand.forge.named(f"{owner.login}/{repo.name}"):
        raise ChangeRefused(f"{hand.change.kind}: {owner.login}/{repo.name} exists")
    hand.forge.former_names[repo.full_name.lower()] = repo.id
    repo.owner = owner
    _settings(hand, repo)
    for issue in [issue for issue in repo.issues.values() if issue.type]:
        issue.type = None
        hand.touch_issue(repo, issue)
    _show_anew(hand.forge)


def _show_anew(forge: Forge) -> None:
    """Issues elsewhere may show the name of the repository, as the address of their parent."""
    for repo in forge.repositories.values():
        repo.changed()


def _repository_edit(hand: Hand) -> None:
    repo = hand.repository()
    if not hand.change.set:
        repo.description = prose.title(hand.moment.rng)
    hand.assign(repo)
    _settings(hand, repo)


def _repository_hide(hand: Hand) -> None:
    """No token may see it any more, since it became private or a right was taken away."""
    repo = hand.repository()
    repo.hidden = True
    hand.forge.touch("updated", "repositories", repo, repo.id, full_name=repo.full_name)


def _repository_show(hand: Hand) -> None:
    repo = hand.moment.choose(repo for repo in hand.forge.owned() if repo.hidden)
    repo.hidden = False
    hand.forge.touch("updated", "repositories", repo, repo.id, full_name=repo.full_name)


def _switches(name: str, *, on: bool) -> Callable[[Hand], None]:
    """Switches a setting of a repository. With `has_issues` off, the issues are kept, and nobody sees them.

    https://docs.github.com/en/repositories/managing-your-repositorys-settings-and-features/enabling-features-for-your-repository/disabling-issues
    """

    def switch(hand: Hand) -> None:
        repo = hand.repository(lambda repo: getattr(repo, name) != on)
        setattr(repo, name, on)
        _settings(hand, repo)

    return switch


def _repository_delete(hand: Hand) -> None:
    """The repository goes with all it holds; only itself is written down as deleted."""
    repo = hand.repository()
    for issue in repo.issues.values():
        _leave_family(hand, repo, issue)
    del hand.forge.repositories[repo.id]
    names = hand.forge.former_names
    hand.forge.former_names = {name: id for name, id in names.items() if id != repo.id}
    hand.forge.remove(hand.moment.at, "repositories", repo, repo.id, full_name=repo.full_name)


def _viewer(*, joins: bool) -> Callable[[Hand], None]:
    """The token's user leaves all organizations, or comes back."""

    def change(hand: Hand) -> None:
        for home in hand.forge.organizations.values():
            home.has_viewer = joins
            for row in [row for row in MEMBERS.rows(home).values() if not is_public(home, row)]:
                MEMBERS.tell(hand, home, row, "updated")

    return change


def _team_assign(hand: Hand) -> None:
    """The enterprise assigns one of its teams to an organization that does not have it yet."""
    homes = hand.forge.organizations.values()
    home, row = hand.moment.choose(
        (home, row)
        for home in homes
        for other in homes
        for row in TEAMS.rows(other).values()
        if row.id not in TEAMS.rows(home) and hand.named(None, row.id)
    )
    row.facts["of_enterprise"] = True
    TEAMS.rows(home)[row.id] = row
    TEAMS.tell(hand, home, row, "created")


def _review_draft(hand: Hand) -> None:
    """The token's user begins a review, and does not submit it."""
    repo, issue = hand.issue(lambda row: row.pull is not None)
    row = REVIEWS.add(Making(hand.forge, hand.moment.rng, repo, issue, hand.moment.at))
    assert row
    row.facts |= {"state": "PENDING", "user": hand.forge.viewer}
    REVIEWS.tell(hand, repo, row, "created")


def _review_lose_commit(hand: Hand) -> None:
    """Git forgets the commit that was reviewed."""
    repo, row = hand.moment.choose(
        (repo, row)
        for repo in hand.repositories()
        for row in REVIEWS.rows(repo).values()
        if hand.named(row.parent.number, row.id)
    )
    row.facts["commit_gone"] = True
    REVIEWS.tell(hand, repo, row, "updated")


SILENT: dict[str, Kind[Hand]] = {
    "github.account.delete": Kind(_account_delete, 0),
    "github.commit.comment": Kind(_commit_comment, 0),
    "github.commit.relink": Kind(_commit_relink, 0),
    "github.pull.delete_head": Kind(_pull_delete_head, 0),
    "github.pull.test_merge": Kind(_pull_test_merge, 0),
}
"""What shows in objects without a new ``updated_at``, and so by name only: few clients see it."""

KINDS: dict[str, Kind[Hand]] = (
    SILENT
    | kinds_of(COLLECTIONS)
    | {
        "github.branch.rename": Kind(_branch_rename, 0, _NAME),
        "github.branch.create": Kind(_branch_create, 1, _NAME),
        "github.branch.delete": Kind(_branch_delete, 0.5),
        "github.asset.create": Kind(_asset_create, 1),
        "github.asset.delete": Kind(_asset_delete, 0.5),
        "github.asset.download": Kind(_asset_download, 1),
        "github.issue.transfer": Kind(_issue_transfer, 0, _TARGET),
        "github.issue.open": Kind(_issue_open, 8, _ISSUE),
        "github.issue.edit": Kind(_issue_edit, 10, _ISSUE),
        "github.issue.close": Kind(_issue_close, 6),
        "github.issue.reopen": Kind(_issue_reopen, 3),
        "github.issue.label": Kind(_issue_label, 6),
        "github.issue.unlabel": Kind(_issue_unlabel, 4),
        "github.issue.assign": Kind(_issue_assign, 4),
        "github.issue.unassign": Kind(_issue_unassign, 3),
        "github.issue.delete": Kind(_issue_delete, 2),
        # One that becomes a discussion leaves as a deleted one does.
        "github.issue.convert": Kind(_issue_delete, 0),
        "github.issue.type": Kind(_issue_type, 2),
        "github.sub_issue.add": Kind(_sub_issue_add, 2, _PART),
        "github.sub_issue.remove": Kind(_sub_issue_remove, 1),
        "github.comment.create": Kind(_comment_create, 10, _COMMENT),
        "github.comment.edit": Kind(_comment_edit, 4, _COMMENT),
        "github.comment.delete": Kind(_comment_delete, 2),
        "github.commit.push": Kind(_commit_push, 8),
        "github.commit.force_push": Kind(_commit_force_push, 2),
        "github.commit.merge": Kind(_commit_merge, 3),
        "github.label.create": Kind(_label_create, 2, _LABEL),
        "github.label.rename": Kind(_label_rename, 1, _LABEL),
        "github.label.delete": Kind(_label_delete, 1),
        "github.milestone.create": Kind(_milestone_create, 2, _MILESTONE),
        "github.milestone.close": Kind(_milestone_close, 1),
        "github.milestone.delete": Kind(_milestone_delete, 1),
        "github.release.create": Kind(_release_create, 2, _RELEASE),
        "github.release.edit": Kind(_release_edit, 2, _RELEASE),
        "github.release.delete": Kind(_release_delete, 1),
        "github.repository.create": Kind(_repository_create, 0.5, _NAME),
        "github.repository.rename": Kind(_repository_rename, 0.5, _NAME),
        "github.repository.transfer": Kind(_repository_transfer, 0.2),
        "github.repository.edit": Kind(_repository_edit, 0.5, _SETTINGS),
        "github.repository.hide": Kind(_repository_hide, 0),
        "github.repository.show": Kind(_repository_show, 0),
        "github.repository.issues_off": Kind(_switches("has_issues", on=False), 0),
        "github.repository.issues_on": Kind(_switches("has_issues", on=True), 0),
        "github.repository.archive": Kind(_switches("archived", on=True), 0.2),
        "github.repository.delete": Kind(_repository_delete, 0.2),
        "github.pull.open": Kind(_pull_open, 4, _ISSUE),
        "github.pull.edit": Kind(_pull_edit, 4, _ISSUE),
        "github.pull.merge": Kind(_pull_merge, 4),
        "github.pull.push": Kind(_pull_push, 0),
        "github.team.assign": Kind(_team_assign, 0),
        "github.viewer.leave": Kind(_viewer(joins=False), 0),
        "github.viewer.join": Kind(_viewer(joins=True), 0),
        "github.review.draft": Kind(_review_draft, 0),
        "github.review.lose_commit": Kind(_review_lose_commit, 0),
    }
)


def apply(forge: Forge, moment: Moment) -> None:
    """Make one change; raises `ChangeRefused` where nothing fits it, and then nothing changed."""
    KINDS[moment.change.kind].apply(Hand(forge, moment), moment)
