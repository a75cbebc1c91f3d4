"""Reference data of GitHub that other tables point to; small enough for dlt's plainest path."""

from collections.abc import Iterator
from typing import Any

import dlt

from github_location.source.api import connect
from ingest_shared.http import Usage, json_as


@dlt.resource(name="licenses", primary_key="key", write_disposition="replace")
def licenses() -> Iterator[list[dict[str, Any]]]:
    """The licences that GitHub knows: https://docs.github.com/en/rest/licenses/licenses"""
    answer = connect().get("/licenses", {"per_page": 100}, parse=json_as(list[dict[str, Any]]), usage=Usage())
    yield answer.value or []


@dlt.source(name="github_reference", section="github")
def reference() -> Any:
    return licenses
