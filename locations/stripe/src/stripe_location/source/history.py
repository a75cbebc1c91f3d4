"""The states of every subscription since it began, derived from the events and subscriptions in the warehouse.

Each event of a subscription shows a state, which begins in the second of the event. If a subscription differs from its
latest state (an event was never written, or an audit repaired the row), the row is another state. The state before the
first event is inferred from what that event says it changed, or from the row. No API is called. Events stay in the
warehouse forever, so everything can be derived again.
"""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

import msgspec
from dlt.destinations.exceptions import DatabaseUndefinedRelation
from dlt.destinations.sql_client import SqlClientBase
from dlt.pipeline.state_sync import load_pipeline_state_from_destination

from ingest_shared import pipelines
from ingest_shared.columnar import Decoder, Page
from ingest_shared.errors import SettingError
from ingest_shared.loading import Load
from stripe_location.source.api import tables_left_out
from stripe_location.source.tables.history import subscription_states

MADE_OF = {"events", "subscriptions"}
AT_ONCE = 2_000
"""Subscriptions that are processed together."""
INFERRED, OF_EVENT, SEEN = "inferred", "event", "seen"
WAS_ACTIVE = ("canceled", "past_due", "unpaid", "paused")
"""Statuses that usually follow an active subscription."""
PLACES = {"customer.subscription.created": 1, "customer.subscription.deleted": 3}
"""The order of events within one second, which Stripe does not give; all others come second."""
LAST = 9

State = dict[str, Any]
Id = tuple[str, str]
"""An account and a subscription."""


@dataclass
class States:
    """Reads the states that the warehouse does not have yet; raises SettingError if a table that they derive from is
    missing."""

    decoder: Decoder

    def __call__(self, load: Load) -> Iterator[Page]:
        if _is_left_out(load):
            return
        until = _billing_read_until()
        with _opened(load) as warehouse:
            told = warehouse.told()
            for current in warehouse.current():
                latest = warehouse.latest(current)
                states = (
                    state
                    for id_, row in current.items()
                    for state in _states(row, told.pop(id_, []), latest.get(id_), until.get(_scope(row), 0))
                )
                yield self._page(states)
            yield self._page(state for states in told.values() for state in states)

    def _page(self, states: Iterable[State]) -> Page:
        table = subscription_states
        of_state = [column.name for column in table.columns]
        of_item = [column.name for column in table.children[0].columns if column.origin == "payload"]
        rows = [
            {name: state[name] for name in of_state}
            | {"items": [{name: item[name] for name in of_item} for item in state["items"]]}
            for state in states
        ]
        return self.decoder.page(msgspec.json.encode(rows))


@dataclass
class Discounts:
    """Reads the coupon of each discount that an event or a subscription shows; raises as :class:`States` does."""

    decoder: Decoder

    def __call__(self, load: Load) -> Iterator[Page]:
        if _is_left_out(load):
            return
        with _opened(load) as warehouse:
            found = {(row["account_id"], row["id"]): row for row in warehouse.discounts()}
        yield self.decoder.page(msgspec.json.encode([*found.values()]))


def _is_left_out(load: Load) -> bool:
    """Whether a setting excludes a table that everything derives from; logs that."""
    missing = sorted(MADE_OF & tables_left_out())
    if missing:
        load.warn(f"nothing is derived, because sources.stripe.without leaves out {missing[0]}")
    return bool(missing)


def _states(row: State, told: list[State], latest: State | None, until: int) -> Iterator[State]:
    """The new states of a subscription: the one before, those of events, and the row's since ``until``."""
    told = sorted(told, key=_order)
    if latest is None:
        yield from _before(told[0]["before"] or told[0], told[0]["valid_from"]) if told else _before(row, until)
    yield from told
    known = max([*told, *([latest] if latest else [])], key=_order, default=None)
    if known and known["valid_from"] < until and known["state"] != row["state"]:
        yield {**row, "valid_from": until, "place": LAST, "source": SEEN}


def _before(state: State, until: int) -> Iterator[State]:
    """The state of a subscription before that second, as far as its trial and end show it."""
    begun, ended, trial = state["created"], state["ended_at"], state["trial_end"]
    status = "active" if state["status"] in WAS_ACTIVE or (trial and state["status"] == "active") else state["status"]
    steps = [(begun, status)]
    if trial and trial > begun and status in ("active", "trialing"):
        steps = [(begun, "trialing")]
        if trial < (ended or until):
            steps.append((trial, "active"))
    if ended:
        steps.append((ended, state["status"]))
    elif state["status"] not in ("active", "trialing", status):
        steps.append((until - 1, state["status"]))
    for place, (at, was) in enumerate(steps):
        if at < until:
            given = {"valid_from": at, "status": was, "event": "", "place": place - LAST, "source": INFERRED}
            yield _stamped({**state, **given})


