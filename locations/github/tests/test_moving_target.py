"""The origin does not stand still while it is read."""

import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from github_location.source import reading
from github_location.source.api import GitHub

from .mirror import TABLES_OF, Warehouse, assert_mirrors
from .origin import Json, Origin


@contextmanager
def changes_while_reading(origin: Origin, seed: int) -> Iterator[None]:
    """Changes the world again and again until the block ends; what it answers comes slowly."""
    stop = threading.Event()
    changer = Origin(origin.url)

    def change() -> None:
        for step in range(1_000):
            changer.change_at_random(seed * 1_000 + step, 2)
            if stop.wait(0.05):
                break

    thread = threading.Thread(target=change)
    origin.fail(latency_ms=50)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        origin.heal()
        origin.renamed |= changer.renamed


@pytest.mark.parametrize("group", TABLES_OF)
def test_what_changes_while_it_is_read_is_there_after_the_next_sync(group: str, warehouse: Warehouse) -> None:
    for seed in range(2):
        with changes_while_reading(warehouse.origin, seed):
            warehouse.sync(group)
    warehouse.origin.advance()
    warehouse.sync(group)
    assert_mirrors(warehouse, *TABLES_OF[group])


def test_an_issue_that_moves_away_between_two_pages_of_one_second_hides_no_other(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = warehouse.origin
    seconds = Counter(item["object"]["updated_at"] for item in origin.objects("issues"))
    together = seconds.most_common(1)[0][0]
    first = next(item for item in origin.objects("issues") if item["object"]["updated_at"] == together)
    get = GitHub.get
    moved: list[Json] = []

    def get_after_a_move(api: GitHub, path: str, *args: Any, **kwargs: Any) -> Any:
        if re.search(r"/issues\?.*page=2", path) and not moved:
            moved.append(
                origin.change("issue.edit", repository=first["repository_id"], number=first["object"]["number"])
            )
        return get(api, path, *args, **kwargs)

    monkeypatch.setattr(GitHub, "get", get_after_a_move)
    warehouse.sync("activity")
    assert moved
    origin.advance()
    warehouse.sync("activity")
    assert_mirrors(warehouse, "issues")


def test_a_label_that_vanishes_between_two_pages_hides_no_other(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read once is enough: a list of several pages is read until it stands still."""
    monkeypatch.setattr(reading, "PER_PAGE", 3)
    origin = warehouse.origin
    get = GitHub.get
    deleted: list[Json] = []

    def get_after_a_delete(api: GitHub, path: str, *args: Any, **kwargs: Any) -> Any:
        if re.search(r"/labels\?.*page=2", path) and not deleted:
            first = next(item["object"] for item in origin.objects("labels") if f"/{item['repository_id']}/" in path)
            deleted.append(origin.change("label.delete", id=first["id"]))
        return get(api, path, *args, **kwargs)

    monkeypatch.setattr(GitHub, "get", get_after_a_delete)
    warehouse.sync("catalog")
    assert deleted
    assert_mirrors(warehouse, "labels")


def test_edits_while_a_list_is_read_are_no_reason_to_read_it_again(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The downloads of a release are counted in its row, so the list of a popular one changes all the time."""
    monkeypatch.setattr(reading, "PER_PAGE", 1)
    origin = warehouse.origin
    get = GitHub.get

    edited: list[Json] = []

    def get_after_an_edit(api: GitHub, path: str, *args: Any, **kwargs: Any) -> Any:
        if re.search(r"/releases\?.*page=2", path):
            here = [i["object"] for i in origin.objects("releases") if f"/{i['repository_id']}/" in path]
            edited.extend(origin.change("release.edit", id=release["id"], seed=len(edited)) for release in here)
        return get(api, path, *args, **kwargs)

    monkeypatch.setattr(GitHub, "get", get_after_an_edit)
    warehouse.sync("catalog", SOURCES__GITHUB__REPOSITORIES="acme/api")
    assert edited
    assert not warehouse.query("SELECT * FROM {load_gaps}")


def test_a_list_that_never_stands_still_is_a_gap(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PER_PAGE", 3)
    warehouse.sync("catalog")
    before = warehouse.contents("catalog")["labels"]
    origin = warehouse.origin
    get = GitHub.get

    def get_after_a_change(api: GitHub, path: str, *args: Any, **kwargs: Any) -> Any:
        if re.search(r"/labels\?.*page=2", path):
            first = next(item["object"] for item in origin.objects("labels") if f"/{item['repository_id']}/" in path)
            origin.change("label.delete", id=first["id"])
            origin.change("label.create", repository="acme/api")
        return get(api, path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(GitHub, "get", get_after_a_change)
        warehouse.sync("catalog", SOURCES__GITHUB__REPOSITORIES="acme/api")
    assert ("labels", "acme/api") in warehouse.query("SELECT resource, scope FROM {load_gaps}")
    assert warehouse.contents("catalog")["labels"] == before
    warehouse.sync("catalog")
    assert_mirrors(warehouse, "labels")
    assert not warehouse.query("SELECT * FROM {load_gaps}")


def test_a_push_in_the_second_of_a_push_that_was_read_is_not_lost(warehouse: Warehouse) -> None:
    origin = warehouse.origin
    warehouse.sync("activity")
    for _ in range(5):
        time.sleep(1 - time.time() % 1)  # until a second begins
        first = origin.change("commit.push", repository="acme/api", id="main")
        with another_push_once_it_is_read(origin) as others:
            warehouse.sync("activity")
        if [other["at"] for other in others] == [first["at"]]:
            break
    else:
        pytest.skip("this machine is too busy to push, read and push again within a second")
    origin.advance()
    warehouse.sync("activity")
    assert_mirrors(warehouse, "commits")


@contextmanager
def another_push_once_it_is_read(origin: Origin) -> Iterator[list[Json]]:
    origin.forget_requests()
    pushes: list[Json] = []
    over = threading.Event()

    def push() -> None:
        pusher = Origin(origin.url)
        while not over.wait(0.002):
            if pusher.requests()["by_path"].get("/github/repositories/{id}/compare/{basehead}"):
                pushes.append(pusher.change("commit.push", repository="acme/api", id="main"))
                return

    thread = threading.Thread(target=push)
    thread.start()
    try:
        yield pushes
    finally:
        over.set()
        thread.join()
