"""Lists of one run are read side by side: few at once, and each after those that it needs."""

import json
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import groupby
from unittest.mock import Mock

import dlt
import pytest
from dlt.extract.resource import DltResource

from ingest_shared import pipelines
from ingest_shared.loading import Load, mirror
from ingest_shared.reading import reader, turns
from ingest_shared.reading.api import Api
from ingest_shared.reading.crawl import Arrived, Task, crawl
from ingest_shared.reading.envelopes import HasMore
from ingest_shared.reading.listings import Cursor, Listing, Piece, Scope, Step, Walk
from ingest_shared.reading.per_row import PerRow
from ingest_shared.reading.reader import Reader
from ingest_shared.reading.sync import Sync
from ingest_shared.reading.walks import ByCreated, FullList
from ingest_shared.tables import Table, bigint, epoch
from tests.conftest import Reply, Request, Server, Warehouse

PAGES = 5
ID = bigint("id", "Immutable id.")
DELETED_AT = epoch("deleted_at", "When it was found to be deleted.", origin="reader")


def table(name: str) -> Table:
    return Table(
        name=name, description=f"All {name}.", docs="https://example.com", key=("id",), columns=(ID, DELETED_AT)
    )


TREES, ROCKS, BIRDS = table("trees"), table("rocks"), table("birds")
NESTS = Table(
    name="nests",
    description="Nests in each tree.",
    docs="https://example.com",
    key=("tree_id", "id"),
    columns=(bigint("tree_id", "Tree.", origin="reader"), ID, DELETED_AT),
)
PLAIN = [Listing(one, f"/{one.name}", walk=FullList(), envelope=HasMore()) for one in (TREES, ROCKS, BIRDS)]
PER_TREE = Listing(
    NESTS, "/trees/{tree_id}/nests", walk=FullList(), envelope=HasMore(), per=PerRow(TREES, {"tree_id": "id"})
)


@dataclass
class Loaded:
    """The paths that were asked for, in order."""

    server: Server
    warehouse: Warehouse
    kind: type[Sync] = Sync

    def paths(self, *listings: Listing) -> list[str]:
        @dlt.source(name="forest")
        def forest() -> Iterable[DltResource]:
            sync = self.kind(self.server.api)
            yield from [mirror(Reader(listing, sync)) for listing in listings]

        pipelines.run(self.warehouse.pipeline(), forest())
        return [request.path.partition("?")[0] for request in self.server.requests]


@pytest.fixture
def loaded(server: Server, duckdb_warehouse: Warehouse) -> Loaded:
    def answer(request: Request) -> Reply:
        id_ = int(request.query.get("starting_after", 0)) + 1
        return Reply(body=json.dumps({"data": [{"id": id_}], "has_more": id_ < PAGES}).encode())

    server.answers(answer)
    return Loaded(server, duckdb_warehouse)


def test_lists_are_read_side_by_side(loaded: Loaded) -> None:
    paths = loaded.paths(*PLAIN)
    assert sorted(paths) == sorted(PAGES * ["/trees", "/rocks", "/birds"])
    assert len([*groupby(paths)]) > len(PLAIN), "one began before another was at its end"


def test_no_more_lists_at_once_than_fit_into_memory(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "LISTS_AT_ONCE", 1)
    assert loaded.paths(*PLAIN) == [*PAGES * ["/trees"], *PAGES * ["/rocks"], *PAGES * ["/birds"]]


def test_a_list_per_row_begins_when_its_rows_are_known_and_holds_up_no_other(loaded: Loaded) -> None:
    paths = loaded.paths(PER_TREE, *PLAIN[:2])  # whatever the order in which they are declared
    nests = [index for index, path in enumerate(paths) if "nests" in path]
    assert len(nests) == PAGES * PAGES
    trees = [index for index, path in enumerate(paths) if path == "/trees"]
    assert max(trees) < min(nests)
    assert paths.index("/rocks") < max(trees)
    assert len(loaded.warehouse.rows("nests", "tree_id", "id")) == PAGES * PAGES


