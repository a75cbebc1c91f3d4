"""Tables of every kind are mirrored, or refused in one line that names the remedy."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from ingest_shared.databases import ranges, reader
from ingest_shared.databases.connection import Database
from ingest_shared.databases.declared import mirrored
from ingest_shared.databases.reflect import written
from ingest_shared.errors import IngestError, SettingError
from ingest_shared.reading.held import copied

from .conftest import SERVERS, Mirror


@pytest.fixture
def made(make_mirror: Callable[..., Mirror]) -> Mirror:
    """What does not depend on the engine is tried with PostgreSQL."""
    return make_mirror("postgresql")


@pytest.fixture(params=SERVERS)
def made_in_each(request: pytest.FixtureRequest, make_mirror: Callable[..., Mirror]) -> Mirror:
    return make_mirror(request.param)


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "no primary key": ("id int", {}, "--key a,b"),
    "names that are the same in the warehouse": (
        'id int PRIMARY KEY, {"Total Amount"} int, total_amount int',
        {},
        "--without ",
    ),
    "a name that the mirror uses": ("id int PRIMARY KEY, _undeclared int", {}, "--without _undeclared"),
    "a column deleted_at that is no time": ("id int PRIMARY KEY, deleted_at int", {}, "--without deleted_at"),
    "a cursor that is not there": (
        "id int PRIMARY KEY",
        {"cursor": "changed"},
        "'changed', which is not one of its columns",
    ),
    "a cursor that is a text": ("id int PRIMARY KEY, a varchar(9)", {"cursor": "a"}, "use a time or a number"),
    "an unknown way to find deletes": ("id int PRIMARY KEY", {"deletes": "never"}, "write sync or audit"),
    "a column to leave out that is not there": (
        "id int PRIMARY KEY",
        {"without": ["b"]},
        "'b', which things does not have",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_says_what_to_do(what: str, made: Mirror) -> None:
    columns, settings, told = REFUSED[what]
    quote = '"' if made.url.drivername == "postgresql" else "`"
    made.execute(f"CREATE TABLE things ({columns.replace('{', '').replace('}', '').replace(chr(34), quote)})")
    with pytest.raises(SettingError) as error:
        made.declare("things", **settings)
    assert told in str(error.value)
    assert "things" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_type_that_cannot_be_read_is_refused(make_mirror: Callable[..., Mirror]) -> None:
    made = make_mirror("mariadb")
    made.execute("CREATE TABLE things (id int PRIMARY KEY, shape geometry)")
    with pytest.raises(SettingError, match="leave it out with --without shape"):
        made.declare("things")
    made.declare("things", without=["shape"])
    made.sync()
    assert made.sync().metrics["things"]["new_fields"] == []


KEYS: dict[str, tuple[str, str]] = {
    "a text": ("k varchar(20)", "concat('Key-', {n}, '-ä')"),
    "two columns": ("k int, k2 varchar(9)", "{n} % 3, concat('x', {n})"),
    "an exact number": ("k decimal(20,3)", "{n} + 0.125"),
}
NUMBERS = {
    "postgresql": "generate_series(1, 90) AS s(n)",
    "mariadb": "(SELECT seq AS n FROM seq_1_to_90) AS s",
}


@pytest.mark.parametrize("kind", KEYS)
def test_a_key_of_any_type_divides_a_table_into_ranges(
    kind: str, made_in_each: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = made_in_each
    monkeypatch.setattr(ranges, "ROWS", 20)
    series = NUMBERS[made.database().dialect]
    columns, values = KEYS[kind]
    names = ", ".join(part.split()[0] for part in columns.split(", "))
    made.execute(
        f"CREATE TABLE things ({columns}, v int, PRIMARY KEY ({names}))",
        f"INSERT INTO things SELECT {values.format(n='n').replace('%', '%%')}, n FROM {series}",
    )
    made.declare("things")
    assert made.sync().metrics["things"]["api_calls"] == 5
    assert sorted(row["v"] for row in made.rows("things")) == list(range(1, 91))
    made.execute("DELETE FROM things WHERE v = 3", "UPDATE things SET v = 1000 WHERE v = 4")
    assert made.sync().metrics["things"]["rows"] == 2
    rows = made.rows("things")
    assert len(rows) == 90
    assert [row["v"] for row in rows if row["deleted_at"]] == [3]
    assert 1000 in {row["v"] for row in rows}
    assert made.audited() == {"things": (0, 0, 0, 0, 0)}


def test_every_range_is_read_by_the_index_of_the_key(made: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first has the rows without a key as well, but only where a key may be null."""
    monkeypatch.setattr(ranges, "ROWS", 1_000)
    made.execute("CREATE TABLE things (id bigint PRIMARY KEY, v int)")
    made.execute("INSERT INTO things SELECT n, n FROM generate_series(1, 20000) AS s(n)", "ANALYZE things")
    made.declare("things")
    of = mirrored("things", made.entries["things"])
    with made.database().snapshot() as snapshot:
        reads = snapshot.reads(of)
        ends = [None, *ranges.edges(snapshot, reads, of.key), None]
        for low, high in pairwise(ends):
            query = snapshot.sql(reads.select(of.read, *ranges.between(reads, of.key, low, high)))
            plan = snapshot.connection.exec_driver_sql(f"EXPLAIN {query}").scalars().all()
            assert "Index Cond" in "".join(plan)
            assert "Filter" not in "".join(plan)


