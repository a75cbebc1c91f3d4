"""A source in shards: side by side they load what one load brings, and their number may change."""

import re
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from unittest import mock

import dlt
import pytest
from dagster import Failure, build_asset_context
from dlt.destinations.sql_jobs import SqlMergeFollowupJob

from ingest_shared import pipelines
from ingest_shared.columnar import Decoder
from ingest_shared.destinations import DATABASES
from ingest_shared.errors import SettingError
from ingest_shared.groups import Group
from ingest_shared.loading import Load, mirror
from ingest_shared.resharding import _latest, _left_to_read
from ingest_shared.shards import WHOLE_SOURCE, Shard, all_shards, shard_of, shards_setting

from .conftest import ISSUES, LABELS, Warehouse

REPOSITORIES = range(1, 41)
ISSUES_OF_EACH = 3


class Repositories:
    """A reader of the issues, or labels, of a shard's repositories, which keeps a cursor for each."""

    def __init__(self, table: Any, shard: Shard, left_out: tuple[int, ...] = ()) -> None:
        self.decoder = Decoder(table)
        self.shard = shard
        self.left_out = left_out
        self.known: dict[str, Any] = {}

    def __call__(self, load: Load) -> Any:
        cursors = load.state.setdefault("cursors", {})
        self.known = dict(cursors)
        for id_ in filter(self.shard.has, REPOSITORIES):
            if id_ in self.left_out:
                load.leave_out(f"repository {id_}", "it may not be read", 403)
                continue
            ids = range(id_ * 100, id_ * 100 + ISSUES_OF_EACH)
            body = ", ".join(f'{{"id": {issue}, "title": "t", "name": "n", "labels": [{{"id": 1}}]}}' for issue in ids)
            cursors[str(id_)] = {"read_by": self.shard.name}
            yield self.decoder.page(f"[{body}]".encode(), {"repo_id": id_})


def load_shard(warehouse: Warehouse, shard: Shard, *readers: Repositories) -> None:
    """One run of a shard; its working folder is that of the process, as all that shards share here."""
    source = dlt.source(lambda: [mirror(reader) for reader in readers], name="repositories")()
    loading = pipelines.pipeline(warehouse.location, "all", shard)
    loading.drop()
    pipelines.run(loading, source)


def both(shard: Shard, **options: Any) -> list[Repositories]:
    return [Repositories(ISSUES, shard, **options), Repositories(LABELS, shard, **options)]


def expected() -> list[tuple[Any, ...]]:
    return sorted((id_ * 100 + k, id_) for id_ in REPOSITORIES for k in range(ISSUES_OF_EACH))


# The fault: https://github.com/dlt-hub/dlt/issues/4297


def lost_in_parallel(warehouse: Warehouse, pipeline_of: Callable[[Shard], Any]) -> int:
    """How many rows are missing after two shards were loaded, the second while the first had staged its rows."""
    first, second = all_shards(2)
    generate: Any = SqlMergeFollowupJob.generate_sql.__func__  # type: ignore[attr-defined]
    begun: list[Shard] = []

    def meanwhile(job: Any, tables: Any, *args: Any, **options: Any) -> Any:
        if tables[0]["name"] == ISSUES.name and not begun:
            begun.append(second)
            thread = threading.Thread(target=run, args=(second,))  # dlt keeps its pipeline by thread
            thread.start()
            thread.join()
        return generate(job, tables, *args, **options)

    def run(shard: Shard) -> None:
        source = dlt.source(lambda: [mirror(Repositories(ISSUES, shard))], name="repositories")()
        pipelines.run(pipeline_of(shard), source)

    with mock.patch.object(SqlMergeFollowupJob, "generate_sql", classmethod(meanwhile)):
        run(first)
    assert begun
    return len(expected()) - len(warehouse.rows("issues", "id", "repo_id"))


def test_dlt_loses_rows_of_two_shards_with_one_staging_dataset(duckdb_warehouse: Warehouse) -> None:
    """Should this fail one day, then dlt no longer does, and shards may share more."""

    def shared(shard: Shard) -> Any:
        pipelines._private_folder.cache_clear()  # as two processes have it
        return pipelines.pipeline(duckdb_warehouse.location, "all")

    assert lost_in_parallel(duckdb_warehouse, shared) > 0


@pytest.mark.parametrize("warehouse", DATABASES, indirect=True)
def test_it_loses_none_with_a_pipeline_for_each(warehouse: Warehouse) -> None:
    assert lost_in_parallel(warehouse, lambda shard: pipelines.pipeline(warehouse.location, "all", shard)) == 0


@pytest.mark.parametrize("warehouse", ["postgres"], indirect=True)
def test_shards_that_begin_with_an_empty_warehouse_side_by_side_load_every_row_once(warehouse: Warehouse) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda shard: load_shard(warehouse, shard, *both(shard)), all_shards(4)))
    assert warehouse.rows("issues", "id", "repo_id") == expected()
    assert warehouse.rows("labels", "id", "repo_id") == expected()
    assert len(warehouse.rows("issue_labels", "issue_id")) == len(expected())


