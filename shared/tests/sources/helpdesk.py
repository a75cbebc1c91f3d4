"""A source by declarations alone: tickets found by a POST search with a cursor in the body, comments per ticket."""

from collections.abc import Iterable
from typing import Any

import dlt
from dlt.extract.resource import DltResource
from dlt.sources.helpers.rest_client.auth import APIKeyAuth

from ingest_shared.loading import mirror
from ingest_shared.reading.api import Api
from ingest_shared.reading.envelopes import CursorIn
from ingest_shared.reading.listings import Listing, iso
from ingest_shared.reading.per_row import PerRow
from ingest_shared.reading.reader import Reader
from ingest_shared.reading.sync import Sync
from ingest_shared.reading.walks import ChangedSince, FullList
from ingest_shared.settings import secret_setting, text_setting
from ingest_shared.tables import Child, Table, bigint, epoch, text, timestamp

DELETED_AT = epoch("deleted_at", "When it was found to be deleted; null while it exists.", origin="reader")

tickets = Table(
    name="tickets",
    description="Tickets of the help desk.",
    docs="https://example.com/tickets",
    key=("id",),
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
    key=("id",),
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
    return Api(
        text_setting("sources.helpdesk.api_url", "https://api.example.com"),
        auth=APIKeyAuth(name="X-Api-Key", api_key=secret_setting("sources.helpdesk.api_key", "tickets need a key")),
        calls_per_second=1000,
        in_flight=4,
        url_setting="sources.helpdesk.api_url",
        credential_setting="sources.helpdesk.api_key",
    )


@dlt.source(name="helpdesk", section="helpdesk")
def helpdesk(audit: bool = False) -> Iterable[DltResource]:
    """Tickets and their comments."""
    sync = Sync(connect, audit)
    yield from [mirror(Reader(listing, sync)) for listing in LISTINGS]


SOURCE: Any = helpdesk
TABLES = (tickets, comments)
