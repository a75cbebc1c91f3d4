"""New records of GitHub, from chance: used for the seeded world and by the changes alike."""

from random import Random

from .. import prose
from .model import (
    Account,
    Asset,
    Comment,
    Commit,
    Forge,
    Issue,
    Label,
    Milestone,
    Pull,
    Release,
    Repository,
)

_DAY = 86_400
_ASSOCIATIONS = ("OWNER", "MEMBER", "COLLABORATOR", "CONTRIBUTOR", "NONE")
_REACTIONS = ("+1", "-1", "heart", "rocket", "eyes")
_LANGUAGES = ("Python", "TypeScript", "Go", "Rust", None)
_DEFAULT_LABELS = (
    ("bug", "d73a4a", "Something isn't working"),
    ("documentation", "0075ca", "Improvements or additions to documentation"),
    ("duplicate", "cfd3d7", "This issue or pull request already exists"),
    ("enhancement", "a2eeef", "New feature or request"),
    ("good first issue", "7057ff", "Good for newcomers"),
    ("help wanted", "008672", "Extra attention is needed"),
)


def sha(rng: Random) -> str:
    return f"{rng.getrandbits(160):040x}"


def people(rng: Random, count: int) -> list[Account]:
    """Accounts with distinct logins; the last one is a bot."""
    users = [
        Account(20_000_000 + 13 * index, f"dev-{prose.token(rng, 5).lower()}-{index}") for index in range(count - 1)
    ]
    for user in users:
        user.name = prose.person(rng)
    return [*users, Account(49_699_333, "dependabot[bot]", "Bot", "dependabot[bot]")]


def someone(forge: Forge, rng: Random) -> Account | None:
    """A person, or None for one whose account is gone."""
    return None if rng.random() < 0.02 else rng.choice(forge.people)


def repository(forge: Forge, rng: Random, at: int, owner: Account, name: str, *, labels: bool = True) -> Repository:
    """An empty repository, with GitHub's default labels unless refused."""
    repo = Repository(
        id=forge.new_id("repository"),
        owner=owner,
        name=name,
        description=rng.choice((f"All about {name} ✨", None)),
        language=rng.choice(_LANGUAGES),
        topics=sorted(rng.sample(("etl", "data", "cli", "internal"), k=rng.randint(0, 3))),
        created_at=at,
        updated_at=at,
        pushed_at=at,
    )
    forge.repositories[repo.id] = repo
    for title, color, description in _DEFAULT_LABELS if labels else ():
        row = Label(forge.new_id("label"), title, color, description, default=True)
        repo.labels[row.id] = row
    return repo


def label(forge: Forge, rng: Random, repo: Repository, name: str) -> Label:
    row = Label(
        id=forge.new_id("label"),
        name=name,
        color=f"{rng.getrandbits(24):06x}",
        description=rng.choice((None, "Set by the triage team 🏷️")),
        default=False,
    )
    repo.labels[row.id] = row
    return row


def milestone(forge: Forge, rng: Random, repo: Repository, at: int) -> Milestone:
    # GitHub numbers milestones on their own and never gives a number twice.
    repo.milestones_made += 1
    number = repo.milestones_made
    row = Milestone(
        id=forge.new_id("milestone"),
        number=number,
        title=f"v{number}.{rng.randrange(10)}",
        description=rng.choice((None, "", "What must be in the next release")),
        creator=rng.choice(forge.people),
        created_at=at,
        updated_at=at,
        due_on=rng.choice((None, at + 30 * _DAY)),
    )
    repo.milestones[number] = row
    return row


