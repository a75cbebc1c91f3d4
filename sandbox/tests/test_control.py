from email.utils import formatdate

import httpx
import pytest

from ingest_sandbox.traffic import Requests

from .conftest import ANCHOR, GitHub


def test_health_and_clock(client: httpx.Client) -> None:
    assert client.get("/_sandbox/health").json() == {"status": "ok"}
    before = client.get("/_sandbox/clock").json()
    assert before["anchor"] == ANCHOR
    after = client.post("/_sandbox/clock", json={"advance_seconds": 60}).json()
    assert after["now"] - before["now"] == 60


def test_the_apis_date_their_answers_by_the_clock(client: httpx.Client) -> None:
    client.post("/_sandbox/clock", json={"advance_seconds": 86_400})
    now = client.get("/_sandbox/clock").json()["now"]
    for path in ("/github/licenses", "/github/nothing", "/stripe/v1/account"):
        dates = client.get(path).headers.get_list("date")
        assert dates == [formatdate(now, usegmt=True)]


def test_requests_are_counted_by_path(client: httpx.Client) -> None:
    client.delete("/_sandbox/requests")
    for path in ("/github/repositories/7/issues?page=2", "/github/repositories/8/issues"):
        client.get(path)
    client.get("/stripe/v1/invoices/in_1")
    assert client.get("/_sandbox/requests").json()["by_path"] == {
        "/github/repositories/{id}/issues": 2,
        "/stripe/v1/invoices/{id}": 1,
    }


def test_counts_by_path_are_bounded() -> None:
    requests = Requests()
    for number in range(250):
        requests.begin("github", f"/github/nothing-{number}", 1)
    requests.begin("github", "/github/nothing-0", 1)
    assert len(requests.counts.by_path) == 101
    assert requests.counts.by_path["other"] == 150
    assert requests.counts.by_path["/github/nothing-0"] == 2


def test_the_most_within_any_second_and_minute_are_told() -> None:
    requests = Requests(clock=iter((0, 0.9, 1.8, 1.85, 50)).__next__)
    for path in ("charges", "charges", "events", "events/evt_1", "charges"):
        requests.begin("stripe", f"/stripe/v1/{path}", 1)
    assert requests.counts.max_per_second == {"stripe": 3}
    assert requests.counts.max_per_minute == {"stripe": 5}
    assert requests.counts.seconds == {"stripe": 50}
    assert requests.counts.max_per_second_by_path == {
        "/stripe/v1/charges": 2,
        "/stripe/v1/events": 1,
        "/stripe/v1/events/{id}": 1,
    }


def test_a_change_by_name_and_by_chance(client: httpx.Client, github: GitHub) -> None:
    wish = {
        "kind": "github.issue.edit",
        "repository": "acme/platform",
        "number": 3,
        "set": {"title": "New"},
    }
    done = client.post("/_sandbox/changes", json=wish).json()
    assert done["kind"] == "github.issue.edit"
    issue = github.get("/repos/acme/platform/issues/3").json()
    assert issue["title"] == "New"
    assert done["changed"][0] == {
        "action": "updated",
        "collection": "issues",
        "repository_id": github.get("/repos/acme/platform").json()["id"],
        "id": issue["id"],
        "number": 3,
    }
    several = client.post("/_sandbox/changes/random", json={"seed": 7, "count": 5})
    assert [set(one) for one in several.json()] == [{"kind", "at", "changed"}] * 5


def test_objects_and_the_deleted_ones(client: httpx.Client) -> None:
    counts = client.get("/_sandbox/objects/github").json()
    labels = client.get("/_sandbox/objects/github/labels").json()
    assert counts["labels"] == len(labels)
    assert set(labels[0]) == {"repository_id", "object"}
    done = client.post("/_sandbox/changes", json={"kind": "github.label.delete"}).json()
    gone = client.get("/_sandbox/objects/github/labels/deleted").json()[-1]
    assert gone["id"] == done["changed"][-1]["id"]
    assert gone["deleted"] is True
    client.post("/_sandbox/changes", json={"kind": "stripe.customer.delete"})
    gone = client.get("/_sandbox/objects/stripe/customers/deleted").json()[-1]
    assert set(gone) == {"id", "deleted", "deleted_at"}


def test_objects_are_the_organizations_or_those_of_an_owner(client: httpx.Client, github: GitHub) -> None:
    me = github.get("/user").json()["login"]
    repositories = "/_sandbox/objects/github/repositories"
    assert {row["object"]["owner"]["login"] for row in client.get(repositories).json()} <= {"acme", "umbrella"}
    own = client.get(f"{repositories}?owner={me}").json()
    assert [row["object"]["name"] for row in own] == ["dotfiles", "notes"]
    assert client.get(f"{repositories}?owner=nobody").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/changes", {"kind": "nothing"}, 409),
        ("POST", "/changes", {"kind": "github.issue.edit", "colour": "red"}, 400),
        ("POST", "/changes", "{", 400),
        ("POST", "/clock", {"advance_seconds": -1}, 400),
        ("GET", "/objects/github/nothing", None, 404),
        ("GET", "/objects/gitlab/issues", None, 404),
        ("GET", "/objects/gitlab", None, 404),
        ("PUT", "/faults", {"kind": "nothing"}, 400),
        ("PUT", "/faults", {"kind": "cut", "path": "("}, 400),
        ("PUT", "/faults", {"kind": "cut", "every": 0}, 400),
    ],
)
def test_a_wrong_wish_is_answered(client: httpx.Client, method: str, path: str, body: object, status: int) -> None:
    response = client.request(method, f"/_sandbox{path}", json=body)
    assert response.status_code == status
    assert response.json()["error"]


def test_kinds_say_what_can_be_set(client: httpx.Client) -> None:
    kinds = client.get("/_sandbox/kinds").json()
    assert kinds["github.issue.edit"] == ["body", "locked", "title"]
    assert kinds["stripe.balance_transaction.settle"] == []
