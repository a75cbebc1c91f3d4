"""Whose objects are read, and what the account's events say of them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from ingest_shared.columnar import Page
from ingest_shared.loading import Load
from ingest_shared.reading.api import server_time
from ingest_shared.reading.listings import Listing, Scope
from ingest_shared.reading.reader import Reader, Sync
from ingest_shared.reading.walks import ByCreated
from ingest_shared.reading.windows import Window
from stripe_location.source.api import API_VERSION, Stripe, connect, reads_test_clocks, start_of_history
from stripe_location.source.pages import PER_PAGE, Pages
from stripe_location.source.tables import log

EVENTS_ARE_KEPT = 30 * 86_400
LAG = 300
"""Seconds of events read again: Stripe lists them late at times, and in no order in a second."""

PARENTS: dict[str, dict[str, str]] = {
    "application_fee": {"charge": "charge"},
    "bank_account": {"customer": "customer"},
    "card": {"customer": "customer"},
    "charge": {"customer": "customer", "payment_intent": "payment_intent"},
    "credit_note": {"invoice": "invoice", "customer": "customer"},
    "customer_cash_balance_transaction": {"customer": "customer"},
    "discount": {
        "customer": "customer",
        "subscription": "subscription",
        "invoice": "invoice",
        "source.coupon": "coupon",
        "promotion_code": "promotion_code",
    },
    "dispute": {"charge": "charge", "payment_intent": "payment_intent"},
    "fee_refund": {"fee": "application_fee"},
    "invoice": {
        "customer": "customer",
        "parent.subscription_details.subscription": "subscription",
        "lines.data.parent.invoice_item_details.invoice_item": "invoiceitem",
    },
    "invoice_payment": {"invoice": "invoice"},
    "invoiceitem": {"invoice": "invoice", "customer": "customer"},
    "price": {"product": "product"},
    "radar.early_fraud_warning": {"charge": "charge"},
    "refund": {"charge": "charge", "payment_intent": "payment_intent"},
    "review": {"charge": "charge", "payment_intent": "payment_intent"},
    "source": {"customer": "customer"},
    "subscription": {"customer": "customer"},
    "subscription_schedule": {"subscription": "subscription"},
    "tax_id": {"customer": "customer"},
    "transfer": {"source_transaction": "charge"},
}
"""By the type of an event's object: the paths at which it names other objects it changes, and their types.

Stripe tells of the child alone: a dispute makes a charge disputed, a discount changes its customer.
https://docs.stripe.com/api/events/types
"""


OLDER_PARENTS: dict[str, dict[str, str]] = {
    "discount": {"coupon": "coupon"},
    "invoice": {"lines.data.invoice_item": "invoiceitem", "subscription": "subscription"},
}
"""Where an event of an older version of the API names them: events come in the account's own version."""


class _Object(msgspec.Struct):
    """Which object an event is about; an upcoming invoice has no id yet."""

    id: str | None = None
    object: str | None = None
    created: int | None = None
    date: int | None = None
    """When an invoice item was made."""


class _Data(msgspec.Struct):
    object: msgspec.Raw


class _Account(msgspec.Struct):
    id: str
    created: int = 0


class _TestClock(msgspec.Struct):
    id: str


class _TestClocks(msgspec.Struct):
    data: list[_TestClock]
    has_more: bool


@dataclass(frozen=True)
class Deletion:
    """When an object was deleted; ``snapshot`` is its JSON of then, if an event shows that.

    Events are rendered in the version that was the account's default when they were made, and
    that cannot be changed: only a snapshot of the pinned version fits the tables.
    """

    at: int
    snapshot: bytes | None = None


@dataclass
class Change:
    """What the events tell of an object: when it was last named, and made, and deleted."""

    at: int = 0
    object_created: int = 0
    deletion: Deletion | None = None

    @property
    def may_live(self) -> bool:
        """Whether it must be asked for: an id can be given anew, even in the second of a deletion."""
        return self.deletion is None or self.object_created >= self.deletion.at