OAKS = Table(
    name="oaks",
    description="Oaks of each wood.",
    docs="https://example.com",
    key=("id",),
    columns=(
        bigint("wood", "Wood.", origin="reader"),
        ID,
        epoch("grown", "When it last grew."),
        DELETED_AT,
    ),
)
ACORNS = replace(NESTS, name="acorns")
WOODS = Listing(OAKS, "/woods/{wood}", walk=FullList(), envelope=HasMore())
PER_OAK = Listing(
    ACORNS, "/oaks/{tree_id}", walk=FullList(), envelope=HasMore(), per=PerRow(OAKS, {"tree_id": "id"}, changed="grown")
)


class Woods(Sync):
    """The oaks of one wood are read after those of another, and changed before them."""

    woods: tuple[int, ...] = (1, 2, 3)

    def scopes(self, listing: Listing, load: Load) -> Iterable[Scope]:
        if listing.per:
            return super().scopes(listing, load)
        return [Scope(str(wood), f"wood {wood}", {"wood": wood}) for wood in self.woods]


class OneWood(Woods):
    woods = (1,)


class NewWoodsFirst(Woods):
    woods = (2, 1, 3)


def grow(request: Request) -> Reply:
    """One oak in each wood, and one acorn under it; nothing changes any more."""
    number = int(request.path.partition("?")[0].rpartition("/")[2])
    row = {"id": number} if "oaks" in request.path else {"id": number, "grown": 10_000 - 1_000 * number}
    rows = [] if "since" in request.query else [row]
    return Reply(body=json.dumps({"data": rows, "has_more": False}).encode())


