"""What `make audit` makes of the rows of the trail."""

import json
from typing import Any

import pytest

from ingest_tools import audit
from ingest_tools.engine import Deployment


class Told(Deployment):
    """A platform whose trail has one row, with this name."""

    name = ""

    def compose(self, *arguments: str, **settings: Any) -> str:
        return f"{json.dumps([self.name], ensure_ascii=False)}\n"


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\x85"])
def test_what_ends_a_line_elsewhere_ends_no_row(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody can have a name of their making recorded, by a request that is refused."""
    monkeypatch.setattr(Told, "name", f"one{end}two")
    assert audit.shown(Told()) == [(f"one{end}two",)]


def test_why_a_deploy_was_refused_is_shown_in_full_and_a_request_is_cut() -> None:
    long = "x" * 2 * audit.LONGEST
    when, who = "2026-11-29 22:27:05", "ana"
    deploy = (when, who, audit.HERE, "deploy", "github", "refused", json.dumps({"tag": "abc", "why": f"{long} no key"}))
    launch = (when, who, "no login", "launchRun", "github", "LaunchRunSuccess", json.dumps({"a": f"{long} end"}))
    _, _, refused, launched = audit.table([deploy, launch])
    assert refused.endswith('no key"}')
    assert launched.rstrip().endswith("x")
