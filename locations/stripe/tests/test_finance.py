"""What a finance team asks for, in both warehouses: the history of subscriptions, and each view by cases that were
worked out by hand."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import dlt
import msgspec
import pytest
from dlt.extract.resource import DltResource

from ingest_shared.columnar import Decoder, Page
from ingest_shared.loading import Load, mirror
from ingest_shared.pipelines import pipeline, run
from ingest_shared.views import create
from stripe_location.defs.finance import CONSTANTS
from stripe_location.source import history
from stripe_location.source.tables import TABLES
from stripe_location.source.tables.history import subscription_discounts, subscription_states

from .origin import DECIMALS, STRIPE, VIEWS, Origin, Warehouse

pytestmark = pytest.mark.exhaustive

NAMES = "events subscriptions prices coupons invoices balance_transactions payouts"
HELD = {name: TABLES[name] for name in NAMES.split()}
MADE = {table.name: table for table in (subscription_states, subscription_discounts)}
Objects = list[dict[str, Any]]
CASES: dict[str, tuple[str | None, dict[str, Objects]]] = {}
"""What each test says that its account has: all are loaded at once."""
Test = TypeVar("Test", bound=Callable[..., None])


def holds(until: str | None = None, **tables: Objects) -> Callable[[Test], Test]:
    """The objects of the test's account, as Stripe would send them; what they leave out is null.

    ``until`` is when its subscriptions were read.
    """

    def said(test: Test) -> Test:
        CASES[test.__name__] = until, tables
        return test

    return said


def at(text: str) -> int:
    """Seconds since 1970 of a time in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@dataclass
class Reads:
    """Reads what the tests say of a table."""

    decoder: Decoder

    def __call__(self, load: Load) -> Iterator[Page]:
        known = {f"{account} test": {"until": at(until)} for account, (until, _) in CASES.items() if until}
        load.state["cursors"] = known
        for account, (_, tables) in CASES.items():
            own = {"account_id": account, "livemode": False}
            rows = [own | row for row in tables.get(self.decoder.table.name, [])]
            yield self.decoder.page(msgspec.json.encode(rows), own)


@dlt.source(name="stripe_billing", section="stripe")
def said() -> Iterable[DltResource]:
    for table in (HELD | MADE).values():
        yield mirror(Reads(Decoder(table)))


