"""GitHub as dlt sources. Nothing here knows of Dagster.

https://dlthub.com/docs/general-usage/source
"""

from collections.abc import Iterable
from functools import cache

import dlt
from dlt.extract.resource import DltResource

from github_location.source.reading import Commits, Newest, Reader, Since, Sync, Whole
from github_location.source.tables import TABLES
from ingest_shared.columnar import Decoder
from ingest_shared.loading import mirror


@dlt.source(name="github_activity", section="github")
def activity() -> Iterable[DltResource]:
    """What people do, all day long: issues, pull requests, comments and commits."""
    sync = Sync(decoder("repositories"))
    yield resource(Since(sync, decoder("issues"), "/issues", state="all", sort="updated", direction="asc"))
    yield resource(Newest(sync, decoder("pull_requests"), "/pulls", state="all"))
    yield resource(Since(sync, decoder("issue_comments"), "/issues/comments", sort="updated", direction="asc"))
    yield resource(Commits(sync, decoder("commits"), "/commits"))


@dlt.source(name="github_catalog", section="github")
def catalog() -> Iterable[DltResource]:
    """What the activity refers to, and changes seldom: repositories, labels, milestones, releases."""
    sync = Sync(decoder("repositories"))
    yield mirror(decoder("repositories"), sync.read)
    yield resource(Whole(sync, decoder("labels"), "/labels"))
    yield resource(Whole(sync, decoder("milestones"), "/milestones", state="all"))
    yield resource(Whole(sync, decoder("releases"), "/releases"))


def resource(reader: Reader) -> DltResource:
    return mirror(reader.decoder, reader)


@cache
def decoder(table: str) -> Decoder:
    return Decoder(TABLES[table])