def issue(forge: Forge, rng: Random, repo: Repository, at: int) -> Issue:
    """An open issue with some labels, people and perhaps a milestone."""
    chance = rng.random()
    row = Issue(
        id=forge.new_id("issue"),
        number=repo.take_number(),
        title=prose.title(rng),
        body=prose.body(rng),
        author=someone(forge, rng),
        association=rng.choice(_ASSOCIATIONS),
        created_at=at,
        updated_at=at,
    )
    if repo.labels and chance < 0.8:
        labels = list(repo.labels.values())
        row.labels = rng.sample(labels, k=min(len(labels), rng.randint(1, 3)))
    if chance < 0.5:
        row.assignees = rng.sample(forge.people[:-1], k=rng.randint(1, 2))
    if repo.milestones and chance > 0.7:
        row.milestone = rng.choice(list(repo.milestones.values()))
    if chance > 0.6:
        row.reactions = {rng.choice(_REACTIONS): rng.randint(1, 12)}
    repo.issues[row.number] = row
    return row


def pull(forge: Forge, rng: Random, repo: Repository, at: int) -> Issue:
    """An open pull request."""
    row = issue(forge, rng, repo, at)
    base = repo.branches.get(repo.default_branch)
    row.pull = Pull(
        id=forge.new_id("pull"),
        draft=rng.random() < 0.1,
        head_ref=f"feature/{prose.slug(rng)}",
        head_sha=sha(rng),
        base_sha=base.sha if base else sha(rng),
        reviewers=rng.sample(forge.people[:-1], k=rng.randint(0, 2)),
        commits=rng.randint(1, 5),
        additions=rng.randint(1, 400),
        deletions=rng.randint(0, 200),
        changed_files=rng.randint(1, 20),
    )
    return row


def comment(forge: Forge, rng: Random, repo: Repository, parent: Issue, at: int) -> Comment:
    row = Comment(
        id=forge.new_id("comment"),
        issue=parent,
        body=prose.comment(rng),
        author=someone(forge, rng),
        association=rng.choice(_ASSOCIATIONS),
        created_at=at,
        updated_at=at,
        reactions={"+1": rng.randint(1, 5)} if rng.random() < 0.2 else {},
    )
    repo.comments[row.id] = row
    parent.comments += 1
    return row


def commit(
    forge: Forge,
    rng: Random,
    repo: Repository,
    at: int,
    parents: tuple[str, ...],
    name: str | None = None,
) -> Commit:
    """A commit on top of `parents`, under a sha of its own or the one given."""
    author = someone(forge, rng)
    row = Commit(
        sha=name or sha(rng),
        order=len(repo.commits),
        tree=sha(rng),
        parents=parents,
        author=author,
        name=author.name if author else "Unknown Person",
        email=f"{author.login if author else 'unknown'}@users.noreply.example.com",
        message=(f"Merge branch 'feature/{prose.slug(rng)}'" if len(parents) > 1 else _message(rng)),
        # Rebased work is older than its commit.
        authored_at=at - rng.choice((0, 0, 0, 7 * _DAY)),
        committed_at=at,
        verified=rng.random() < 0.5,
    )
    repo.commits[row.sha] = row
    return row


def _message(rng: Random) -> str:
    return f"Fix: {prose.title(rng)}\n\n{prose.comment(rng)}".replace("\x00", "")


def asset(forge: Forge, rng: Random, name: str, at: int) -> Asset:
    return Asset(forge.new_id("asset"), name, rng.randint(10_000, 90_000_000), rng.randint(0, 5_000), at)


def release(forge: Forge, rng: Random, repo: Repository, at: int) -> Release:
    serial = forge.new_id("release")
    tag = f"v{1 + len(repo.releases)}.{serial % 1000}"
    row = Release(
        id=serial,
        tag=tag,
        target=repo.default_branch,
        name=rng.choice((tag, None, f"{tag} “{prose.person(rng)}”")),
        body=prose.comment(rng),
        prerelease=rng.random() < 0.2,
        author=rng.choice(forge.people),
        created_at=at,
        updated_at=at,
        assets=[
            asset(forge, rng, f"{repo.name}-{tag}-{system}.tar.gz", at)
            for system in rng.sample(("linux", "darwin", "windows"), k=rng.randint(0, 3))
        ],
    )
    repo.releases[row.id] = row
    return row
