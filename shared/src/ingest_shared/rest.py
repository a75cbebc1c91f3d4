"""What a source that reads an API declares with, in one import; docs/lists.md explains the names."""

from dlt.sources.helpers.rest_client.auth import APIKeyAuth, BearerTokenAuth, HttpBasicAuth

from ingest_shared.reading.api import Api, server_time
from ingest_shared.reading.envelopes import CursorIn, Envelope, HasMore, LinkHeader, NextLink, Offset, PageNumber
from ingest_shared.reading.limits import Limit
from ingest_shared.reading.listings import Listing, iso
from ingest_shared.reading.per_row import PerRow
from ingest_shared.reading.per_value import PerValue
from ingest_shared.reading.reader import resources
from ingest_shared.reading.walks import ByCreated, ChangedSince, FullList, NewestFirst

__all__ = [
    "APIKeyAuth",
    "Api",
    "BearerTokenAuth",
    "ByCreated",
    "ChangedSince",
    "CursorIn",
    "Envelope",
    "FullList",
    "HasMore",
    "HttpBasicAuth",
    "Limit",
    "LinkHeader",
    "Listing",
    "NewestFirst",
    "NextLink",
    "Offset",
    "PageNumber",
    "PerRow",
    "PerValue",
    "iso",
    "resources",
    "server_time",
]
