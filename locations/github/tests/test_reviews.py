"""Reviews are read 100 pull requests at a time by GraphQL, with the values that REST shows."""

import logging
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from github_location.source import api, reviews
from github_location.source.api import GraphQL, graphql_url
from github_location.source.tables import TABLES
from ingest_shared.reading import api as http
from ingest_testing import assert_mirrors

from .origin import ACTIVITY, GITHUB, Origin, Warehouse

pytestmark = pytest.mark.exhaustive

StartOrigin = Callable[..., Origin]
QUERIES, LISTS = "/github/graphql", "/github/repositories/{id}/pulls/{id}/reviews"
OTHERS = ",".join(sorted(set(ACTIVITY) - {"pull_requests", "reviews"}))
PLATFORM = "acme/platform"


@pytest.fixture
def reading(warehouse: Warehouse) -> Warehouse:
    """An empty warehouse that only gets pull requests and their reviews."""
    warehouse.settings["SOURCES__GITHUB__WITHOUT"] = OTHERS
    return warehouse


def calls(origin: Origin) -> tuple[int, int]:
    """How many queries were made, and how many lists were read by REST."""
    counted = origin.requests()["by_path"]
    return counted.get(QUERIES, 0), counted.get(LISTS, 0)


def rows(warehouse: Warehouse) -> list[dict[str, Any]]:
    return sorted(warehouse.rows(TABLES["reviews"]), key=lambda row: int(row["id"]))


def numbers(origin: Origin, repository: str) -> list[int]:
    """The pull requests of a repository."""
    (id_,) = [r["repository_id"] for r in origin.objects("repositories") if r["object"]["full_name"] == repository]
    return [pull["object"]["number"] for pull in origin.objects("pull_requests") if pull["repository_id"] == id_]


