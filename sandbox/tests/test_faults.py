import asyncio
import time
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import httpx
import pytest

from .conftest import ANCHOR, GitHub, Stripe

ISSUES = "/repos/acme/platform/issues"


@pytest.fixture(autouse=True)
def _no_faults_after(client: httpx.Client) -> Iterator[None]:
    yield
    client.delete("/_sandbox/faults")


def plan(client: httpx.Client, *faults: dict[str, Any], latency_ms: float = 0) -> None:
    body = {"latency_ms": latency_ms, "faults": faults}
    assert client.post("/_sandbox/faults", json=body).status_code == 200


@pytest.mark.parametrize("status", [403, 429, 500, 502])
def test_a_status_in_the_shape_of_each_api(client: httpx.Client, github: GitHub, stripe: Stripe, status: int) -> None:
    plan(client, {"kind": "status", "status": status, "retry_after": 1})
    answer = github.get(ISSUES)
    assert (answer.status_code, answer.headers["retry-after"]) == (status, "1")
    assert answer.json()["message"]
    answer = stripe.get("/v1/customers")
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


def test_a_restricted_key_is_told_which_permission_it_lacks(client: httpx.Client, stripe: Stripe) -> None:
    plan(client, {"kind": "status", "status": 403, "path": "/v1/charges"})
    error = stripe.get("/v1/charges", limit=1).json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"].endswith(
        "does not have the required permissions for this endpoint on account 'acct_1SandboxAcme0000'. "
        "Having the 'rak_charge_read' permission would allow this request to continue."
    )
    assert stripe.get("/v1/customers").status_code == 200


def test_an_account_may_be_younger_than_its_objects(client: httpx.Client, stripe: Stripe) -> None:
    oldest = stripe.walk("/v1/charges", limit=100)[-1]["created"]
    plan(client, {"kind": "replace_field", "path": "/v1/account", "field": "created", "value": oldest + 1})
    assert stripe.get("/v1/account").json()["created"] > oldest


def test_every_and_times_and_path(client: httpx.Client, github: GitHub, stripe: Stripe) -> None:
    plan(client, {"kind": "status", "status": 500, "every": 3, "path": "/issues"})
    assert [github.get(ISSUES).status_code for _ in range(6)] == [200, 200, 500] * 2
    assert stripe.get("/v1/customers").status_code == 200
    plan(client, {"kind": "status", "status": 500, "times": 2})
    assert [github.get(ISSUES).status_code for _ in range(3)] == [500, 500, 200]
    assert client.get("/_sandbox/faults").json()["faults"][0]["struck"] == 2


def test_a_cut_ends_the_connection(client: httpx.Client, github: GitHub) -> None:
    plan(client, {"kind": "cut", "times": 1})
    with pytest.raises(httpx.RemoteProtocolError):
        github.get(ISSUES)
    assert github.get(ISSUES).status_code == 200


def test_half_a_text_and_a_page_of_html(client: httpx.Client, github: GitHub) -> None:
    plan(client, {"kind": "truncate"})
    with pytest.raises(ValueError, match=r"Expecting|Unterminated|delimiter"):
        github.get(ISSUES).json()
    plan(client, {"kind": "html"})
    answer = github.get(ISSUES)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")


