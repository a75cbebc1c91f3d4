"""Payment methods, which are listed per customer."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import dlt

from ingest_shared.columnar import Page
from ingest_shared.errors import ApiError, SettingError
from ingest_shared.reading.envelopes import Request
from ingest_shared.reading.listings import Cursor, Piece, Progress, Scope, Step
from ingest_shared.reading.reader import Reader
from ingest_shared.reading.tombstones import KEYS_PER_QUERY, held_where
from ingest_shared.reading.windows import Window
from stripe_location.source.account import Change, sync_of
from stripe_location.source.objects import LONGEST_GAP, Objects
from stripe_location.source.tables import TABLES


@dataclass(frozen=True, kw_only=True)
class Customers(Objects):
    """At first all customers; then new ones and those that events name.

    Remembers which ones it has read, for the lists per customer: the cursor keeps customers that are new here, with the
    time of their run, until their payment methods have been read: a run may leave those out or lack the permission, and
    there may be no event about them later.
    """

    def finish_page(self, reader: Reader, scope: Scope, page: Page) -> None:
        super().finish_page(reader, scope, page)
        sync_of(reader).customers[scope.id].update(row.id for row in page.rows)

    def finish(self, reader: Reader, scope: Scope, progress: Progress) -> None:
        super().finish(reader, scope, progress)
        known, listed = reader.known.get(scope.id, {}), cursor_of("payment_methods", scope).get("until", 0)
        if "until" in known and reader.sync.now - listed <= LONGEST_GAP:  # otherwise those of all customers are listed
            new = known.get("new", {}) | dict.fromkeys(new_customers(reader, scope), reader.sync.now)
            progress.cursor["new"] = {id_: at for id_, at in new.items() if at > listed}
        else:
            progress.cursor.pop("new", None)


@dataclass(frozen=True)
class OfCustomer(Piece):
    """A page of a customer's payment methods."""

    customer: str = ""


@dataclass(frozen=True, kw_only=True)
class PaymentMethods(Objects):
    """At first the lists of all customers; then those of customers that are new here, and what events name.

    In some versions of the API, the list ``/v1/payment_methods`` contains only the account's own
    (https://docs.stripe.com/api/payment_methods/list). A deleted customer loses their payment methods, possibly without
    an event.
    """

    after = ("customers",)
    cost = "One for each customer, at first and in an audit; then one for each new customer or object that events name."

    def whole(self, reader: Reader, scope: Scope) -> list[Piece]:
        """The lists of all customers; of those before the first remaining one, only the lists of new ones."""
        held, read = self._customers(reader, scope), sync_of(reader).customers[scope.id]
        first = reader.progress[scope.id].cursor.get("first_left", "")
        return self._lists(reader, scope, {id_ for id_ in held if id_ >= first} | (read - held))

    def may_wait(self, piece: Piece, cursor: Cursor) -> bool:
        return "until" not in cursor and isinstance(piece, OfCustomer)

    def leave(self, reader: Reader, progress: Progress) -> Cursor:
        first = min(piece.customer for piece in progress.left if isinstance(piece, OfCustomer))
        return super().leave(reader, progress) | {"first_left": first}

    def finish(self, reader: Reader, scope: Scope, progress: Progress) -> None:
        super().finish(reader, scope, progress)
        progress.cursor.pop("first_left", None)

    def recent(self, reader: Reader, scope: Scope, since: int, earlier: Window) -> list[Piece]:
        sync, table = sync_of(reader), reader.listing.table
        customers = sync.changes(scope, "customer", since, reader.load)
        gone = tuple(id_ for id_, change in customers.items() if change.deletion)
        if gone and (left := held_where(table, ["id"], {**scope.values, "customer": gone})):
            changes: dict[str, Change] = reader.progress[scope.id].noted["changes"]
            reader.progress[scope.id].noted["changes"] = {row["id"]: Change() for row in left} | changes
        until = reader.known[scope.id]["until"]
        waiting = {id_ for id_, at in cursor_of("customers", scope).get("new", {}).items() if at > until}
        return self._lists(reader, scope, waiting | new_customers(reader, scope))

    def audited(self, reader: Reader, scope: Scope) -> Mapping[str, Any]:
        return scope.values

    def fetch(self, reader: Reader, piece: Piece, cursor: Cursor) -> Step:
        if not isinstance(piece, OfCustomer):
            return super().fetch(reader, piece, cursor)
        assert piece.request
        try:
            page, response = reader.send(piece.scope, piece.request)
        except ApiError as error:
            if error.status != 404:
                raise
            return Step()  # the customer was deleted in the meantime
        following = reader.following(piece.request, page, response)
        return Step([page], [replace(piece, request=request) for request in following])

    @staticmethod
    def _customers(reader: Reader, scope: Scope) -> set[str]:
        """The customers that the warehouse has."""
        customers = TABLES["customers"]
        held = held_where(customers, ["id"], scope.values)
        if held is None and customers.name not in reader.sync.turns.read:
            raise SettingError(
                "payment_methods is read per customer, and customers was never loaded: select both, or leave out both"
            )
        return {row["id"] for row in held or ()}

    @staticmethod
    def _lists(reader: Reader, scope: Scope, customers: set[str]) -> list[Piece]:
        params = {"limit": reader.listing.params["limit"]}
        path = reader.listing.path
        return [
            OfCustomer(scope, request=Request(path.format(customer=id_), params), customer=id_)
            for id_ in sorted(customers)
        ]


def new_customers(reader: Reader, scope: Scope) -> set[str]:
    """The customers that this run has read but the warehouse does not have yet."""
    read = sync_of(reader).customers[scope.id]
    these = {"id": tuple(read)} if len(read) <= KEYS_PER_QUERY else {}
    held = held_where(TABLES["customers"], ["id"], {**scope.values, **these}) if read else None
    return read - {row["id"] for row in held or ()}


def cursor_of(table: str, scope: Scope) -> Cursor:
    """The cursor of another table for a scope; empty before its first load."""
    cursor: Cursor = dlt.current.resource_state(table).get("cursors", {}).get(scope.id, {})
    return cursor
