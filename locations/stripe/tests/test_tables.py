"""Every table of every group, through a life of its objects: after a first load, all that can happen, and silence."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from ingest_shared.errors import SettingError
from stripe_location.source.tables import TABLES

from .mirror import EVERY_GROUP, TABLES_OF, Warehouse, assert_mirrors
from .origin import Origin

DAY = 86_400
PLAIN = ("checkout", "connect")
"""The groups that `test_mirror` does not load."""


@pytest.fixture(scope="module")
def loaded(shared_origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    warehouse = Warehouse(shared_origin, tmp_path_factory.mktemp("warehouse"), PLAIN)
    warehouse.sync()
    return warehouse


def test_every_table_is_in_one_group() -> None:
    assert sorted(name for names in TABLES_OF.values() for name in names) == sorted(TABLES)


def test_the_first_load_has_a_row_of_each(loaded: Warehouse) -> None:
    assert_mirrors(loaded)
    assert all(loaded.rows(TABLES[name]) for group in PLAIN for name in TABLES_OF[group])


def test_whatever_happened_to_each_is_there_after_a_sync(loaded: Warehouse) -> None:
    for name in (name for group in PLAIN for name in TABLES_OF[group]):
        for what in ("create", "update", "delete"):
            if f"stripe.{name.removesuffix('s')}.{what}" in loaded.origin.kinds():
                loaded.origin.change(f"{name.removesuffix('s')}.{what}")
    loaded.origin.advance()
    loaded.sync()
    assert_mirrors(loaded)


def test_a_checkout_session_is_there_before_an_event_tells_of_it(loaded: Warehouse) -> None:
    made = loaded.origin.change("checkout_session.create")["changed"][0]["id"]
    loaded.origin.advance()
    loaded.sync("checkout")
    assert loaded.query("SELECT status FROM {checkout_sessions} WHERE id = %s", made) == [("open",)]


def test_more_than_ten_line_items_are_all_there(loaded: Warehouse) -> None:
    longest = max(loaded.origin.objects("quotes"), key=lambda row: len(row["line_items"]["data"]))
    ids = {item["id"] for item in longest["line_items"]["data"]}
    assert len(ids) > 10
    assert set(loaded.query("SELECT id FROM {quote_line_items} WHERE quote_id = %s", longest["id"])) == {
        (id_,) for id_ in ids
    }


def test_a_deleted_account_is_marked_though_no_event_tells(loaded: Warehouse) -> None:
    gone = loaded.origin.change("account.delete")["changed"][0]["id"]
    loaded.origin.advance()
    loaded.sync("connect")
    assert loaded.query("SELECT deleted_at IS NOT NULL FROM {accounts} WHERE id = %s", gone) == [(True,)]


def test_an_idle_sync_lists_only_what_no_event_tells_of(loaded: Warehouse) -> None:
    loaded.origin.advance(3 * DAY)
    loaded.sync()
    loaded.origin.forget_requests()
    loaded.sync()
    assert loaded.origin.requests()["by_path"] == {
        "/stripe/v1/account": 2,
        "/stripe/v1/events": 2,
        "/stripe/v1/checkout/sessions": 1,
        "/stripe/v1/shipping_rates": 1,
        "/stripe/v1/payment_links": 1,
        "/stripe/v1/quotes": 1,
        "/stripe/v1/quotes/{id}/line_items": loaded.origin.requests()["by_path"]["/stripe/v1/quotes/{id}/line_items"],
        "/stripe/v1/accounts": 1,
    }


def test_a_table_that_is_left_out_costs_no_call(loaded: Warehouse) -> None:
    loaded.origin.forget_requests()
    loaded.sync("checkout", SOURCES__STRIPE__WITHOUT="quotes, checkout_sessions")
    asked = loaded.origin.requests()["by_path"]
    assert "/stripe/v1/payment_links" in asked
    assert not {"/stripe/v1/quotes", "/stripe/v1/checkout/sessions"} & asked.keys()


def test_a_table_that_is_none_cannot_be_left_out(loaded: Warehouse) -> None:
    with pytest.raises(SettingError, match=r"^sources\.stripe\.without has 'quote', which is no table"):
        loaded.sync("checkout", SOURCES__STRIPE__WITHOUT="quote")


def test_rows_of_an_older_version_of_the_api_are_loaded_anew(
    start_origin: Callable[..., Origin],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    warehouse = Warehouse(start_origin(0.05), tmp_path, EVERY_GROUP)
    with monkeypatch.context() as patch:
        patch.setattr(import_module("stripe_location.source.objects"), "API_VERSION", "2025-03-31.basil")
        warehouse.sync()
    warehouse.origin.forget_requests()
    warehouse.sync("payments")
    assert any(
        "charges: last loaded 0 days ago, in API version 2025-03-31.basil: listing all" in m for m in caplog.messages
    )
    asked = warehouse.origin.requests()["by_path"]
    assert asked["/stripe/v1/charges"] == asked["/stripe/v1/balance_transactions"] == 2
    warehouse.origin.forget_requests()
    warehouse.sync("payments")
    assert "/stripe/v1/charges" not in warehouse.origin.requests()["by_path"]
    assert_mirrors(warehouse)
