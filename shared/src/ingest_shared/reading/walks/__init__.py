"""How to read a list whose rows move, one walk per file: each reads its kind of list without losing a row."""

from ingest_shared.reading.walks.by_created import ByCreated
from ingest_shared.reading.walks.changed_since import ChangedSince
from ingest_shared.reading.walks.full_list import FullList
from ingest_shared.reading.walks.newest_first import NewestFirst

__all__ = ["ByCreated", "ChangedSince", "FullList", "NewestFirst"]