# Which scope belongs where.


def test_a_scope_belongs_to_one_shard_and_stays_there() -> None:
    assert [shard_of(id_, 4).number for id_ in (1, 2, 3, 1296269)] == [4, 2, 4, 4]
    assert shard_of("acct_1", 4) == shard_of("acct_1", 4)
    for count in (1, 2, 4, 8):
        sizes = Counter(shard.number for id_ in range(10_000) for shard in all_shards(count) if shard.has(id_))
        assert sum(sizes.values()) == 10_000
        assert max(sizes.values()) < 1.1 * 10_000 / count


def test_the_name_of_a_shard() -> None:
    assert Shard.named(Shard(2, 4).name) == Shard(2, 4)
    with pytest.raises(ValueError, match="'half' is not the name of a shard, such as 2_of_4"):
        Shard.named("half")


@pytest.mark.parametrize("value", ["2.5", "101", "many"])
def test_a_number_of_shards_that_is_none(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCES__TEST__SHARDS", value)
    with pytest.raises(SettingError, match=re.escape("sources.test.shards is ") + ".*; write it as a "):
        shards_setting("sources.test.shards")


def test_a_run_of_no_shard_is_refused() -> None:
    def group(shards: int) -> Group:
        return Group("github_activity", "hourly", "30 * * * *", timedelta(hours=1), shards)

    assert group(1).shard(build_asset_context()) == WHOLE_SOURCE
    assert group(4).shard(build_asset_context(partition_key="2_of_4")) == Shard(2, 4)
    with pytest.raises(Failure) as refused:
        group(4).shard(build_asset_context())
    assert refused.value.description == "github_activity is loaded in 4 shards: launch the run for one partition"


# When their number changes.


def read_from(warehouse: Warehouse, shard: Shard) -> set[str]:
    """Loads a shard; returns who had left the cursors that it began with, one for each of its repositories."""
    reader = Repositories(ISSUES, shard)
    load_shard(warehouse, shard, reader)
    assert not reader.known or set(reader.known) == {str(id_) for id_ in REPOSITORIES if shard.has(id_)}
    return {cursor["read_by"] for cursor in reader.known.values()}


def test_each_cursor_is_taken_over_from_whoever_read_last(duckdb_warehouse: Warehouse) -> None:
    def load(shard: Shard) -> set[str]:
        return read_from(duckdb_warehouse, shard)

    assert load(WHOLE_SOURCE) == set()
    assert [load(shard) for shard in all_shards(4)] == [{"1_of_1"}] * 4
    assert load(Shard(1, 4)) == {"1_of_4"}
    assert load(Shard(1, 2)) == {"1_of_4", "3_of_4"}
    assert load(WHOLE_SOURCE) == {"1_of_2", "2_of_4", "4_of_4"}, "the second of two never ran"
    assert load(Shard(3, 4)) == {"1_of_1"}
    assert duckdb_warehouse.rows("issues", "id", "repo_id") == expected()


def test_what_any_shard_before_has_left_to_read_is_left() -> None:
    left = {"id": 7}
    states: dict[Shard, dict[str, Any]] = {
        Shard(1, 2): {"gaps": 0},
        Shard(2, 2): {"gaps": 2, "left_out": [left]},
        Shard(3, 4): {"waits": True},
    }
    assert _left_to_read(states) == {"gaps": 2, "left_out": [left], "waits": True}


def test_the_mark_of_lists_per_row_is_that_of_the_shard_that_read_them_last() -> None:
    seven, eight = shard_of(7, 2), shard_of(8, 2)
    assert seven != eight
    states: dict[Shard, dict[str, Any]] = {
        seven: {"parents": {"7": [30, 40]}},
        WHOLE_SOURCE: {"parents": {"7": [20, 20], "8": [20, 20]}},
    }
    assert _latest("parents", WHOLE_SOURCE, states) == {"7": [30, 40], "8": [20, 20]}
    assert _latest("parents", eight, {eight: {}, **states}) == {}, "it ran without them since"


# What is noted of a load.


def noted(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    return warehouse.rows("load_gaps", "resource", "scope")


def test_a_shard_replaces_its_own_gaps_and_those_of_shards_that_are_no_more(duckdb_warehouse: Warehouse) -> None:
    one, other = (next(filter(Shard(number, 2).has, REPOSITORIES)) for number in (1, 2))

    def load(shard: Shard, *left_out: int) -> None:
        load_shard(duckdb_warehouse, shard, Repositories(ISSUES, shard, left_out))

    gap, others_gap = (("issues", f"repository {id_}") for id_ in (one, other))
    load(WHOLE_SOURCE, one, other)
    load(Shard(1, 2), one)
    assert noted(duckdb_warehouse) == [gap], "the second looks again"
    load(Shard(2, 2), other)
    assert noted(duckdb_warehouse) == sorted([gap, others_gap])
    load(Shard(1, 2))
    assert noted(duckdb_warehouse) == [others_gap]
    load(WHOLE_SOURCE)
    assert noted(duckdb_warehouse) == []
