"""Whose objects are read, and what the account's events say about them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from ingest_shared.columnar import Page
from ingest_shared.errors import SettingError
from ingest_shared.loading import Load
from ingest_shared.reading.api import server_time
from ingest_shared.reading.listings import Listing, Scope
from ingest_shared.reading.reader import Reader
from ingest_shared.reading.sync import Sync
from ingest_shared.reading.walks import ByCreated
from ingest_shared.reading.windows import Window
from stripe_location.source.api import (
    API_VERSION,
    Stripe,
    connect,
    connected_accounts,
    reads_test_clocks,
    start_of_history,
)
from stripe_location.source.pages import PER_PAGE, Pages
from stripe_location.source.tables import log

EVENTS_ARE_KEPT = 30 * 86_400
LONGEST_RUN = 86_400
"""Longest duration of an audit, in seconds: in a longer one, events that are merely too old to be listed would count as
deleted."""
LAG = 300
"""Seconds of events that are read again: Stripe may list them late, and in no particular order within a second."""

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
    "subscription": {"customer": "customer", "schedule": "subscription_schedule"},
    "subscription_schedule": {"subscription": "subscription", "released_subscription": "subscription"},
    "tax_id": {"customer": "customer"},
    "transfer": {"source_transaction": "charge"},
}
"""By the type of an event's object: the paths at which it names other objects that it changes, and their types.

Stripe writes an event for the child only: a dispute makes a charge disputed, a discount changes its customer. A
schedule enters its next phase with the subscription that it governs, without an event of its own.
https://docs.stripe.com/api/events/types
"""


OLDER_PARENTS: dict[str, dict[str, str]] = {
    "discount": {"coupon": "coupon"},
    "invoice": {"lines.data.invoice_item": "invoiceitem", "subscription": "subscription"},
}
"""The paths in events of older versions of the API: events come in the account's own version."""


class _Object(msgspec.Struct):
    """The object that an event is about; an upcoming invoice has no id yet."""

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


class _Listed(msgspec.Struct):
    id: str
    created: int = 0


class _List(msgspec.Struct):
    data: list[_Listed]
    has_more: bool


@dataclass(frozen=True)
class Deletion:
    """When an object was deleted; ``snapshot`` is its last JSON, if an event shows that.

    Events are rendered in the version that was the account's default when they were made, and
    that cannot be changed: only a snapshot of the pinned version fits the tables.
    """

    at: int
    snapshot: bytes | None = None


@dataclass
class Change:
    """What the events say about an object: when it was last named, created and deleted."""

    at: int = 0
    object_created: int = 0
    deletion: Deletion | None = None

    @property
    def may_live(self) -> bool:
        """Whether it must be requested: an id can be reused, even in the second of a deletion."""
        return self.deletion is None or self.object_created >= self.deletion.at


@dataclass(frozen=True)
class Account(Scope):
    """An account in one mode, live or test; ``born`` is when it was connected, so some of its objects may be older."""

    born: int = 0
    is_own: bool = True
    """Whether the key is this account's own rather than that of its platform."""

    @property
    def headers(self) -> Mapping[str, str]:
        """https://docs.stripe.com/connect/authentication"""
        return {} if self.is_own else {"Stripe-Account": self.values["account_id"]}


