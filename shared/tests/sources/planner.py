"""A source by declarations alone: projects by offset with a total, and the tasks of each project."""

from collections.abc import Iterable
from typing import Any

import dlt
from dlt.extract.resource import DltResource
from dlt.sources.helpers.rest_client.auth import HttpBasicAuth

from ingest_shared.loading import mirror
from ingest_shared.reading.api import Api
from ingest_shared.reading.envelopes import Offset
from ingest_shared.reading.listings import Listing
from ingest_shared.reading.per_row import PerRow
from ingest_shared.reading.reader import Reader
from ingest_shared.reading.sync import Sync
from ingest_shared.reading.walks import FullList
from ingest_shared.settings import secret_setting, text_setting
from ingest_shared.tables import Table, bigint, epoch, text

DELETED_AT = epoch("deleted_at", "When it was found to be deleted; null while it exists.", origin="reader")

projects = Table(
    name="projects",
    description="Projects.",
    docs="https://example.com/projects",
    key=("id",),
    columns=(bigint("id", "Immutable id."), text("name", "Name."), DELETED_AT),
)
tasks = Table(
    name="tasks",
    description="Tasks of projects.",
    docs="https://example.com/tasks",
    key=("project_id", "id"),
    columns=(
        bigint("project_id", "Project.", origin="reader"),
        bigint("id", "Number within the project."),
        text("title", "Title."),
        DELETED_AT,
    ),
)

PAGES = Offset(rows="data.items", total="data.total", limit=10)
LISTINGS = (
    Listing(projects, "/projects", walk=FullList(), envelope=PAGES),
    Listing(
        tasks,
        "/projects/{project_id}/tasks",
        walk=FullList(),
        envelope=PAGES,
        per=PerRow(projects, {"project_id": "id"}),
    ),
)


def connect() -> Api:
    """The API under its password; raises :class:`SettingError`."""
    password = secret_setting("sources.planner.password", "projects need a password")
    return Api(
        text_setting("sources.planner.api_url", "https://api.example.com"),
        auth=HttpBasicAuth("ingest", password),
        calls_per_second=1000,
        in_flight=4,
        url_setting="sources.planner.api_url",
        credential_setting="sources.planner.password",
    )


@dlt.source(name="planner", section="planner")
def planner(audit: bool = False) -> Iterable[DltResource]:
    """Projects and their tasks."""
    sync = Sync(connect, audit)
    yield from [mirror(Reader(listing, sync)) for listing in LISTINGS]


SOURCE: Any = planner
TABLES = (projects, tasks)
