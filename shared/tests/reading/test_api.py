"""The client waits when told to, tries again when it helps, and never swallows what went wrong."""

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from typing import Any

import pytest
import requests
from dlt.sources.helpers.rest_client.auth import APIKeyAuth, BearerTokenAuth
from requests.auth import AuthBase

from ingest_shared.errors import ApiError, IngestError, NotJson, QuotaSpent, SettingError
from ingest_shared.reading import api as http
from ingest_shared.reading.api import Api, Response, Usage, server_time
from ingest_shared.settings import setting_help
from tests.conftest import Reply, Server, closed_port


@pytest.fixture(autouse=True)
def short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "FIRST_BACKOFF", 0.01)


BEARER = BearerTokenAuth("hunter2")


def api(url: str, auth: AuthBase = BEARER, kind: type[Api] = Api) -> Api:
    return kind(
        url,
        auth=auth,
        calls_per_second=1e6,
        in_flight=4,
        url_setting="sources.test.api_url",
        credential_setting="sources.test.api_key",
    )


def get(server: Server, *replies: Reply, usage: Usage | None = None, **options: Any) -> Response:
    server.replies(*replies)
    return api(server.url).get("/things", usage=usage or Usage(), **options)


def error_of(server: Server, *replies: Reply) -> IngestError:
    with pytest.raises(IngestError) as caught:
        get(server, *replies)
    assert "\n" not in str(caught.value)
    return caught.value


GOOD = Reply(body=b"[1, 2]")
TRUNCATED = Reply(body=b"[1, ")


# An answer


def test_the_body_is_given_as_it_was_sent(server: Server) -> None:
    assert get(server, GOOD).body == b"[1, 2]"


def test_a_request_carries_the_credential_its_parameters_and_its_own_headers(server: Server) -> None:
    get(server, GOOD, params={"per_page": 100}, headers={"If-None-Match": '"x"'})
    (request,) = server.requests
    assert request.path == "/things?per_page=100"
    assert request.headers["Authorization"] == "Bearer hunter2"
    assert request.headers["If-None-Match"] == '"x"'


@pytest.mark.parametrize("address", ["{0}/things?page=2", "/things?page=2", "?page=2"])
def test_the_address_of_a_further_page_is_followed_as_it_is(server: Server, address: str) -> None:
    link = f'<{address.format(server.url)}>; rel="next"'
    answer = get(server, Reply(headers={"Link": link}), GOOD)
    assert answer.links == {"next": f"{server.url}/things?page=2"}
    assert api(server.url).get(answer.links["next"], usage=Usage()).body == GOOD.body
    assert server.requests[-1].path == "/things?page=2"


def test_a_body_is_posted_as_json(server: Server) -> None:
    server.replies(GOOD)
    assert api(server.url).post("/search", {"since": 5}, usage=Usage()).body == GOOD.body
    (request,) = server.requests
    assert (request.method, request.path, request.body) == ("POST", "/search", b'{"since": 5}')
    assert request.headers["Content-Type"] == "application/json"


class Slack(Api):
    """https://docs.slack.dev/apis/web-api/#responses"""

    def status_of(self, response: requests.Response) -> int:
        answer = response.json()
        return 200 if answer["ok"] else {"invalid_auth": 401, "ratelimited": 429, "fatal_error": 500}[answer["error"]]

    def reason(self, response: requests.Response) -> str:
        return str(response.json()["error"])


def slack_error(error: str) -> Reply:
    return Reply(body=b'{"ok": false, "error": "%s"}' % error.encode())


def test_an_error_in_the_body_of_a_success_counts_as_its_status(server: Server) -> None:
    good = Reply(body=b'{"ok": true}')
    for error in ("ratelimited", "fatal_error"):
        server.replies(slack_error(error), good)
        assert api(server.url, kind=Slack).get("/things", usage=Usage()).body == good.body
    server.replies(slack_error("invalid_auth"))
    with pytest.raises(SettingError, match=r"refused the credential \(invalid_auth\); set a valid one in"):
        api(server.url, kind=Slack).get("/things", usage=Usage())
    server.replies(Reply(body=b"<html>"), good)
    assert api(server.url, kind=Slack).get("/things", usage=Usage()).body == good.body


@pytest.mark.parametrize(("results", "links"), [("true", {"next"}), ("false", set())])
def test_a_link_that_has_nothing_to_show_leads_nowhere(results: str, links: set[str], server: Server) -> None:
    """https://docs.sentry.io/api/pagination/"""
    link = f'<{server.url}/things?cursor=0:100:0>; rel="next"; results="{results}"; cursor="0:100:0"'
    assert get(server, Reply(headers={"Link": link})).links.keys() == links


