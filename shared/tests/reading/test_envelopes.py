"""Where a response holds its rows and how it leads on, for every kind of page."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from ingest_shared.columnar import Decoder, Page
from ingest_shared.errors import PayloadError
from ingest_shared.reading.api import Response
from ingest_shared.reading.envelopes import (
    CursorIn,
    Envelope,
    HasMore,
    LinkHeader,
    NextLink,
    Offset,
    PageNumber,
    Request,
)
from ingest_shared.tables import Table, bigint

ADDRESS = "https://api.test/things?per_page=2&page="
ITEMS = Table(name="items", description="I.", docs="", key=("id",), columns=(bigint("id", "Id.", path="node.item-id"),))
SEARCH = Request("/search", body={"query": "all"})
QUERY = Request("/things", {"state": "all"})


def page(rows: int = 2, **told: Any) -> Page:
    """A page of so many rows, the last of which has the id ``rows``."""
    return Page([SimpleNamespace(id=number + 1) for number in range(rows)], told=told)


def following(envelope: Envelope, request: Request, page: Page, **links: str) -> list[Request]:
    return envelope.following(request, page, Response(b"", {}, links))


@pytest.mark.parametrize("request_", [SEARCH, QUERY])
def test_the_pages_of_a_long_list_are_told_apart_fast(request_: Request) -> None:
    pages = [request_.having(after=number, limit=100) for number in range(1000)]
    assert len(set(map(hash, pages))) == len(pages)
    assert {request_.having(limit=100, after=1)} == {request_.having(after=1, limit=100)}


def test_a_bare_list_is_all_there_is() -> None:
    assert Envelope().first(QUERY) == QUERY
    assert following(Envelope(), QUERY, page()) == []


@pytest.mark.parametrize(
    ("rows", "sent", "listed"),
    [
        ("query.pages", {"query": {"pages": {"7": {"title": "a"}}}}, {"query": {"pages": [{"title": "a", "id": "7"}]}}),
        (None, {"7": {"title": "a"}, "8": 5}, [{"title": "a", "id": "7"}, 5]),
        ("pages", {"pages": []}, {"pages": []}),  # PHP has no empty object
        ("query.pages", {"query": None}, {"query": None}),
        ("query.pages", [], []),
    ],
)
def test_rows_by_key_become_a_list_of_rows_with_their_key(rows: str | None, sent: Any, listed: Any) -> None:
    """https://www.mediawiki.org/wiki/API:Query"""
    assert json.loads(Envelope(rows=rows, keyed="id").listed(json.dumps(sent).encode())) == listed


def test_a_list_of_rows_stays_as_it_was_sent() -> None:
    assert Envelope(rows="pages").listed(b' {"pages": {}}') == b' {"pages": {}}'


@pytest.mark.parametrize(
    "envelope",
    [
        CursorIn(rows="rows", at="cursor", param="cursor", last="end_of_stream"),
        NextLink(rows="rows", at="cursor", last="end_of_stream"),
        PageNumber(rows="rows", last="end_of_stream"),
        Offset(rows="rows", limit=2, last="end_of_stream"),
    ],
)
def test_a_list_may_say_which_page_is_the_last(envelope: Envelope) -> None:
    """https://developer.zendesk.com/api-reference/ticketing/ticket-management/incremental_exports/"""
    assert "end_of_stream" in envelope.told
    first = envelope.first(QUERY)
    assert following(envelope, first, page(cursor="x", end_of_stream=True)) == []
    assert len(following(envelope, first, page(cursor="x", end_of_stream=False))) == 1


def test_a_parameter_goes_into_the_body_of_a_request_that_has_one_and_else_into_the_query() -> None:
    assert QUERY.having(since=5).params == {"state": "all", "since": 5}
    searched = SEARCH.having(since=5)
    assert (searched.params, searched.body) == ({}, {"query": "all", "since": 5})


def test_a_parameter_of_a_body_may_stand_deeper_in_it() -> None:
    asked = Request("/search", body={"query": "all", "page": {"size": 50}}).having(**{"page.after": "x"})
    assert asked.body == {"query": "all", "page": {"size": 50, "after": "x"}}
    assert (asked.asked("page.after"), SEARCH.asked("page.after"), SEARCH.asked("query.after")) == ("x", None, None)
    cursor = CursorIn(at="next", rows="data", param="page.after")
    (next_,) = following(cursor, asked, page(next="y"))
    assert next_.asked("page.after") == "y"
    with pytest.raises(PayloadError, match="names the same cursor again"):
        following(cursor, asked, page(next="x"))


