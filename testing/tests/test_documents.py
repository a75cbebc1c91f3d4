"""What the documents show runs as it stands there."""

import re
from collections.abc import Callable
from typing import Any

from ingest_testing import FakeOrigin
from ingest_testing.sandbox import ROOT, Sandboxes


def shown(document: str) -> dict[str, Any]:
    """The names that the first block of Python with imports makes."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
    names: dict[str, Any] = {"Any": Any, "Callable": Callable}
    exec(next(block for block in blocks if "import" in block), names)  # noqa: S102
    return names


def test_an_api_that_the_sandbox_does_not_play() -> None:
    made: type[FakeOrigin] = shown("testing/README.md")["Origin"]
    with made.running(Sandboxes(), 0.1) as origin:
        since = origin.now()
        origin.change_at_random(seed=1, count=5)
        rows = origin.get(f"/tickets?since={since}", "test-token").json()["tickets"]
        assert rows == sorted(
            (row for row in origin.objects("tickets") if row["votes"]), key=lambda row: row["updated_at"]
        )
        assert origin.get("/tickets", "wrong").status_code == 401
