import operator
import re
from collections import Counter
from urllib.parse import quote

import httpx
import pytest

from ingest_sandbox import wire
from ingest_sandbox.app import STRIPE_LIVE_KEY
from ingest_sandbox.control import held
from ingest_sandbox.moment import Change
from ingest_sandbox.stripe.books import EVENTS_KEPT
from ingest_sandbox.stripe.objects import API_VERSION, MADE_ANEW
from ingest_sandbox.stripe.resources import RESOURCES, Resource
from ingest_sandbox.wire import Json
from ingest_sandbox.world import World

from .conftest import ANCHOR, Stripe, make_world, serving


def oracle(world: World, resource: str) -> dict[str, Json]:
    rows = wire.decode(wire.encode(held(world, "stripe", resource)))
    return {row["id"]: row for row in rows}


def settled(row: Json) -> Json:
    """The object with what is made anew for each answer as it is held."""
    if row["object"] == "event":
        return row | {"pending_webhooks": 0}
    held: Json = wire.decode(re.sub(rb'(?<=/)\d{12}(?=[/"])', MADE_ANEW.encode(), wire.encode(row)))
    return held


def whole(stripe: Stripe, row: Json) -> Json:
    """The object as it is held, with its nested lists followed to the end, as their `url` says."""
    for name, part in row.items():
        if isinstance(part, dict) and part.get("object") == "list" and part["has_more"]:
            url, _, query = part["url"].partition("?")
            params = dict(pair.split("=") for pair in query.split("&") if pair)
            params["starting_after"] = part["data"][-1]["id"]
            row = row | {name: part | {"data": part["data"] + stripe.walk(url, **params), "has_more": False}}
    return settled(row)


LISTED = {name: resource for name, resource in RESOURCES.items() if name != "payment_methods"}


@pytest.mark.parametrize("resource", LISTED.values(), ids=LISTED)
def test_a_walk_equals_the_oracle(world: World, stripe: Stripe, resource: Resource) -> None:
    params = {"status": "all"} if resource.name == "subscriptions" else {}
    expanded = [f"data.{name}" for name in resource.expandable]
    rows = stripe.walk(f"/v1/{resource.path}", limit=100, **{**params, "expand[]": expanded})
    created = [row.get("created", row.get("date", 0)) for row in rows]
    assert created == sorted(created, reverse=True)
    assert len({row["id"] for row in rows}) == len(rows) > 0
    shown = {id: row for id, row in oracle(world, resource.name).items() if params or resource.shows(row)}
    assert {row["id"]: whole(stripe, row) for row in rows} == shown


@pytest.mark.parametrize("resource", RESOURCES.values(), ids=RESOURCES)
def test_an_object_is_found_by_its_id_with_what_is_asked_for(world: World, stripe: Stripe, resource: Resource) -> None:
    held = max(oracle(world, resource.name).values(), key=lambda row: row.get("created", 0))
    path = f"/v1/{resource.path}/{quote(held['id'], safe='')}"
    asked = stripe.get(path, **{"expand[]": list(resource.expandable)}).json()
    assert whole(stripe, asked) == held
    assert stripe.get(path).json().keys() == held.keys() - {*resource.expandable}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("charges", "receipt_url"),
        ("invoices", "hosted_invoice_url"),
        ("invoices", "invoice_pdf"),
        ("credit_notes", "pdf"),
        ("payment_intents", "next_action"),
        ("setup_intents", "next_action"),
        ("events", "pending_webhooks"),
    ],
)
def test_what_is_made_anew_differs_from_answer_to_answer(stripe: Stripe, path: str, name: str) -> None:
    row = next(row for row in stripe.walk(f"/v1/{path}", limit=100) if row[name] is not None)
    first, second = (stripe.get(f"/v1/{path}/{row['id']}").json() for _ in range(2))
    assert first[name] != second[name]
    assert first | {name: None} == second | {name: None} or path == "invoices"


def test_an_event_shows_an_object_as_it_was_whatever_is_made_anew(stripe: Stripe) -> None:
    paid = next(row for row in stripe.walk("/v1/events", limit=100) if row["type"] == "charge.succeeded")
    assert stripe.get(f"/v1/events/{paid['id']}").json()["data"] == paid["data"]
    assert MADE_ANEW not in paid["data"]["object"]["receipt_url"]


def test_payment_methods_are_listed_by_customer(world: World, stripe: Stripe) -> None:
    held = oracle(world, "payment_methods")
    customers = {row["customer"] for row in held.values()} - {None}
    rows = [row for id in customers for row in stripe.walk(f"/v1/customers/{id}/payment_methods", limit=1)]
    assert {row["id"]: row for row in rows} == {id: row for id, row in held.items() if row["customer"]}
    assert stripe.walk("/v1/payment_methods") == []
    assert stripe.get("/v1/customers/cus_none/payment_methods").status_code == 404