def test_no_content_is_an_answer_and_is_not_asked_for_again(server: Server) -> None:
    assert get(server, Reply(204, b"")).status == http.NO_CONTENT
    assert len(server.requests) == 1


def test_a_page_that_did_not_change_is_none(server: Server) -> None:
    server.replies(Reply(304, b""))
    assert api(server.url).get_if_changed("/things", etag='"x"', usage=Usage()) is None
    assert server.requests[0].headers["If-None-Match"] == '"x"'


def test_a_page_that_changed_is_given(server: Server) -> None:
    server.replies(GOOD)
    response = api(server.url).get_if_changed("/things", etag='"x"', usage=Usage())
    assert response
    assert response.body == GOOD.body
    assert len(server.requests) == 1


def test_a_page_that_has_a_next_one_now_counts_as_changed(server: Server) -> None:
    """Its ETag stands for its own rows alone."""
    server.replies(Reply(304, b"", {"Link": f'<{server.url}/things?page=2>; rel="next"'}), GOOD)
    response = api(server.url).get_if_changed("/things", etag='"x"', usage=Usage())
    assert response
    assert response.body == GOOD.body
    assert "If-None-Match" not in server.requests[1].headers


def test_requests_are_counted_with_the_bytes_of_their_bodies(server: Server) -> None:
    usage = Usage()
    get(server, Reply(500, b"oops"), GOOD, usage=usage)
    assert (usage.api_calls, usage.api_bytes) == (2, len(b"oops") + len(GOOD.body))
    assert usage.quota_left is None


def test_the_quota_that_is_left_is_what_the_api_said_last(server: Server) -> None:
    class Counting(Api):
        def quota_left(self, response: Any) -> int | None:
            left = response.headers.get("X-Left")
            return int(left) if left else None

    server.replies(Reply(headers={"X-Left": "7"}), Reply())
    client, usage = api(server.url, kind=Counting), Usage()
    for _ in range(2):
        client.get("/", usage=usage)
    assert usage.quota_left == 7


def test_usage_is_counted_right_from_many_threads(server: Server) -> None:
    client, usage = api(server.url), Usage()
    server.replies(GOOD)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: client.get("/", usage=usage), range(64)))
    assert (usage.api_calls, usage.api_bytes) == (64, 64 * len(GOOD.body))


# Trouble that passes


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(Reply(500, b"oops"), id="500"),
        pytest.param(Reply(502, b"<html>"), id="502"),
        pytest.param(Reply(hang_up=True), id="connection cut before the answer"),
        pytest.param(Reply(body=b"[1, 2, 3]", cut=4), id="connection cut within the body"),
        pytest.param(TRUNCATED, id="truncated JSON"),
        pytest.param(Reply(body=b""), id="an empty body"),
    ],
)
def test_trouble_that_passes_is_tried_again(server: Server, trouble: Reply) -> None:
    assert get(server, trouble, trouble, GOOD).body == GOOD.body
    assert len(server.requests) == 3


def test_each_try_waits_longer_than_the_one_before(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "FIRST_BACKOFF", 0.1)
    get(server, Reply(500), Reply(500), Reply(500), GOOD)
    times = [request.at for request in server.requests]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert 0.05 <= gaps[0] <= 0.2
    assert 0.1 <= gaps[1] <= 0.3
    assert 0.2 <= gaps[2] <= 0.5


def test_an_api_that_keeps_failing_counts_as_down_after_so_many_tries(server: Server) -> None:
    error = error_of(server, Reply(503, b"maintenance"))
    assert len(server.requests) == http.ATTEMPTS
    assert isinstance(error, ApiError)
    assert error.retry
    assert "503: maintenance" in str(error)
    assert "`sources.test.api_url`" in str(error)


@pytest.mark.parametrize("sent", [Reply(500, b"oops"), Reply(body=b"<html>")], ids=["500", "not JSON"])
def test_a_table_for_which_nothing_is_answered_any_more_is_not_requested_further(server: Server, sent: Reply) -> None:
    client, usage = api(server.url), Usage()
    server.replies(sent)
    for _ in range(http.UNANSWERED + client.in_flight):
        with pytest.raises(IngestError, match=r"5 tries|5 times"):
            client.get("/things", usage=usage)
    requested = len(server.requests)
    with pytest.raises(ApiError, match=r"none of the last 24 requests for this table.*`sources.test") as caught:
        client.get("/things", usage=usage)
    assert len(server.requests) == requested
    assert caught.value.status == 500, "a gap of this table, not the end of the run"
    server.replies(GOOD)
    assert client.get("/things", usage=Usage()).body == GOOD.body, "other tables go on"