def _stamped(state: State) -> State:
    """The state with its distinguishing value."""
    items = sorted((item["id"], item["price"], item["quantity"]) for item in state["items"])
    same = [state[name] for name in ("customer", "status", "currency", "cancel_at_period_end", "discounts")]
    return {**state, "state": hashlib.sha256(msgspec.json.encode([same, items])).hexdigest()[:32]}


def _order(state: State) -> tuple[int, int, str]:
    return state["valid_from"], state["place"], state["event"]


def _scope(row: State) -> str:
    return f"{row['account_id']} {'live' if row['livemode'] else 'test'}"


def _billing_read_until() -> dict[str, int]:
    """The second up to which the rows of subscriptions are known, by account and mode."""
    with pipelines.current().destination_client() as client:
        state = load_pipeline_state_from_destination("stripe_billing", client)  # type: ignore[arg-type]
    sources: Any = (state or {}).get("sources", {})
    cursors = sources.get("stripe_billing", {}).get("resources", {}).get("subscriptions", {}).get("cursors", {})
    return {scope: cursor["until"] for scope, cursor in cursors.items() if "until" in cursor}


@dataclass(frozen=True)
class _Warehouse:
    """The rows in the warehouse."""

    client: SqlClientBase[Any]

    def discounts(self) -> Iterator[State]:
        """The discounts of subscriptions, first from events, then from the subscriptions themselves."""
        told = "SELECT account_id, livemode, data FROM {events} WHERE type LIKE %s AND connected_account IS NULL"
        for account, livemode, data in self._rows(told, "customer.discount.%"):
            shown = _parsed(data)["object"]
            if shown.get("subscription"):
                yield _discount(account, livemode, shown["subscription"], shown)
        held = "SELECT account_id, livemode, id, discounts FROM {subscriptions} WHERE discounts IS NOT NULL"
        for account, livemode, subscription, discounts in self._rows(held):
            for shown in _parsed(discounts):
                if isinstance(shown, dict):
                    yield _discount(account, livemode, subscription, shown)

    def told(self) -> dict[Id, list[State]]:
        """By subscription, the states in new events, each with the previous one if the event shows it."""
        sql = (
            "SELECT e.account_id, e.id, e.type, e.created, e.data, e.livemode FROM {events} AS e "
            "WHERE e.type LIKE %s AND e.connected_account IS NULL"
        )
        if self._rows("SELECT 1 FROM {subscription_states} LIMIT 1", may_be_missing=True):
            made = "s.account_id = e.account_id AND s.event = e.id"
            sql += f" AND NOT EXISTS (SELECT 1 FROM {{subscription_states}} AS s WHERE {made})"
        found: dict[Id, list[State]] = defaultdict(list)
        for account, event, type_, created, data, livemode in self._rows(sql, "customer.subscription.%"):
            shown = _parsed(data)
            snapshot = shown["object"]
            if snapshot.get("object") != "subscription":
                continue
            given = {"account_id": account, "event": event, "valid_from": _second(created), "livemode": livemode}
            given |= {"place": PLACES.get(type_, 2), "source": OF_EVENT}
            changed = shown.get("previous_attributes")
            before = _of_snapshot(_overlaid(snapshot, changed), given) if changed else None
            found[account, snapshot["id"]].append({**_of_snapshot(snapshot, given), "before": before})
        return self._completed(found)

    def _completed(self, told: dict[Id, list[State]]) -> dict[Id, list[State]]:
        """Adds the items beyond the first ten, which events do not show, as they are now."""
        cut = {id_ for id_, states in told.items() if any(state["more"] for state in states)}
        items = self._items(cut)
        for id_ in cut:
            for state in told[id_]:
                for cut_off in filter(None, (state, state["before"])):
                    if cut_off["more"]:
                        shown, until = {item["id"] for item in cut_off["items"]}, cut_off["valid_from"]
                        others = [item for item in items[id_] if item["id"] not in shown and item["created"] <= until]
                        cut_off.update(_stamped({**cut_off, "items": [*cut_off["items"], *others]}))
        return told

    def current(self) -> Iterator[dict[Id, State]]:
        """The current subscriptions, some thousand at once."""
        columns = "account_id, id, customer, status, currency, cancel_at_period_end, discounts, livemode"
        sql = (
            f"SELECT {columns}, created, trial_end, ended_at FROM {{subscriptions}} "
            "WHERE (account_id, id) > (%s, %s) ORDER BY account_id, id LIMIT " + str(AT_ONCE)
        )
        after: Id = ("", "")
        while rows := self._rows(sql, *after):
            found: dict[Id, State] = {}
            for account, id_, customer, status, currency, ends, discounts, livemode, *times in rows:
                created, trial, ended = (_second(at) if at else None for at in times)
                given = {"account_id": account, "subscription_id": id_, "event": "", "customer": customer}
                given |= {"status": status, "currency": currency, "cancel_at_period_end": ends, "livemode": livemode}
                given |= {"created": created, "trial_end": trial, "ended_at": ended}
                found[account, id_] = {**given, "discounts": _ids(_parsed(discounts))}
            items = self._items(found)
            yield {id_: _stamped({**row, "items": items[id_]}) for id_, row in found.items()}
            after = rows[-1][0], rows[-1][1]

    def latest(self, ids: Collection[Id]) -> dict[Id, State]:
        """The latest known state of each subscription."""
        names = ("account_id", "subscription_id", "valid_from", "place", "event", "state")
        sql = f"SELECT {', '.join(names)} FROM {{subscription_states}} WHERE subscription_id IN"
        found: dict[Id, State] = {}
        for row in self._of(sql, ids, may_be_missing=True):
            state = dict(zip(names, row, strict=True))
            state["valid_from"] = _second(state["valid_from"])
            id_ = state["account_id"], state["subscription_id"]
            found[id_] = max(state, found.get(id_, state), key=_order)
        return found

    def _items(self, ids: Collection[Id]) -> defaultdict[Id, list[State]]:
        found: defaultdict[Id, list[State]] = defaultdict(list)
        sql = "SELECT account_id, subscription_id, id, price, quantity, created FROM {subscription_items} "
        for account, subscription, id_, price, quantity, created in self._of(sql + "WHERE subscription_id IN", ids):
            item = {"id": id_, "price": price, "quantity": quantity, "created": _second(created)}
            found[account, subscription].append(item)
        return found

    def _of(self, sql: str, ids: Collection[Id], *, may_be_missing: bool = False) -> Iterator[Any]:
        """The rows of these subscriptions, as many ids per query as it takes."""
        wanted = iter(ids)
        while some := [*islice(wanted, AT_ONCE)]:
            marks = ", ".join(["%s"] * len(some))
            yield from self._rows(f"{sql} ({marks})", *(id_ for _, id_ in some), may_be_missing=may_be_missing)

    def _rows(self, sql: str, *args: Any, may_be_missing: bool = False) -> list[Any]:
        tables = "events subscriptions subscription_items subscription_states".split()
        names = {name: self.client.make_qualified_table_name(name) for name in tables}
        try:
            return list(self.client.execute_sql(sql.format(**names), *args) or ())
        except DatabaseUndefinedRelation:
            if may_be_missing:
                return []
            raise


