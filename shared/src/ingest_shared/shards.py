"""Shards: a source that is too large for one run is read in parts, side by side, each by its own runs.

The shard of a scope (a repository, an account) follows from its id alone, so that all runs agree, and no scope moves as
long as the number of shards stays the same.
"""

import re
from dataclasses import dataclass
from typing import Self
from zlib import crc32

from ingest_shared.destinations import DATABASES, destination_name
from ingest_shared.errors import SettingError
from ingest_shared.settings import number_setting

MOST_SHARDS = 100
"""A schedule starts a run for each at once; an API's limits are reached long before."""
_NAME = re.compile(r"(?P<number>\d+)_of_(?P<count>\d+)")


@dataclass(frozen=True, order=True)
class Shard:
    """The part ``number`` (from 1) of ``count``. One of one is the whole source.

    Its ``name``, such as ``2_of_4``, is the key of Dagster's partition, and ends the name of the pipeline.
    """

    number: int = 1
    count: int = 1

    @property
    def is_whole(self) -> bool:
        return self.count == 1

    @property
    def name(self) -> str:
        return f"{self.number}_of_{self.count}"

    def has(self, id_: object) -> bool:
        """Whether the scope with this id belongs to the shard."""
        return crc32(str(id_).encode()) % self.count == self.number - 1

    @classmethod
    def named(cls, name: str) -> Self:
        """The shard of that name; raises :class:`ValueError` if it is not a shard's."""
        if not (found := _NAME.fullmatch(name)):
            raise ValueError(f"{name!r} is not the name of a shard, such as 2_of_4")
        return cls(int(found["number"]), int(found["count"]))


WHOLE_SOURCE = Shard()


def all_shards(count: int) -> list[Shard]:
    return [Shard(number, count) for number in range(1, count + 1)]


def shard_of(id_: object, count: int) -> Shard:
    """The shard that the scope with this id belongs to."""
    return next(shard for shard in all_shards(count) if shard.has(id_))


def shards_setting(name: str) -> int:
    """A setting that says how many shards there are, 1 by default; raises :class:`SettingError`."""
    count = number_setting(name, 1)
    if count != int(count) or count > MOST_SHARDS:
        raise SettingError(f"{name} is {count:g}; write it as a whole number from 1 to {MOST_SHARDS}")
    if count > 1 and (warehouse := destination_name()) not in DATABASES:
        raise SettingError(f"{name} is {count:g}, but {warehouse} tables take one writer at a time; leave it at 1")
    return int(count)
