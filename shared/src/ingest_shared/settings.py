"""Settings, read as dlt reads them: environment, .dlt/config.toml, .dlt/secrets.toml, /run/secrets.

https://dlthub.com/docs/general-usage/credentials/setup
"""

from typing import Any

import dlt

from ingest_shared.errors import SettingError
from ingest_shared.http import setting_help


def text_setting(name: str, default: str) -> str:
    """A setting by its dotted name, or ``default`` where none is set."""
    value = dlt.config.get(name, str)
    return default if value is None or not value.strip() else value.strip()


def list_setting(name: str) -> list[str]:
    """A setting that is a list: TOML or JSON, or names separated by commas. Empty when not set."""
    value: Any = dlt.config.get(name)
    if value is None:
        return []
    if isinstance(value, str):
        value = value.strip("[] ").replace('"', "").replace("'", "").split(",")
    return [str(item).strip() for item in value if str(item).strip()]


def secret_setting(name: str, why: str) -> str:
    """A secret by its dotted name; the line end that a file may carry is cut off.

    Raises :class:`SettingError` when it is not set; ``why`` says what it is needed for.
    """
    # Without a type: dlt reads /run/secrets for its own secret types only, and not for str.
    value: object = dlt.secrets.get(name)
    if value is None or not str(value).strip():
        raise SettingError(f"{name} is not set: {why}; set {setting_help(name)}")
    return str(value).strip()