@pytest.mark.parametrize("answer", [GOOD, Reply(404)], ids=["a success", "a refusal"])
def test_one_answer_among_many_failures_keeps_a_table_going(server: Server, answer: Reply) -> None:
    client, usage = api(server.url), Usage(unanswered=http.UNANSWERED + 3)
    server.replies(answer, Reply(500))
    with suppress(ApiError):
        client.get("/things", usage=usage)
    with pytest.raises(ApiError, match="5 tries"):
        client.get("/things", usage=usage)
    assert usage.unanswered == 1


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (Reply(hang_up=True), None),
        (Reply(body=b"[1, 2, 3]", cut=4), 500),
        (Reply(body=b"[1, 2, 3]", headers={"Content-Encoding": "gzip"}), 500),
    ],
    ids=["no answer", "cut within the body", "not compressed as it says"],
)
def test_only_an_api_that_sends_nothing_is_down_for_all_lists(server: Server, sent: Reply, status: int | None) -> None:
    """Without a status, the reader ends the run; with one, it leaves out what was requested."""
    error = error_of(server, sent)
    assert isinstance(error, ApiError)
    assert error.status == status
    assert error.retry


def test_an_api_that_is_down_is_named_with_its_setting() -> None:
    address = f"http://127.0.0.1:{closed_port()}"
    with pytest.raises(ApiError) as caught:
        api(address).get("/things", usage=Usage())
    assert re.fullmatch(
        rf"the API did not answer {address}/things in {http.ATTEMPTS} tries \(ConnectionError: .*refused.*\); "
        r"check `sources\.test\.api_url` and whether the API is up",
        str(caught.value),
    )
    assert caught.value.retry


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (rb'["cut \ud83d"]', "cut \ufffd"),
        (rb'["\uDE00 cut"]', "\ufffd cut"),
        (rb'["\ud83d\ud83d\ude00 \\ud83d \n"]', "\ufffd\U0001f600 \\ud83d \n"),
        (b'\xef\xbb\xbf["marked"]', "marked"),
    ],
)
def test_half_a_character_or_a_mark_of_the_encoding_is_no_reason_to_lose_a_page(
    server: Server, sent: bytes, read: str
) -> None:
    assert json.loads(get(server, Reply(body=sent)).body) == [read]
    assert len(server.requests) == 1


@pytest.mark.parametrize("body", [b"<html>", b"[" * 100_000], ids=["no JSON", "too deep"])
def test_a_body_that_is_never_json_is_named_as_such(server: Server, body: bytes) -> None:
    error = error_of(server, Reply(body=body, headers={"Content-Type": "text/html"}))
    assert isinstance(error, NotJson)
    assert len(server.requests) == http.ATTEMPTS
    assert "the response body is empty or not valid JSON; its Content-Type is text/html" in str(error)
    assert "`sources.test.api_url`" in str(error)


# Trouble that stays


def test_a_refused_credential_is_a_wrong_setting_after_exactly_one_request(server: Server) -> None:
    error = error_of(server, Reply(401, b"Bad credentials"))
    assert isinstance(error, SettingError)
    assert not error.retry
    assert len(server.requests) == 1
    assert "Bad credentials" in str(error)
    assert setting_help("sources.test.api_key") in str(error)


@pytest.mark.parametrize("status", [400, 403, 404, 422])
def test_a_request_that_the_api_refuses_is_not_tried_again(server: Server, status: int) -> None:
    error = error_of(server, Reply(status, b"no such thing"))
    assert isinstance(error, ApiError)
    assert (error.status, error.retry) == (status, False)
    assert len(server.requests) == 1
    assert str(error) == f"the API answered {status} to {server.url}/things (no such thing)"


def test_a_refusal_without_a_word_is_one_line_too(server: Server) -> None:
    assert str(error_of(server, Reply(404, b""))) == f"the API answered 404 to {server.url}/things ()"


