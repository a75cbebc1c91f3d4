"""Settings, read as dlt reads them: environment, .dlt/config.toml, .dlt/secrets.toml, /run/secrets.

https://dlthub.com/docs/general-usage/credentials/setup
"""

import os
from typing import Any

import dlt

from ingest_shared.errors import SettingError


def text_setting(name: str, default: str) -> str:
    """A setting by its dotted name, or ``default`` if it is not set."""
    value = _value(name)
    return default if value is None or not str(value).strip() else str(value).strip()


def list_setting(name: str) -> list[str]:
    """A setting that is a list: TOML or JSON, or names separated by commas. Empty if not set."""
    value = _value(name)
    if value is None:
        return []
    if isinstance(value, str):
        value = value.strip("[] \n").replace('"', "").replace("'", "").split(",")
    return [str(item).strip() for item in value if str(item).strip()]


def number_setting(name: str, default: float) -> float:
    """A setting that is a number greater than zero, or ``default`` if it is not set."""
    value = text_setting(name, str(default))
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise SettingError(f"{name} is {value!r}; write it as a number greater than zero")
    return number


def secret_setting(name: str, why: str) -> str:
    """A secret by its dotted name, without the newline at the end of a file.

    Raises :class:`SettingError` if it is not set; ``why`` says what it is needed for.
    """
    value: object = dlt.secrets.get(name)  # without a type, see _value
    if value is None or not str(value).strip():
        raise SettingError(f"{name} is not set: {why}; set {setting_help(name)}")
    return str(value).strip()


def setting_help(setting: str) -> str:
    """How to set a setting: its name, environment variable and file under /run/secrets.

    A deployment with a command for this names it in ``INGEST_SECRET_COMMAND``.
    """
    if command := os.environ.get("INGEST_SECRET_COMMAND"):
        return f"`{setting}` ({command.format(setting=setting)})"
    variable = setting.upper().replace(".", "__")
    secret = setting.replace(".", "--").replace("_", "-")
    return f"`{setting}` (environment {variable}, .dlt/secrets.toml, or /run/secrets/{secret})"


def _value(name: str) -> Any:
    """A setting's raw value; None if it is not set."""
    # dlt reads /run/secrets only for secrets, and only if no other type is requested.
    value: Any = dlt.secrets.get(name)
    return dlt.config.get(name) if value is None else value
