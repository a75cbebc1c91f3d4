from ingest_sandbox.stripe.limits import Limits

from .conftest import Stripe, make_world, serving


def test_a_sandbox_takes_25_a_second_in_all() -> None:
    limits = Limits(clock=lambda: 0)
    reasons = [limits.exceeded(f"GET /v1/{number}", live=False) for number in range(26)]
    assert reasons == [None] * 25 + ["global-rate"]


def test_a_sandbox_takes_as_many_as_it_is_told() -> None:
    limits = Limits(100, clock=lambda: 0)
    reasons = [limits.exceeded(f"GET /v1/{number}", live=False) for number in range(101)]
    assert reasons == [None] * 100 + ["global-rate"]


def test_live_mode_takes_100_a_second_and_25_for_each_endpoint() -> None:
    limits = Limits(clock=lambda: 0)
    reasons = [limits.exceeded(endpoint, live=True) for endpoint in "abcd" for _ in range(26)]
    assert reasons == ([None] * 25 + ["endpoint-rate"]) * 3 + [None] * 25 + ["global-rate"]


def test_files_take_20_a_second() -> None:
    limits = Limits(clock=lambda: 0)
    reasons = [limits.exceeded("GET /stripe/v1/files", live=True) for _ in range(21)]
    assert reasons == [None] * 20 + ["endpoint-rate"]


def test_a_second_later_there_is_room_again() -> None:
    now = 0.0
    limits = Limits(clock=lambda: now)
    for _ in range(25):
        limits.exceeded("a", live=False)
    now = 0.99
    assert limits.exceeded("a", live=False)
    now = 1.0
    assert limits.exceeded("a", live=False) is None


def test_a_request_beyond_the_limit_is_answered_429() -> None:
    with serving(make_world(size=0.1), stripe_limits=25) as client:
        stripe = Stripe(client)
        answers = (stripe.get(f"/v1/charges/ch_{number}") for number in range(1_000))
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert refused.headers["stripe-rate-limited-reason"] == "global-rate"
        assert refused.json()["error"]["code"] == "rate_limit"
        assert "retry-after" not in refused.headers


def test_without_the_option_there_is_no_limit() -> None:
    with serving(make_world(size=0.1)) as client:
        assert {Stripe(client).get("/v1/account").status_code for _ in range(40)} == {200}
