"""An API with two lists for one table, and one that reads the lists of many rows at once."""

from collections.abc import Iterable
from typing import Any

import dlt
from dlt.extract.resource import DltResource

from ingest_shared.rest import Api, BearerTokenAuth, Envelope, FullList, Listing, PerRow, PerValue, resources
from ingest_shared.tables import DELETED_AT, Column, Table, bigint, boolean, text


def table(name: str, *columns: Column) -> Table:
    return Table(
        name=name,
        description=f"The {name}.",
        docs=f"https://example.com/{name}",
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
    return Api.configured(
        "sources.crm",
        "https://api.example.com",
        auth=BearerTokenAuth,
        credential="api_key",
        calls_per_second=1000,
        in_flight=4,
    )


@dlt.source(name="crm", section="crm")
def crm(audit: bool = False) -> Iterable[DltResource]:
    """Companies with their notes and calls."""
    return resources(LISTINGS, connect, audit)


SOURCE: Any = crm
