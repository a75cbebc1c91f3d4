"""What GitHub shows of a pull request or a commit alone: its size, its files, the commits in it.

https://docs.github.com/en/rest/pulls/pulls, https://docs.github.com/en/rest/commits/commits#get-a-commit

Nobody writes a file here: the files of a commit follow from its sha.
"""

from collections.abc import Callable, Iterator
from random import Random

from ..wire import Json
from . import build, render
from .model import Commit, Issue, Repository


def files(repo: Repository, of: str, count: int, additions: int, deletions: int) -> list[Json]:
    """This many files of a diff, with this many lines in total."""
    rng = Random(f"files of {of}")
    return [_file(repo, of, rng, index, count, additions, deletions) for index in range(count)]


def _file(repo: Repository, of: str, rng: Random, index: int, count: int, additions: int, deletions: int) -> Json:
    status = rng.choice(("added", "modified", "removed", "renamed"))
    # The first one has what cannot be divided.
    added, removed = (lines // count + (lines % count if index == 0 else 0) for lines in (additions, deletions))
    name = f"src/part_{index}_{rng.randrange(9)}.py"
    return {
        "sha": build.sha(rng),
        "filename": name,
        "status": status,
        "additions": added,
        "deletions": removed,
        "changes": added + removed,
        "blob_url": f"{render.WEB}/{repo.full_name}/blob/{of}/{name}",
        "raw_url": f"{render.WEB}/{repo.full_name}/raw/{of}/{name}",
        "contents_url": f"{render.API}/repos/{repo.full_name}/contents/{name}?ref={of}",
        "patch": "@@ -1 +1 @@\n-old\n+new",
    } | ({"previous_filename": f"{name}.old"} if status == "renamed" else {})


def files_of_pull(repo: Repository, row: Issue) -> list[Json]:
    pull = row.pull
    assert pull
    return files(repo, pull.head_sha, pull.changed_files, pull.additions, pull.deletions)


def commits_of_pull(repo: Repository, row: Issue) -> list[Json]:
    """Its commits, oldest first; the last one is its head, and only it is ever on a branch."""
    assert row.pull
    head = repo.commits.get(row.pull.head_sha)
    shas = [build.sha(Random(f"{row.pull.id}/{number}")) for number in range(row.pull.commits - 1)]
    found: list[Json] = []
    for number, sha in enumerate([*shas, row.pull.head_sha]):
        made = Commit(
            sha=sha,
            order=0,
            tree=sha[::-1],
            parents=(found[-1]["sha"] if found else row.pull.base_sha,),
            author=row.author,
            name=row.author.name if row.author else "Unknown Person",
            email="dev@users.noreply.example.com",
            message=f"{row.title}, part {number}".replace("\x00", ""),
            authored_at=row.created_at,
            committed_at=row.created_at,
            verified=False,
        )
        found.append(render.commit(repo, head if head and sha == head.sha else made))
    return found


def commit_in_detail(repo: Repository, row: Commit) -> Json:
    """A commit on its own: what the lists show, how many lines it changes, and its files."""
    rng = Random(f"size of {row.sha}")
    count, added, removed = rng.randint(1, 4), rng.randint(1, 90), rng.randint(0, 60)
    return render.commit(repo, row) | {
        "stats": {"additions": added, "deletions": removed, "total": added + removed},
        "files": files(repo, row.sha, count, added, removed),
    }


def pull_before_it_is_known(repo: Repository, row: Issue) -> Json:
    """An open pull request whose mergeability has not been requested before."""
    unknown = {"mergeable": None, "rebaseable": None, "mergeable_state": "unknown"}
    return render.pull_in_detail(repo, row) | unknown


def held(collection: str, repo: Repository) -> Iterator[Json]:
    """All objects of a collection as the oracle shows them, with what they are known by besides."""
    if collection == "commit_details":
        reachable = {sha for branch in repo.branches.values() for sha in repo.lineage(branch.sha)}
        yield from ({"object": commit_in_detail(repo, repo.commits[sha])} for sha in reachable)
        return
    for row in repo.issues.values():
        if row.pull:
            given = {"pull_request_id": row.pull.id, "pull_request_number": row.number}
            yield from ({"object": found, "given": given} for found in COLLECTIONS[collection](repo, row))


COLLECTIONS: dict[str, Callable[[Repository, Issue], list[Json]]] = {
    "pull_request_details": lambda repo, row: [render.pull_in_detail(repo, row)],
    "pull_request_files": files_of_pull,
    "pull_request_commits": commits_of_pull,
    "commit_details": lambda repo, row: [],
}