def test_fields_that_drift(client: httpx.Client, github: GitHub, stripe: Stripe) -> None:
    extra = {"kind": "extra_field", "path": "/issues", "field": "x_new", "value": {"a": 1}}
    wrong = {"kind": "replace_field", "field": "created", "value": "abc"}
    for fault in (extra, wrong):
        assert client.put("/_sandbox/faults", json=fault).status_code == 200
    assert all(row["x_new"] == {"a": 1} for row in github.get(ISSUES).json())
    rows = stripe.get("/v1/customers").json()["data"]
    assert all(row["created"] == "abc" and "x_new" not in row for row in rows)
    client.delete("/_sandbox/faults")
    assert "x_new" not in github.get(ISSUES).json()[0]


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ({"status": 502, "body": "<h1>502 Bad Gateway</h1>", "content_type": "text/html"}, "<h1>502 Bad Gateway</h1>"),
        ({"status": 404, "body": ""}, ""),
        ({"status": 403, "body": '{"message": "API rate limit exceeded"}'}, '{"message": "API rate limit exceeded"}'),
        ({"status": 422, "body": "this diff is taking too long", "content_type": "text/plain"}, "this diff"),
    ],
)
def test_a_status_says_what_it_is_told_to(
    client: httpx.Client, github: GitHub, fault: dict[str, Any], text: str
) -> None:
    plan(client, {"kind": "status", **fault})
    answer = github.get(ISSUES)
    assert answer.status_code == fault["status"]
    assert answer.text.startswith(text)
    assert bool(answer.text) == bool(text)
    assert answer.headers["content-type"] == fault.get("content_type", "application/json")
    assert not [name for name in answer.headers if name.startswith("x-ratelimit")]


def test_a_status_has_the_headers_it_is_given(client: httpx.Client, github: GitHub) -> None:
    plan(client, {"kind": "status", "status": 403, "headers": {"X-RateLimit-Remaining": "0"}})
    answer = github.get(ISSUES)
    assert answer.headers["x-ratelimit-remaining"] == "0"
    assert "x-ratelimit-reset" not in answer.headers


def test_a_list_without_rows(client: httpx.Client, github: GitHub, stripe: Stripe) -> None:
    plan(client, {"kind": "empty_list"})
    assert github.get(ISSUES).json() == []
    assert stripe.get("/v1/customers").json() == {
        "object": "list",
        "data": [],
        "has_more": False,
        "url": "/v1/customers",
    }


def test_an_order_that_is_not_kept(client: httpx.Client, github: GitHub, stripe: Stripe) -> None:
    issues, customers = github.get(ISSUES).json(), stripe.get("/v1/customers").json()["data"]
    plan(client, {"kind": "reverse"})
    assert github.get(ISSUES).json() == issues[::-1]
    assert stripe.get("/v1/customers").json()["data"] == customers[::-1]


def test_a_next_page_on_another_host(client: httpx.Client, github: GitHub) -> None:
    links = github.get(f"{ISSUES}?page=2").links
    plan(client, {"kind": "rewrite_links", "host": "elsewhere.example:81"})
    moved = github.get(f"{ISSUES}?page=2").links
    assert httpx.URL(moved["next"]["url"]).netloc == b"elsewhere.example:81"
    assert httpx.URL(moved["next"]["url"]).raw_path == httpx.URL(links["next"]["url"]).raw_path
    assert {name: moved[name] for name in ("prev", "last", "first")} == {
        name: links[name] for name in ("prev", "last", "first")
    }


def test_errors_are_dated_too(client: httpx.Client, github: GitHub) -> None:
    plan(client, {"kind": "status", "status": 500})
    assert github.get(ISSUES).headers.get_list("date") == [formatdate(ANCHOR, usegmt=True)]


def test_latency_and_the_count_of_requests(client: httpx.Client) -> None:
    client.delete("/_sandbox/requests")
    plan(client, latency_ms=50)

    async def four_at_once() -> None:
        async with httpx.AsyncClient(base_url=client.base_url) as many:
            await asyncio.gather(*(many.get("/stripe/v1/account") for _ in range(4)))

    began = time.monotonic()
    asyncio.run(four_at_once())
    assert time.monotonic() - began >= 0.05
    counts = client.get("/_sandbox/requests").json()
    assert 0 <= counts.pop("seconds")["stripe"] < 1
    assert counts == {
        "total": {"stripe": 4},
        "by_status": {"stripe": {"401": 4}},
        "by_path": {"/stripe/v1/account": 4},
        "max_concurrent": {"stripe": 4},
        "max_per_second": {"stripe": 4},
        "max_per_minute": {"stripe": 4},
        "max_per_second_by_path": {"/stripe/v1/account": 4},
    }
