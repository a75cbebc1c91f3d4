"""What a scope gives to the requests for it: its values, and a header that tells it apart."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from dlt.sources.helpers.rest_client.auth import BearerTokenAuth

from ingest_shared.loading import Load, mirror
from ingest_shared.reading.api import Api
from ingest_shared.reading.envelopes import HasMore
from ingest_shared.reading.listings import Listing, Scope
from ingest_shared.reading.reader import Reader, Sync
from ingest_shared.reading.walks import FullList
from ingest_shared.tables import Table, bigint, epoch, text
from tests.conftest import Reply, Request, Server, Warehouse

THINGS = Table(
    name="things",
    description="Things of each tenant.",
    docs="https://example.com/things",
    key=("tenant", "id"),
    columns=(
        text("tenant", "Whose it is.", origin="reader"),
        bigint("id", "Immutable id."),
        epoch("deleted_at", "When it was found to be deleted.", origin="reader"),
    ),
)


class Tenant(Scope):
    @property
    def headers(self) -> Mapping[str, str]:
        return {"X-Tenant": self.name}


class Tenants(Sync):
    def scopes(self, listing: Listing, load: Load) -> Iterable[Scope]:
        return [Tenant(name, name, {"tenant": name}) for name in ("one", "two")]


@pytest.mark.parametrize(
    ("body", "filled"),
    [
        ({"id": "{id}", "of": "{tenant}"}, {"id": (1, 2), "of": "one"}),
        ({"filter": {"ids": "{id}", "tenant": "{tenant}"}}, {"filter": {"ids": (1, 2), "tenant": "one"}}),
        (
            {"inputs": [{"id": "{id}", "of": "{tenant}"}], "properties": ["name"]},
            {"inputs": [{"id": 1, "of": "one"}, {"id": 2, "of": "one"}], "properties": ["name"]},
        ),
        ({"id": "{other}", "text": "not {id}"}, {"id": "{other}", "text": "not {id}"}),
    ],
)
def test_a_body_has_the_values_of_its_scope_however_deep(body: Any, filled: Any) -> None:
    assert Scope("one", "one", {"tenant": "one", "id": (1, 2)}).fill(body) == filled


def test_each_page_of_a_scope_is_asked_for_with_its_headers(server: Server, duckdb_warehouse: Warehouse) -> None:
    def answer(request: Request) -> Reply:
        tenant, is_first = request.headers["X-Tenant"], "starting_after" not in request.query
        id_ = {"one": 1, "two": 3}[tenant] + (0 if is_first else 1)
        return Reply(body=b'{"data": [{"id": %d}], "has_more": %s}' % (id_, b"true" if is_first else b"false"))

    server.answers(answer)

    def connect() -> Api:
        return Api(
            server.url,
            auth=BearerTokenAuth("key"),
            calls_per_second=1000,
            in_flight=4,
            url_setting="url",
            credential_setting="key",
        )

    listing = Listing(THINGS, "/things", walk=FullList(), envelope=HasMore())
    duckdb_warehouse.load(mirror(Reader(listing, Tenants(connect))))
    assert duckdb_warehouse.rows("things", "tenant", "id") == [("one", 1), ("one", 2), ("two", 3), ("two", 4)]