@pytest.mark.parametrize("status", [404, 502])
def test_a_page_of_html_that_a_proxy_sends_is_one_line_too(server: Server, status: int) -> None:
    error = error_of(server, Reply(status, b"<html>\n<h1>Oops</h1>\n</html>"))
    assert isinstance(error, ApiError)
    assert error.status == status
    assert "<html> <h1>Oops</h1> </html>" in str(error)
    assert len(server.requests) == (http.ATTEMPTS if status == 502 else 1)


@pytest.mark.parametrize(
    ("at", "body", "reason"),
    [
        ("error.message", b'{"error": {"message": "no such thing"}}', "no such thing"),
        ("errors.0.detail", b'{"errors": [{"detail": "no such thing"}]}', "no such thing"),
        ("errorMessages.0", b'{"errorMessages": []}', '{"errorMessages": []}'),
        ("error.message", b'{"error": "no such thing"}', '{"error": "no such thing"}'),
        ("error.message", b'["no such thing"]', '["no such thing"]'),
    ],
)
def test_the_reason_is_where_the_api_has_it_or_else_all_that_it_sent(
    server: Server, at: str, body: bytes, reason: str
) -> None:
    class Nested(Api):
        reason_at = at

    server.replies(Reply(404, body))
    with pytest.raises(ApiError) as caught:
        api(server.url, kind=Nested).get("/things", usage=Usage())
    assert caught.value.reason == reason


def test_a_long_or_many_lined_reason_is_cut_to_one_line(server: Server) -> None:
    error = error_of(server, Reply(404, b"<html>\n<body>\n" + b"x" * 5000))
    assert len(str(error)) < 400


def test_a_credential_never_stands_in_an_error(server: Server) -> None:
    for reply in (Reply(401), Reply(404), Reply(500)):
        server.requests.clear()
        assert "hunter2" not in str(error_of(server, reply))


@pytest.fixture
def stranger() -> Iterator[Server]:
    """Another host."""
    with Server() as stranger:
        yield stranger


AUTHS = [BEARER, APIKeyAuth("X-Api-Key", "hunter2")]


@pytest.mark.parametrize("auth", AUTHS, ids=lambda auth: type(auth).__name__)
def test_a_link_to_another_host_is_refused(server: Server, stranger: Server, auth: AuthBase) -> None:
    with pytest.raises(ApiError, match=r"which is not on the host of `sources\.test\.api_url`") as caught:
        api(server.url, auth).get(f"{stranger.url}/things", usage=Usage())
    assert not caught.value.retry
    assert stranger.requests == []


@pytest.mark.parametrize("auth", AUTHS, ids=lambda auth: type(auth).__name__)
def test_a_credential_is_never_sent_to_another_host(server: Server, stranger: Server, auth: AuthBase) -> None:
    server.replies(Reply(302, b"", {"Location": f"{stranger.url}/things"}))
    with suppress(ApiError):
        api(server.url, auth).get("/things", usage=Usage())
    assert "hunter2" not in str([request.headers for request in stranger.requests])


def test_a_redirect_on_the_same_host_is_followed(server: Server) -> None:
    """GitHub answers so for a repository that was renamed."""
    response = get(server, Reply(301, b"", {"Location": "/things/7"}), GOOD, params={"per_page": 100})
    assert response.body == GOOD.body
    assert [request.path for request in server.requests] == ["/things?per_page=100", "/things/7"]
    assert server.requests[-1].headers["Authorization"] == "Bearer hunter2"