def test_a_list_per_row_waits_for_all_parts_of_a_first_load(
    server: Server, duckdb_warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the rows of later parts, which changed before the newest of the first, would never have their lists read."""
    monkeypatch.setattr(reader, "BEGINS_FOR", 0.0)
    server.answers(grow)
    for _ in range(2):
        Loaded(server, duckdb_warehouse, Woods).paths(PER_OAK, WOODS)
        assert duckdb_warehouse.rows("oaks", "id") == [(1,), (2,), (3,)]
        assert duckdb_warehouse.rows("acorns", "tree_id") == [(1,), (2,), (3,)]


def test_a_row_whose_list_is_read_takes_less_than_150_bytes_of_memory(
    server: Server, duckdb_warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be millions: the columns that its list needs are kept, and a digest of its id once that was read."""
    oaks, per_page = 6_000, 100
    monkeypatch.setattr(reader, "SCOPES_AT_ONCE", 100)
    read = most = 0

    def answer(request: Request) -> Reply:
        last = int(request.query.get("starting_after", 0)) + per_page
        rows = [{"id": id_, "grown": 1_700_000_000 + id_} for id_ in range(last - per_page + 1, last + 1)]
        return Reply(body=json.dumps({"data": rows, "has_more": last < oaks}).encode())

    server.answers(answer)

    class Bare(Walk):
        """The list of each oak is empty, and takes no call."""

        def fetch(self, reader: Reader, piece: Piece, cursor: Cursor) -> Step:
            nonlocal read, most
            read, most = read + 1, max(most, tracemalloc.get_traced_memory()[0])
            return Step()

    class Measured(OneWood):
        def scopes(self, listing: Listing, load: Load) -> Iterable[Scope]:
            if listing.per:
                tracemalloc.start()
            return super().scopes(listing, load)

    try:
        Loaded(server, duckdb_warehouse, Measured).paths(WOODS, replace(PER_OAK, walk=Bare()))
    finally:
        tracemalloc.stop()
    assert read == oaks
    assert most / oaks < 150


def test_the_rows_that_a_killed_run_had_loaded_have_their_lists_read_by_the_next(
    server: Server, duckdb_warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = FullList(since=lambda at: {"since": at}, column="grown")
    listings = (PER_OAK, replace(WOODS, walk=changed))
    server.answers(grow)
    Loaded(server, duckdb_warehouse, OneWood).paths(*listings)
    monkeypatch.setattr(reader, "BEGINS_FOR", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(pipelines, "_added", Mock(side_effect=KeyboardInterrupt))  # after the first part
        with pytest.raises(KeyboardInterrupt):
            Loaded(server, duckdb_warehouse, NewWoodsFirst).paths(*listings)
    assert duckdb_warehouse.rows("oaks", "id") == [(1,), (2,)]
    assert duckdb_warehouse.rows("acorns", "tree_id") == [(1,)]
    Loaded(server, duckdb_warehouse, Woods).paths(*listings)
    assert duckdb_warehouse.rows("acorns", "tree_id") == [(1,), (2,), (3,)]


def test_of_a_parent_that_is_read_in_full_only_the_lists_of_changed_rows_are_read(
    server: Server, duckdb_warehouse: Warehouse
) -> None:
    oaks = {1: 9_000, 2: 8_000, 3: 7_000}

    def answer(request: Request) -> Reply:
        number = int(request.path.partition("?")[0].rpartition("/")[2])
        rows = [{"id": id_, "grown": at} for id_, at in oaks.items()] if "woods" in request.path else [{"id": number}]
        return Reply(body=json.dumps({"data": rows, "has_more": False}).encode())

    def read() -> list[str]:
        server.requests.clear()
        return sorted(path for path in Loaded(server, duckdb_warehouse, OneWood).paths(PER_OAK, WOODS) if "oak" in path)

    server.answers(answer)
    assert read() == ["/oaks/1", "/oaks/2", "/oaks/3"]
    assert read() == []
    oaks[2] = 8_500  # older than the newest that is known, as where a clock was wrong
    assert read() == ["/oaks/2"]
    oaks[4] = 6_000  # one that the list did not show before
    assert read() == ["/oaks/4"]
    del oaks[4]
    assert read() == []
    oaks[4] = 6_000
    assert read() == ["/oaks/4"], "its rows were deleted with it"
    assert duckdb_warehouse.rows("acorns", "tree_id", "deleted_at") == [(one, None) for one in (1, 2, 3, 4)]


def test_the_list_of_a_row_is_not_divided_between_loads_but_read_whole_whenever_its_row_changes(
    server: Server, duckdb_warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No cursor says what was left of it."""
    monkeypatch.setattr(reader, "BEGINS_FOR", 0.0)
    acorns = replace(ACORNS, columns=(*ACORNS.columns, epoch("fell", "When it fell.")))
    walk = ByCreated("fell", between=lambda start, end: {"from": start, "to": end})
    per_oak = replace(PER_OAK, table=acorns, walk=walk)
    grown, fallen = 10_000, list(range(1_000, 1_010))

    def answer(request: Request) -> Reply:
        if "woods" in request.path:
            return Reply(body=json.dumps({"data": [{"id": 1, "grown": grown}], "has_more": False}).encode())
        start, end = int(request.query["from"]), int(request.query["to"])
        rows = [{"id": at, "fell": at} for at in reversed(fallen) if start <= at < end]
        return Reply(body=json.dumps({"data": rows[:4], "has_more": len(rows) > 4}).encode())

    server.answers(answer)
    for _ in range(2):
        Loaded(server, duckdb_warehouse, OneWood).paths(per_oak, WOODS)
        assert duckdb_warehouse.rows("acorns", "id") == [(id_,) for id_ in fallen]
        grown += 1_000
        fallen.append(fallen[-1] + 1)


def test_a_row_that_changes_while_others_are_read_has_its_list_read_after_a_run_without_that_list(
    server: Server, duckdb_warehouse: Warehouse
) -> None:
    """A run takes a while: the last row that it reads may have changed after those that it has read before."""
    now = int(time.time())
    oaks = {1: now - 9_000, 2: now + 1_200}

    def answer(request: Request) -> Reply:
        number = int(request.path.partition("?")[0].rpartition("/")[2])
        rows = [{"id": id_, "grown": at} for id_, at in oaks.items()] if "woods" in request.path else [{"id": number}]
        return Reply(body=json.dumps({"data": rows, "has_more": False}).encode())

    server.answers(answer)
    Loaded(server, duckdb_warehouse, OneWood).paths(PER_OAK, WOODS)
    oaks[1] = now + 600
    Loaded(server, duckdb_warehouse, OneWood).paths(WOODS)
    server.requests.clear()
    assert "/oaks/1" in Loaded(server, duckdb_warehouse, OneWood).paths(PER_OAK, WOODS)


class Anew(OneWood):
    def __init__(self, connect: Callable[[], Api]) -> None:
        super().__init__(connect, anew=True)


def test_lists_per_row_that_are_loaded_anew_without_their_parent_are_all_read(
    server: Server, duckdb_warehouse: Warehouse
) -> None:
    server.answers(grow)
    Loaded(server, duckdb_warehouse, OneWood).paths(PER_OAK, WOODS)
    duckdb_warehouse.execute("DELETE FROM {acorns}")
    Loaded(server, duckdb_warehouse, Anew).paths(PER_OAK)
    assert duckdb_warehouse.rows("acorns", "tree_id") == [(1,)]


class PartByPart(Woods):
    part = "wood"
    woods = parts = (1,)


def test_a_list_per_row_that_is_loaded_alone_waits_for_rows_that_could_not_be_read(
    server: Server, duckdb_warehouse: Warehouse
) -> None:
    """The newest of them may be there, while those that changed before come later."""
    per = PerRow(OAKS, {"tree_id": "id", "wood": "wood"}, changed="grown")
    acorns = replace(ACORNS, columns=(*ACORNS.columns, bigint("wood", "Wood.", origin="reader")))
    per_oak = replace(PER_OAK, table=acorns, per=per)
    oaks, refused = [{"id": 1, "grown": 10_000}], False

    def answer(request: Request) -> Reply:
        if "oaks" in request.path:
            return grow(request)
        is_first = "starting_after" not in request.query
        if refused and not is_first:
            return Reply(403, body=b"{}")
        rows = oaks[:1] if is_first else oaks[1:]
        return Reply(body=json.dumps({"data": rows, "has_more": is_first and len(oaks) > 1}).encode())

    server.answers(answer)
    Loaded(server, duckdb_warehouse, PartByPart).paths(per_oak, WOODS)
    oaks, refused = [{"id": 1, "grown": 90_000}, {"id": 2, "grown": 20_000}], True
    Loaded(server, duckdb_warehouse, PartByPart).paths(WOODS)
    Loaded(server, duckdb_warehouse, PartByPart).paths(per_oak)
    refused = False
    Loaded(server, duckdb_warehouse, PartByPart).paths(WOODS)
    Loaded(server, duckdb_warehouse, PartByPart).paths(per_oak)
    assert duckdb_warehouse.rows("oaks", "id") == [(1,), (2,)]
    assert duckdb_warehouse.rows("acorns", "tree_id") == [(1,), (2,)]


def test_a_crawl_waits_for_the_results_of_others_too() -> None:
    def fetch(task: Task) -> tuple[str, Iterable[Task]]:
        is_open.wait(5)
        return "page", ()

    is_open, arrived = threading.Event(), Arrived()
    slow = crawl(fetch, [Task()], lambda: 1, arrived)
    quick = crawl(lambda task: ("page", ()), [Task()], lambda: 1, arrived)
    assert next(slow) is None, "it gave way, since nothing had come"
    assert list(filter(None, quick)) == ["page"]
    is_open.set()
    assert list(filter(None, slow)) == ["page"]
