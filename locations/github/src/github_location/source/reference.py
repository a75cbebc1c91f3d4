"""Reference data of GitHub that other tables point to; small enough for dlt's plain path."""

from collections.abc import Iterator
from typing import Any

import dlt
import msgspec

from github_location.source.api import connect
from ingest_shared.reading.api import Usage


@dlt.resource(name="licenses", primary_key="key", write_disposition="replace")
def licenses() -> Iterator[list[dict[str, Any]]]:
    """The licenses that GitHub knows: https://docs.github.com/en/rest/licenses/licenses"""
    response = connect().get("/licenses", {"per_page": 100}, usage=Usage())
    yield msgspec.json.decode(response.body, type=list[dict[str, Any]])


@dlt.source(name="github_reference", section="github")
def reference() -> Any:
    return licenses