def test_an_api_takes_its_settings_from_a_section(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect() -> Api:
        return Api.configured(
            "sources.crm", "https://crm", auth=BearerTokenAuth, credential="api_key", calls_per_second=5, in_flight=3
        )

    missing = "sources.crm.api_key is not set: https://crm is read with it; set `sources.crm.api_key`"
    with pytest.raises(SettingError, match=missing):
        connect()
    monkeypatch.setenv("SOURCES__CRM__API_KEY", "key")
    assert (connect().url, connect().in_flight) == ("https://crm", 3)
    monkeypatch.setenv("SOURCES__CRM__API_URL", "crm")
    with pytest.raises(SettingError, match=r"sources\.crm\.api_url is 'crm'"):
        connect()
    monkeypatch.setenv("SOURCES__CRM__API_URL", "https://other")
    assert connect().url == "https://other"
    monkeypatch.setenv("SOURCES__CRM__CALLS_PER_SECOND", "fast")
    with pytest.raises(SettingError, match=r"sources\.crm\.calls_per_second is 'fast'"):
        connect()


def test_an_api_with_an_address_for_each_customer_has_no_default(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect() -> Api:
        form = "https://{company}.freshdesk.com/api/v2"
        return Api.configured("sources.desk", form, auth=BearerTokenAuth, calls_per_second=5, in_flight=3)

    monkeypatch.setenv("SOURCES__DESK__ACCESS_TOKEN", "token")
    missing = "sources.desk.api_url is not set: it is your own address, https://{company}.freshdesk.com/api/v2; set `so"
    with pytest.raises(SettingError, match=f"^{re.escape(missing)}"):
        connect()
    monkeypatch.setenv("SOURCES__DESK__API_URL", "https://acme.freshdesk.com/api/v2")
    assert connect().url == "https://acme.freshdesk.com/api/v2"


def test_the_help_for_a_setting_names_it_its_variable_and_its_file() -> None:
    assert setting_help("sources.github.access_token") == (
        "`sources.github.access_token` (environment SOURCES__GITHUB__ACCESS_TOKEN, .dlt/secrets.toml, "
        "or /run/secrets/sources--github--access-token)"
    )


# The API's rate


def test_too_many_requests_waits_as_long_as_the_api_asks(server: Server) -> None:
    assert get(server, Reply(429, headers={"Retry-After": "1"}), GOOD).body == GOOD.body
    first, second = server.requests
    assert second.at - first.at >= 0.95


def test_a_success_may_say_that_calls_come_too_fast(server: Server) -> None:
    """As GraphQL APIs do."""

    class WithErrors(Api):
        def too_fast(self, response: requests.Response) -> float | None:
            return 0.01 if "errors" in response.json() else None

    server.replies(Reply(body=b'{"errors": []}'), Reply(body=b'{"data": 1}'))
    assert api(server.url, kind=WithErrors).get("/things", usage=Usage()).body == b'{"data": 1}'
    assert len(server.requests) == 2


def test_the_wait_may_be_given_as_a_date(server: Server) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    get(server, Reply(429, headers={"Retry-After": date}), GOOD)
    first, second = server.requests
    assert 0.5 <= second.at - first.at <= 2.5


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "soon"}])
def test_too_many_requests_without_a_time_wait_longer_each_time(server: Server, headers: dict[str, str]) -> None:
    get(server, Reply(429, headers=headers), Reply(429, headers=headers), GOOD)
    first, second, third = server.requests
    assert 0.95 <= second.at - first.at < 1.95 <= third.at - second.at


def test_waiting_for_the_rate_is_not_a_failed_try(server: Server) -> None:
    too_fast = Reply(429, headers={"Retry-After": "0.01"})
    assert get(server, *[too_fast] * (2 * http.ATTEMPTS), GOOD).body == GOOD.body


def test_a_wait_longer_than_a_run_should_last_is_refused_at_once(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "LONGEST_WAIT", 2.0)
    started = time.monotonic()
    error = error_of(server, Reply(429, headers={"Retry-After": "3"}), GOOD)
    assert time.monotonic() - started < 2
    assert len(server.requests) == 1
    assert "asks to wait 3 s" in str(error)
    assert isinstance(error, QuotaSpent)
    assert "the next run continues" in error.reason


def test_the_longest_wait_is_longer_than_githubs_hourly_quota() -> None:
    assert 3600 < http.LONGEST_WAIT < 2 * 3600


def test_an_api_that_asks_to_wait_again_and_again_is_given_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "WAITS", 3)
    error = error_of(server, *[Reply(429, b"daily limit", {"Retry-After": "0.01"})] * 4, GOOD)
    assert len(server.requests) == 4
    assert "3 times in a row (daily limit)" in str(error)
    assert error.retry


def test_one_call_that_was_too_fast_holds_back_the_others(server: Server) -> None:
    server.replies(Reply(429, headers={"Retry-After": "1"}), GOOD)
    client = api(server.url)
    with ThreadPoolExecutor(4) as pool:
        pool.submit(client.get, "/first", usage=Usage())
        while not server.requests:
            time.sleep(0.005)
        time.sleep(0.1)
        list(pool.map(lambda _: client.get("/other", usage=Usage()), range(3)))
    first, *others = server.requests
    assert len(others) == 4
    assert min(request.at for request in others) - first.at >= 0.95


# The API's clock


def test_the_apis_clock_is_its_date_header() -> None:
    assert server_time({"Date": "Wed, 01 May 2024 10:30:00 GMT"}) == 1_714_559_400


def test_without_a_date_header_the_clock_is_ours() -> None:
    assert abs(server_time({}) - time.time()) <= 1
