"""What was deleted at Stripe stays here as it was last, and what lives again is alive here too."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from ingest_shared.reading.api import Response
from ingest_testing import assert_mirrors
from stripe_location.source.api import API_VERSION, Stripe

from .origin import BILLING, STRIPE, Origin, Warehouse

pytestmark = pytest.mark.exhaustive

DAY = 86_400


def seen_as(monkeypatch: pytest.MonkeyPatch, path: str, *replaced: tuple[str, str]) -> None:
    """Lets the bodies of a path, and what is asked of it, say the second of each pair for the first."""
    get = Stripe.get

    def rewritten(body: bytes) -> bytes:
        for old, new in replaced:
            body = body.replace(old.encode(), new.encode())
        return body

    def get_rewritten(api: Stripe, asked: str, *args: Any, **options: Any) -> Response:
        if not asked.startswith(path):
            return get(api, asked, *args, **options)
        for old, new in replaced:
            asked = asked.replace(new, old)
        response = get(api, asked, *args, **options)
        return replace(response, body=rewritten(response.body))

    monkeypatch.setattr(Stripe, "get", get_rewritten)


def change_before(monkeypatch: pytest.MonkeyPatch, path: str, change: Callable[[], Any]) -> None:
    """Makes the change just before the first request for the path."""
    get, waiting = Stripe.get, [change]

    def get_after_change(api: Stripe, asked: str, *args: Any, **options: Any) -> Any:
        if asked == path and waiting:
            waiting.pop()()
        return get(api, asked, *args, **options)

    monkeypatch.setattr(Stripe, "get", get_after_change)


def draft_with_lines(origin: Origin, over: int) -> tuple[str, int]:
    """The id of a new draft invoice with more lines than that, and how many they are."""
    for seed in range(50):
        made = origin.change("invoice.create", seed=seed)["changed"][0]["id"]
        lines = next(len(row["lines"]["data"]) for row in origin.objects("invoices") if row["id"] == made)
        if lines > over:
            return made, lines
    raise AssertionError("the sandbox made no such draft")


def living(warehouse: Warehouse, table: str) -> str:
    """The id of one object of the table that is not deleted."""
    id_: str = warehouse.query(f"SELECT id FROM {{{table}}} WHERE deleted_at IS NULL ORDER BY id")[0][0]
    return id_


def row(warehouse: Warehouse, table: str, id_: str) -> dict[str, str]:
    """The object's row, but for when it was deleted."""
    names = [name for (name,) in warehouse.query(f"SELECT column_name FROM (DESCRIBE {{{table}}})")]
    ((*values,),) = warehouse.query(f"SELECT * FROM {{{table}}} WHERE id = %s", id_)
    return {n: repr(v) for n, v in zip(names, values, strict=True) if n != "deleted_at" and not n.startswith("_dlt")}


def deleted_at(warehouse: Warehouse, table: str, id_: str) -> int | None:
    ((at,),) = warehouse.query(f"SELECT deleted_at FROM {{{table}}} WHERE id = %s", id_)
    return int(at.timestamp()) if at else None


def line_count(warehouse: Warehouse, invoice: str) -> int:
    ((count,),) = warehouse.query("SELECT count(*) FROM {invoice_lines} WHERE invoice_id = %s", invoice)
    return int(count)


def test_what_was_deleted_in_a_pause_that_no_events_cover_is_marked(warehouse: Warehouse) -> None:
    origin = warehouse.origin
    draft, lines = draft_with_lines(origin, 10)
    origin.advance()
    warehouse.sync("billing")
    customer = living(warehouse, "customers")
    before = row(warehouse, "customers", customer), row(warehouse, "invoices", draft)
    origin.change("customer.delete", id=customer)
    origin.change("invoice.delete_draft", id=draft)
    origin.advance(31 * DAY)
    at = origin.now()
    warehouse.sync("billing")
    assert (row(warehouse, "customers", customer), row(warehouse, "invoices", draft)) == before
    assert line_count(warehouse, draft) == lines
    for table, id_ in (("customers", customer), ("invoices", draft)):
        assert at <= (deleted_at(warehouse, table, id_) or 0) <= origin.now()
        (living_here,) = warehouse.query(f"SELECT count(*) FROM {{{table}}} WHERE deleted_at IS NULL")
        assert living_here == (len(origin.objects(table)),)


def test_what_was_deleted_in_a_pause_whose_events_are_kept_is_as_they_show_it(synced: Warehouse) -> None:
    origin = synced.origin
    customer = living(synced, "customers")
    origin.change("customer.update", id=customer, set={"description": "as it was last"})
    at = origin.change("customer.delete", id=customer)["at"]
    origin.advance(26 * DAY)
    synced.sync("billing")
    assert synced.query("SELECT description FROM {customers} WHERE id = %s", customer) == [("as it was last",)]
    assert deleted_at(synced, "customers", customer) == at
    assert_mirrors(synced, *BILLING)


