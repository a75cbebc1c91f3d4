"""An API with two lists for one table, and one that reads the lists of many rows at once."""

from collections.abc import Iterable
from typing import Any

import dlt
from dlt.extract.resource import DltResource
from dlt.sources.helpers.rest_client.auth import BearerTokenAuth

from ingest_shared.loading import mirror
from ingest_shared.reading.api import Api
from ingest_shared.reading.envelopes import Envelope
from ingest_shared.reading.listings import Listing
from ingest_shared.reading.per_row import PerRow
from ingest_shared.reading.per_value import PerValue
from ingest_shared.reading.reader import Reader
from ingest_shared.reading.sync import Sync
from ingest_shared.reading.walks import FullList
from ingest_shared.settings import secret_setting, text_setting
from ingest_shared.tables import Column, Table, bigint, boolean, epoch, text

DELETED_AT = epoch("deleted_at", "When it was found to be deleted; null while it exists.", origin="reader")


def table(name: str, *columns: Column) -> Table:
    return Table(
        name=name,
        description=f"The {name}.",
        docs=f"https://example.com/{name}",
        key=("id",),
        columns=(bigint("id", "Immutable id."), *columns, DELETED_AT),
    )


COMPANY_ID = bigint("company_id", "Company.", path="company")
companies = table("companies", boolean("archived", "Whether it is put away."), text("name", "Name."))
notes = table("notes", COMPANY_ID, text("body", "Text."))
calls = table("calls", COMPANY_ID, bigint("minutes", "How long it took."))

OF_COMPANIES = PerRow(companies, {"company_id": "id"}, at_once=3)
LISTINGS = (
    Listing(
        companies,
        "/companies",
        walk=FullList(),
        envelope=Envelope(rows="list"),
        per=PerValue("archived", (False, True)),
        params={"archived": "{archived}", "count": 50},
    ),
    Listing(
        notes,
        "/notes/search",
        walk=FullList(),
        envelope=Envelope(rows="list"),
        per=OF_COMPANIES,
        body={"company_ids": "{company_id}"},
    ),
    Listing(
        calls,
        "/calls",
        walk=FullList(),
        envelope=Envelope(rows="list"),
        per=OF_COMPANIES,
        params={"company_ids": "{company_id}"},
    ),
)


def connect() -> Api:
    """The API under its key; raises :class:`SettingError`."""
    return Api(
        text_setting("sources.crm.api_url", "https://api.example.com"),
        auth=BearerTokenAuth(secret_setting("sources.crm.api_key", "companies need a key")),
        calls_per_second=1000,
        in_flight=4,
        url_setting="sources.crm.api_url",
        credential_setting="sources.crm.api_key",
    )


@dlt.source(name="crm", section="crm")
def crm(audit: bool = False) -> Iterable[DltResource]:
    """Companies with their notes and calls."""
    sync = Sync(connect, audit)
    yield from [mirror(Reader(listing, sync)) for listing in LISTINGS]


SOURCE: Any = crm