# The next page's address


def test_the_address_of_the_next_page_may_stand_in_the_body() -> None:
    links = NextLink(at="links.next", rows="data")
    assert following(links, QUERY, Page([], told={"links.next": f"{ADDRESS}2"})) == [Request(f"{ADDRESS}2")]
    assert following(links, Request(f"{ADDRESS}2"), Page([], told={"links.next": None})) == []
    with pytest.raises(PayloadError, match="names itself as the next one"):
        following(links, Request(f"{ADDRESS}2"), Page([], told={"links.next": f"{ADDRESS}2"}))


def test_an_address_does_not_lead_on_if_the_page_says_that_it_is_the_last() -> None:
    """https://developer.zendesk.com/api-reference/introduction/pagination/ names one on every page"""
    links = NextLink(at="next", rows="data", more="has_more")
    assert following(links, QUERY, page(next=f"{ADDRESS}2", has_more=False)) == []
    assert following(links, QUERY, page(next=f"{ADDRESS}2", has_more=True)) == [Request(f"{ADDRESS}2")]
    with pytest.raises(PayloadError, match="a page says that it is not the last, but has no address at next"):
        following(links, QUERY, page(has_more=True))


@pytest.mark.parametrize("address", ["/v2/things?page=2", "?page=2", "things?page=2"])
def test_that_address_may_be_relative_to_the_page_it_stands_on(address: str) -> None:
    """https://www.rfc-editor.org/rfc/rfc3986#section-5"""
    response = Response(b"", {}, {}, url="https://api.test/v2/things?page=1")
    links = NextLink(at="links.next", rows="data")
    found = links.following(QUERY, Page([], told={"links.next": address}), response)
    assert found == [Request("https://api.test/v2/things?page=2")]


# Link header


def test_the_first_page_names_all_the_others_by_number() -> None:
    requests = following(LinkHeader(), QUERY, page(), next=f"{ADDRESS}2", last=f"{ADDRESS}4")
    assert [request.path for request in requests] == [f"{ADDRESS}{number}" for number in (2, 3, 4)]


def test_a_numbered_page_in_between_names_no_other() -> None:
    between = Request(f"{ADDRESS}2", last=4)
    assert following(LinkHeader(), between, page(), next=f"{ADDRESS}3", last=f"{ADDRESS}5") == []
    assert following(LinkHeader(), between, page(), next=f"{ADDRESS}3") == []


def test_the_page_that_was_the_last_leads_on_when_the_list_has_grown() -> None:
    (second,) = following(LinkHeader(), QUERY, page(), next=f"{ADDRESS}2", last=f"{ADDRESS}2")
    grown = following(LinkHeader(), second, page(), next=f"{ADDRESS}3", last=f"{ADDRESS}4")
    assert [request.path for request in grown] == [f"{ADDRESS}3", f"{ADDRESS}4"]
    assert following(LinkHeader(), grown[-1], page()) == []


def test_numbered_pages_lead_from_one_to_the_next_where_none_names_the_last() -> None:
    assert following(LinkHeader(), Request(f"{ADDRESS}4"), page(), next=f"{ADDRESS}5") == [Request(f"{ADDRESS}5")]


def test_each_numbered_page_names_the_next_one_alone_where_no_other_is_wanted() -> None:
    for number in (1, 2):
        links = {"next": f"{ADDRESS}{number + 1}", "last": f"{ADDRESS}4"}
        request = Request(f"{ADDRESS}{number}")
        assert LinkHeader().next(request, page(), Response(b"", {}, links)) == [Request(links["next"])]


def test_a_list_without_numbers_leads_from_page_to_page() -> None:
    after = "https://api.test/things?after=xyz"
    assert following(LinkHeader(), QUERY, page(), next=after) == [Request(after)]
    assert following(LinkHeader(), Request(after), page()) == []


def test_a_parameter_that_only_ends_in_page_is_no_number() -> None:
    """``per_page=100`` names no page."""
    after = "https://api.test/things?per_page=100&after=xyz"
    assert following(LinkHeader(), QUERY, page(), next=after, last=after) == [Request(after)]


# A mark that there is more


