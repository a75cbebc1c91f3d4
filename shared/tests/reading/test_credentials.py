"""Of several credentials each list has its own, and another one steps in for it."""

import pytest
from dlt.sources.helpers.rest_client.auth import BearerTokenAuth

from ingest_shared.errors import ApiError, SettingError
from ingest_shared.reading.api import Api, Usage
from ingest_shared.reading.credentials import Credentials
from tests.conftest import Reply, Request, Server

LISTS = [f"https://api.example.com/lists/{number}" for number in range(20)]


def credentials(*tokens: str) -> Credentials:
    return Credentials([BearerTokenAuth(token) for token in tokens], "https://api.example.com", 1e6, "setting", "wrong")


def token(auth: object) -> str:
    assert isinstance(auth, BearerTokenAuth)
    return str(auth.token)


def test_a_list_keeps_its_credential_and_all_have_lists() -> None:
    found = {list_: token(credentials("a", "b").pick(list_).auth) for list_ in LISTS}
    assert set(found.values()) == {"a", "b"}
    assert {list_: token(credentials("b", "a").pick(list_).auth) for list_ in LISTS} == found


def test_another_one_steps_in_while_a_credential_is_paused() -> None:
    several = credentials("c", "d")
    paused = several.pick(LISTS[0])
    paused.pause(30)
    assert several.pick(LISTS[0]) is not paused
    assert paused.paused_for == pytest.approx(30, abs=1)


def test_a_pause_of_another_run_is_seen() -> None:
    credentials("e").pick(LISTS[0]).pause(30)
    assert credentials("e").pick(LISTS[0]).paused_for == pytest.approx(30, abs=1)


def test_the_last_credential_is_never_left_out() -> None:
    several = credentials("f", "g")
    first, second = several.pick(LISTS[0]), several.pick(LISTS[0], [several.pick(LISTS[0])])
    assert several.leave_out(first, "revoked")
    assert several.leave_out(first, "revoked"), "by another thread"
    assert all(several.pick(list_) is second for list_ in LISTS)
    assert not several.leave_out(second, "revoked")


class Hiding(Api):
    unseen = (404,)


def played(server: Server, *good: str) -> Hiding:
    """An API that shows everything to some tokens, and to others hides it (`hidden`) or refuses them."""

    def answer(request: Request) -> Reply:
        sent = request.headers["Authorization"].removeprefix("Bearer ")
        if sent in good:
            return Reply(200, b"[1]")
        return Reply(404 if sent.startswith("hidden") else 401, b"no")

    server.answers(answer)
    tokens = [*good, "hidden1", "hidden2", "refused1", "refused2"]
    return Hiding(
        server.url,
        auth=[BearerTokenAuth(sent) for sent in tokens],
        calls_per_second=1e6,
        in_flight=1,
        url_setting="sources.test.api_url",
        credential_setting="sources.test.api_key",
    )


def test_what_one_credential_may_not_see_another_one_reads(server: Server) -> None:
    api = played(server, "good")
    assert [api.get(f"/{number}", usage=Usage()).body for number in range(9)] == [b"[1]"] * 9
    refused = [request for request in server.requests if "refused" in request.headers["Authorization"]]
    assert len(refused) <= 2, "one that is refused is not tried again"


def test_what_no_credential_may_see_is_not_there(server: Server) -> None:
    with pytest.raises((ApiError, SettingError), match="404"):
        played(server).get("/one", usage=Usage())