def test_customers_of_a_test_clock_are_listed_only_where_it_is_named() -> None:
    world = make_world(size=0.1)
    clock = oracle(world, "test_clocks").popitem()[0]
    id = world.change(Change("stripe.customer.create", set={"test_clock": clock}))["changed"][0]["id"]
    with serving(world) as client:
        stripe = Stripe(client)
        assert id not in {row["id"] for row in stripe.walk("/v1/customers", limit=100)}
        assert [row["id"] for row in stripe.walk("/v1/customers", test_clock=clock)] == [id]


def test_the_balance_is_what_all_movements_leave_and_payouts_are_among_them(world: World, stripe: Stripe) -> None:
    balance = stripe.get("/v1/balance").json()
    movements = oracle(world, "balance_transactions")
    moved, pending = Counter[str](), Counter[str]()
    for row in movements.values():
        moved[row["currency"]] += row["net"]
        pending[row["currency"]] += row["net"] if row["status"] == "pending" else 0
    shown = {part: {of["currency"]: of["amount"] for of in balance[part]} for part in ("available", "pending")}
    assert shown["pending"] == pending
    assert shown["available"] == {currency: amount - pending[currency] for currency, amount in moved.items()}
    assert {
        movements[row["balance_transaction"]]["net"] + row["amount"] for row in oracle(world, "payouts").values()
    } == {0}


def test_a_list_without_spans_of_time_refuses_them(stripe: Stripe) -> None:
    assert stripe.get("/v1/quotes", **{"created[gte]": 1}).json()["error"]["code"] == "parameter_unknown"


def test_a_list_of_reviews_shows_the_open_ones(world: World, stripe: Stripe) -> None:
    closed = next(row for row in oracle(world, "reviews").values() if not row["open"])
    assert closed["id"] not in {row["id"] for row in stripe.walk("/v1/reviews")}
    assert stripe.get(f"/v1/reviews/{closed['id']}").json() == closed


def test_nested_lists_show_ten(world: World, stripe: Stripe) -> None:
    for resource, name in (("invoices", "lines"), ("subscriptions", "items")):
        long = [row for row in oracle(world, resource).values() if len(row[name]["data"]) > 10]
        assert long
        expanded = list(RESOURCES[resource].expandable)
        shown = stripe.get(f"/v1/{resource}/{long[0]['id']}", **{"expand[]": expanded}).json()
        assert len(shown[name]["data"]) == 10
        assert shown[name]["has_more"] is True
        assert whole(stripe, shown) == long[0]