def test_a_binary_key(made: Mirror) -> None:
    binary, value = ("bytea", "'\\x{}'") if made.database().dialect == "postgresql" else ("binary(2)", "x'{}'")
    made.execute(
        f"CREATE TABLE things (k {binary}, v int, PRIMARY KEY (k))",
        *(f"INSERT INTO things VALUES ({value.format(f'00f{i}')}, {i})" for i in range(5)),
    )
    made.declare("things")
    made.sync()
    made.execute("UPDATE things SET v = 9 WHERE v = 4", "DELETE FROM things WHERE v = 0")
    made.sync()
    assert sorted(row["v"] for row in made.rows("things") if row["deleted_at"] is None) == [1, 2, 3, 9]


def test_a_first_load_goes_on_where_it_was_stopped(made: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    """In parts, each of which is kept; a run that fails before the first part is in begins anew."""
    monkeypatch.setattr(ranges, "ROWS", 30)
    monkeypatch.setattr(reader, "BEGINS_FOR", -1.0)
    series = NUMBERS[made.database().dialect]
    made.execute("CREATE TABLE things (id int PRIMARY KEY)", f"INSERT INTO things SELECT n FROM {series}")
    made.declare("things")
    left = [2]

    def break_down(*statements: str) -> Any:
        left[0] -= 1
        if not left[0]:
            raise OSError("the connection broke")
        yield from copied(*statements)

    monkeypatch.setattr("ingest_shared.databases.connection.copied", break_down)
    assert made.sync().metrics["things"]["rows"] == 30
    assert [reason for *_, reason in made.gaps()] == ["the connection broke"]
    assert made.sync().metrics["things"]["rows"] == 60, "the range that failed and those after it"
    assert len(made.rows("things")) == 90
    assert made.gaps() == []


def test_a_row_that_one_part_of_a_first_load_left_out_stays_a_gap(
    made: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "ROWS", 2)
    monkeypatch.setattr(reader, "BEGINS_FOR", -1.0)
    made.execute(
        "CREATE TABLE things (id int PRIMARY KEY, price numeric(8,2), changed int)",
        "INSERT INTO things VALUES (1, 'NaN', 1), (2, 2, 1), (3, 3, 1)",
    )
    made.declare("things", cursor="changed", deletes="audit")
    made.sync()
    assert [scope for _, scope, _ in made.gaps()] == ["things id=1"]
    made.execute("UPDATE things SET price = 1 WHERE id = 1")
    made.sync()
    assert len(made.rows("things")) == 3
    assert made.gaps() == []


def test_a_table_that_may_no_longer_be_read_is_a_gap_and_the_others_load(made: Mirror) -> None:
    for name in ("things", "others"):
        made.execute(f"CREATE TABLE {name} (id int PRIMARY KEY)", f"INSERT INTO {name} VALUES (1)")
        made.declare(name)
    made.sync()
    made.execute("CREATE ROLE outsider LOGIN", "GRANT SELECT ON others TO outsider", "INSERT INTO others VALUES (2)")
    made.url = made.url.set(username="outsider")
    made.sync()
    ((table, scope, reason),) = made.gaps()
    assert (table, scope) == ("things", "things")
    assert "permission denied for table things" in reason
    assert "\n" not in reason
    assert len(made.rows("others")) == 2


def test_keys_that_mariadb_sorts_and_shows_in_ways_of_its_own(
    make_mirror: Callable[..., Mirror], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An enum is sorted by the place of its values in the type; an instant is shown in a zone."""
    monkeypatch.setattr(ranges, "ROWS", 2)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    made = make_mirror("mariadb")
    kinds = "zyxabc"
    made.execute(
        f"CREATE TABLE things (k enum({str([*kinds])[1:-1]}), at timestamp(6), v int, PRIMARY KEY (k, at))",
        *(f"INSERT INTO things VALUES ('{kind}', '2024-01-02 03:04:05', 1)" for kind in kinds),
    )
    made.declare("things")
    made.sync()
    assert sorted(row["k"] for row in made.rows("things")) == sorted(kinds)
    made.execute("UPDATE things SET v = 2")
    made.sync()
    assert [row["v"] for row in made.rows("things")] == [2] * len(kinds)
    monkeypatch.undo()
    time.tzset()


def test_a_cursor_that_is_a_zero_date_throughout(make_mirror: Callable[..., Mirror]) -> None:
    made = make_mirror("mariadb")
    made.execute(
        "SET GLOBAL sql_mode = ''",
        "CREATE TABLE things (id int PRIMARY KEY, changed datetime)",
        "INSERT INTO things VALUES (1, '0000-00-00')",
    )
    made.declare("things", cursor="changed")
    made.sync()
    made.execute("INSERT INTO things VALUES (2, '0000-00-00')")
    made.sync()
    assert [row["id"] for row in made.rows("things")] == [1, 2]


def test_postgresql_is_asked_through_the_driver_that_is_installed() -> None:
    assert Database("postgresql+psycopg://host/database", "sources.crm.credentials").engine.driver == "psycopg2"


def test_a_row_without_a_cursor_is_read_by_every_sync(made: Mirror) -> None:
    made.execute(
        "CREATE TABLE things (id int PRIMARY KEY, v int, changed timestamp NULL)",
        "INSERT INTO things VALUES (1, 1, '2024-01-01'), (2, 2, NULL), (3, 3, '2024-01-03')",
    )
    made.declare("things", cursor="changed", lag=0)
    made.sync()
    made.execute("UPDATE things SET v = 20 WHERE id = 2")
    assert made.sync().metrics["things"]["rows"] == 2, "the one without, and the newest"
    assert [row["v"] for row in made.rows("things")] == [1, 20, 3]


def test_what_commits_late_is_found_by_the_next_sync(made_in_each: Mirror) -> None:
    """Although the cursor passed it long ago: keys and cursors of all rows are compared."""
    made = made_in_each
    made.execute(
        "CREATE TABLE things (id int PRIMARY KEY, changed timestamp(6) NULL)",
        "INSERT INTO things VALUES (1, '2024-01-01')",
    )
    made.declare("things", cursor="changed")
    made.sync()
    late = sa.create_engine(made.url, poolclass=sa.NullPool).connect()
    with late:
        late.exec_driver_sql("INSERT INTO things VALUES (2, '2024-01-02')")
        made.execute("INSERT INTO things VALUES (3, '2024-06-01')")
        made.sync()
        late.commit()
    assert [row["id"] for row in made.rows("things")] == [1, 3]
    made.sync()
    assert [row["id"] for row in made.rows("things")] == [1, 2, 3]


def test_a_cursor_in_the_future_hides_nothing(made: Mirror) -> None:
    ahead = datetime.now(UTC) + timedelta(days=300)
    made.execute(
        "CREATE TABLE things (id int PRIMARY KEY, v int, changed timestamp NULL)",
        f"INSERT INTO things VALUES (1, 1, '{ahead:%Y-%m-%d}')",
    )
    made.declare("things", cursor="changed", deletes="audit")
    made.sync()
    now = datetime.now(UTC) + timedelta(minutes=1)
    made.execute(f"INSERT INTO things VALUES (2, 2, '{now:%Y-%m-%d %H:%M:%S}')")
    made.sync()
    assert [row["id"] for row in made.rows("things")] == [1, 2]


def test_deletes_that_only_an_audit_looks_for(made: Mirror) -> None:
    made.execute("CREATE TABLE things (id int PRIMARY KEY, changed int)", "INSERT INTO things VALUES (1, 1), (2, 2)")
    made.declare("things", cursor="changed", deletes="audit")
    made.sync()
    made.execute("DELETE FROM things WHERE id = 1")
    made.sync()
    assert [row["deleted_at"] for row in made.rows("things")] == [None, None]
    assert made.audited() == {"things": (0, 0, 0, 0, 1)}
    assert [row["deleted_at"] is None for row in made.rows("things")] == [False, True]
    made.execute("INSERT INTO things VALUES (1, 1)")
    made.sync(audit=True)
    assert [row["deleted_at"] for row in made.rows("things")] == [None, None], "it is back"


def test_a_column_that_is_new_is_reported_and_loaded_once_it_is_declared(made: Mirror) -> None:
    made.execute("CREATE TABLE things (id int PRIMARY KEY, changed int)", "INSERT INTO things VALUES (1, 1), (2, 2)")
    made.declare("things", cursor="changed")
    made.sync()
    made.execute("ALTER TABLE things ADD COLUMN colour varchar(9) DEFAULT 'red'")
    assert made.sync().metrics["things"]["new_fields"] == ["colour"]
    made.declare("things", cursor="changed")
    made.sync()
    assert [row["colour"] for row in made.rows("things")] == ["red", "red"]


def test_a_column_whose_type_changed_is_a_gap_of_its_table_alone(made: Mirror) -> None:
    for name in ("things", "others"):
        made.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, v int)", f"INSERT INTO {name} VALUES (1, 1)")
        made.declare(name)
    made.sync()
    alter = "ALTER COLUMN v TYPE text" if made.database().dialect == "postgresql" else "MODIFY v text"
    made.execute(f"ALTER TABLE things {alter}", "INSERT INTO others VALUES (2, 2)")
    made.sync()
    ((table, _, reason),) = made.gaps()
    assert table == "things"
    assert reason == f"the column v of things was bigint, now text: run `ingest reflect {made.location}`"
    assert len(made.rows("others")) == 2
    made.declare("things")


def test_the_file_can_be_read_whatever_a_database_calls_its_columns(made: Mirror) -> None:
    quote = '"' if made.database().dialect == "postgresql" else "`"
    made.execute(f"CREATE TABLE things (id int PRIMARY KEY, {quote}two\nlines{quote} int, {quote}a: #b{quote} int)")
    made.declare("things")
    assert yaml.safe_load(written(made.entries, "crm")) == made.entries
    made.execute("INSERT INTO things VALUES (1, 2, 3)")
    made.sync()
    assert [*made.rows("things")[0].values()][:3] == [1, 2, 3]


def test_a_table_that_is_called_as_one_of_the_mirrors_own_is_refused(made: Mirror) -> None:
    made.execute("CREATE TABLE audits (id int PRIMARY KEY)")
    with pytest.raises(
        SettingError, match="the mirror uses the table name audits itself: give your table another name"
    ):
        made.declare("audits")


def test_the_file_keeps_what_the_team_decided(made: Mirror) -> None:
    made.execute("CREATE TABLE things (id int PRIMARY KEY, changed int, secret int)")
    made.declare("things", cursor="changed", lag=7, without=["secret"])
    assert "  cursor: changed\n  lag: 7\n  without: [secret]\n" in written(made.entries, "crm")
    with pytest.raises(IngestError, match="no table nothings"):
        made.declare("nothings")
