"""A location whose process is killed: run by ``test_loading`` in a process of its own."""

import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from ingest_shared import pipelines
from ingest_shared.columnar import Decoder, Page
from ingest_shared.loading import Load
from ingest_shared.pipelines import pipeline
from tests.conftest import ISSUES, read_by

DECODER = Decoder(ISSUES)
ROWS = 300


def origin(version: int) -> list[dict[str, Any]]:
    """The list as the API has it at a version; each version changes rows, adds some and empties lists."""
    return [_row(id, _changed_at(id, version)) for id in range(ROWS + 10 * version)]


def _changed_at(id: int, version: int) -> int:
    """The last version that changed the row: each one changes every third row, in turn."""
    return max((v for v in range(version + 1) if id % 3 == v % 3), default=0)


def _row(id: int, changed_at: int) -> dict[str, Any]:
    labels = [{"id": number} for number in range((id + changed_at) % 3)]
    return {"id": id, "title": f"changed at {changed_at}", "labels": labels}


def reader(version: int, mark: Callable[[str], None] = lambda mark: None) -> Callable[[Load], Iterator[Page]]:
    """Reads what changed after the cursor, and all of it the first time."""

    def read(load: Load) -> Iterator[Page]:
        cursor = load.state.get("version", -1)
        rows = [row for row in origin(version) if row["id"] >= _rows(cursor) or _is_newer(row, cursor, version)]
        load.state["version"] = version
        for start in range(0, len(rows), 100):
            yield DECODER.page(json.dumps(rows[start : start + 100]).encode(), {"repo_id": 1})
            mark("extracting")

    return read


def _rows(cursor: int) -> int:
    return ROWS + 10 * cursor if cursor >= 0 else 0


def _is_newer(row: dict[str, Any], cursor: int, version: int) -> bool:
    return _changed_at(row["id"], version) > cursor


def run(settings: dict[str, str], location: str, version: int, marks: Connection) -> None:
    """One run of the pipeline, which says where it is."""
    os.environ.update(settings)
    working = pipeline(location, "all")
    for step, mark in ("normalize", "extracted"), ("load", "loading"):
        setattr(working, step, _marked(getattr(working, step), partial(marks.send, mark)))
    pipelines.run(working, read_by(DECODER, reader(version, marks.send)))
    marks.send("done")


def _marked(step: Callable[..., Any], mark: Callable[[], None]) -> Callable[..., Any]:
    def marked(*args: Any, **options: Any) -> Any:
        mark()
        return step(*args, **options)

    return marked