def test_a_list_may_continue_after_any_field_of_its_last_row() -> None:
    after = HasMore(key="node.item-id")
    decoder = Decoder(ITEMS, "data", after.told)
    end = decoder.page(b'{"has_more": true, "data": [{"node": {"item-id": 7}}]}')
    assert following(after, QUERY, end) == [QUERY.having(starting_after=7)]


def test_a_list_that_has_more_goes_on_after_its_last_row() -> None:
    (request,) = following(HasMore(), QUERY, page(3, has_more=True))
    assert request.params == {"state": "all", "starting_after": 3}


@pytest.mark.parametrize("end", [page(3, has_more=False), page(3)])
def test_a_list_that_has_no_more_or_no_rows_ends(end: Page) -> None:
    assert following(HasMore(), QUERY, end) == []


def test_a_page_without_rows_that_has_more_is_an_error_and_not_the_end() -> None:
    with pytest.raises(PayloadError, match="has no row to continue after"):
        following(HasMore(), QUERY, page(0, has_more=True))


# A cursor in the response

CURSOR = CursorIn(at="cursor", rows="results", param="after")


@pytest.mark.parametrize("asked", [QUERY, SEARCH])
def test_a_cursor_is_sent_back_where_the_request_has_its_parameters(asked: Request) -> None:
    assert following(CURSOR, asked, page(cursor="xyz")) == [asked.having(after="xyz")]


@pytest.mark.parametrize("cursor", [None, ""])
def test_a_list_without_a_cursor_ends(cursor: str | None) -> None:
    assert following(CURSOR, QUERY, page(cursor=cursor)) == []


def test_an_empty_page_with_a_cursor_leads_on() -> None:
    assert following(CURSOR, QUERY, page(0, cursor="xyz")) == [QUERY.having(after="xyz")]


def test_a_cursor_that_leads_to_itself_is_an_error_and_never_an_endless_list() -> None:
    asked = QUERY.having(after="xyz")
    with pytest.raises(PayloadError, match="names the same cursor again"):
        following(CURSOR, asked, page(cursor="xyz"))
    assert following(CURSOR, asked, page(0, cursor="xyz")) == []


@pytest.mark.parametrize("cursor", [None, ""])
def test_a_page_that_says_that_there_is_more_without_a_cursor_is_an_error(cursor: str | None) -> None:
    envelope = CursorIn(rows="data", at="cursor", param="after", more="has_more")
    with pytest.raises(PayloadError, match="a page says that it is not the last, but has no cursor at cursor"):
        following(envelope, QUERY.having(after="xyz"), page(cursor=cursor, has_more=True))


@pytest.mark.parametrize(("more", "ends"), [(True, False), (False, True), (None, True)])
def test_a_list_may_say_whether_there_is_more_beside_its_cursor(more: bool | None, ends: bool) -> None:
    envelope = CursorIn(rows="data", at="cursor", param="after", more="has_more")
    assert (following(envelope, QUERY, page(cursor="xyz", has_more=more)) == []) == ends


# Numbered pages

NUMBERED = PageNumber(rows="items", more="more")


@pytest.mark.parametrize("asked", [QUERY, SEARCH])
def test_numbered_pages_are_asked_for_one_after_the_other_while_there_is_more(asked: Request) -> None:
    first = NUMBERED.first(asked)
    assert first == asked.having(page=1)
    (second,) = following(NUMBERED, first, page(more=True))
    assert second == asked.having(page=2)
    assert following(NUMBERED, second, page(more=False)) == []


@pytest.mark.parametrize("asked", [QUERY, SEARCH])
def test_the_first_page_names_all_the_others_by_number_where_it_says_how_many_there_are(asked: Request) -> None:
    counted = PageNumber(rows="items", pages="meta.pages", param="p", starts_at=0)
    told = page(**{"meta.pages": 3})
    first = counted.first(asked)
    second, third = following(counted, first, told)
    assert [request.asked("p") for request in (first, second, third)] == [0, 1, 2]
    assert following(counted, second, told) == []
    response = Response(b"", {}, {})
    assert counted.next(second, told, response) == [third]
    assert counted.next(third, told, response) == []


@pytest.mark.parametrize("end", [page(pages=0), page(pages=1), page(0, pages=None), page(0)])
def test_a_list_of_one_page_or_none_ends_with_its_first(end: Page) -> None:
    counted = PageNumber(rows="items", pages="pages")
    assert following(counted, counted.first(QUERY), end) == []


