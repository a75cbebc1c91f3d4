"""The seeded world of GitHub: an organization `acme` with repositories of very unequal size.

The person whose token it is owns two small ones besides, `dotfiles` and the private `notes`."""

from dataclasses import replace
from random import Random

from .. import prose
from . import build
from .model import Account, Branch, Forge, Repository
from .plain import COLLECTIONS

_DAY = 86_400
_AGE = 3 * 365 * _DAY

# Name and share of all rows. `empty` has no commits, `legacy` has its issues switched off.
_SHARES = {"platform": 0.60, "api": 0.25, "web": 0.12, "docs": 0.03, "legacy": 0.0, "empty": 0.0}

# `umbrella` owns nothing until a repository is transferred to it.
_ORGANIZATIONS = [
    Account(9_100_001, "acme", "Organization"),
    Account(9_100_002, "umbrella", "Organization"),
]

# So many issues of the big repository were labelled at once: more than a page in one second.
_BULK = 130


def forge(seed: int, size: float, anchor: int) -> Forge:
    """All of GitHub as it was at `anchor`, in epoch seconds.

    At size 1: 6 repositories of `acme`, 1,200 issues, a third of them pull requests, 1,500 comments,
    900 commits, and about 40 labels, 12 milestones and 20 releases. Issues, comments and commits
    grow with `size`.
    """
    rng = Random(f"github/{seed}")
    made = Forge([replace(account, rows={}) for account in _ORGANIZATIONS], build.people(rng, 60))
    acme = made.organizations["acme"]
    for name, share in _SHARES.items():
        born = anchor - _AGE + rng.randrange(90 * _DAY)
        repo = build.repository(made, rng, born, acme, name, labels=name != "empty")
        if name == "empty":
            continue
        repo.has_issues = name != "legacy"
        _commits(made, rng, repo, anchor, round(900 * size * share) or 12)
        if share:
            _plans(made, rng, repo, anchor, share)
            _issues(made, rng, repo, anchor, round(1_200 * size * share))
            _comments(made, rng, repo, anchor, round(1_500 * size * share))
        _touch(repo, anchor)
    _own(made, Random(f"github/{seed}/own"), anchor)
    _plain(made, seed, size, anchor)
    for repo in made.owned():
        _families(Random(f"github/{seed}/families of {repo.name}"), repo)
    return made


def add_many(made: Forge, seed: int, anchor: int, repositories: int, issues: int) -> None:
    """Repositories of another organization, `many`, each with this many issues and a few commits."""
    rng = Random(f"github/{seed}/many")
    many = made.organizations["many"] = Account(9_100_003, "many", "Organization", rows={})
    for collection in COLLECTIONS:
        if collection.of_organization:
            collection.seed(made, rng, many, anchor, round(collection.seeded))
    for number in range(repositories):
        repo = build.repository(made, rng, anchor - _AGE, many, f"repo-{number}")
        repo.may_push = False
        _commits(made, rng, repo, anchor, 3)
        _issues(made, rng, repo, anchor, issues)
        _comments(made, rng, repo, anchor, issues)
        for collection in COLLECTIONS:
            if not collection.of_organization:
                collection.seed(made, rng, repo, anchor, 0)
        _touch(repo, anchor)


def _plain(made: Forge, seed: int, size: float, anchor: int) -> None:
    """The rows of the plain lists, by chances of their own: a new list leaves the others as they are."""
    for collection in COLLECTIONS:
        rng = Random(f"github/{seed}/{collection.name}")
        for account in made.organizations.values() if collection.of_organization else ():
            collection.seed(made, rng, account, anchor, round(collection.seeded))
        for repo in made.repositories.values() if not collection.of_organization else ():
            share = _SHARES.get(repo.name, 0) if repo.owner.type == "Organization" else 0
            collection.seed(made, rng, repo, anchor, round(collection.seeded * size * share))
            repo.changed()


