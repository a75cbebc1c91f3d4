"""Stripe's own package judges the tables, and the sandbox that plays Stripe."""

from collections.abc import Iterable

import pytest
import stripe
from jsonschema import Draft202012Validator

from ingest_shared.tables import Table
from ingest_testing import Json
from stripe_location.source.api import API_VERSION
from stripe_location.source.tables import TABLES

from .origin import Origin
from .vendor import CONTRACT, PUBLISHED, vendor_event_types

each_table = pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)


@pytest.fixture(scope="module")
def sandbox(shared_origin: Origin) -> Origin:
    """A world in which much has happened."""
    shared_origin.change_at_random(seed=1, count=200)
    return shared_origin


def assert_published(table: str, payloads: Iterable[Json]) -> None:
    published = Draft202012Validator(CONTRACT.schemas[table])
    errors = [error for payload in payloads for error in published.iter_errors(payload)]
    assert {f"{error.json_path}: {error.message}" for error in errors} == set()


@each_table
def test_a_table_holds_or_names_all_that_stripe_publishes(table: Table) -> None:
    assert CONTRACT.broken(table) == []


def test_nothing_is_accepted_that_does_not_differ() -> None:
    assert CONTRACT.not_met(TABLES.values()) == set()


def test_the_package_is_of_the_version_that_is_read() -> None:
    assert stripe.api_version == API_VERSION


@each_table
def test_the_sandbox_sends_what_stripe_would(table: Table, sandbox: Origin) -> None:
    assert_published(table.name, sandbox.objects(table.name))


@each_table
def test_an_event_of_the_sandbox_shows_what_stripe_would(table: Table, sandbox: Origin) -> None:
    shown = [event["data"]["object"] for event in sandbox.objects("events")]
    type_ = PUBLISHED[table.name].OBJECT_NAME
    assert_published(table.name, [held for held in shown if held["object"] == type_])


def test_the_sandbox_tells_of_nothing_that_stripe_has_no_event_for(sandbox: Origin) -> None:
    assert {event["type"] for event in sandbox.objects("events")} <= vendor_event_types()
