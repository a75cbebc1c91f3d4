"""A source by declarations alone: tickets found by a POST search with a cursor in the body, comments per ticket."""

from collections.abc import Iterable
from typing import Any

import dlt
from dlt.extract.resource import DltResource

from ingest_shared.rest import Api, APIKeyAuth, ChangedSince, CursorIn, FullList, Listing, PerRow, iso, resources
from ingest_shared.tables import DELETED_AT, Child, Table, bigint, text, timestamp

tickets = Table(
    name="tickets",
    description="Tickets of the help desk.",
    docs="https://example.com/tickets",
    columns=(
        bigint("id", "Immutable id."),
        text("subject", "What it is about."),
        bigint("requester_id", "Who asked.", path="requester.id"),
        timestamp("updated_at", "When it last changed.", path="meta.updated_at"),
        DELETED_AT,
    ),
    children=(
        Child(
            name="ticket_tags",
            description="Tags on tickets.",
            path="tags",
            key=("ticket_id", "tag"),
            columns=(bigint("ticket_id", "Ticket.", path="id", origin="parent"), text("tag", "The tag.", path=".")),
        ),
    ),
)
comments = Table(
    name="comments",
    description="Comments on tickets.",
    docs="https://example.com/comments",
    columns=(
        bigint("id", "Immutable id."),
        bigint("ticket_id", "Ticket.", origin="reader"),
        text("body", "Text."),
        DELETED_AT,
    ),
)

LISTINGS = (
    Listing(
        tickets,
        "/tickets/search",
        walk=ChangedSince("meta.updated_at", since=lambda at: {"updated_since": iso(at)}),
        envelope=CursorIn(rows="results", at="paging.next.after", param="after"),
        body={"sort": "updated", "limit": 10},
    ),
    Listing(
        comments,
        "/tickets/{ticket_id}/comments",
        walk=FullList(),
        envelope=CursorIn(rows="results", at="paging.next.after", param="after"),
        per=PerRow(tickets, {"ticket_id": "id"}, changed="updated_at", absent=(404,)),
        params={"limit": 10},
    ),
)


def connect() -> Api:
    """The API under its key; raises :class:`SettingError`."""
    return Api.configured(
        "sources.helpdesk",
        "https://api.example.com",
        auth=lambda key: APIKeyAuth(name="X-Api-Key", api_key=key),
        credential="api_key",
        calls_per_second=1000,
        in_flight=4,
    )


@dlt.source(name="helpdesk", section="helpdesk")
def helpdesk(audit: bool = False) -> Iterable[DltResource]:
    """Tickets and their comments."""
    return resources(LISTINGS, connect, audit)


SOURCE: Any = helpdesk
TABLES = (tickets, comments)
