"""A first load that is stopped goes on where it was: what it had read of an account is not read again."""

from collections.abc import Iterator
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from dlt.pipeline.pipeline import Pipeline

from ingest_shared.reading import reader
from ingest_testing import assert_mirrors
from stripe_location.source import api

from .origin import BILLING, PAYMENTS, Warehouse


class Stopped(Exception):
    """The process is killed here."""


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The clock moves on with each piece that is looked at, so that few of each list are in one part.

    One request at a time: of several, one may be read before another that comes first, and is then read again.
    """
    clock = count()
    with monkeypatch.context() as patch:
        patch.setattr(reader, "time", SimpleNamespace(monotonic=lambda: next(clock)))
        patch.setattr(reader, "BEGINS_FOR", 20)
        patch.setattr(api, "IN_FLIGHT", 1)
        yield patch


def test_a_load_in_parts_that_is_stopped_goes_on_where_it_was(
    warehouse: Warehouse, in_parts: pytest.MonkeyPatch
) -> None:
    origin, extract = warehouse.origin, Pipeline.extract
    asked = "/stripe/v1/customers/{id}/payment_methods"
    customers = len(origin.objects("customers"))

    def stopped(*args: Any, **options: Any) -> Any:
        if origin.requests()["by_path"].get(asked):
            raise Stopped
        return extract(*args, **options)

    warehouse.sync("payments")
    in_parts.setattr(Pipeline, "extract", stopped)
    with pytest.raises(Stopped):
        warehouse.sync("billing")
    in_parts.undo()
    assert origin.requests()["by_path"][asked] < customers
    origin.change("customer.create")
    origin.advance()
    for _ in range(2):
        warehouse.sync("billing", "payments")
    assert_mirrors(warehouse, *BILLING, *PAYMENTS)
    assert origin.requests()["by_path"][asked] <= customers + 1, "each once, and that of the new customer"