class StripeSync(Sync):
    """One account in one mode, live or test; a run of another key of it is another origin."""

    api: Stripe
    account: Scope
    start: int
    reads_test_clocks: bool
    born: int
    """When the account was connected; some of its objects may be older."""

    def __init__(self, audit: bool = False) -> None:
        super().__init__(connect, audit)
        self.customers: set[str] = set()
        """The ids of the customers that this run has read."""
        self._changes: dict[tuple[str, str], Change] = {}
        self._events_from = 0
        self._test_clocks: list[str] | None = None

    def begin(self, load: Load) -> None:
        """Asks for the account, once; raises SettingError for a missing or refused key."""
        super().begin(load)
        if self.now:
            return
        response = self.api.get("/v1/account", usage=load.usage)
        found = msgspec.json.decode(response.body, type=_Account)
        account, self.born = found.id, found.created
        self.now = self._events_from = server_time(response.headers)
        self.start = start_of_history(self.now)
        self.reads_test_clocks = reads_test_clocks()
        live = self.api.mode == "live"
        self.account = Scope(
            f"{account} {'live' if live else 'test'}",
            account if live else f"{account} (test mode)",
            {"account_id": account, "livemode": live},
        )

    def scopes(self, listing: Listing, load: Load) -> Iterable[Scope]:
        return (self.account,)

    def history(self, start: int) -> list[Window]:
        """From ``start`` until now, apart from what is older than the account, which is little or nothing."""
        born = min(max(start, self.born), self.now)
        return [Window(start, born), Window(born, self.now)]

    def changes(self, object_type: str, since: int, load: Load) -> dict[str, Change]:
        """The objects of a type that events name or change since then, by id."""
        if since < self._events_from:
            for event in self._events_between(since, self._events_from, load):
                self._note(event)
            self._events_from = since
        return {id_: c for (type_, id_), c in self._changes.items() if type_ == object_type and c.at >= since}

    def test_clocks(self, load: Load) -> list[str]:
        """The ids of the test clocks whose objects are to be loaded: none where the setting says never.

        https://docs.stripe.com/api/test_clocks
        """
        if self._test_clocks is None:
            self._test_clocks = []
            query: dict[str, Any] = {"limit": PER_PAGE}
            more = self.reads_test_clocks and self.api.mode == "test"
            while more:
                body = self.api.get("/v1/test_helpers/test_clocks", query, usage=load.usage).body
                page = msgspec.json.decode(body, type=_TestClocks)
                self._test_clocks += [clock.id for clock in page.data]
                more = page.has_more and bool(page.data)
                query["starting_after"] = self._test_clocks[-1] if more else ""
        return self._test_clocks

    def _events_between(self, start: int, end: int, load: Load) -> Iterator[Any]:
        for page in Reader(EVENT_LOG, self).read_window(self.account, Window(start, end), load):
            yield from page.rows

    def _note(self, event: Any) -> None:
        if event.account and event.account != self.account.values["account_id"]:
            return  # of a connected account
        if event.type == "invoice.upcoming":
            return  # a forecast: what it shows has no id, or one that answers to nothing
        snapshot = msgspec.json.decode(event.data, type=_Data).object
        what = msgspec.json.decode(snapshot, type=_Object)
        if what.object and what.id:
            change = self._change(what.object, what.id, event.created)
            change.object_created = max(change.object_created, what.created or what.date or 0)
            last_deleted = change.deletion.at if change.deletion else 0
            # customer.subscription.deleted is a cancellation
            if event.type == f"{what.object}.deleted" and event.created >= last_deleted:
                shown = bytes(snapshot) if event.api_version == API_VERSION else None
                change.deletion = Deletion(event.created, shown)
        type_ = what.object or ""
        if type_ in PARENTS:
            fields = msgspec.json.decode(snapshot, type=dict[str, Any])
            for path, object_type in (*PARENTS[type_].items(), *OLDER_PARENTS.get(type_, {}).items()):
                for value in _values_at(fields, path.split(".")):
                    if id_ := value["id"] if isinstance(value, dict) else value:
                        self._change(object_type, id_, event.created)

    def _change(self, object_type: str, id_: str, at: int) -> Change:
        change = self._changes.setdefault((object_type, id_), Change())
        change.at = max(change.at, at)
        return change


def without_clocks(reader: Reader, page: Page) -> None:
    """Takes the objects of test clocks out of a page, unless they are to be loaded."""
    assert isinstance(reader.sync, StripeSync)
    if not reader.sync.reads_test_clocks:
        page.rows = [row for row in page.rows if getattr(row, "test_clock", None) is None]


def _values_at(value: Any, path: Sequence[str]) -> Iterator[Any]:
    """What stands at a path of an object, or at that path of each object of a list on the way."""
    if isinstance(value, list):
        for one in value:
            yield from _values_at(one, path)
    elif not path:
        yield value
    elif isinstance(value, dict):
        yield from _values_at(value.get(path[0]), path[1:])


def between(start: int, end: int) -> dict[str, int]:
    """The parameters for what was created in a half-open span of time."""
    return {"created[gte]": start, "created[lt]": end}


@dataclass(frozen=True)
class EventLog(ByCreated):
    """The log of everything that happened, kept here for ever; Stripe keeps 30 days of it."""

    def window(self, reader: Reader, cursor: dict[str, Any]) -> Window:
        oldest = reader.sync.now - EVENTS_ARE_KEPT
        return Window(max(oldest, cursor.get("until", 0) - self.lag), reader.sync.now)

    def audited(self, reader: Reader, scope: Scope) -> dict[str, Any]:
        return {**scope.values, "created": self.window(reader, {})}


EVENT_LOG = Listing(
    log.events,
    "/v1/events",
    walk=EventLog("created", between, lag=LAG),
    envelope=Pages(),
    params={"limit": PER_PAGE},
)
