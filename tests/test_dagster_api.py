"""What is made of the webserver's answers."""

from typing import Any

import pytest

from ingest_tools.dagster_api import Platform


class Answering(Platform):
    """A platform that tells of one location, which it could not load."""

    reason = ""

    def query(self, text: str, **variables: Any) -> Any:
        error = {"__typename": "PythonError", "message": self.reason}
        entry = {"name": "stripe", "loadStatus": "LOADED", "locationOrLoadError": error}
        return {"workspaceOrError": {"__typename": "Workspace", "locationEntries": [entry]}}


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("no module named x\n", "no module named x"),
        ("", "it gives no reason"),
        ("first\n\x1b[2Jlast \ud800", "first\n?[2Jlast ?"),
    ],
)
def test_why_a_location_is_not_loaded_is_shown_whatever_it_says(
    reason: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Answering, "reason", reason)
    (found,) = Answering("http://127.0.0.1").locations().values()
    assert (found.loaded, found.error) == (False, shown)