def test_both_cursors_and_created_bounds(world: World, stripe: Stripe) -> None:
    rows = [*map(settled, stripe.walk("/v1/charges", limit=100))]

    def shown(page: Json) -> list[Json]:
        return [*map(settled, page["data"])]

    page = stripe.get("/v1/charges", limit=5, starting_after=rows[9]["id"]).json()
    assert shown(page) == rows[10:15]
    page = stripe.get("/v1/charges", limit=5, ending_before=rows[9]["id"]).json()
    assert shown(page) == rows[4:9]
    assert page["has_more"] is True
    page = stripe.get("/v1/charges", limit=50, ending_before=rows[9]["id"]).json()
    assert (shown(page), page["has_more"]) == (rows[:9], False)
    middle = rows[len(rows) // 2]["created"]
    for bound, fits in (
        ("created[gt]", operator.gt),
        ("created[gte]", operator.ge),
        ("created[lt]", operator.lt),
        ("created[lte]", operator.le),
        ("created", operator.eq),
    ):
        walked = stripe.walk("/v1/charges", **{"limit": 100, bound: middle})
        assert [*map(settled, walked)] == [row for row in rows if fits(row["created"], middle)]


def test_canceled_subscriptions_hide(world: World, stripe: Stripe) -> None:
    canceled = {id for id, row in oracle(world, "subscriptions").items() if row["status"] == "canceled"}
    shown = {row["id"] for row in stripe.walk("/v1/subscriptions", limit=100)}
    asked = {row["id"] for row in stripe.walk("/v1/subscriptions", limit=100, status="canceled")}
    assert canceled
    assert asked == canceled
    assert not shown & canceled


def test_inactive_prices_hide_from_those_who_do_not_ask_for_them() -> None:
    """https://docs.stripe.com/api/prices/list"""
    world = make_world(size=0.1)
    world.change(Change("stripe.price.create", set={"active": False}))
    inactive = {id for id, row in oracle(world, "prices").items() if not row["active"]}
    with serving(world) as client:
        stripe = Stripe(client)
        shown = {row["id"] for row in stripe.walk("/v1/prices", limit=100)}
        asked = {row["id"] for row in stripe.walk("/v1/prices", limit=100, active="false")}
    assert asked == inactive
    assert not shown & inactive


def test_types_filter_events(stripe: Stripe) -> None:
    types = ["invoice.paid", "charge.succeeded"]
    rows = stripe.walk("/v1/events", **{"limit": 100, "types[]": types})
    assert {row["type"] for row in rows} == set(types)
    assert {row["api_version"] for row in rows} == {API_VERSION}
    too_many = stripe.get("/v1/events", **{"types[]": [f"a.{n}" for n in range(21)]})
    assert too_many.status_code == 400


@pytest.mark.parametrize(
    ("path", "params", "status", "code"),
    [
        ("/v1/customers/cus_none", {}, 404, "resource_missing"),
        ("/v1/customers", {"starting_after": "cus_none"}, 400, "resource_missing"),
        ("/v1/customers", {"updated[gte]": 1}, 400, "parameter_unknown"),
        ("/v1/customers", {"limit": 101}, 400, None),
        ("/v1/customers", {"created[gte]": "today"}, 400, "parameter_invalid_integer"),
        ("/v1/subscription_items", {}, 400, "parameter_missing"),
        ("/v1/nothing", {}, 404, None),
    ],
)
def test_errors(stripe: Stripe, path: str, params: Json, status: int, code: str | None) -> None:
    response = stripe.get(path, **params)
    assert response.status_code == status
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert response.json()["error"].get("code") == code


def test_keys(client: httpx.Client, stripe: Stripe) -> None:
    assert stripe.get("/v1/account").json()["object"] == "account"
    basic = client.get("/stripe/v1/account", auth=("sk_test_sandbox", ""))
    assert basic.status_code == 200
    assert basic.headers["request-id"].startswith("req_")
    assert client.get("/stripe/v1/account").status_code == 401
    wrong = Stripe(client, "sk_test_wrong").get("/v1/account")
    assert wrong.status_code == 401
    assert "sk_test_wrong" not in wrong.text


def test_a_key_leads_to_the_objects_of_its_mode() -> None:
    world = make_world(size=0.1)
    with serving(world) as client:
        test, live = Stripe(client), Stripe(client, STRIPE_LIVE_KEY)
        assert test.get("/v1/account").json()["id"] == live.get("/v1/account").json()["id"]
        customers = {row["id"] for row in live.walk("/v1/customers")}
        assert not customers & oracle(world, "customers").keys()
        assert customers == {row["id"] for row in client.get("/_sandbox/objects/stripe_live/customers").json()}
        assert test.get(f"/v1/customers/{customers.pop()}").status_code == 404
        for resource in ("customers", "invoices", "events"):
            assert {row["livemode"] for row in live.walk(f"/v1/{resource}")} == {True}
            assert {row["livemode"] for row in test.walk(f"/v1/{resource}")} == {False}


def test_a_change_of_live_mode_leaves_test_mode_alone() -> None:
    world = make_world(size=0.1)
    with serving(world) as client:
        before = oracle(world, "customers")
        made = world.change(Change("stripe.customer.create", live=True))["changed"][0]["id"]
        assert Stripe(client, STRIPE_LIVE_KEY).get(f"/v1/customers/{made}").json()["livemode"] is True
        (event,) = Stripe(client, STRIPE_LIVE_KEY).get("/v1/events", limit=1).json()["data"]
        assert event["livemode"] is event["data"]["object"]["livemode"] is True
        assert oracle(world, "customers") == before


def test_deleted_rows() -> None:
    world = make_world(size=0.1)
    with serving(world) as client:
        stripe = Stripe(client)
        rows = stripe.walk("/v1/customers")
        id = rows[3]["id"]
        world.change(Change("stripe.customer.delete", id=id))
        stub = stripe.get(f"/v1/customers/{id}").json()
        assert stub == {"id": id, "object": "customer", "deleted": True}
        assert id not in {row["id"] for row in stripe.walk("/v1/customers")}
        assert stripe.get("/v1/customers", starting_after=id).status_code == 400
        event = stripe.get("/v1/events", type="customer.deleted").json()["data"][0]
        assert event["data"]["object"]["id"] == id


def test_events_vanish_after_thirty_days() -> None:
    world = make_world(size=0.1)
    with serving(world) as client:
        stripe = Stripe(client)
        rows = stripe.walk("/v1/events", limit=100)
        assert rows[-1]["created"] >= ANCHOR - EVENTS_KEPT
        world.advance(rows[0]["created"] + EVENTS_KEPT + 1 - ANCHOR)
        assert stripe.walk("/v1/events") == []
        assert stripe.get(f"/v1/events/{rows[0]['id']}").status_code == 404
        assert len(oracle(world, "events")) == len(rows)


def test_shapes_since_basil(world: World) -> None:
    invoices = oracle(world, "invoices").values()
    recurring = next(row for row in invoices if row["parent"])
    assert "subscription" not in recurring
    assert recurring["parent"]["subscription_details"]["subscription"].startswith("sub_")
    subscription = next(iter(oracle(world, "subscriptions").values()))
    assert "current_period_end" not in subscription
    assert "current_period_end" in subscription["items"]["data"][0]
    assert max(len(row["lines"]["data"]) for row in invoices) == 35
    assert {"usd", "jpy", "kwd"} <= {row["currency"] for row in invoices}
    assert {row["status"] for row in invoices} == {"draft", "open", "paid", "void"}
    money = oracle(world, "balance_transactions").values()
    assert {row["status"] for row in money} == {"pending", "available"}