def _families(rng: Random, repo: Repository) -> None:
    """Every third issue has a type, and some are parts of another."""
    types = list(repo.owner.rows["issue_types"].values())
    issues = [row for row in repo.issues.values() if row.pull is None]
    for row in issues[::3]:
        row.type = rng.choice(types)
    for parent, part in zip(issues[::10], issues[5::10], strict=False):
        part.parent = repo, parent
        parent.sub_issues.append(part)
    repo.changed()


def _own(made: Forge, rng: Random, anchor: int) -> None:
    """A public and a private repository of the person whose token it is."""
    for name in ("dotfiles", "notes"):
        born = anchor - _AGE + rng.randrange(90 * _DAY)
        repo = build.repository(made, rng, born, made.viewer, name)
        repo.private = name == "notes"
        _commits(made, rng, repo, anchor, 4)
        _issues(made, rng, repo, anchor, 3)
        _comments(made, rng, repo, anchor, 4)
        _touch(repo, anchor)


def _touch(repo: Repository, anchor: int) -> None:
    repo.updated_at = max([repo.pushed_at, *(row.updated_at for row in repo.issues.values())], default=anchor)
    repo.changed()


def _moments(rng: Random, repo: Repository, anchor: int, count: int) -> list[int]:
    return sorted(rng.randrange(repo.created_at, anchor) for _ in range(count))


def _commits(made: Forge, rng: Random, repo: Repository, anchor: int, count: int) -> None:
    """A main line with merges, and a branch that left it near its end."""
    moments = _moments(rng, repo, anchor, count)
    head: tuple[str, ...] = ()
    side: str | None = None
    for index, at in enumerate(moments):
        if index % 10 == 8 and head:
            side = build.commit(made, rng, repo, at, head).sha
            continue
        head = (build.commit(made, rng, repo, at, (*head, side) if side else head).sha,)
        side = None
    repo.branches["main"] = Branch("main", head[0], protected=True)
    topic = build.commit(made, rng, repo, moments[-1], head)
    repo.branches["topic/next"] = Branch("topic/next", topic.sha)
    repo.pushed_at = moments[-1]


def _plans(made: Forge, rng: Random, repo: Repository, anchor: int, share: float) -> None:
    """Labels, milestones and releases."""
    for _ in range(round(10 * share)):
        build.label(made, rng, repo, f"area: {prose.slug(rng)}")
    for at in _moments(rng, repo, anchor, round(12 * share)):
        row = build.milestone(made, rng, repo, at)
        if rng.random() < 0.4:
            row.closed_at = row.updated_at = rng.randint(at, anchor)
    for at in _moments(rng, repo, anchor, round(20 * share)):
        build.release(made, rng, repo, at)


def _issues(made: Forge, rng: Random, repo: Repository, anchor: int, count: int) -> None:
    merges = [row.sha for row in repo.commits.values() if len(row.parents) > 1]
    for index, at in enumerate(_moments(rng, repo, anchor, count)):
        make = build.pull if index % 3 == 2 else build.issue
        row = make(made, rng, repo, at)
        # Most are left alone soon, some are touched again years later.
        row.updated_at = at + int((anchor - at) * rng.random() ** 4)
        if rng.random() < 0.7:
            row.closed_at = row.updated_at
            row.closed_by = build.someone(made, rng)
            row.state_reason = None if row.pull else rng.choice(("completed", "not_planned"))
            row.locked = rng.random() < 0.05
            if row.pull and rng.random() < 0.8:
                row.pull.merged_at, row.pull.merged_by = row.closed_at, row.closed_by
                row.pull.merge_commit_sha = rng.choice(merges) if merges else build.sha(rng)
    if repo.name == "platform":
        together = anchor - 5 * _DAY
        old = [row for row in repo.issues.values() if row.created_at < together]
        for row in rng.sample(old, k=min(_BULK, len(old))):
            row.updated_at = together


def _comments(made: Forge, rng: Random, repo: Repository, anchor: int, count: int) -> None:
    issues = list(repo.issues.values())
    for _ in range(count if issues else 0):
        parent = rng.choice(issues)
        at = rng.randrange(parent.created_at, parent.updated_at + 1)
        row = build.comment(made, rng, repo, parent, at)
        if rng.random() < 0.1:
            row.updated_at = rng.randrange(at, parent.updated_at + 1)
