"""The seeded world of Stripe: 18 months of business, done by the operations of `books`."""

from random import Random

from ..wire import Json
from . import objects
from .books import EVENTS_KEPT, Books
from .objects import DAY
from .resources import RESOURCES, Resource

_AGE = 548 * DAY
_PERIODS = {"month": 30 * DAY, "year": 365 * DAY}

# The prices of size 1: enough of one currency for a subscription to more than ten of them.
_PRICES = {
    "usd": ("month",) * 12 + ("year",),
    "eur": ("month", "year"),
    "gbp": ("month",),
    "jpy": ("month", "year"),
    "kwd": ("month", "year"),
}


def books(seed: int, size: float, anchor: int, *, live: bool = False, of: str = "") -> Books:
    """All of one mode of Stripe as it was at `anchor`, in epoch seconds; `of` a connected account, or of the own one.

    At size 1: 300 customers, 8 products, 20 prices, 250 subscriptions, about 1,500 invoices and
    1,400 charges, 90 refunds, and the events of the last 30 days. All but products and prices
    grow with `size`.
    """
    rng = Random(f"stripe{' live' if live else ''}{f' {of}' if of else ''}/{seed}")
    made = Books(events_since=anchor - EVENTS_KEPT, live=live)
    prices = _catalog(made, rng, anchor - _AGE)
    customers = []
    for _ in range(max(1, round(300 * size))):
        made.at_moment(rng, anchor - _AGE + int(rng.random() * _AGE))
        customers.append(made.create_customer())
    for index in range(max(1, round(250 * size))):
        _subscription(made, rng, anchor, rng.choice(customers), prices, large=index % 25 == 3)
    for index in range(max(1, round(60 * size))):
        id = _single_invoice(made, rng, anchor, rng.choice(customers), prices)
        if index:  # One is a draft for certain.
            _bill(made, rng, anchor, id)
    _refunds(made, rng, anchor, round(90 * size))
    for resource in RESOURCES.values():
        if resource.seeded:
            _plain(made, rng, anchor, resource, max(1, round(resource.seeded * size)))
    _settle(made, rng, anchor)
    made.touched.clear()
    return made


def _catalog(made: Books, rng: Random, at: int) -> dict[str, list[Json]]:
    """Products and prices, by currency. The last product has no price and may be deleted."""
    made.at_moment(rng, at)
    products = [made.insert("products", objects.product(rng, at), "product.created") for _ in range(8)]
    prices: dict[str, list[Json]] = {}
    for currency, intervals in _PRICES.items():
        for interval in intervals:
            owner = rng.choice(products[:-1])["id"]
            price = objects.price(rng, at, owner, currency, interval)
            prices.setdefault(currency, []).append(made.insert("prices", price, "price.created"))
    return prices


def _subscription(
    made: Books,
    rng: Random,
    anchor: int,
    customer: Json,
    prices: dict[str, list[Json]],
    *,
    large: bool,
) -> None:
    """A subscription and its invoices until today, or until it is canceled."""
    if large:
        customers = made.objects("customers")
        customer = rng.choice([row for row in customers if row["currency"] == "usd"] or [customer])
    # Soon after the customer came, as a rule.
    at = customer["created"] + int((anchor - customer["created"]) * rng.random() ** 3)
    choice = prices[customer["currency"]]
    interval = rng.choice(choice)["recurring"]["interval"]
    fitting = [price for price in choice if price["recurring"]["interval"] == interval]
    if large:
        fitting = [price for price in choice if price["recurring"]["interval"] == "month"]
        interval = "month"
    count = len(fitting) if large else min(len(fitting), rng.choice((1, 1, 2, 3)))
    period = _PERIODS[interval]
    ends = rng.randint(at, anchor) if rng.random() < 0.2 else anchor
    made.at_moment(rng, at)
    id = made.subscribe(customer, rng.sample(fitting, k=count), period)["id"]
    while True:
        _bill(made, rng, anchor, made.bill(id)["id"])
        at += period
        if at >= ends:
            break
        made.at_moment(rng, at)
        made.renew(id, period)
    if ends < anchor:
        made.at_moment(rng, ends)
        made.cancel(id)


def _bill(made: Books, rng: Random, anchor: int, id: str) -> None:
    """Let an invoice have its fate: nearly always paid, within the hour."""
    fate = rng.random()
    if fate < 0.02:
        return
    made.at_moment(rng, min(made.at + 3_600, anchor))
    made.finalize(id)
    if fate < 0.05:
        made.fail(id)
    elif fate < 0.07:
        made.void(id)
    elif fate < 0.97:
        made.pay(id)


def _single_invoice(made: Books, rng: Random, anchor: int, customer: Json, prices: dict[str, list[Json]]) -> str:
    """The id of an invoice of its own, with up to 35 lines; still a draft."""
    made.at_moment(rng, rng.randint(customer["created"], anchor))
    choice = prices[customer["currency"]]
    chosen = rng.choices(choice, k=rng.choice((1, 3, 10, 11, 20, 35)))
    id: str = made.bill_once(customer["id"], chosen)["id"]
    return id


def _refunds(made: Books, rng: Random, anchor: int, count: int) -> None:
    paid = [row for row in made.objects("charges") if row["paid"]]
    for charge in rng.sample(paid, k=min(count, len(paid))):
        made.at_moment(rng, rng.randint(charge["created"], anchor))
        # Three-decimal amounts end in 0, in parts as in the whole.
        part = charge["amount"] // 20 * 10
        made.refund(charge["id"], rng.choice((charge["amount"], part)) or charge["amount"])


def _plain(made: Books, rng: Random, anchor: int, resource: Resource, count: int) -> None:
    """Objects of which one is like the other, to a third of which something has happened."""
    for _ in range(count):
        at = anchor - int(_AGE * rng.random() ** 2)
        made.at_moment(rng, at)
        id = made.create(resource, {})["id"]
        if resource.steps and rng.random() < 1 / 3:
            made.at_moment(rng, rng.randint(at, anchor))
            made.step(resource, id, rng.choice(list(resource.steps)), {})


def _settle(made: Books, rng: Random, anchor: int) -> None:
    """Money older than two days is available."""
    made.at_moment(rng, anchor)
    for row in list(made.objects("balance_transactions")):
        if row["available_on"] <= anchor:
            made.settle(row["id"])
