"""The origin does not stand still while it is read."""

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from github_location.source.api import GitHub
from github_location.source.tables import TABLES
from ingest_testing import Json, assert_mirrors

from .origin import GITHUB, Origin, Warehouse

pytestmark = pytest.mark.exhaustive


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


@pytest.mark.parametrize("group", GITHUB.groups)
def test_what_changes_while_it_is_read_is_there_after_the_next_sync(group: str, warehouse: Warehouse) -> None:
    for seed in range(2):
        with changes_while_reading(warehouse.origin, seed):
            warehouse.sync(group)
    warehouse.origin.advance()
    warehouse.sync(group)
    assert_mirrors(warehouse, *GITHUB.tables_of(group))


def before_page_2(monkeypatch: pytest.MonkeyPatch, name: str, change: Callable[[str], None]) -> None:
    """Makes a change before each request of the second page of a list, and tells it the page's address."""
    send = GitHub._send

    def send_after_it(api: GitHub, method: str, path: str, *args: Any, **kwargs: Any) -> Any:
        if re.search(rf"/{name}\?.*page=2", path):
            change(path)
        return send(api, method, path, *args, **kwargs)

    monkeypatch.setattr(GitHub, "_send", send_after_it)


def listed(origin: Origin, collection: str, path: str) -> list[Json]:
    """What the repository of an address has of a collection."""
    return [item["object"] for item in origin.objects(collection) if f"/{item['repository_id']}/" in path]


def test_an_issue_that_moves_away_between_two_pages_of_one_second_hides_no_other(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = warehouse.origin
    seconds = Counter(item["object"]["updated_at"] for item in origin.objects("issues"))
    together = seconds.most_common(1)[0][0]
    first = next(item for item in origin.objects("issues") if item["object"]["updated_at"] == together)
    moved: list[Json] = []

    def move_once(_: str) -> None:
        if not moved:
            number = first["object"]["number"]
            moved.append(origin.change("issue.edit", repository=first["repository_id"], number=number))

    before_page_2(monkeypatch, "issues", move_once)
    warehouse.sync("activity")
    assert moved
    origin.advance()
    warehouse.sync("activity")
    assert_mirrors(warehouse, "issues")


def test_a_label_that_vanishes_between_two_pages_hides_no_other(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, per_page: Callable[[int], None]
) -> None:
    per_page(3)
    origin = warehouse.origin
    deleted: list[Json] = []

    def delete_once(path: str) -> None:
        if not deleted:
            deleted.append(origin.change("label.delete", id=listed(origin, "labels", path)[0]["id"]))

    before_page_2(monkeypatch, "labels", delete_once)
    warehouse.sync("catalog")
    assert deleted
    warehouse.sync("catalog")  # it was there when its page was read
    assert_mirrors(warehouse, "labels")


def test_edits_while_a_list_is_read_are_no_reason_to_read_it_again(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, per_page: Callable[[int], None]
) -> None:
    """The downloads of a release are counted in its row, so the list of a popular one changes all the time."""
    per_page(1)
    origin = warehouse.origin
    edited: list[Json] = []

    def edit_all(path: str) -> None:
        for release in listed(origin, "releases", path):
            edited.append(origin.change("release.edit", id=release["id"], seed=len(edited)))

    before_page_2(monkeypatch, "releases", edit_all)
    warehouse.sync("catalog", SOURCES__GITHUB__REPOSITORIES="acme/api")
    assert edited
    assert not warehouse.query("SELECT * FROM {load_gaps}")


def test_a_list_that_never_stands_still_is_a_gap_and_nothing_of_it_counts_as_deleted(
    synced: Warehouse, monkeypatch: pytest.MonkeyPatch, per_page: Callable[[int], None]
) -> None:
    per_page(3)
    before = {row["id"] for row in synced.rows(TABLES["labels"])}
    origin = synced.origin

    def replace_one(path: str) -> None:
        origin.change("label.delete", id=listed(origin, "labels", path)[0]["id"])
        origin.change("label.create", repository="acme/api")

    with monkeypatch.context() as patch:
        before_page_2(patch, "labels", replace_one)
        synced.sync("catalog", SOURCES__GITHUB__REPOSITORIES="acme/api")
    assert ("labels", "acme/api") in synced.query("SELECT resource, scope FROM {load_gaps}")
    assert before < {row["id"] for row in synced.rows(TABLES["labels"]) if not row["deleted_at"]}
    synced.sync("catalog")
    assert_mirrors(synced, "labels")
    assert not synced.query("SELECT * FROM {load_gaps}")


def test_a_push_in_the_second_of_a_push_that_was_read_is_not_lost(synced: Warehouse) -> None:
    origin = synced.origin
    for _ in range(5):
        time.sleep(1 - time.time() % 1)  # until a second begins
        first = origin.change("commit.push", repository="acme/api", id="main")
        with another_push_once_it_is_read(origin) as others:
            synced.sync("activity")
        if [other["at"] for other in others] == [first["at"]]:
            break
    else:
        pytest.skip("this machine is too busy to push, read and push again within a second")
    origin.advance()
    synced.sync("activity")
    assert_mirrors(synced, "commits")


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
