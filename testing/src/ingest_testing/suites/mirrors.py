"""The warehouse holds what the origin holds, in every kind of warehouse and after any history."""

import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest_shared.tables import UNDECLARED, Table
from ingest_testing.mirror import assert_mirrors
from ingest_testing.sandbox import TINY
from ingest_testing.suites.suite import Suite
from ingest_testing.warehouse import Warehouse

WEEK = 7 * 86_400


class Mirrors(Suite):
    """Every row and every value is the origin's."""

    def test_the_first_load_equals_the_origin(self, mirrored: Warehouse[Any]) -> None:
        assert_mirrors(mirrored)

    def test_a_second_load_with_nothing_new_changes_no_row(self, mirrored: Warehouse[Any]) -> None:
        mirrored.sync()  # a new day may have begun since the first load, of which some tables keep a row
        before = mirrored.contents()
        mirrored.sync()
        assert mirrored.contents() == before

    def test_a_description_names_all_that_the_api_sends(self, table: Table, mirrored: Warehouse[Any]) -> None:
        assert {row[UNDECLARED] for row in mirrored.rows(table)} == {None}

    @pytest.mark.exhaustive
    @pytest.mark.parametrize("destination", ["postgres", "mariadb", "delta"])
    def test_a_warehouse_elsewhere_equals_the_origin_too(
        self, destination: str, request: pytest.FixtureRequest
    ) -> None:
        warehouse: Warehouse[Any] = request.getfixturevalue(f"in_{destination}")
        warehouse.sync()
        assert_mirrors(warehouse)
        warehouse.origin.change_at_random(seed=1, count=40)
        warehouse.origin.advance(WEEK)
        warehouse.sync()
        assert_mirrors(warehouse)

    @pytest.mark.exhaustive
    @given(data=st.data())
    @settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def test_any_history_of_changes_faults_and_failed_syncs_ends_in_a_mirror(
        self, run_origin: Callable[..., Any], tiny_load: Warehouse[Any], data: st.DataObject
    ) -> None:
        """An audit finds what the API does not report; after it, nothing differs."""
        with run_origin(TINY) as origin, tempfile.TemporaryDirectory() as folder:
            origin.advance()
            warehouse = Warehouse(self.location, origin, Path(folder))
            if self.location.seen_first:
                warehouse = tiny_load.copy(origin, Path(folder))
            history = data.draw(self._histories())
            for act, *details in history:
                act(warehouse, *details)
            origin.advance()
            warehouse.sync()
            warehouse.sync()  # for what no list shows, and only rows of the first one name
            if not any(act is _happen for act, *_ in history):
                assert_mirrors(warehouse)
            warehouse.audit()
            assert_mirrors(warehouse, audited=True)

    def _histories(self) -> st.SearchStrategy[list[tuple[Any, ...]]]:
        rare = st.tuples(st.just(_happen), st.sampled_from(list(self.location.rare) or [""]), st.integers(0, 2**16))
        steps = st.one_of(
            *([rare] if self.location.rare else []),
            st.tuples(st.just(_change), st.integers(0, 2**16), st.integers(1, 30)),
            st.tuples(st.just(_pause), st.sampled_from([1, 2, 61, 301, 86_400, 8 * 86_400])),
            st.tuples(
                st.just(_sync), st.sampled_from(sorted(self.location.groups)), st.lists(self._faults(), max_size=2)
            ),
        )
        return st.lists(steps, min_size=3, max_size=6)

    def _faults(self) -> st.SearchStrategy[Any]:
        passing = [{"kind": "status", "status": 500}, {"kind": "cut"}, {"kind": "truncate"}, *self.location.faults]
        lasting = [{"kind": "status", "status": 500}, {"kind": "cut"}, {"kind": "status", "status": 403}]
        return st.one_of(
            # One that passes by, in the way of the first requests or of every third one.
            st.builds(
                lambda fault, where: fault if "times" in fault else {**fault, **where},
                st.sampled_from(passing),
                st.sampled_from([{"times": 2}, {"every": 3}]),
            ),
            # One that lasts, so that the sync fails when it comes to that list.
            st.builds(
                lambda path, fault: {**fault, "path": path},
                st.sampled_from(list(self.location.lists)),
                st.sampled_from(lasting),
            ),
        )


def _change(warehouse: Warehouse[Any], seed: int, count: int) -> None:
    warehouse.origin.change_at_random(seed, count)


def _happen(warehouse: Warehouse[Any], kind: str, seed: int) -> None:
    """A change that random changes leave out, because the API may not show it before an audit."""
    warehouse.origin.change_if_possible(kind, seed)


def _pause(warehouse: Warehouse[Any], seconds: int) -> None:
    warehouse.origin.advance(seconds)


def _sync(warehouse: Warehouse[Any], group: str, faults: list[Any]) -> None:
    """A sync that may fail at any point."""
    warehouse.origin.fail(*faults)
    with suppress(PipelineStepFailed):
        warehouse.sync(group)
    warehouse.origin.heal()
