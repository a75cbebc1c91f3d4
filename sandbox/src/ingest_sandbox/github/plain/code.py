"""Tags, https://docs.github.com/en/rest/repos/repos#list-repository-tags."""

from ... import prose
from ...wire import Json
from ..model import Repository, Row
from ..render import API, node_id
from .collection import Collection, Making


def tag(repo: Repository, row: Row) -> Json:
    api, sha = f"{API}/repos/{repo.full_name}", row.facts["sha"]
    return {
        "name": row.id,
        "zipball_url": f"{api}/zipball/refs/tags/{row.id}",
        "tarball_url": f"{api}/tarball/refs/tags/{row.id}",
        "commit": {"sha": sha, "url": f"{api}/commits/{sha}"},
        "node_id": node_id("REF", f"{repo.id}:refs/tags/{row.id}"),
    }


def _make(making: Making) -> Json | None:
    name = f"v{making.rng.randint(1, 30)}.{making.rng.randint(0, 99)}-{prose.slug(making.rng)}"
    if not making.home.commits or name in making.home.rows["tags"]:
        return None
    return {"id": name, "sha": making.rng.choice(list(making.home.commits))}


def _move(making: Making, row: Row) -> None:
    row.facts["sha"] = making.rng.choice([sha for sha in making.home.commits if sha != row.facts["sha"]])


TAGS = Collection(
    name="tags",
    show=tag,
    make=_make,
    edit=_move,
    descending=True,
    seeded=30,
)
