"""Histories that the sandbox does not make, told by a played API."""

import json
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, TypeVar, cast

from github_location.source import decoder
from github_location.source.reading import Commits, Repository, Sync
from ingest_shared.reading.api import Answer
from ingest_shared.loading import Load

T = TypeVar("T")
REPOSITORY = Repository(1, "acme/*", "acme/api", "main", "2026-01-01T00:00:00Z")


def commits(*shas: str) -> list[dict[str, Any]]:
    return [{"sha": sha, "parents": []} for sha in shas]


class RenamedBranch:
    """`master` became `main`, of two pages; `dev` merged a commit of the second one meanwhile."""

    in_flight = 4

    def get(self, path: str, *_: object, parse: Callable[[bytes], T], **__: object) -> Answer[T]:
        body: Any = commits("M1")
        links = {}
        if "/branches" in path:
            body = [{"name": "main", "commit": {"sha": "M1"}}, {"name": "dev", "commit": {"sha": "D1"}}]
        elif "/compare/D0...D1" in path:
            body = {"commits": commits("old", "D1")}
        elif "/compare/M1...D1" in path:
            body = {"commits": commits("D1")}
        elif "page=2" in path:
            body = commits("old", "older")
        else:
            links = dict.fromkeys(("next", "last"), "http://127.0.0.1/commits?page=2")
        return Answer(parse(json.dumps(body).encode()), {}, links)


def test_a_commit_that_two_branches_show_comes_once() -> None:
    sync = SimpleNamespace(api=RenamedBranch(), begin=lambda _: None, horizon=2**31, repositories={1: REPOSITORY})
    load = Load("commits", {"repositories": {"1": {"entry": "acme/*", "heads": {"master": "M0", "dev": "D0"}}}})
    pages = Commits(cast(Sync, sync), decoder("commits"), "/commits")(load)
    found = Counter(row.sha for page in pages for row in page.rows)
    assert found == Counter(["M1", "D1", "old", "older"])
