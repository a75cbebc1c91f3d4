"""What is made of the webserver's answers."""

import io
import json
import os
import subprocess
import sys
from typing import Any
from urllib.error import HTTPError

import pytest

from ingest_tools.dagster_api import Platform, PlatformError
from ingest_tools.local import HTTP
from ingest_tools.projects import TOOLS


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


UNREACHABLE = {"__typename": "PythonError", "message": "Could not reach user code server"}


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (500, json.dumps({"data": {"launchRun": UNREACHABLE}}), "Could not reach user code server"),
        (400, json.dumps({"errors": [{"message": "no such field"}]}), "no such field"),
        (403, json.dumps({"error": "who asks?"}), "who asks\\?"),
        (401, "", "`make token` creates one"),
        (502, "<html>", "the webserver does not answer"),
        (500, "[]", "the webserver does not answer"),
    ],
)
def test_what_the_webserver_says_of_a_launch_that_it_refuses_is_shown(
    status: int, body: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise HTTPError("http://127.0.0.1/graphql", status, "", {}, io.BytesIO(body.encode()))  # type: ignore[arg-type]

    monkeypatch.setattr(HTTP, "open", refuse)
    with pytest.raises(PlatformError, match=said):
        Platform("http://127.0.0.1").launch("stripe", "stripe_ingest")


def test_no_proxy_is_asked_for_what_is_on_this_machine() -> None:
    """And what is said where nothing answers is the system's word for it, without urllib's."""
    program = "from ingest_tools.dagster_api import Platform; Platform('http://127.0.0.1:9').login()"
    environment = os.environ | {"http_proxy": "http://proxy.invalid:3128", "no_proxy": ""}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=TOOLS, capture_output=True, text=True, check=False
    )
    assert "the UI at http://127.0.0.1:9 does not answer ([Errno 111] Connection refused): start" in done.stderr