def test_after_a_pause_nothing_is_marked_that_lists_do_not_show_but_stripe_has(
    synced: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer = living(synced, "customers")
    synced.origin.advance(31 * DAY)
    get = Stripe.get

    def get_without(api: Stripe, asked: str, *args: Any, **options: Any) -> Response:
        response = get(api, asked, *args, **options)
        if asked != "/v1/customers":
            return response
        shown = json.loads(response.body)
        shown["data"] = [each for each in shown["data"] if each["id"] != customer]
        return replace(response, body=json.dumps(shown).encode())

    monkeypatch.setattr(Stripe, "get", get_without)
    synced.sync("billing")
    assert_mirrors(synced, "customers")


def test_after_a_pause_what_lies_before_the_start_date_is_not_asked_for(synced: Warehouse) -> None:
    origin = synced.origin
    start = datetime.fromtimestamp(origin.now(), UTC).date().isoformat()
    origin.change("invoice.create")
    fresh = Warehouse(STRIPE, origin, synced.folder / "fresh", SOURCES__STRIPE__START_DATE=start)
    origin.advance()
    fresh.sync("billing")
    older = next(each["id"] for each in origin.objects("invoices") if each["created"] < origin.now() - 30 * DAY)
    origin.change("invoice.update", id=older)
    origin.advance()
    fresh.sync("billing")
    origin.advance(31 * DAY)
    origin.forget_requests()
    fresh.sync("billing")
    assert "/stripe/v1/invoices/{id}" not in origin.requests()["by_path"]
    assert deleted_at(fresh, "invoices", older) is None


def test_a_draft_that_is_deleted_while_it_is_read_keeps_its_values_and_lines(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = warehouse.origin
    draft, lines = draft_with_lines(origin, 10)
    origin.advance(600)  # so that no list shows it again
    warehouse.sync("billing")
    before = row(warehouse, "invoices", draft)
    origin.change("invoice.update", id=draft)
    origin.advance()
    change_before(monkeypatch, f"/v1/invoices/{draft}", lambda: origin.change("invoice.delete_draft", id=draft))
    warehouse.sync("billing")
    assert deleted_at(warehouse, "invoices", draft)
    assert (row(warehouse, "invoices", draft), line_count(warehouse, draft)) == (before, lines)
    origin.advance()
    warehouse.sync("billing")
    assert line_count(warehouse, draft) == lines
    assert_mirrors(warehouse, "invoices")


@pytest.mark.parametrize("after", [2, 600], ids=["in a list", "by its id"])
def test_a_draft_that_is_deleted_between_its_first_lines_and_the_rest(
    after: int, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = warehouse.origin
    draft, lines = draft_with_lines(origin, 10)
    origin.advance()
    warehouse.sync("billing")
    change_before(monkeypatch, f"/v1/invoices/{draft}/lines", lambda: origin.change("invoice.delete_draft", id=draft))
    origin.change("invoice.update", id=draft)
    origin.advance(after)
    warehouse.sync("billing")
    origin.advance()
    warehouse.sync("billing")
    assert warehouse.gaps() == []
    assert deleted_at(warehouse, "invoices", draft)
    assert line_count(warehouse, draft) == lines


def test_a_customer_who_is_deleted_while_read_keeps_the_columns_it_had(
    synced: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = synced.origin
    customer = living(synced, "customers")
    before = row(synced, "customers", customer)
    origin.change("customer.update", id=customer)
    origin.advance()
    change_before(monkeypatch, f"/v1/customers/{customer}", lambda: origin.change("customer.delete", id=customer))
    synced.sync("billing")
    assert deleted_at(synced, "customers", customer)
    assert row(synced, "customers", customer) == before
    origin.advance()
    synced.sync("billing")
    assert_mirrors(synced, "customers")


def test_a_deletion_in_another_version_of_the_api_marks_the_row_that_is_here(
    synced: Warehouse, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    origin = synced.origin
    customer = living(synced, "customers")
    before = row(synced, "customers", customer)
    at = origin.change("customer.delete", id=customer)["at"]
    unknown = origin.change("customer.create")["changed"][0]["id"]
    origin.advance()
    origin.change("customer.delete", id=unknown)
    origin.advance()
    seen_as(monkeypatch, "/v1/events", (API_VERSION, "2020-08-27"), ('"email":', '"mail":'))
    synced.sync("billing")
    assert row(synced, "customers", customer) == before
    assert deleted_at(synced, "customers", customer) == at
    assert synced.query("SELECT id FROM {customers} WHERE id = %s", unknown) == []
    assert any("1 rows of" in line and "deleted before they could be loaded" in line for line in caplog.messages)


@pytest.mark.parametrize("seconds", [0, 5], ids=["in the same second", "later"])
def test_an_object_that_is_made_again_under_its_id_lives_until_it_is_deleted_again(
    seconds: int, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = warehouse.origin
    first = origin.change("product.create", set={"name": "first"})["changed"][0]["id"]
    origin.advance()
    warehouse.sync("billing")
    origin.change("product.delete", id=first)
    origin.advance(seconds)
    second = origin.change("product.create", set={"name": "second"})["changed"][0]["id"]
    origin.advance()
    seen_as(monkeypatch, "/v1/", (second, first))
    warehouse.sync("billing")
    assert warehouse.query("SELECT name, deleted_at FROM {products} WHERE id = %s", first) == [("second", None)]
    at = origin.change("product.delete", id=second)["at"]
    origin.advance()
    warehouse.sync("billing")
    assert warehouse.query("SELECT name FROM {products} WHERE id = %s", first) == [("second",)]
    assert deleted_at(warehouse, "products", first) == at