@dataclass(frozen=True)
class Held:
    """The account of a test."""

    warehouse: Warehouse
    account: str

    def rows(self, columns: str, of: str, where: str = "TRUE") -> list[tuple[Any, ...]]:
        """Columns of a view, in order of the first ones."""
        sql = f"SELECT {columns} FROM {{{of}}} WHERE account_id = %s AND {where} ORDER BY 1, 2"
        return self.warehouse.query(sql, self.account)

    def states(self) -> list[tuple[Any, ...]]:
        """Beginning, end, status and source of each state of its subscription."""
        found = self.rows("valid_from, valid_to, status, source", "subscription_history")
        return [(str(a.date()), b and str(b.date()), *rest) for a, b, *rest in found]


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def finance(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """What all tests say, with the history and the views."""
    settings = request.getfixturevalue("make_postgres")() if request.param == "postgres" else {}
    warehouse = Warehouse(STRIPE, Origin("http://127.0.0.1:9"), tmp_path_factory.mktemp("finance"), **settings)
    with warehouse.configured():
        run(pipeline("stripe", "billing").drop(), said())
    make_history(warehouse)
    return warehouse


def make_history(warehouse: Warehouse) -> None:
    with warehouse.configured():
        run(pipeline("stripe", "history").drop(), history())
    make_views(warehouse)


def make_views(warehouse: Warehouse) -> None:
    with warehouse.configured():
        making = pipeline("stripe", "history").drop()
        making.sync_destination()
        with making.sql_client() as client:
            assert create(client, VIEWS, CONSTANTS) == {}


@pytest.fixture
def held(request: pytest.FixtureRequest, finance: Warehouse) -> Held:
    return Held(finance, request.function.__name__)


def subscription(status: str = "active", **fields: Any) -> dict[str, Any]:
    items = [{"id": "si_1", "price": {"id": "price_1"}, "quantity": fields.pop("quantity", 1), "created": 0}]
    return {
        "id": "sub_1",
        "object": "subscription",
        "created": at("2025-01-10"),
        "customer": "cus_1",
        "status": status,
        "currency": "usd",
        "cancel_at_period_end": False,
        "discounts": [],
        "trial_end": None,
        "ended_at": None,
        "items": {"data": items, "has_more": False},
        **fields,
    }


def event(what: str, when: str, shown: dict[str, Any], **before: Any) -> dict[str, Any]:
    """An event of a subscription; ``before`` is what it changed."""
    data = {"object": shown} | ({"previous_attributes": before} if before else {})
    id_ = f"evt_{when}_{what}"
    return {"id": id_, "type": f"customer.subscription.{what}", "created": at(when), "data": data}


@holds(
    until="2025-06-01",
    subscriptions=[subscription("past_due")],
    events=[
        event("updated", "2025-01-10", subscription("active"), status="incomplete"),
        event("created", "2025-01-10", subscription("incomplete")),
        event("updated", "2025-02-01", subscription("active", description="other"), description=None),
        event("updated", "2025-03-01", subscription("unpaid"), status="active"),
    ],
)
def test_each_event_is_a_state_and_a_change_without_one_is_seen(held: Held) -> None:
    assert held.states() == [
        ("2025-01-10", "2025-03-01", "active", "event"),
        ("2025-03-01", "2025-06-01", "unpaid", "event"),
        ("2025-06-01", None, "past_due", "seen"),
    ]


def test_the_history_that_is_made_again_stays_as_it_is(finance: Warehouse) -> None:
    def states() -> list[tuple[Any, ...]]:
        return finance.query("SELECT * FROM {subscription_history} ORDER BY account_id, subscription_id, valid_from")

    before = states()
    make_history(finance)
    assert states() == before


def test_without_the_events_no_history_is_made_and_the_run_says_so(
    finance: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    with finance.configured(SOURCES__STRIPE__WITHOUT="events"):
        run(pipeline("stripe", "history").drop(), history())
    assert (
        "subscription_states: nothing is derived, because sources.stripe.without leaves out events" in caplog.messages
    )


@holds(
    until="2025-06-01",
    subscriptions=[subscription(quantity=5)],
    events=[event("updated", "2025-04-01", subscription(quantity=5), items=subscription()["items"])],
)
def test_what_was_before_the_first_event_is_what_it_changed(held: Held) -> None:
    assert [state[:2] for state in held.states()] == [("2025-01-10", "2025-04-01"), ("2025-04-01", None)]
    assert held.rows("valid_from, quantity", "subscription_state_items")[0][1] == 1
    assert held.rows("valid_from, quantity", "subscription_state_items")[1][1] == 5


@holds(
    until="2026-01-01",
    subscriptions=[subscription("canceled", trial_end=at("2025-01-24"), ended_at=at("2025-09-01"))],
)
def test_without_an_event_the_trial_and_the_end_are_inferred(held: Held) -> None:
    assert held.states() == [
        ("2025-01-10", "2025-01-24", "trialing", "inferred"),
        ("2025-01-24", "2025-09-01", "active", "inferred"),
        ("2025-09-01", None, "canceled", "inferred"),
    ]


@holds(
    until="2025-04-30",
    subscriptions=[subscription("active")],
    events=[
        event("created", "2025-01-10", subscription()),
        event("deleted", "2025-05-01", subscription("canceled"), status="active"),
    ],
)
def test_a_row_that_was_read_before_an_event_says_nothing_of_what_came_after(held: Held) -> None:
    assert [status for _, _, status, _ in held.states()] == ["active", "canceled"]


def state(id_: str, since: str, status: str, *items: tuple[str, int | None], **fields: Any) -> dict[str, Any]:
    """A state of a subscription that bills so many units of each price."""
    return {
        "subscription_id": id_,
        "valid_from": at(since),
        "event": f"evt_{since}",
        "place": 2,
        "state": f"{since} {status}",
        "customer": "cus_1",
        "status": status,
        "currency": "usd",
        "items": [{"id": f"si_{price}", "price": price, "quantity": quantity} for price, quantity in items],
        **fields,
    }


def price(id_: str, amount: str, interval: str = "month", count: int = 1, **fields: Any) -> dict[str, Any]:
    """A price with an amount in the currency's smallest unit."""
    usage = fields.pop("usage_type", "licensed")
    return {
        "id": id_,
        "currency": "usd",
        "billing_scheme": "per_unit",
        "unit_amount_decimal": amount,
        "recurring": {"interval": interval, "interval_count": count, "usage_type": usage},
        **fields,
    }


TO_A_MONTH = (
    (price("month", "1000"), 3, "30"),  # 10 dollars, three times
    (price("year", "12000", "year"), 1, "10"),
    (price("quarter", "3000", "month", 3), 1, "10"),
    (price("week", "8400", "week"), 1, "365"),  # 84 dollars * 365 / 84
    (price("day", "1200", "day"), 1, "365"),  # 12 dollars * 365 / 12
    (price("two weeks", "1400", "week", 2), 1, "30.4167"),  # 7 dollars a week * 365 / 84
    (price("half a cent", "0.5"), 1000, "5"),
    (price("yen", "500", currency="jpy"), 2, "1000"),
    (price("dinar", "5000", currency="kwd"), 1, "5"),
    (price("usage", "1000", usage_type="metered"), None, "0"),
)
STATUSES = "active past_due trialing unpaid paused incomplete incomplete_expired canceled".split()


@holds(
    prices=[of for of, _, _ in TO_A_MONTH],
    subscription_states=[state(of["id"], "2025-01-10", "active", (of["id"], count)) for of, count, _ in TO_A_MONTH],
)
def test_a_price_is_normalized_to_a_month(held: Held) -> None:
    counted = held.rows("subscription_id, mrr, items_not_counted", "subscription_mrr")
    assert counted == sorted((of["id"], Decimal(mrr), 0) for of, _, mrr in TO_A_MONTH)


@holds(
    prices=[price("ten", "1000")],
    subscription_states=[state(status, "2025-01-10", status, ("ten", 1)) for status in STATUSES],
)
def test_revenue_counts_while_a_subscription_is_active_or_past_due(held: Held) -> None:
    counted = held.rows("subscription_id, mrr", "subscription_mrr")
    assert dict(counted) == dict.fromkeys(STATUSES, 0) | {"active": 10, "past_due": 10}


@holds(
    prices=[
        price("ten", "1000"),
        price("tiers", "1000", billing_scheme="tiered"),
        price("packs", "1000", transform_quantity={"divide_by": 5, "round": "up"}),
    ],
    subscription_states=[
        state("sub_1", "2025-01-10", "active", *((each, 1) for each in ("ten", "tiers", "packs", "unknown")))
    ],
)
def test_an_item_that_cannot_be_counted_is_shown_as_such(held: Held) -> None:
    assert held.rows("mrr, items_not_counted", "subscription_mrr") == [(10, 3)]


def coupon(id_: str, duration: str = "forever", **off: Any) -> dict[str, Any]:
    return {"id": id_, "duration": duration, "currency": "usd" if "amount_off" in off else None, **off}


def discount(subscription: str, of: str) -> dict[str, Any]:
    return {"id": f"di_{subscription}_{of}", "subscription_id": subscription, "coupon": of}


COUPONS = [
    coupon("half", percent_off=50.0),
    coupon("tenth", percent_off=10.0),
    coupon("all", percent_off=100.0),
    coupon("two", amount_off=200),
    coupon("euros", amount_off=200) | {"currency": "eur"},
    coupon("once", "once", percent_off=50.0),
    coupon("a while", "repeating", amount_off=200),
]
TAKEN_OFF = (
    (("half",), "month", "5", 0),
    (("half", "tenth"), "month", "4.5", 0),
    (("all",), "month", "0", 0),
    (("two",), "month", "8", 0),
    (("two",), "year", "9.8333", 0),  # 2 dollars once a year
    (("half", "two"), "month", "3", 0),
    (("two",), "one", "0", 0),
    (("once", "a while"), "month", "10", 0),
    (("euros",), "month", "10", 1),
    (("half", "unknown"), "month", "5", 1),
)
"""Coupons of a subscription, what it bills (10 dollars a month, or 1), its revenue, and discounts not counted."""


@holds(
    prices=[price("month", "1000"), price("year", "12000", "year"), price("one", "100")],
    coupons=COUPONS,
    subscription_discounts=[
        discount(f"sub_{place}", of) for place, (coupons, *_) in enumerate(TAKEN_OFF) for of in coupons
    ],
    subscription_states=[
        state(f"sub_{place}", "2025-01-10", "active", (of, 1))
        | {"discounts": [discount(f"sub_{place}", coupon)["id"] for coupon in coupons]}
        for place, (coupons, of, *_) in enumerate(TAKEN_OFF)
    ],
)
def test_discounts_that_last_for_ever_lower_the_revenue(held: Held) -> None:
    counted = held.rows("subscription_id, mrr, discounts_not_counted", "subscription_mrr")
    assert counted == [(f"sub_{place}", Decimal(mrr), left) for place, (_, _, mrr, left) in enumerate(TAKEN_OFF)]


def shown(id_: str, of: str | None = "sub_1", **more: Any) -> dict[str, Any]:
    """A discount as Stripe shows it, of a subscription or of a customer alone."""
    source = {"source": {"coupon": "half", "type": "coupon"}}
    return {"id": id_, "object": "discount", "subscription": of, **(more or source)}


@holds(
    subscriptions=[subscription(discounts=[shown("di_now")]), subscription(id="sub_2", discounts=["di_id_alone"])],
    events=[
        {"id": f"evt_{of['id']}", "type": "customer.discount.created", "created": 1, "data": {"object": of}}
        for of in (shown("di_over"), shown("di_of_the_customer", None), shown("di_older", coupon={"id": "tenth"}))
    ],
)
def test_the_coupon_of_a_discount_is_known_from_its_event_or_its_subscription(held: Held) -> None:
    assert held.rows("id, coupon, subscription_id", "subscription_discounts") == [
        ("di_now", "half", "sub_1"),
        ("di_older", "tenth", "sub_1"),
        ("di_over", "half", "sub_1"),
    ]


@holds(
    prices=[price("ten", "1000"), price("one", "100")],
    subscription_states=[
        state("sub_1", "2025-01-31", "active", ("ten", 1)),
        state("sub_1", "2025-06-30", "canceled", ("ten", 1)),
        state("sub_2", "2025-03-01", "active", ("one", 5)),
        state("sub_2", "2025-05-02", "active", ("one", 2)),
        state("sub_2", "2025-05-03", "past_due", ("one", 2)),
        state("sub_2", "2025-06-01", "canceled", ("one", 2)),
        state("sub_3", "2025-09-15", "active", ("one", 4)),
        state("sub_3", "2025-11-30", "canceled", ("one", 4)),
        state("sub_4", "2025-10-02", "active", ("one", 9)),
        state("sub_4", "2025-10-30", "canceled", ("one", 9)),
        state("sub_5", "2025-02-01", "active", ("ten", 1), currency="eur"),
    ],
)
def test_the_revenue_of_a_customer_moves(held: Held) -> None:
    """10 from January on; 5 more in March, of which 2 are left in May; none from June on; 4 again from September to
    October, in which 9 come and go; and euros apart."""
    moves = "month, mrr, new_mrr, reactivation, expansion, contraction, churn"
    dollars = held.rows(moves, "monthly_recurring_revenue", "currency = 'usd'")
    assert [(month.month, *map(int, amounts)) for month, *amounts in dollars] == [
        (1, 10, 10, 0, 0, 0, 0),
        (2, 10, 0, 0, 0, 0, 0),
        (3, 15, 0, 0, 5, 0, 0),
        (4, 15, 0, 0, 0, 0, 0),
        (5, 12, 0, 0, 0, 3, 0),
        (6, 0, 0, 0, 0, 0, 12),
        (9, 4, 0, 4, 0, 0, 0),
        (10, 4, 0, 0, 0, 0, 0),
        (11, 0, 0, 0, 0, 0, 4),
    ]
    euros = held.rows("month, mrr, new_mrr", "monthly_recurring_revenue", "currency = 'eur'")
    assert euros[:2] == [(date(2025, 2, 1), 10, 10), (date(2025, 3, 1), 10, 0)]


@holds(
    prices=[price("ten", "1000")],
    subscriptions=[subscription("active"), subscription("trialing", id="sub_2"), subscription("canceled", id="sub_3")],
    subscription_states=[
        state("sub_1", "2025-01-10", "trialing", ("ten", 1)),
        state("sub_1", "2025-02-10", "active", ("ten", 1)),
        state("sub_2", "2025-01-10", "trialing", ("ten", 1)),
    ],
)
def test_an_active_subscription_shows_its_revenue(held: Held) -> None:
    shown = held.rows("subscription_id, status, mrr", "active_subscriptions")
    assert shown == [("sub_1", "active", 10), ("sub_2", "trialing", 0)]


def movement(id_: str, category: str, amount: int, fee: int = 0, when: str = "2025-01-10") -> dict[str, Any]:
    """A balance transaction in cents."""
    sums = {"amount": amount, "fee": fee, "net": amount - fee}
    return {"id": id_, "currency": "usd", "reporting_category": category, "created": at(when), **sums}


EVENING = "2025-01-31T23:59:59"
MOVEMENTS = [
    movement("txn_1", "charge", 10_000, 320),
    movement("txn_2", "charge", 5_000, 175, EVENING),
    movement("txn_3", "refund", -2_000),
    movement("txn_4", "refund_failure", 500),
    movement("txn_5", "dispute", -5_000, 1_500),
    movement("txn_6", "dispute_reversal", 5_000, -1_500, "2025-02-01"),
    movement("txn_7", "fee", -200),
    movement("txn_8", "payout", -6_305, when=EVENING),
    movement("txn_9", "charge", 700) | {"currency": "jpy"},
]


def cents(amounts: Iterable[Decimal | None]) -> list[int | None]:
    return [None if amount is None else int(100 * amount) for amount in amounts]


@holds(balance_transactions=MOVEMENTS)
def test_net_volume_and_fees_of_a_month(held: Held) -> None:
    columns = "month, currency, gross, refunds, disputes, fees, net_volume, other"
    assert [(month.month, of, *cents(sums)) for month, of, *sums in held.rows(columns, "net_volume")] == [
        (1, "jpy", 70_000, 0, 0, 0, 70_000, 0),
        (1, "usd", 15_000, 1_500, 5_000, 2_195, 6_305, -6_305),
        (2, "usd", 0, 0, -5_000, -1_500, 6_500, 0),
    ]
    columns = "month, taken_for, transactions, fees"
    assert [(month.month, what, count, *cents([fee])) for month, what, count, fee in held.rows(columns, "fees")] == [
        (1, "charge", 2, 495),
        (1, "dispute", 1, 1_500),
        (1, "fee", 1, 200),
        (2, "dispute_reversal", 1, -1_500),
    ]


def invoice(id_: str, amount: int, days: float, status: str = "open") -> dict[str, Any]:
    """An invoice that has been due for so many days."""
    due = int((datetime.now(UTC) - timedelta(days)).timestamp())
    own = {"customer": "cus_1", "currency": "usd", "status": status, "amount_remaining": amount, "due_date": due}
    return {"id": id_, "created": at("2024-01-01"), **own}


def at_once(of: dict[str, Any]) -> dict[str, Any]:
    """The invoice as one that is charged automatically: due when it became final."""
    return of | {"due_date": None, "status_transitions": {"finalized_at": of["due_date"]}}


@holds(
    invoices=[
        invoice("in_1", 100, -1),
        invoice("in_2", 200, 0.5),
        invoice("in_3", 400, 30.5),
        invoice("in_4", 800, 31.5),
        invoice("in_5", 1_600, 60.5),
        invoice("in_6", 3_200, 61.5),
        invoice("in_7", 6_400, 91.5),
        at_once(invoice("in_8", 12_800, 95)),
        invoice("in_9", 99, 5, "paid"),
        invoice("in_10", 99, 5, "draft"),
    ]
)
def test_open_invoices_by_age(held: Held) -> None:
    columns = "invoices, open_amount, not_due, days_0_to_30, days_31_to_60, days_61_to_90, days_over_90"
    ((count, *sums),) = held.rows(columns, "open_invoices")
    assert (count, *cents(sums)) == (8, 25_500, 100, 600, 2_400, 3_200, 19_200)


def payout(id_: str, amount: int, when: str, **more: Any) -> dict[str, Any]:
    return {"id": id_, "currency": "usd", "amount": amount, "status": "paid", "created": at(when), **more}


@holds(
    balance_transactions=[
        *MOVEMENTS,
        movement("txn_10", "charge", 1_000, when="2025-02-03"),
        movement("txn_11", "payout", -7_000, when="2025-02-04"),
        movement("txn_12", "payout_reversal", 7_000, when="2025-02-06"),
    ],
    payouts=[
        payout("po_1", 6_305, EVENING, balance_transaction="txn_8"),
        payout("po_2", 7_000, "2025-02-04", balance_transaction="txn_11", failure_balance_transaction="txn_12"),
        payout("po_3", 300, "2025-02-07"),
    ],
)
def test_each_payout_is_held_against_what_was_earned_before_it(held: Held) -> None:
    columns = "payout, is_booked, amount, booked, brought_back, earned, balance_after"
    assert [(id_, booked, *cents(sums)) for id_, booked, *sums in held.rows(columns, "payout_reconciliation")] == [
        ("po_1", True, 6_305, 6_305, 0, 6_305, 0),
        ("po_2", True, 7_000, 7_000, 7_000, 7_500, 500),
        ("po_3", False, 300, None, 0, 0, 7_500),
    ]


def test_in_any_history_all_that_moved_the_balance_is_volume_fees_or_other(synced: Warehouse) -> None:
    origin = synced.origin
    origin.change_at_random(seed=3, count=60)
    origin.advance()
    synced.sync("billing", "payments")
    make_history(synced)
    moved: defaultdict[str, Decimal] = defaultdict(Decimal)
    for row in origin.objects("balance_transactions"):
        moved[row["currency"]] += Decimal(row["net"]).scaleb(-DECIMALS[row["currency"]])
    shown = "SELECT currency, sum(net_volume + other) FROM {net_volume} GROUP BY currency"
    assert dict(synced.query(shown)) == moved
    earning = "SELECT count(*) FROM {active_subscriptions} WHERE mrr > 0 AND items_not_counted = 0"
    active = [row for row in origin.objects("subscriptions") if row["status"] == "active"]
    assert synced.query(earning) == [(len(active),)]
