"""A source by declarations alone: projects by offset with a total, and the tasks of each project."""

from collections.abc import Iterable
from typing import Any

import dlt
from dlt.extract.resource import DltResource

from ingest_shared.rest import Api, FullList, HttpBasicAuth, Listing, Offset, PerRow, resources
from ingest_shared.tables import DELETED_AT, Table, bigint, text

projects = Table(
    name="projects",
    description="Projects.",
    docs="https://example.com/projects",
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
    return Api.configured(
        "sources.planner",
        "https://api.example.com",
        auth=lambda password: HttpBasicAuth("ingest", password),
        credential="password",
        calls_per_second=1000,
        in_flight=4,
    )


@dlt.source(name="planner", section="planner")
def planner(audit: bool = False) -> Iterable[DltResource]:
    """Projects and their tasks."""
    return resources(LISTINGS, connect, audit)


SOURCE: Any = planner
TABLES = (projects, tasks)
