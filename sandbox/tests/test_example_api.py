"""The plain API: pages, changes since a time, deleted rows, refusals."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from ingest_sandbox import wire
from ingest_sandbox.app import EXAMPLE_TOKEN
from ingest_sandbox.control import deleted, held
from ingest_sandbox.moment import Change, ChangeRefused
from ingest_sandbox.world import World

from .conftest import make_world, serving


@pytest.fixture
def world() -> World:
    return make_world(size=0.1)


@pytest.fixture
def api(world: World) -> Iterator[httpx.Client]:
    with serving(world) as client:
        client.headers["Authorization"] = f"Bearer {EXAMPLE_TOKEN}"
        yield client


def walk(api: httpx.Client, **query: Any) -> Iterator[dict[str, Any]]:
    page = 1
    while True:
        answer = api.get("/example/v1/items", params={"page": page, **query}).json()
        assert answer["page"] == page
        yield from answer["items"]
        if not answer["has_more"]:
            return
        page += 1


@pytest.mark.parametrize("per_page", [7, 50, 100])
def test_the_pages_are_the_world_in_the_order_of_ids(api: httpx.Client, world: World, per_page: int) -> None:
    rows = list(walk(api, per_page=per_page))
    assert rows == wire.decode(wire.encode(held(world, "example", "items")))
    assert [row["id"] for row in rows] == list(range(1, 251))


def test_a_page_has_100_rows_at_most_and_one_past_the_end_none(api: httpx.Client) -> None:
    assert len(api.get("/example/v1/items?per_page=1000").json()["items"]) == 100
    assert api.get("/example/v1/items?page=99").json() == {"items": [], "page": 99, "has_more": False}


def test_what_changed_since_a_time_is_told_deleted_items_too(api: httpx.Client, world: World) -> None:
    since = wire.iso(world.advance(10))
    made = world.change(Change("example.item.create"))["changed"][0]["id"]
    world.change(Change("example.item.update", id=3, set={"tags": []}))
    world.change(Change("example.item.delete", id=made))
    changed = {row["id"]: row for row in walk(api, updated_since=since)}
    assert changed.keys() == {3, made}
    assert changed[3]["tags"] == []
    assert changed[made]["deleted_at"] == since
    assert {"id": made, "deleted": True, "deleted_at": wire.parse_iso(since)} in deleted(world, "example", "items")
    assert list(walk(api, updated_since=wire.iso(world.advance(10)))) == []


def test_a_deleted_item_changes_no_more(world: World) -> None:
    gone = deleted(world, "example", "items")[0]["id"]
    with pytest.raises(ChangeRefused):
        world.change(Change("example.item.update", id=gone))


@pytest.mark.parametrize("token", ["", "Bearer nonsense", EXAMPLE_TOKEN])
def test_only_the_token_is_let_in(api: httpx.Client, token: str) -> None:
    refused = api.get("/example/v1/items", headers={"Authorization": token})
    assert refused.status_code == 401
    assert refused.json()["error"]


@pytest.mark.parametrize("query", ["page=0", "page=x", "per_page=-1", "updated_since=soon", "colour=red"])
def test_a_wrong_question_is_refused(api: httpx.Client, query: str) -> None:
    refused = api.get(f"/example/v1/items?{query}")
    assert refused.status_code == 400
    assert refused.json()["error"]


def test_faults_strike_and_requests_are_counted(api: httpx.Client) -> None:
    api.post("/_sandbox/faults", json={"faults": [{"kind": "extra_field", "field": "x", "value": 1}]})
    assert {row["x"] for row in walk(api)} == {1}
    api.post("/_sandbox/faults", json={"faults": [{"kind": "status", "status": 500}]})
    assert api.get("/example/v1/items").json() == {"error": "an error on our side"}
    assert api.get("/_sandbox/requests").json()["by_path"] == {"/example/v1/items": 6}
