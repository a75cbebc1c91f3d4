"""The rows of a table are those of its files: what is new, changed or gone, and what cannot be read."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.extract.source import DltSource

from ingest_shared.loading import mirror
from ingest_shared.pipelines import Loaded, run
from ingest_shared.reading import files
from ingest_shared.reading.files import FILE, ROW, FileReader, Files, Folder
from ingest_shared.reading.formats import Csv, JsonLines
from ingest_shared.tables import Table, bigint, text
from tests.conftest import Warehouse

ORDERS = Table(
    name="orders",
    description="Orders.",
    docs="https://example.com",
    key=("id",),
    merge_key=("file",),
    columns=(FILE, bigint("id", "Immutable id."), text("name", "Name.")),
)
EVENTS = Table(
    name="events",
    description="Events.",
    docs="https://example.com",
    key=("file", "row"),
    merge_key=("file",),
    columns=(FILE, ROW, text("what", "What happened.")),
)
FILES = (
    Files(table=ORDERS, pattern="orders/*.csv", format=Csv()),
    Files(table=EVENTS, pattern="**/*.jsonl", format=JsonLines()),
)
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


class Origin:
    """A folder, and the syncs that read it."""

    def __init__(self, path: Path, warehouse: Warehouse) -> None:
        self.path, self.warehouse = path, warehouse
        self.read: list[str] = []
        """The files that the latest sync opened."""
        self._writes = 0
        os.environ["SOURCES__SHOP__BUCKET_URL"] = str(path)

    def write(self, name: str, content: str, at: datetime | None = None) -> None:
        """Writes a file, by default one that is settled and younger than those before."""
        self._writes += 1
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(content)
        seconds = (at or LONG_AGO + timedelta(minutes=self._writes)).timestamp()
        os.utime(self.path / name, (seconds, seconds))

    def sync(self, *, audit: bool = False) -> Loaded:
        self.read.clear()
        return run(self.warehouse.pipeline(), self.source(audit=audit))

    def source(self, *, audit: bool = False) -> DltSource:
        folder, origin = Folder("sources.shop"), self
        read = folder.read

        def noted(name: str) -> Any:
            origin.read.append(name)
            return read(name)

        folder.read = noted  # type: ignore[method-assign]
        return dlt.source(lambda: [mirror(FileReader(one, folder, audit)) for one in FILES], name="shop")()

    def orders(self) -> list[tuple[Any, ...]]:
        return self.warehouse.rows("orders", "file", "id", "name")

    def gaps(self) -> list[tuple[Any, ...]]:
        return self.warehouse.rows("load_gaps", "resource", "scope", "reason")


@pytest.fixture
def origin(warehouse: Warehouse, tmp_path: Path) -> Origin:
    """Two files of orders, one of events, loaded."""
    origin = Origin(tmp_path / "files", warehouse)
    origin.write("orders/a.csv", "id,name\n1,one\n2,two\n")
    origin.write("orders/b.csv", "name,id\nthree,3\n")
    origin.write("events/2026/x.jsonl", '{"what": "made"}\n{"what": "paid"}\n')
    origin.sync()
    return origin


A = [("orders/a.csv", 1, "one"), ("orders/a.csv", 2, "two")]
B = [("orders/b.csv", 3, "three")]


def test_new_changed_and_vanished_files_and_no_others_are_read(origin: Origin) -> None:
    assert origin.orders() == A + B
    assert origin.warehouse.rows("events", "file", "row", "what") == [
        ("events/2026/x.jsonl", 1, "made"),
        ("events/2026/x.jsonl", 2, "paid"),
    ]
    origin.sync()
    assert origin.read == []
    origin.write("orders/a.csv", "id,name\n2,zwei\n")
    origin.write("orders/c.csv", "id,name\n4,four\n")
    (origin.path / "orders/b.csv").unlink()
    origin.sync()
    assert sorted(set(origin.read)) == ["orders/a.csv", "orders/c.csv"]
    assert origin.orders() == [("orders/a.csv", 2, "zwei"), ("orders/c.csv", 4, "four")]
    known = origin.warehouse.rows("loaded_files", "name", "row_count", "deleted_at IS NULL")
    assert known == [
        ("events/2026/x.jsonl", 2, True),
        ("orders/a.csv", 1, True),
        ("orders/b.csv", 0, False),
        ("orders/c.csv", 1, True),
    ]
    origin.write("orders/b.csv", "name,id\nthree,3\n")
    origin.write("orders/c.csv", "id,name\n")
    origin.sync()
    assert origin.orders() == [("orders/a.csv", 2, "zwei"), *B]


def test_a_bad_file_is_a_gap_and_its_rows_stay_until_it_is_mended(origin: Origin) -> None:
    origin.write("orders/a.csv", "id,name\n1,uno\ntwo,due\n")
    origin.write("orders/c.csv", "id,name\n4,four\n")
    loaded = origin.sync()
    assert origin.orders() == [*A, *B, ("orders/c.csv", 4, "four")]
    ((resource, scope, reason),) = origin.gaps()
    assert (resource, scope) == ("orders", "orders/a.csv")
    assert reason.startswith("line 3, column id: expected bigint; the value is 'two'")
    assert loaded.metrics["orders"]["scopes_read"] == 2
    origin.sync()
    assert len(origin.gaps()) == 1, "it is tried by every sync, and stays a gap"
    origin.write("orders/a.csv", "id,name\n1,uno\n")
    origin.sync()
    assert origin.gaps() == []
    assert origin.orders() == [("orders/a.csv", 1, "uno"), *B, ("orders/c.csv", 4, "four")]


def test_a_name_that_is_not_utf8_is_a_gap(origin: Origin) -> None:
    (origin.path / os.fsdecode(b"orders/\xff.csv")).write_text("id,name\n4,four\n")
    origin.write("orders/c.csv", "id,name\n5,five\n")
    origin.sync()
    assert origin.gaps() == [("orders", "orders/\\udcff.csv", "its name is not UTF-8: rename it")]
    assert origin.orders() == [*A, *B, ("orders/c.csv", 5, "five")]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("id,name\n1,a\n1,b\n", "the key id is not unique in the file"),
        ("id,name\n1,a\n,b\n", "row 2: the key id is null"),
    ],
)
def test_a_key_that_identifies_no_row_makes_a_file_bad(content: str, reason: str, origin: Origin) -> None:
    origin.write("orders/a.csv", content)
    origin.sync()
    assert origin.gaps() == [("orders", "orders/a.csv", reason)]
    assert origin.orders() == A + B


def test_rows_of_two_files_with_the_same_key_stay_apart(origin: Origin) -> None:
    """Both are there, as in the files, and the check of the key names no winner: it fails."""
    origin.write("orders/b.csv", "id,name\n1,another\n")
    origin.sync()
    assert origin.orders() == [*A, ("orders/b.csv", 1, "another")]


def test_what_a_load_left_that_was_not_completed_counts_for_nothing(origin: Origin) -> None:
    """A kill can come after the rows of a file and its note are merged, and before dlt completes the load."""
    origin.write("orders/a.csv", "id,name\n1,uno\n")
    (origin.path / "orders/b.csv").unlink()
    origin.sync()
    origin.warehouse.execute(
        "DELETE FROM {_dlt_loads} WHERE load_id = (SELECT max(load_id) FROM {loaded_files})",
        "DELETE FROM {orders} WHERE id = 1",
        "INSERT INTO {orders} (file, id) VALUES ('orders/b.csv', 3)",
    )
    origin.sync()
    assert origin.orders() == [("orders/a.csv", 1, "uno")]


def test_a_gap_that_a_killed_load_left_is_closed(origin: Origin) -> None:
    """The load was never completed, so the state of the next one does not know of its gaps."""
    origin.warehouse.execute("INSERT INTO {load_gaps} (resource, scope) VALUES ('orders', 'orders/a.csv')")
    origin.sync()
    assert origin.gaps() == []


def test_a_long_load_is_kept_in_parts(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "BEGINS_FOR", 0.0)
    for number in range(10, 13):
        origin.write(f"orders/{number}.csv", f"id,name\n{number},x\n")
    origin.write("orders/bad.csv", "id\nx\n")
    loaded = origin.sync()
    loads = {load for (load,) in origin.warehouse.rows("loaded_files", "load_id")}
    assert len(loads) == 1 + 3, "that of the fixture, and one for each file"
    assert loaded.metrics["orders"]["rows"] == 3
    assert [gap[1] for gap in origin.gaps()] == ["orders/bad.csv"]
    assert origin.read.count("orders/bad.csv") == 2, "read once, and once more to find the line"
    assert len(origin.orders()) == 6


def test_a_file_that_changed_in_the_second_it_was_read_is_read_again(origin: Origin) -> None:
    origin.write("orders/b.csv", "id,name\n3,drei\n", at=datetime.now(UTC))
    origin.sync()
    origin.sync()
    assert set(origin.read) == {"orders/b.csv"}


def test_a_file_that_is_written_while_it_is_read_is_a_gap_once(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    origin.write("orders/b.csv", "id,name\n3,drei\n")
    batches = Csv.batches

    def while_it_grows(self: Csv, *args: Any) -> Iterator[Any]:
        yield from batches(self, *args)
        origin.write("orders/b.csv", "id,name\n3,drei\n5,five\n")

    with monkeypatch.context() as patch:
        patch.setattr(Csv, "batches", while_it_grows)
        origin.sync()
    assert origin.gaps() == [("orders", "orders/b.csv", "it changed while it was read; the next run reads it again")]
    assert origin.orders() == A + B
    origin.sync()
    assert origin.gaps() == []
    assert origin.orders() == [*A, ("orders/b.csv", 3, "drei"), ("orders/b.csv", 5, "five")]


def test_files_that_are_missing_in_one_listing_only_stay(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    listings = []
    list_ = Folder.list

    def without_b_at_first(folder: Folder, pattern: str) -> dict[str, Any]:
        listings.append(pattern)
        found = list_(folder, pattern)
        return {k: v for k, v in found.items() if k != "orders/b.csv"} if listings.count(pattern) == 1 else found

    monkeypatch.setattr(Folder, "list", without_b_at_first)
    origin.sync()
    assert origin.orders() == A + B
    assert origin.gaps() == [("orders", "orders/*.csv", "1 files were missing in one listing, 0 in the next")]


def test_an_empty_folder_empties_no_table_unless_that_is_meant(origin: Origin) -> None:
    for name in ("a", "b"):
        (origin.path / f"orders/{name}.csv").unlink()
    origin.sync()
    assert origin.orders() == A + B
    assert "set sources.shop.deletes_believed to 1 for one run" in origin.gaps()[0][2]
    origin.warehouse.execute("DELETE FROM {loaded_files} WHERE name = 'orders/b.csv'")
    origin.sync(audit=True)
    assert origin.orders() == A + B, "also those of a file that no sync knows of"
    os.environ["SOURCES__SHOP__DELETES_BELIEVED"] = "1"
    origin.sync(audit=True)
    assert origin.orders() == []
    assert origin.gaps() == []


def test_an_audit_finds_and_mends_what_differs_and_counts_what_changed_since_apart(origin: Origin) -> None:
    origin.warehouse.execute(
        "DELETE FROM {orders} WHERE id = 1",
        "UPDATE {orders} SET name = 'zwei' WHERE id = 2",
        "INSERT INTO {orders} (file, id) VALUES ('orders/b.csv', 9), ('orders/never.csv', 10)",
    )
    origin.write("events/2026/x.jsonl", '{"what": "made"}\n{"what": "lost"}\n')
    origin.sync(audit=True)
    columns = ("resource", "compared", "missing", "surplus", "stale", "changed")
    assert origin.warehouse.rows("audits", *columns) == [("events", 2, 0, 0, 0, 1), ("orders", 3, 1, 2, 1, 0)]
    assert origin.orders() == A + B
    origin.sync(audit=True)
    assert origin.warehouse.rows("audits", *columns[2:]) == [(0, 0, 0, 0)] * 2


def test_the_state_of_the_pipeline_does_not_grow_with_the_files(origin: Origin) -> None:
    state = origin.warehouse.pipeline()
    state.sync_destination()
    assert "a.csv" not in str(state.state)


def test_a_declaration_without_its_file_is_refused() -> None:
    table = Table(name="t", description="", docs="", key=("id",), columns=(bigint("id", "Id."),))
    with pytest.raises(ValueError, match="add the column FILE and merge_key"):
        Files(table=table, pattern="*.csv", format=Csv())
