"""Who may ask: a token, several, an App, nobody; at GitHub and at an Enterprise Server."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from github_location.source.api import IN_FLIGHT, GitHub
from ingest_testing import assert_mirrors, run_job

from .origin import ACTIVITY, CATALOG, GITHUB, PEOPLE, TOKEN, Origin, Warehouse

pytestmark = pytest.mark.exhaustive

StartOrigin = Callable[..., Origin]
TOKENS = "SOURCES__GITHUB__ACCESS_TOKEN"
SECOND = "sandbox-second-token"
BOTH = ("--github-token", TOKEN, "--github-token", SECOND)
APP = {"SOURCES__GITHUB__APP_ID": "700001", "SOURCES__GITHUB__INSTALLATION_ID": "50700001", TOKENS: ""}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A private key, and the file of its public one."""
    key = rsa.generate_private_key(65537, 2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = tmp_path_factory.mktemp("key") / "public.pem"
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return private.decode(), public


@pytest.fixture
def installed(start_origin: StartOrigin, keys: tuple[str, Path], tmp_path: Path) -> Warehouse:
    """A warehouse that an App fills with what it is installed on."""
    origin = start_origin(0.25, "--github-app-key", str(keys[1]))
    settings = {**APP, "SOURCES__GITHUB__APP_PRIVATE_KEY": keys[0], "SOURCES__GITHUB__REPOSITORIES": "*"}
    return Warehouse(GITHUB, origin, tmp_path, **settings)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "ingest"]


def test_a_list_stays_with_one_token_so_that_an_idle_sync_of_two_tokens_costs_no_quota(
    start_origin: StartOrigin, tmp_path: Path
) -> None:
    warehouse = Warehouse(GITHUB, start_origin(0.25, *BOTH), tmp_path, **{TOKENS: f"{TOKEN},{SECOND}"})
    for _ in range(3):
        warehouse.origin.forget_requests()
        warehouse.sync("catalog")
    requests = warehouse.origin.requests()
    assert "200" not in requests["by_status"]
    used = [warehouse.origin.get("/rate_limit", token).json()["rate"]["used"] for token in (TOKEN, SECOND)]
    assert min(used) > 5, "both tokens were used"
    assert_mirrors(warehouse, *CATALOG)


def test_a_token_that_is_spent_leaves_the_work_to_the_others(start_origin: StartOrigin, tmp_path: Path) -> None:
    """The ETags of the one say nothing to the other, and no row is lost."""
    origin = start_origin(0.25, *BOTH, "--github-quota", "60")
    warehouse = Warehouse(GITHUB, origin, tmp_path, **{TOKENS: f"{TOKEN},{SECOND}"})
    warehouse.sync("catalog")
    while origin.get("/user", TOKEN).ok:
        pass
    origin.change("label.create", repository="acme/web")
    origin.change("label.create", repository="acme/api")
    origin.advance()
    started = time.monotonic()
    warehouse.sync("catalog")
    assert time.monotonic() - started < 30
    assert_mirrors(warehouse, *CATALOG)
    assert not warehouse.gaps()


def test_a_revoked_token_of_several_is_left_out_with_one_line(
    warehouse: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "ingest"):
        warehouse.sync("catalog", SOURCES__GITHUB__ACCESS_TOKEN=f"revoked,{TOKEN}")
    told = [line for line in warnings(caplog) if "refused" in line]
    assert told == [
        "credential 1 of 2 in `sources.github.access_token` was refused (GitHub: Bad credentials); "
        "continuing with the others"
    ]
    assert_mirrors(warehouse, *CATALOG)


