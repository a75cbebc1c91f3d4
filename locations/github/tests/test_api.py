"""How GitHub says that calls come too fast, and what else goes wrong."""

import time
from typing import Any

import pytest
import requests

from github_location.source.api import WAIT, GitHub, connect

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
