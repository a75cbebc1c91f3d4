"""Lists per value of a parameter that make up one table: active and archived objects, each status of a ticket."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ingest_shared.loading import Load
from ingest_shared.reading.listings import Scope
from ingest_shared.reading.sync import Sync


@dataclass(frozen=True)
class PerValue:
    """One list for each of ``values``, which replaces ``{name}`` in the path, parameters or body.

    The table needs a column ``name``, from the payload or the reader, that says which list a row is from.
    """

    name: str
    values: Sequence[Any]

    def scopes(self, sync: Sync, load: Load) -> Iterator[Scope]:
        for value in self.values:
            yield Scope(str(value), f"{self.name} {value}", {self.name: value})
