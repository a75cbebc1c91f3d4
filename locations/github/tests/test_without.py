"""A table that is left out is no asset and costs no call."""

import pytest

from ingest_testing import run_job
from ingest_testing.runs import load_definitions

from .origin import GITHUB, Warehouse

PEOPLE = "stargazers,collaborators,teams,members"


def test_a_table_that_is_left_out_costs_no_call(warehouse: Warehouse) -> None:
    run = run_job(warehouse, "ingest", SOURCES__GITHUB__WITHOUT="reviews,tags,releases")
    assert run.success
    assert not {"reviews", "tags", "releases", "release_assets"} & run.metadata.keys()
    paths = warehouse.origin.requests()["by_path"]
    assert not [path for path in paths if path.endswith(("/graphql", "/reviews", "/tags", "/releases"))]


def test_a_whole_group_can_be_left_out(warehouse: Warehouse) -> None:
    with warehouse.configured(SOURCES__GITHUB__WITHOUT=PEOPLE):
        definitions = load_definitions(GITHUB)
        tables = {key.path[-1] for key in definitions.resolve_asset_graph().materializable_asset_keys}
        definitions.resolve_all_job_defs()
    assert not tables & set(PEOPLE.split(","))


@pytest.mark.parametrize(
    ("left_out", "said"),
    [
        ("review", "sources.github.without has 'review', which is not a table of this location"),
        (
            "pull_requests",
            "sources.github.without has 'pull_requests', but reviews is read per row of it: leave out both",
        ),
    ],
)
def test_a_wrong_name_is_told(left_out: str, said: str, warehouse: Warehouse) -> None:
    with pytest.raises(Exception, match=said):
        warehouse.sync("activity", SOURCES__GITHUB__WITHOUT=left_out)
    assert warehouse.origin.requests()["total"] == 0
