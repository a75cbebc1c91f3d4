"""The tables of objects of which one is like the other, and what is special of some of them."""

from importlib import import_module
from typing import Any

import pytest

from ingest_shared.errors import SettingError
from ingest_testing import assert_mirrors
from stripe_location.source.tables import TABLES

from .origin import CHECKOUT, CONNECT, STRIPE, Warehouse

DAY = 86_400


def test_every_table_is_in_one_group() -> None:
    assert sorted(name for group in STRIPE.groups for name in STRIPE.tables_of(group)) == sorted(TABLES)


def test_the_first_load_has_a_row_of_each(mirrored: Warehouse) -> None:
    assert [name for name, table in TABLES.items() if not mirrored.rows(table)] == []


def test_whatever_happened_to_each_is_there_after_a_sync(mirrored: Warehouse) -> None:
    kinds = mirrored.origin.kinds()
    for name in (*CHECKOUT, *CONNECT):
        for what in ("create", "update", "delete"):
            if f"stripe.{name.removesuffix('s')}.{what}" in kinds:
                mirrored.origin.change(f"{name.removesuffix('s')}.{what}")
    mirrored.origin.advance()
    mirrored.sync("checkout", "connect")
    assert_mirrors(mirrored, *CHECKOUT, *CONNECT)


def test_a_checkout_session_is_there_before_an_event_tells_of_it(mirrored: Warehouse) -> None:
    made = mirrored.origin.change("checkout_session.create")["changed"][0]["id"]
    mirrored.origin.advance()
    mirrored.sync("checkout")
    assert mirrored.query("SELECT status FROM {checkout_sessions} WHERE id = %s", made) == [("open",)]


@pytest.fixture(scope="module")
def long_quote(mirrored: Warehouse) -> dict[str, Any]:
    """A quote with more line items than come with it."""
    for _ in range(100):
        mirrored.origin.change("quote.create")
        longest = max(mirrored.origin.objects("quotes"), key=lambda row: len(row["line_items"]["data"]))
        if len(longest["line_items"]["data"]) > 10:
            break
    mirrored.origin.advance()
    mirrored.sync("checkout")
    return longest


def test_more_than_ten_line_items_are_all_there(mirrored: Warehouse, long_quote: dict[str, Any]) -> None:
    ids = {item["id"] for item in long_quote["line_items"]["data"]}
    assert len(ids) > 10
    assert set(mirrored.query("SELECT id FROM {quote_line_items} WHERE quote_id = %s", long_quote["id"])) == {
        (id_,) for id_ in ids
    }


def test_a_deleted_account_is_marked_though_no_event_tells(mirrored: Warehouse) -> None:
    gone = mirrored.origin.change("account.delete")["changed"][0]["id"]
    mirrored.origin.advance()
    mirrored.sync("connect")
    assert mirrored.query("SELECT deleted_at IS NOT NULL FROM {accounts} WHERE id = %s", gone) == [(True,)]


@pytest.mark.usefixtures("long_quote")
def test_an_idle_sync_lists_only_what_no_event_tells_of(mirrored: Warehouse) -> None:
    mirrored.origin.advance(3 * DAY)
    mirrored.sync("checkout", "connect")
    mirrored.origin.forget_requests()
    mirrored.sync("checkout", "connect")
    assert mirrored.origin.requests()["by_path"] == {
        "/stripe/v1/account": 2,
        "/stripe/v1/events": 2,
        "/stripe/v1/checkout/sessions": 1,
        "/stripe/v1/shipping_rates": 1,
        "/stripe/v1/payment_links": 1,
        "/stripe/v1/quotes": 1,
        "/stripe/v1/quotes/{id}/line_items": mirrored.origin.requests()["by_path"]["/stripe/v1/quotes/{id}/line_items"],
        "/stripe/v1/accounts": 1,
        **{f"/stripe/v1/{name}": 1 for name in "setup_intents coupons promotion_codes tax_rates".split()},
        **{f"/stripe/v1/{name}": 1 for name in "transfers application_fees topups files".split()},
    }


def test_a_table_that_is_left_out_costs_no_call(mirrored: Warehouse) -> None:
    mirrored.origin.forget_requests()
    mirrored.sync("checkout", SOURCES__STRIPE__WITHOUT="quotes, checkout_sessions")
    asked = mirrored.origin.requests()["by_path"]
    assert "/stripe/v1/payment_links" in asked
    assert not {"/stripe/v1/quotes", "/stripe/v1/checkout/sessions"} & asked.keys()


def test_a_table_that_is_none_cannot_be_left_out(mirrored: Warehouse) -> None:
    with pytest.raises(SettingError, match=r"^sources\.stripe\.without has 'quote', which is not a table"):
        mirrored.sync("checkout", SOURCES__STRIPE__WITHOUT="quote")


def test_rows_of_an_older_version_of_the_api_are_loaded_anew(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        for module in ("objects", "balance_transactions"):
            patch.setattr(import_module(f"stripe_location.source.{module}"), "API_VERSION", "2025-03-31.basil")
        warehouse.sync("payments")
    warehouse.origin.forget_requests()
    warehouse.sync("payments")
    said = "charges: last loaded 0 days ago, in API version 2025-03-31.basil: listing all"
    assert said in caplog.messages
    asked = warehouse.origin.requests()["by_path"]
    assert min(asked["/stripe/v1/charges"], asked["/stripe/v1/balance_transactions"]) >= 2
    warehouse.origin.forget_requests()
    warehouse.sync("payments")
    assert warehouse.origin.requests()["by_path"]["/stripe/v1/charges"] == 1
