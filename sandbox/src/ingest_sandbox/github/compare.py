"""Two commits compared, as ``/repos/{owner}/{repo}/compare/{base}...{head}`` answers.

See https://docs.github.com/en/rest/commits/commits#compare-two-commits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..wire import Json
from . import render
from .model import Commit, Repository


@dataclass(frozen=True, slots=True)
class Comparison:
    """What lies between two commits. Either may have left every branch by a force-push."""

    base: Commit
    head: Commit
    merge_base: Commit
    """The newest of the commits that lead to both."""
    ahead: Sequence[Commit]
    """Those that lead to the head only, oldest first."""
    behind_by: int
    """How many lead to the base only."""

    @property
    def status(self) -> str:
        if self.ahead:
            return "diverged" if self.behind_by else "ahead"
        return "behind" if self.behind_by else "identical"


def compare(repo: Repository, base: str, head: str) -> Comparison | None:
    """Compare two commits by sha; None where they have no common ancestor.

    Raises `KeyError` for a sha that the repository does not know.
    """
    of_base, of_head = repo.lineage(base), repo.lineage(head)
    shared = [commit for sha, commit in of_head.items() if sha in of_base]
    if not shared:
        return None
    ahead = [commit for sha, commit in of_head.items() if sha not in of_base]
    return Comparison(
        base=repo.commits[base],
        head=repo.commits[head],
        # By order and not by date: no commit of a higher order leads to one of a lower.
        merge_base=max(shared, key=lambda commit: commit.order),
        ahead=sorted(ahead, key=lambda commit: commit.place),
        behind_by=len(of_base) - len(shared),
    )


def comparison(repo: Repository, basehead: str, found: Comparison, commits: Sequence[Commit]) -> Json:
    """The answer with some of the commits that are ahead.

    `basehead` stands as it was asked for, branch names included; no commit here touches a file.
    """
    web = f"{render.WEB}/{repo.full_name}/compare"
    owner = repo.owner.login
    return {
        "url": f"{render.API}/repos/{repo.full_name}/compare/{basehead}",
        "html_url": f"{web}/{basehead}",
        "permalink_url": f"{web}/{owner}:{found.base.sha}...{owner}:{found.head.sha}",
        "diff_url": f"{web}/{basehead}.diff",
        "patch_url": f"{web}/{basehead}.patch",
        "base_commit": repo.rendered(render.commit, found.base).raw,
        "merge_base_commit": repo.rendered(render.commit, found.merge_base).raw,
        "status": found.status,
        "ahead_by": len(found.ahead),
        "behind_by": found.behind_by,
        "total_commits": len(found.ahead),
        "commits": [repo.rendered(render.commit, row).raw for row in commits],
        "files": [],
    }
