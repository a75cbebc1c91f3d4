"""An API that a location's tests play is as changeable, as faulty and as well counted as the sandbox."""

from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests

from ingest_testing import Answer, Asked, FakeOrigin, Json, Refused
from ingest_testing.fake import STARTED
from ingest_testing.sandbox import Sandboxes


class Helpdesk(FakeOrigin):
    """Tickets, two a page."""

    api = "helpdesk"

    def grow(self, size: float) -> None:
        self.tickets: dict[int, Json] = {}
        for _ in range(int(10 * size)):
            self.create()

    def create(self) -> Json:
        id_ = len(self.tickets)
        self.tickets[id_] = {"id": id_, "votes": self.random.randrange(100), "tags": [{"name": "new"}]}
        return self.tickets[id_]

    def vote(self, id: int | None = None) -> Json:
        ticket = self.tickets[self.random.choice([*self.tickets]) if id is None else id]
        ticket["votes"] += 1
        return ticket

    def kinds(self) -> Mapping[str, Callable[..., Json]]:
        return {"ticket.create": self.create, "ticket.vote": self.vote}

    def objects(self, collection: str) -> list[Json]:
        return [*self.tickets.values()]

    def answer(self, asked: Asked) -> Any:
        if asked.headers.get("Authorization") != "Bearer right":
            raise Refused(401, {"error": "who are you?"})
        if (asked.method, asked.path) == ("POST", "/tickets/search"):
            return {"tickets": [ticket for ticket in self.objects("tickets") if ticket["votes"] >= asked.body["votes"]]}
        if asked.path == "/votes":
            return Answer([1], {"Link": '<https://helpdesk.test/votes?page=2>; rel="next"'})
        if asked.path == "/busy":
            raise Refused(429, {"error": "later"}, {"Retry-After": "7"})
        after = int(asked.params.get("after", -1))
        return {
            "tickets": [ticket for ticket in self.objects("tickets") if ticket["id"] > after][:2],
            "found": {"n": 1},
        }


@pytest.fixture
def origin() -> Iterator[Helpdesk]:
    with Helpdesk.running(Sandboxes(), 0.4) as started:
        yield started


def test_it_serves_what_the_subclass_answers(origin: Helpdesk) -> None:
    page = origin.get("/tickets?after=1", "right")
    assert [ticket["id"] for ticket in page.json()["tickets"]] == [2, 3]
    assert (wrong := origin.get("/tickets", "wrong")).status_code == 401
    assert wrong.json() == {"error": "who are you?"}
    headers = {"Authorization": "Bearer right"}
    found = requests.post(f"{origin.url}/helpdesk/tickets/search", json={"votes": 101}, headers=headers, timeout=10)
    assert found.json() == {"tickets": []}


def test_it_sends_the_headers_of_the_api(origin: Helpdesk) -> None:
    assert origin.get("/votes", "right").links["next"]["url"] == "https://helpdesk.test/votes?page=2"
    busy = origin.get("/busy", "right")
    assert (busy.status_code, busy.headers["Retry-After"]) == (429, "7")


def test_worlds_of_a_size_are_the_same_and_change_in_the_same_way(origin: Helpdesk) -> None:
    with Helpdesk.running(Sandboxes(), 0.4) as other:
        assert other.tickets == origin.tickets
        for one in (origin, other):
            one.change_at_random(seed=3, count=20, without=["ticket.create"])
        assert other.tickets == origin.tickets
        other.change_at_random(seed=4, count=20)
    assert len(origin.tickets) == 4 < len(other.tickets)


def test_a_change_gives_what_changed(origin: Helpdesk) -> None:
    before = origin.tickets[2]["votes"]
    (changed,) = origin.change("ticket.vote", id=2)["changed"]
    assert (changed["id"], changed["votes"]) == (2, before + 1)


def test_it_dates_its_answers_by_its_clock(origin: Helpdesk) -> None:
    origin.advance(86_400)
    assert origin.now() >= STARTED + 86_400
    dated = parsedate_to_datetime(origin.get("/tickets", "right").headers["Date"]).timestamp()
    assert abs(dated - origin.now()) <= 1


@pytest.mark.parametrize(
    ("fault", "status", "told"),
    [
        ({"kind": "status", "status": 429, "headers": {"Retry-After": "7"}}, 429, "an error"),
        ({"kind": "html"}, 200, "<!doctype html>"),
        ({"kind": "extra_field", "field": "x", "value": 1}, 200, '"tags": [{"name": "new"}], "x": 1'),
        ({"kind": "replace_field", "field": "votes", "value": "many"}, 200, '"votes": "many"'),
        ({"kind": "replace_field", "field": "nowhere", "value": "many"}, 200, '"found": {"n": 1}'),
    ],
    ids=lambda value: value.get("kind") if isinstance(value, dict) else None,
)
def test_a_fault_spoils_the_answer_and_nothing_else(fault: Json, status: int, told: str, origin: Helpdesk) -> None:
    origin.fail(fault | {"path": "/tickets", "times": 1})
    spoiled, after = origin.get("/tickets", "right"), origin.get("/tickets", "right")
    assert spoiled.status_code == status
    assert told in spoiled.text
    assert "nowhere" not in spoiled.text
    assert spoiled.headers.get("Retry-After") == fault.get("headers", {}).get("Retry-After")
    assert after.json()["tickets"] == origin.objects("tickets")[:2]


def test_half_an_answer(origin: Helpdesk) -> None:
    origin.fail({"kind": "truncate"})
    with pytest.raises(requests.exceptions.JSONDecodeError):
        origin.get("/tickets", "right").json()
    origin.fail({"kind": "cut"})
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        origin.get("/tickets", "right")


def test_every_third_request_of_a_path_fails(origin: Helpdesk) -> None:
    origin.fail({"kind": "status", "status": 500, "path": "after=1", "every": 3})
    asked = [origin.get(f"/tickets?after={after}", "right").status_code for after in (1, 2, 1, 1, 1)]
    assert asked == [200, 200, 200, 500, 200]
    origin.heal()
    assert [origin.get("/tickets?after=1", "right").status_code for _ in range(3)] == [200] * 3


def test_a_fault_that_it_cannot_do_is_refused(origin: Helpdesk) -> None:
    with pytest.raises(ValueError, match="reverse is not one of FakeOrigin's faults: status, html"):
        origin.fail({"kind": "reverse"})


def test_requests_are_counted(origin: Helpdesk) -> None:
    origin.get("/tickets", "right")
    origin.forget_requests()
    for token in ("right", "right", "wrong"):
        origin.get("/tickets?after=1", token)
    counted = origin.requests()
    assert (counted["total"], counted["by_status"]) == (3, {"200": 2, "401": 1})
    assert counted["by_path"] == {"/tickets": 3}
    assert counted["max_per_second"] == 3
    assert 0 < counted["seconds"] < 1
