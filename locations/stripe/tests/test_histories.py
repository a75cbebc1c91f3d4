"""The mirror property: whatever happens, a clean sync makes the warehouse equal the origin."""

import tempfile
from contextlib import suppress
from pathlib import Path

from dlt.pipeline.exceptions import PipelineStepFailed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .mirror import EVERY_GROUP, Warehouse, assert_mirrors
from .origin import Json, Origin, running

TINY = 0.1
"""Of the world: 30 customers, 150 invoices."""


def changes(origin: Origin, warehouse: Warehouse, seed: int, count: int) -> None:
    origin.change_at_random(seed, count)


def pause(origin: Origin, warehouse: Warehouse, seconds: int) -> None:
    origin.advance(seconds)


def sync(origin: Origin, warehouse: Warehouse, group: str, faults: list[Json]) -> None:
    """A sync that may fail, in the middle of anything."""
    origin.fail(*faults)
    with suppress(PipelineStepFailed):
        warehouse.sync(group)
    origin.heal()


FAULTS = st.one_of(
    # One that passes by, in the way of the first requests or of every third one.
    st.builds(
        lambda kind, where: {**kind, **where},
        st.sampled_from([{"kind": "status", "status": 500}, {"kind": "cut"}, {"kind": "truncate"}]),
        st.sampled_from([{"times": 2}, {"every": 3}]),
    ),
    st.just({"kind": "status", "status": 429, "retry_after": 1, "times": 1}),
    # One that lasts, so that the sync fails when it comes to that list.
    st.builds(
        lambda path, kind: {**kind, "path": path},
        st.sampled_from(
            [
                *("/events", "/customers", "/invoices", "/lines", "/subscription_items", "/charges", "/refunds"),
                *("/account", "/quotes", "/line_items", "/checkout/sessions", "/accounts", "/coupons", "/reversals"),
            ]
        ),
        st.sampled_from([{"kind": "status", "status": 500}, {"kind": "cut"}, {"kind": "status", "status": 403}]),
    ),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just(changes), st.integers(0, 2**16), st.integers(1, 30)),
        st.tuples(st.just(pause), st.sampled_from([1, 2, 301, 86_400, 3 * 86_400])),
        st.tuples(st.just(sync), st.sampled_from(EVERY_GROUP), st.lists(FAULTS, max_size=2)),
    ),
    min_size=3,
    max_size=6,
)


@given(steps=STEPS)
@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_any_history_of_changes_faults_and_failed_syncs_ends_in_a_mirror(steps: list[tuple]) -> None:  # type: ignore[type-arg]
    with running(TINY) as origin, tempfile.TemporaryDirectory() as folder:
        warehouse = Warehouse(origin, Path(folder), EVERY_GROUP)
        for act, *details in steps:
            act(origin, warehouse, *details)
        origin.advance()
        warehouse.sync()
        assert_mirrors(warehouse)