@pytest.mark.parametrize(
    "envelope", [PageNumber(rows="items", pages="pages"), Offset(rows="items", total="n", limit=2)]
)
def test_rows_without_the_number_of_all_rows_are_an_error_and_not_the_end(envelope: Envelope) -> None:
    for lead in (envelope.following, envelope.next):
        with pytest.raises(PayloadError, match=r"nothing at '(pages|n)', so it does not say how long the list is"):
            lead(envelope.first(QUERY), page(), Response(b"", {}, {}))


def test_numbered_pages_of_which_nothing_is_said_end_with_an_empty_one() -> None:
    silent = PageNumber(rows=None)
    (second,) = following(silent, silent.first(QUERY), page(1))
    assert second.asked("page") == 2
    assert following(silent, second, page(0)) == []


# Offsets

BY_OFFSET = Offset(rows="items", total="total", limit=100)


def offsets(requests: list[Request]) -> list[int]:
    return [request.params["offset"] for request in requests]


def test_the_first_page_names_all_the_others_by_offset() -> None:
    first = BY_OFFSET.first(QUERY)
    assert first.params == {"state": "all", "offset": 0, "limit": 100}
    assert offsets(following(BY_OFFSET, first, page(100, total=250))) == [100, 200]


def test_the_offsets_follow_the_page_size_of_the_api_where_it_is_smaller_than_asked() -> None:
    assert offsets(following(BY_OFFSET, BY_OFFSET.first(QUERY), page(50, total=120))) == [50, 100]


@pytest.mark.parametrize("end", [page(80, total=80), page(0, total=0), page(0)])
def test_a_page_that_holds_all_is_the_only_one(end: Page) -> None:
    assert following(BY_OFFSET, BY_OFFSET.first(QUERY), end) == []


LATER = QUERY.having(offset=100, limit=100)


def test_a_later_page_names_no_other() -> None:
    assert following(BY_OFFSET, LATER, page(100, total=250)) == []
    assert following(BY_OFFSET, LATER, page(50, total=150)) == []
    assert following(BY_OFFSET, LATER, page(0, total=100)) == [], "the list has shrunk meanwhile"


def test_what_a_later_page_lacks_is_requested_by_itself() -> None:
    (rest,) = following(BY_OFFSET, LATER, page(60, total=250))
    assert rest.params == {"state": "all", "offset": 160, "limit": 40}
    assert following(BY_OFFSET, rest, page(40, total=250)) == []


@pytest.mark.parametrize("asked", [BY_OFFSET.first(QUERY), LATER])
def test_a_page_without_rows_before_the_total_is_an_error_and_not_the_end(asked: Request) -> None:
    for pages in (BY_OFFSET.following, BY_OFFSET.next):
        with pytest.raises(PayloadError, match="a page has no rows, although total says that there are more"):
            pages(asked, page(0, total=250), Response(b"", {}, {}))


def test_each_page_names_the_next_offset_alone_where_no_other_is_wanted() -> None:
    response = Response(b"", {}, {})
    (second,) = BY_OFFSET.next(BY_OFFSET.first(QUERY), page(50, total=120), response)
    (third,) = BY_OFFSET.next(second, page(50, total=120), response)
    assert offsets([second, third]) == [50, 100]
    assert BY_OFFSET.next(third, page(20, total=120), response) == []


@pytest.mark.parametrize(
    ("envelope", "last"),
    [
        (Offset(rows="items", limit=100, more="more"), page(20, more=False)),
        (Offset(rows="items", limit=100), page(0)),
    ],
    ids=["says that there is more", "says nothing"],
)
def test_offsets_without_a_total_go_on_until_the_last_or_an_empty_page(envelope: Offset, last: Page) -> None:
    (second,) = following(envelope, envelope.first(QUERY), page(50, more=True))
    assert second.params == {"state": "all", "offset": 50, "limit": 100}
    assert following(envelope, second, last) == []


def test_an_empty_page_by_offset_that_has_more_is_an_error_and_not_the_end() -> None:
    with pytest.raises(PayloadError, match="a page has no rows, although more says that there are more"):
        following(Offset(rows="items", limit=100, more="more"), QUERY.having(offset=100), page(0, more=True))