def test_a_token_of_several_that_ends_in_the_middle_of_a_run_leaves_the_rest_to_the_others(
    start_origin: StartOrigin, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = Warehouse(GITHUB, start_origin(0.25, *BOTH), tmp_path, **{TOKENS: f"{TOKEN},{SECOND}"})
    send, calls = GitHub._send, iter(range(10**6))

    def ending(api: GitHub, *args: Any, **kwargs: Any) -> Any:
        if next(calls) == 20:
            monkeypatch.setattr(api.credentials.first.auth, "token", "revoked")
        return send(api, *args, **kwargs)

    monkeypatch.setattr(GitHub, "_send", ending)
    with caplog.at_level(logging.WARNING, "ingest"):
        warehouse.sync("catalog")
    assert len([line for line in warnings(caplog) if line.startswith("credential 1 of 2")]) == 1
    assert_mirrors(warehouse, *CATALOG)
    assert not warehouse.gaps()


def test_the_only_token_ends_in_the_middle_of_a_run_and_the_next_one_goes_on(synced: Warehouse) -> None:
    origin = synced.origin
    for kind in ("label.create", "milestone.create", "release.create"):
        origin.change(kind)
    origin.advance()
    origin.fail({"kind": "status", "status": 401, "path": "/milestones", "body": '{"message": "Bad credentials"}'})
    origin.forget_requests()
    run = run_job(synced, "catalog_ingest")
    assert run.failure.startswith("GitHub refused the credential (Bad credentials); set a valid one in")
    assert run.retries == 0
    assert origin.requests()["by_status"]["401"] <= IN_FLIGHT, "nobody asks again"
    origin.heal()
    synced.sync("catalog")
    assert_mirrors(synced, *CATALOG)


def test_an_app_reads_what_it_is_installed_on(installed: Warehouse) -> None:
    installed.sync("catalog", "people")
    assert_mirrors(installed, *CATALOG, *PEOPLE)
    assert installed.origin.requests()["by_path"]["/github/installation/repositories"] == 2


def test_an_apps_token_that_ends_in_the_middle_of_a_list_is_renewed(
    installed: Warehouse, per_page: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    per_page(10)
    send, calls = GitHub._send, iter(range(10**6))

    def ending(api: GitHub, *args: Any, **kwargs: Any) -> Any:
        if next(calls) == 40:
            installed.origin.advance(3700)
        return send(api, *args, **kwargs)

    monkeypatch.setattr(GitHub, "_send", ending)
    installed.sync("activity")
    assert installed.origin.requests()["by_status"]["401"] >= 1
    assert not installed.gaps()
    assert_mirrors(installed, *ACTIVITY)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"SOURCES__GITHUB__APP_PRIVATE_KEY": "none"}, "sources.github.app_private_key is not the private key of an"),
        ({"SOURCES__GITHUB__INSTALLATION_ID": ""}, "sources.github.installation_id is not set"),
        ({"SOURCES__GITHUB__INSTALLATION_ID": "5"}, "GitHub gave the App 700001 no token for the installation 5"),
        ({TOKENS: TOKEN}, "sources.github.app_id and sources.github.access_token are both set"),
        ({"SOURCES__GITHUB__APP_ID": "", TOKENS: TOKEN}, "sources.github.repositories has '*'"),
    ],
)
def test_an_app_that_is_not_set_up(installed: Warehouse, settings: dict[str, str], said: str) -> None:
    run = run_job(installed, "catalog_ingest", **settings)
    assert run.failure.startswith(said)
    assert run.retries == 0


def test_without_a_token_public_repositories_are_read(
    start_origin: StartOrigin, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    origin = start_origin()
    warehouse = Warehouse(GITHUB, origin, tmp_path, SOURCES__GITHUB__REPOSITORIES="acme/web", **{TOKENS: "anonymous"})
    with caplog.at_level(logging.WARNING, "ingest"):
        warehouse.sync("catalog", "people")
    assert "GitHub is read without a token: public repositories only, 60 calls an hour" in warnings(caplog)
    assert warehouse.query("SELECT full_name FROM {repositories}") == [("acme/web",)]
    reasons = {(table, status): reason for table, _, status, reason in warehouse.gaps()}
    assert set(reasons) == {("collaborators", 401), ("teams", 401), ("issue_types", 401)}
    assert all("leave the table out with `sources.github.without`" in reason for reason in reasons.values())


def test_an_enterprise_server_has_a_prefix_and_no_quota(start_origin: StartOrigin, tmp_path: Path) -> None:
    origin = start_origin(0.25, "--github-enterprise")
    warehouse = Warehouse(GITHUB, origin, tmp_path, SOURCES__GITHUB__API_URL=f"{origin.url}/github/api/v3")
    assert run_job(warehouse, "catalog_ingest").metadata["labels"]["quota_left"] is None
    warehouse.sync("activity")
    assert origin.requests()["by_path"]["/github/api/graphql"] >= 1
    assert_mirrors(warehouse, *ACTIVITY, *CATALOG)