@pytest.fixture
def before_the_query(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Lets something happen at the origin when pull requests were listed, and their reviews not yet."""

    def happens(event: Callable[[], Any]) -> None:
        post, events = GraphQL.post, iter([event])

        def posts(self: GraphQL, *args: Any, **kwargs: Any) -> Any:
            for one in events:
                one()
            return post(self, *args, **kwargs)

        monkeypatch.setattr(GraphQL, "post", posts)

    return happens


@pytest.fixture
def warned(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    with caplog.at_level(logging.WARNING, "ingest"):
        yield lambda: [
            record.getMessage() for record in caplog.records if record.getMessage().startswith("GitHub: reading")
        ]


def test_all_reviews_take_one_call_for_each_hundred_pull_requests(reading: Warehouse) -> None:
    while len(reading.origin.objects("pull_requests")) <= 100:
        reading.origin.change("pull.open", repository=PLATFORM)
    reading.origin.advance()
    reading.sync("activity")
    assert calls(reading.origin) == (2, 0)
    assert_mirrors(reading, "reviews")


def test_both_ways_of_reading_give_the_same_values(
    reading: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = reading.origin
    many, some, *_ = numbers(origin, PLATFORM)
    for seed in range(101):
        origin.change("review.create", repository=PLATFORM, number=many, seed=seed)
    for seed, kind in enumerate(("review.draft", "review.create", "review.edit", "review.lose_commit")):
        origin.change(kind, repository=PLATFORM, number=some, seed=seed)
    reviewers = [review["object"]["user"] for review in origin.objects("reviews")]
    origin.change("account.delete", id=next(user["login"] for user in reviewers if user["type"] == "User"))
    origin.advance()
    reading.sync("activity")
    queries, by_rest = calls(origin)
    assert queries == math.ceil(len(origin.objects("pull_requests")) / 100)
    assert by_rest == 5, (
        "two pages of more than 100 reviews, read twice as they may move, and a list with a lost commit"
    )

    origin.forget_requests()
    folder = tmp_path / "by_rest"
    folder.mkdir()
    other = Warehouse(GITHUB, origin, folder, SOURCES__GITHUB__WITHOUT=OTHERS)
    monkeypatch.setattr(api, "GraphQL", lambda *_, **__: None)
    other.sync("activity")
    assert calls(origin) == (0, len(origin.objects("pull_requests")) + 3)

    found = rows(reading)
    assert found == rows(other)
    assert not reading.gaps()
    assert any(str(row["user_login"]).endswith("[bot]") for row in found)
    assert any(row["user_id"] is None for row in found)
    assert {row["state"] for row in found} >= {"PENDING", "DISMISSED", "APPROVED"}
    assert any(row["submitted_at"] is None for row in found)


def test_of_pull_requests_of_a_repository_that_is_gone_the_reviews_are_gaps_and_of_no_others(
    reading: Warehouse, before_the_query: Callable[[Callable[[], Any]], None]
) -> None:
    """GitHub gives the same answer where the credential may see it no more: the next run looks at the repository."""
    origin = reading.origin
    gone = len(numbers(origin, "acme/web"))
    before_the_query(lambda: origin.change("repository.hide", repository="acme/web"))
    reading.sync("activity")
    assert [status for _, _, status, _ in reading.gaps()] == [404] * gone
    assert calls(origin)[1] == 2 * gone, "each is asked for twice, as one answer may be wrong"
    assert {row["id"] for row in rows(reading)} == {review["object"]["id"] for review in origin.objects("reviews")}


def test_a_pull_request_that_may_not_be_seen_is_a_gap_of_its_own(
    reading: Warehouse, before_the_query: Callable[[Callable[[], Any]], None]
) -> None:
    origin = reading.origin
    hidden = len(numbers(origin, "acme/web"))
    before_the_query(lambda: origin.change("repository.edit", repository="acme/web", set={"forbidden": True}))
    reading.sync("activity")
    assert [status for _, _, status, _ in reading.gaps()] == [403] * hidden
    origin.change("repository.edit", repository="acme/web", set={"forbidden": False})
    reading.sync("activity")
    assert not reading.gaps()
    assert_mirrors(reading, "reviews")


def test_a_query_that_takes_too_long_is_asked_in_parts_and_then_by_rest(
    reading: Warehouse, monkeypatch: pytest.MonkeyPatch, warned: Callable[[], list[str]]
) -> None:
    monkeypatch.setattr(http, "ATTEMPTS", 1)
    origin = reading.origin
    origin.fail({"kind": "status", "status": 502, "path": "/graphql", "times": 1})
    reading.sync("activity")
    assert not warned()
    assert calls(origin)[1] == 0

    for number in numbers(origin, PLATFORM):
        origin.change("review.create", repository=PLATFORM, number=number)
    origin.advance()
    origin.forget_requests()
    origin.fail({"kind": "status", "status": 502, "path": "/graphql"})
    reading.sync("activity")
    queries, by_rest = calls(origin)
    assert queries >= 2
    assert by_rest >= len(numbers(origin, PLATFORM))
    assert "pull requests by REST, because GraphQL takes too long: " in warned()[0]
    assert not reading.gaps()
    assert_mirrors(reading, "reviews")


def test_a_server_that_does_not_have_all_of_it_is_read_by_rest(
    reading: Warehouse, monkeypatch: pytest.MonkeyPatch, warned: Callable[[], list[str]]
) -> None:
    """As an old Enterprise Server, which has ids of 32 bits only."""
    monkeypatch.setattr(reviews, "QUERY", reviews.QUERY.replace("fullDatabaseId", "fullDatabaseIdOfLater"))
    reading.sync("activity")
    assert "Cannot query field 'fullDatabaseIdOfLater'" in warned()[0]
    assert calls(reading.origin)[1] == len(reading.origin.objects("pull_requests"))
    assert_mirrors(reading, "reviews")


def test_without_a_token_reviews_are_read_by_rest(reading: Warehouse) -> None:
    reading.sync("activity", SOURCES__GITHUB__REPOSITORIES="acme/web", SOURCES__GITHUB__ACCESS_TOKEN="anonymous")
    assert calls(reading.origin) == (0, len(numbers(reading.origin, "acme/web")))
    assert rows(reading)


def test_points_that_are_spent_are_no_reason_to_spend_calls(start_origin: StartOrigin, tmp_path: Path) -> None:
    """What REST may be asked is not touched, and the next run reads what is missing, by queries again."""
    origin = start_origin(0.25, "--github-quota", "100")
    warehouse = Warehouse(GITHUB, origin, tmp_path, SOURCES__GITHUB__WITHOUT=OTHERS)
    with warehouse.configured():
        graphql = api.connect().graphql
        assert graphql
        for _ in range(100):
            graphql.post(graphql.url, {"query": "{ __typename }"}, usage=http.Usage())
    origin.forget_requests()
    warehouse.sync("activity", SOURCES__GITHUB__LONGEST_WAIT="60")
    gaps = warehouse.gaps()
    assert {(table, status) for table, _, status, _ in gaps} == {("reviews", 429)}
    assert len(gaps) == len(origin.objects("pull_requests"))
    assert calls(origin)[1] == 0
    assert_mirrors(warehouse, "pull_requests")

    origin.advance(3700)
    origin.forget_requests()
    # The note of the pause is by the machine's clock, which was not set forward.
    warehouse.sync("activity", INGEST_LIMITS_DIR=str(tmp_path))
    assert calls(origin) == (math.ceil(len(gaps) / 100), 0)
    assert not warehouse.gaps()
    assert_mirrors(warehouse, "reviews")


def test_what_an_answer_that_cannot_be_read_stands_for_is_read_by_rest(
    reading: Warehouse, warned: Callable[[], list[str]]
) -> None:
    reading.origin.fail({"kind": "empty_list", "path": "/graphql"})
    reading.sync("activity")
    assert "pull requests by REST: table reviews: the response of GraphQL cannot be read: " in warned()[0]
    assert calls(reading.origin)[1] == len(reading.origin.objects("pull_requests"))
    assert not reading.gaps()
    assert_mirrors(reading, "reviews")


@pytest.mark.parametrize(
    ("url", "of_graphql"),
    [
        ("https://api.github.com", "https://api.github.com/graphql"),
        ("https://api.octocorp.ghe.com/", "https://api.octocorp.ghe.com/graphql"),
        ("https://github.example.com/api/v3", "https://github.example.com/api/graphql"),
    ],
)
def test_graphql_has_an_address_of_its_own(url: str, of_graphql: str) -> None:
    assert graphql_url(url) == of_graphql


def review(**fields: Any) -> dict[str, Any]:
    return {
        "fullDatabaseId": "9007199254740993",
        "state": "APPROVED",
        "body": "Fine.\r\n",
        "authorAssociation": "NONE",
        "submittedAt": "2025-01-22T15:07:21Z",
        "url": "https://github.com/acme/web/pull/1#pullrequestreview-9007199254740993",
        "commit": {"oid": "9e9011a"},
        "author": None,
        **fields,
    }


def as_in_rest(*nodes: Any, more: bool = False, errors: Any = ()) -> Any:
    """The list that is made of a response with one pull request; None if it is not taken."""
    pull = {"fullDatabaseId": "5", "reviews": {"pageInfo": {"hasNextPage": more}, "nodes": nodes}}
    body = msgspec.json.encode({"data": {"nodes": [pull]}, "errors": errors})
    whole = reviews.decoded(body).whole()
    if whole is None:
        return None
    found = reviews.lists(whole).get("5")
    return None if found is None else msgspec.json.decode(found)


@pytest.mark.parametrize(
    ("author", "user"),
    [
        (None, None),
        ({"__typename": "User", "login": "ana", "databaseId": 1}, {"id": 1, "login": "ana"}),
        ({"__typename": "Bot", "login": "dependabot", "databaseId": 2}, {"id": 2, "login": "dependabot[bot]"}),
        ({"__typename": "Mannequin", "login": "ben", "databaseId": 3}, {"id": 3, "login": "ben"}),
        ({"__typename": "Organization", "login": "acme", "databaseId": 4}, {"id": 4, "login": "acme"}),
    ],
)
def test_a_reviewer_has_the_name_of_rest(author: Any, user: Any) -> None:
    (row,) = as_in_rest(review(author=author))
    assert row["user"] == user
    assert row["id"] == 9007199254740993
    assert row["body"] == "Fine.\r\n"


@pytest.mark.parametrize(
    "node",
    [
        None,
        review(commit=None),
        review(fullDatabaseId=None),
        review(author={"__typename": "EnterpriseUserAccount", "login": "eve"}),
        review(author={"__typename": "Bot", "login": "copilot-swe-agent", "databaseId": 198982749}),
    ],
)
def test_a_list_of_which_graphql_does_not_say_all_is_not_taken(node: Any) -> None:
    assert as_in_rest(review(), node) is None


@pytest.mark.parametrize(
    "error",
    [
        {"message": "no"},
        {"message": "no", "path": ["nodes"]},
        {"message": "no", "path": ["nodes", 0, "reviews"]},
        # The query was ended there, and what else it has may be cut:
        # https://docs.github.com/en/graphql/overview/rate-limits-and-query-limits-for-the-graphql-api#other-resource-limits
        {"message": "Resource limits for this query exceeded.", "path": ["nodes", 1, "reviews"]},
    ],
)
def test_a_list_that_an_error_may_concern_is_not_taken(error: Any) -> None:
    assert as_in_rest(review(), errors=[error]) is None
    assert as_in_rest(review(), errors=[{"message": "no", "path": ["nodes", 1]}])


def test_a_list_that_goes_on_is_not_taken() -> None:
    assert as_in_rest(review(), more=True) is None
