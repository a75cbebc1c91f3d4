"""Settings are read as dlt reads them, and a missing one says how to set it."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from dlt.common.configuration.providers import environ

from ingest_shared.errors import SettingError
from ingest_shared.settings import list_setting, number_setting, secret_setting, text_setting

NAME = "sources.github.repositories"
TOKEN = "sources.github.access_token"
RATE = "sources.github.calls_per_second"


@pytest.fixture
def secrets_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that dlt reads instead of /run/secrets."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    monkeypatch.setattr(environ, "SECRET_STORAGE_PATH", f"{folder}/%s")
    return folder


def test_a_text_is_the_default_where_it_is_not_set_or_blank() -> None:
    assert text_setting("sources.github.api_url", "https://api") == "https://api"
    os.environ["SOURCES__GITHUB__API_URL"] = "  "
    assert text_setting("sources.github.api_url", "https://api") == "https://api"


def test_a_text_is_read_from_the_environment_and_stripped() -> None:
    os.environ["SOURCES__GITHUB__API_URL"] = " http://localhost:1/ \n"
    assert text_setting("sources.github.api_url", "https://api") == "http://localhost:1/"


def test_a_text_is_read_from_the_configuration_file(dlt_files: Callable[..., None]) -> None:
    dlt_files(config='[sources.github]\napi_url = "http://localhost:1"')
    assert text_setting("sources.github.api_url", "https://api") == "http://localhost:1"


def test_the_environment_comes_before_the_file(dlt_files: Callable[..., None]) -> None:
    dlt_files(config='[sources.github]\napi_url = "http://file"')
    os.environ["SOURCES__GITHUB__API_URL"] = "http://environment"
    assert text_setting("sources.github.api_url", "") == "http://environment"


def test_a_number_is_the_default_where_it_is_not_set() -> None:
    assert number_setting(RATE, 15) == 15.0


@pytest.mark.parametrize(("written", "number"), [("3", 3.0), ("0.5", 0.5), ('"2"', 2.0)])
def test_a_number_is_read_from_the_configuration_file(
    written: str, number: float, dlt_files: Callable[..., None]
) -> None:
    dlt_files(config=f"[sources.github]\ncalls_per_second = {written}")
    assert number_setting(RATE, 15) == number


@pytest.mark.parametrize("value", ["often", "0", "-1", "nan", "inf", "1,5"])
def test_a_number_that_is_none_or_not_greater_than_zero_is_refused_by_name(value: str) -> None:
    os.environ["SOURCES__GITHUB__CALLS_PER_SECOND"] = value
    with pytest.raises(SettingError) as caught:
        number_setting(RATE, 15)
    assert str(caught.value) == f"{RATE} is '{value}'; write it as a number greater than zero"


def test_a_text_is_read_from_a_mounted_file_before_the_environment(secrets_folder: Path) -> None:
    os.environ["SOURCES__GITHUB__API_URL"] = "http://environment"
    (secrets_folder / "sources--github--api-url").write_text("http://mounted\n")
    assert text_setting("sources.github.api_url", "https://api") == "http://mounted"


@pytest.mark.parametrize("content", ['["octo/one", "octo/*"]\n', "octo/one, octo/*\n"])
def test_a_list_is_read_from_a_mounted_file(secrets_folder: Path, content: str) -> None:
    (secrets_folder / "sources--github--repositories").write_text(content)
    assert list_setting(NAME) == ["octo/one", "octo/*"]


def test_texts_and_lists_are_read_from_the_secrets_file_too(dlt_files: Callable[..., None]) -> None:
    dlt_files(secrets='[sources.github]\napi_url = "http://file"\nrepositories = ["octo/one"]')
    assert text_setting("sources.github.api_url", "https://api") == "http://file"
    assert list_setting(NAME) == ["octo/one"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('["octo/one", "octo/*"]', ["octo/one", "octo/*"]),
        ("['octo/one', 'octo/*']", ["octo/one", "octo/*"]),
        ("octo/one, octo/*", ["octo/one", "octo/*"]),
        ("octo/one,\n", ["octo/one"]),
        ("octo/one", ["octo/one"]),
        ("[]", []),
        ("  ", []),
    ],
)
def test_a_list_in_the_environment_is_json_toml_or_separated_by_commas(value: str, expected: list[str]) -> None:
    os.environ["SOURCES__GITHUB__REPOSITORIES"] = value
    assert list_setting(NAME) == expected


@pytest.mark.parametrize("value", ['["octo/one", " octo/* "]', '"octo/one, octo/*"'])
def test_a_list_is_read_from_the_configuration_file(dlt_files: Callable[..., None], value: str) -> None:
    dlt_files(config=f"[sources.github]\nrepositories = {value}")
    assert list_setting(NAME) == ["octo/one", "octo/*"]


def test_a_list_that_is_not_set_is_empty() -> None:
    assert list_setting(NAME) == []


def test_a_secret_is_read_from_the_environment_without_its_line_end() -> None:
    os.environ["SOURCES__GITHUB__ACCESS_TOKEN"] = "abc\n"
    assert secret_setting(TOKEN, "") == "abc"


def test_a_secret_is_read_from_the_secrets_file(dlt_files: Callable[..., None]) -> None:
    dlt_files(secrets='[sources.github]\naccess_token = "abc"')
    assert secret_setting(TOKEN, "") == "abc"


def test_a_secret_is_read_from_a_mounted_file_without_its_line_end(secrets_folder: Path) -> None:
    (secrets_folder / "sources--github--access-token").write_text("abc\n")
    assert secret_setting(TOKEN, "") == "abc"


def test_a_secret_of_digits_stays_a_text(dlt_files: Callable[..., None]) -> None:
    dlt_files(secrets="[sources.github]\naccess_token = 123")
    assert secret_setting(TOKEN, "") == "123"


@pytest.mark.parametrize("value", [None, "", " \n"])
def test_a_missing_secret_says_what_it_is_for_and_every_way_to_set_it(value: str | None) -> None:
    if value is not None:
        os.environ["SOURCES__GITHUB__ACCESS_TOKEN"] = value
    with pytest.raises(SettingError) as caught:
        secret_setting(TOKEN, "https://api.github.com is read with a token")
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        f"{TOKEN} is not set: https://api.github.com is read with a token",
        "SOURCES__GITHUB__ACCESS_TOKEN",
        ".dlt/secrets.toml",
        "/run/secrets/sources--github--access-token",
    ):
        assert part in message


def test_the_mounted_file_that_the_message_names_is_the_one_that_is_read(secrets_folder: Path) -> None:
    with pytest.raises(SettingError) as caught:
        secret_setting(TOKEN, "")
    named = re.search(r"/run/secrets/([\w-]+)", str(caught.value))
    assert named
    (secrets_folder / named[1]).write_text("abc")
    assert secret_setting(TOKEN, "") == "abc"


def test_an_empty_mounted_file_is_a_missing_secret(secrets_folder: Path) -> None:
    (secrets_folder / "sources--github--access-token").write_text("\n")
    with pytest.raises(SettingError):
        secret_setting(TOKEN, "")
