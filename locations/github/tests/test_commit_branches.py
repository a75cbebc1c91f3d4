"""The query of the README tells which commits each branch has now."""

import re
from pathlib import Path

from .origin import Warehouse

README = Path(__file__).parents[1] / "README.md"


def test_the_query_gives_the_commits_of_each_branch(mirrored: Warehouse) -> None:
    origin = mirrored.origin
    for seed, kind in enumerate("commit.merge commit.force_push branch.create branch.delete branch.rename".split()):
        origin.change(kind, seed=seed)
    origin.advance()
    mirrored.sync("activity", "catalog")
    found = re.search(r"```sql\n(.*?)```", README.read_text(), re.DOTALL)
    assert found
    query = re.sub(r"\b(FROM|JOIN) (branches|commit_parents)\b", r"\1 {\2}", found[1])
    held = origin.objects("commit_branches")
    expected = {(row["repository_id"], row["object"]["branch"], row["object"]["sha"]) for row in held}
    assert set(mirrored.query(query)) == expected
