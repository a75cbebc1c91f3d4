"""How GitHub says that calls come too fast, and what else goes wrong."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from github_location.source.api import WAIT, GitHub, GraphQL, connect
from ingest_shared.reading.api import Api, Usage

from .origin import Warehouse


@pytest.fixture
def github(warehouse: Warehouse) -> GitHub:
    with warehouse.configured():
        return connect()


def response(status: int, body: str, **headers: str) -> requests.Response:
    found = requests.Response()
    found.status_code = status
    found._content = body.encode()
    found.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return found


def message(text: str) -> str:
    return f'{{"message": "{text}"}}'


@pytest.mark.parametrize("status", [403, 429])
def test_the_wait_that_github_names_is_kept(github: GitHub, status: int) -> None:
    assert github.too_fast(response(status, "", Retry_After="7")) == 7
    reset = str(int(time.time()) + 100)
    waits = github.too_fast(response(status, "", X_RateLimit_Remaining="0", X_RateLimit_Reset=reset))
    assert waits == pytest.approx(101, abs=2)


@pytest.mark.parametrize("reset", [{}, {"X_RateLimit_Reset": "soon"}])
def test_a_quota_that_is_used_up_without_a_time_waits_a_minute(github: GitHub, reset: dict[str, str]) -> None:
    assert github.too_fast(response(403, "", X_RateLimit_Remaining="0", **reset)) == WAIT


def test_a_quota_that_was_renewed_meanwhile_waits_a_second(github: GitHub) -> None:
    assert github.too_fast(response(403, "", X_RateLimit_Remaining="0", X_RateLimit_Reset="1000")) == 1


@pytest.mark.parametrize(
    "said",
    [
        "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
        "You have triggered an abuse detection mechanism. Please retry your request again later.",
        "API rate limit exceeded for user ID 1.",
    ],
)
def test_a_refusal_that_speaks_of_the_rate_waits_a_minute(github: GitHub, said: str) -> None:
    assert github.too_fast(response(403, message(said), X_RateLimit_Remaining="4000")) == WAIT


@pytest.mark.parametrize("status", [200, 401, 403, 404, 500])
def test_what_does_not_speak_of_the_rate_does_not_wait(github: GitHub, status: int) -> None:
    said = message("Resource not accessible by personal access token")
    assert github.too_fast(response(status, said, X_RateLimit_Remaining="4000")) is None


def test_a_refusal_names_the_permission_that_is_missing(github: GitHub) -> None:
    said = message("Resource not accessible by personal access token")
    refusal = response(403, said, X_Accepted_GitHub_Permissions="issues=read; pull_requests=read")
    needed = "it needs the permission issues=read or pull_requests=read"
    assert github.reason(refusal) == f"Resource not accessible by personal access token: {needed}"


class AnotherDecodeError(ValueError):
    """What ``simplejson`` raises, where it is installed."""


def test_the_reason_of_a_page_that_is_no_json_is_its_text(github: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    page = response(502, "<html>Bad Gateway</html>")
    assert github.reason(page) == "<html>Bad Gateway</html>"

    def fail(*_: Any, **__: Any) -> None:
        raise AnotherDecodeError("Expecting value")

    monkeypatch.setattr(page, "json", fail)
    assert github.reason(page) == "<html>Bad Gateway</html>"
    assert github.reason(response(404, "")) == ""


@pytest.fixture
def graphql(github: GitHub) -> GraphQL:
    assert github.graphql
    return github.graphql


def errors(type_: str, text: str) -> str:
    return f'{{"data": null, "errors": [{{"type": "{type_}", "message": "{text}"}}]}}'


@pytest.mark.parametrize("type_", ["RATE_LIMITED", "RATE_LIMIT"])
def test_a_success_of_graphql_that_says_the_points_are_spent_waits_for_the_next(graphql: GraphQL, type_: str) -> None:
    reset = str(int(time.time()) + 100)
    spent = errors(type_, "API rate limit already exceeded.")
    waits = graphql.too_fast(response(200, spent, X_RateLimit_Remaining="4", X_RateLimit_Reset=reset))
    assert waits == pytest.approx(101, abs=2)
    assert graphql.too_fast(response(200, spent)) == WAIT


def test_queries_are_sent_one_at_a_time(graphql: GraphQL, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six that take ten seconds each are all that a minute may have."""
    under_way, most = [0], []

    def post(self: Api, path: str, body: Any, *, usage: Usage) -> None:
        under_way[0] += 1
        most.append(under_way[0])
        time.sleep(0.01)
        under_way[0] -= 1

    monkeypatch.setattr(Api, "post", post)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: graphql.post("", {}, usage=Usage()), range(8)))
    assert most == [1] * 8


def test_the_secondary_limit_of_graphql_waits_as_long_as_it_says(graphql: GraphQL) -> None:
    said = errors("FORBIDDEN", "You have exceeded a secondary rate limit.")
    assert graphql.too_fast(response(200, said, Retry_After="7")) == 7
    assert graphql.too_fast(response(200, said)) == WAIT
    assert graphql.too_fast(response(200, message("You have exceeded a secondary rate limit."))) == WAIT
    assert graphql.too_fast(response(403, message("You have exceeded a secondary rate limit."))) == WAIT


@pytest.mark.parametrize(
    "body", ['{"data": {}}', errors("NOT_FOUND", "Could not resolve"), "", "[]", f'{{"x": {"[" * 10_000}']
)
def test_another_success_of_graphql_does_not_wait(graphql: GraphQL, body: str) -> None:
    assert graphql.too_fast(response(200, body, X_RateLimit_Remaining="0")) is None


def test_a_pause_of_graphql_does_not_hold_up_rest(github: GitHub, graphql: GraphQL) -> None:
    graphql.credentials.first.pause(5)
    assert github.credentials.first.paused_for == 0
