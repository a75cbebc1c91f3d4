"""What a sync costs: few calls when little is new, and many at a time when much is."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from dlt.extract.source import DltSource

from ingest_shared.pipelines import pipeline
from stripe_location import source as stripe
from stripe_location.source import billing, payments

from .origin import KEY, STRIPE, Origin, Warehouse

pytestmark = pytest.mark.exhaustive

LATENCY_MS = 300
PAGES = 100


def paths(group: str) -> set[str]:
    """The lists of a group that tell what is new."""
    return {f"/stripe{list_.path}" for list_ in getattr(stripe, group.upper()) if "{" not in list_.path}


def test_a_second_sync_with_nothing_new_makes_a_fifth_of_the_calls_even_in_a_small_account(
    start_origin: Callable[..., Origin], tmp_path: Path
) -> None:
    origin = start_origin(0.5)
    warehouse = Warehouse(STRIPE, origin, tmp_path)
    warehouse.sync()
    first = origin.requests()["total"]
    origin.forget_requests()
    warehouse.sync()
    assert origin.requests()["total"] <= first / 5


def test_an_idle_sync_asks_for_the_account_the_events_and_what_is_new_of_each(mirrored: Warehouse) -> None:
    mirrored.sync("billing", "payments")
    mirrored.origin.forget_requests()
    mirrored.sync("billing", "payments")
    assert mirrored.origin.requests()["by_path"] == {
        "/stripe/v1/account": 2,
        **dict.fromkeys((*paths("billing"), *paths("payments")), 1),
        "/stripe/v1/events": 3,
        "/stripe/v1/invoiceitems": 2,  # the new ones, and the pending ones
        "/stripe/v1/prices": 2,  # the active ones, and the others
    }


def test_a_change_costs_a_call_for_that_object(mirrored: Warehouse) -> None:
    mirrored.sync("billing")
    mirrored.origin.advance(600)
    mirrored.sync("billing")
    mirrored.origin.change("product.update")
    mirrored.origin.advance()
    mirrored.origin.forget_requests()
    mirrored.sync("billing")
    assert mirrored.origin.requests()["by_path"] == {
        "/stripe/v1/account": 1,
        **dict.fromkeys(paths("billing"), 1),
        "/stripe/v1/events": 1,
        "/stripe/v1/invoiceitems": 2,
        "/stripe/v1/prices": 2,
        "/stripe/v1/products/{id}": 1,
    }


@pytest.mark.parametrize(
    ("source", "table", "rows_per_page"),
    [(billing, "invoices", 14), (payments, "charges", 12), (payments, "balance_transactions", 12)],
)
def test_many_pages_of_a_list_take_a_fifth_of_the_time_of_one_by_one(
    source: Callable[[], DltSource],
    table: str,
    rows_per_page: int,
    start_origin: Callable[..., Origin],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("BILLING", "PAYMENTS"):  # short pages, so that a small world has many
        lists = [replace(list_, params={**list_.params, "limit": rows_per_page}) for list_ in getattr(stripe, name)]
        monkeypatch.setattr(stripe, name, lists)
    origin = start_origin(1)
    origin.fail(latency_ms=LATENCY_MS)
    one_page = seconds_of_a_page(origin, table, rows_per_page)
    with Warehouse(STRIPE, origin, tmp_path).configured():
        # The best of three, as the machine may be busy with other things.
        for _ in range(3):
            origin.forget_requests()
            loading = pipeline("stripe", "billing").drop()
            wanted = source().with_resources(table)
            started = time.monotonic()
            loading.extract(wanted)
            seconds = time.monotonic() - started
            pages = origin.requests()["by_path"][f"/stripe/v1/{table}"]
            if seconds <= pages * one_page / 5:
                break
    assert pages >= PAGES
    assert seconds <= pages * one_page / 5


def seconds_of_a_page(origin: Origin, table: str, rows_per_page: int) -> float:
    """How long a page takes where they are read one after the other: the mean of four."""
    with requests.Session() as session:
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {KEY}"
        query = {"limit": str(rows_per_page)}
        started = time.monotonic()
        for _ in range(4):
            page = session.get(f"{origin.url}/stripe/v1/{table}", params=query, timeout=30).json()
            query["starting_after"] = page["data"][-1]["id"]
        return (time.monotonic() - started) / 4