@contextmanager
def _opened(load: Load) -> Iterator[_Warehouse]:
    """The warehouse; raises SettingError if a queried table was never loaded."""
    with pipelines.current().sql_client() as client:
        try:
            yield _Warehouse(client)
        except DatabaseUndefinedRelation as error:
            line = str(error).splitlines()[0]
            raise SettingError(
                f"{load.resource} is derived from events, subscriptions and their items, "
                f"and one of them was never loaded: run the job stripe_ingest ({line})"
            ) from None


def _discount(account: str, livemode: bool, subscription: str, shown: State) -> State:
    """A discount; before version 2025-09-30 it contained the coupon itself."""
    coupon = shown["source"]["coupon"] if "source" in shown else shown.get("coupon")
    own = {"account_id": account, "livemode": livemode, "subscription_id": subscription}
    return {**own, "id": shown["id"], "coupon": _id(coupon)}


def _parsed(value: Any) -> Any:
    """Parses JSON, unless the destination's driver already did."""
    return msgspec.json.decode(value) if isinstance(value, str) else value


def _of_snapshot(shown: State, given: State) -> State:
    """The state of a subscription in an event; events of older versions also have its items and one discount."""
    items = [
        {
            "id": item["id"],
            "price": (item.get("price") or item.get("plan") or {}).get("id"),
            "quantity": item.get("quantity"),
            "created": item.get("created", 0),
        }
        for item in shown["items"]["data"]
    ]
    one = shown.get("discount")
    return _stamped(
        {
            **given,
            "subscription_id": shown["id"],
            "customer": _id(shown["customer"]),
            "status": shown["status"],
            "currency": shown.get("currency"),
            "cancel_at_period_end": shown.get("cancel_at_period_end"),
            "discounts": _ids(shown.get("discounts") or ([one] if one else [])),
            "created": shown["created"],
            "trial_end": shown.get("trial_end"),
            "ended_at": shown.get("ended_at"),
            "items": items,
            "more": bool(shown["items"].get("has_more")),
        }
    )


def _overlaid(now: State, before: State) -> State:
    """An object as it was before an event: ``previous_attributes`` has what the event changed."""
    both = {name: (now.get(name), value) for name, value in before.items()}
    old = {
        name: _overlaid(new, was) if isinstance(new, dict) and isinstance(was, dict) else was
        for name, (new, was) in both.items()
    }
    return now | old


def _ids(objects: Iterable[Any] | None) -> list[str]:
    return sorted(map(_id, objects or ()))


def _id(value: Any) -> Any:
    """The id of an object, whether or not it was expanded."""
    return value["id"] if isinstance(value, dict) else value


def _second(at: datetime) -> int:
    return int(at.timestamp())