class StripeSync(Sync):
    """The account of a key in one mode, and the accounts connected to it; a key of the other mode is a separate
    origin."""

    api: Stripe
    accounts: list[Account]
    start: int
    reads_test_clocks: bool

    def __init__(self, audit: bool = False) -> None:
        super().__init__(connect, audit)
        self.customers: defaultdict[str, set[str]] = defaultdict(set)
        """The ids of the customers that this run has read, by scope."""
        self._changes: dict[tuple[str, str, str], Change] = {}
        self._events_from: dict[str, int] = {}
        self._test_clocks: dict[str, list[str]] = {}

    def begin(self, load: Load) -> None:
        """Requests the account, once; raises SettingError for a missing or refused key."""
        super().begin(load)
        if self.now:
            return
        response = self.api.get("/v1/account", usage=load.usage)
        found = msgspec.json.decode(response.body, type=_Account)
        self.now = server_time(response.headers)
        self.start = start_of_history(self.now)
        self.reads_test_clocks = reads_test_clocks()
        own = self._account(found.id, found.created)
        self.accounts = [own, *self._connected(own, load)]

    def _connected(self, own: Account, load: Load) -> Iterator[Account]:
        """The connected accounts that the setting names, or all of them."""
        wanted = connected_accounts()
        if wanted == ["all"]:
            for account in self._listed("/v1/accounts", own, load):
                yield self._account(account.id, account.created, is_own=False)
            return
        for id_ in wanted:
            if not id_.startswith("acct_"):
                name = "sources.stripe.connected_accounts"
                raise SettingError(f"{name} has {id_!r}; set it to ids like 'acct_1A2b3C', or to 'all'")
            yield self._account(id_, 0, is_own=False)

    def _account(self, id_: str, created: int, *, is_own: bool = True) -> Account:
        live = self.api.mode == "live"
        return Account(
            f"{id_} {'live' if live else 'test'}",
            id_ if live else f"{id_} (test mode)",
            {"account_id": id_, "livemode": live},
            created,
            is_own,
        )

    def _listed(self, path: str, scope: Scope, load: Load) -> Iterator[_Listed]:
        """All objects of a list that is needed in addition to the tables."""
        query: dict[str, Any] = {"limit": PER_PAGE}
        more = True
        while more:
            response = self.api.get(path, query, usage=load.usage, headers=scope.headers)
            page = msgspec.json.decode(response.body, type=_List)
            yield from page.data
            more = page.has_more and bool(page.data)
            query["starting_after"] = page.data[-1].id if more else ""

    def scopes(self, listing: Listing, load: Load) -> Iterable[Scope]:
        return [account for account in self.accounts if account.is_own or listing.table.name != "accounts"]

    def history(self, scope: Scope, start: int) -> list[Window]:
        """From ``start`` until now, apart from what is older than the account, which is little or nothing."""
        assert isinstance(scope, Account)
        born = min(max(start, scope.born), self.now)
        return [Window(start, born), Window(born, self.now)]

    def changes(self, scope: Scope, object_type: str, since: int, load: Load) -> dict[str, Change]:
        """The objects of an account and a type that events have named or changed since then, by id."""
        known_from = self._events_from.get(scope.id, self.now)
        if since < known_from:
            for event in self._events_between(scope, since, known_from, load):
                self._note(scope, event)
            self._events_from[scope.id] = since
        wanted = (scope.id, object_type)
        return {id_: c for (*of, id_), c in self._changes.items() if tuple(of) == wanted and c.at >= since}

    def test_clocks(self, scope: Scope, load: Load) -> list[str]:
        """The ids of the test clocks whose objects are loaded: none if the setting is ``never``.

        https://docs.stripe.com/api/test_clocks
        """
        if not self.reads_test_clocks or self.api.mode == "live":
            return []
        if scope.id not in self._test_clocks:
            clocks = self._listed("/v1/test_helpers/test_clocks", scope, load)
            self._test_clocks[scope.id] = [clock.id for clock in clocks]
        return self._test_clocks[scope.id]

    def _events_between(self, scope: Scope, start: int, end: int, load: Load) -> Iterator[Any]:
        for page in Reader(EVENT_LOG, self).read_window(scope, Window(start, end), load):
            yield from page.rows

    def _note(self, scope: Scope, event: Any) -> None:
        if event.account and event.account != scope.values["account_id"]:
            return  # belongs to another account
        if event.type == "invoice.upcoming":
            return  # a forecast: its objects have no id, or one that cannot be requested
        snapshot = msgspec.json.decode(event.data, type=_Data).object
        what = msgspec.json.decode(snapshot, type=_Object)
        if what.object and what.id:
            change = self._change(scope, what.object, what.id, event.created)
            change.object_created = max(change.object_created, what.created or what.date or 0)
            last_deleted = change.deletion.at if change.deletion else 0
            # customer.subscription.deleted is a cancellation
            if event.type == f"{what.object}.deleted" and event.created >= last_deleted:
                shown = bytes(snapshot) if event.api_version == API_VERSION else None
                change.deletion = Deletion(event.created, shown)
        type_ = what.object or ""
        if type_ in PARENTS:
            fields = msgspec.json.decode(snapshot, type=dict[str, Any])
            if what.id and (type_ == "card" or (type_ == "source" and fields.get("type") == "card")):
                # One object in two views: https://docs.stripe.com/payments/payment-methods/transitioning
                self._change(scope, "payment_method", what.id, event.created)
            for path, object_type in (*PARENTS[type_].items(), *OLDER_PARENTS.get(type_, {}).items()):
                for value in _values_at(fields, path.split(".")):
                    if id_ := value["id"] if isinstance(value, dict) else value:
                        self._change(scope, object_type, id_, event.created)

    def _change(self, scope: Scope, object_type: str, id_: str, at: int) -> Change:
        change = self._changes.setdefault((scope.id, object_type, id_), Change())
        change.at = max(change.at, at)
        return change


def sync_of(reader: Reader) -> StripeSync:
    """What the reader shares with the other readers of its run."""
    assert isinstance(reader.sync, StripeSync)
    return reader.sync


def without_clocks(reader: Reader, page: Page) -> None:
    """Removes the objects of test clocks from a page, unless they are to be loaded."""
    if not sync_of(reader).reads_test_clocks:
        page.rows = [row for row in page.rows if getattr(row, "test_clock", None) is None]


def _values_at(value: Any, path: Sequence[str]) -> Iterator[Any]:
    """The value at a path of an object, or at that path of each object of a list on the way."""
    if isinstance(value, list):
        for one in value:
            yield from _values_at(one, path)
    elif not path:
        yield value
    elif isinstance(value, dict):
        yield from _values_at(value.get(path[0]), path[1:])


def created_in(start: int, end: int) -> dict[str, int]:
    """The parameters for what was created in a half-open span of time."""
    return {"created[gte]": start, "created[lt]": end}


@dataclass(frozen=True)
class EventLog(ByCreated):
    """The log of everything that happened, kept here forever; Stripe keeps 30 days of it."""

    def window(self, reader: Reader, cursor: dict[str, Any]) -> Window:
        oldest = reader.sync.now - EVENTS_ARE_KEPT
        return Window(max(oldest, cursor.get("until", 0) - self.lag), reader.sync.now)

    def audited(self, reader: Reader, scope: Scope) -> dict[str, Any]:
        """Leaves out the oldest day: Stripe counts its 30 days back from each request, which may come hours after
        ``now``."""
        shown = self.window(reader, {})
        return {**scope.values, "created": Window(shown.start + LONGEST_RUN, shown.end)}


EVENT_LOG = Listing(
    log.events,
    "/v1/events",
    walk=EventLog("created", created_in, lag=LAG),
    envelope=Pages(),
    params={"limit": PER_PAGE},
)
