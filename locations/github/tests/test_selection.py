"""Which repositories are mirrored."""

import pytest

from .origin import Warehouse


def names(warehouse: Warehouse) -> set[str]:
    return {name for (name,) in warehouse.query("SELECT name FROM {repositories} WHERE deleted_at IS NULL")}


def test_a_repository_is_left_out_by_its_name(warehouse: Warehouse) -> None:
    warehouse.sync("catalog")
    every = names(warehouse)
    labels = warehouse.query("SELECT count(*) FROM {labels} WHERE deleted_at IS NULL")
    warehouse.origin.forget_requests()
    warehouse.sync("catalog", SOURCES__GITHUB__REPOSITORIES="acme/*,-acme/Legacy")
    # What was loaded of it stays, and costs no call.
    assert names(warehouse) == every
    assert warehouse.query("SELECT count(*) FROM {labels} WHERE deleted_at IS NULL") == labels
    assert warehouse.origin.requests()["by_path"]["/github/repositories/{id}/labels"] == len(every) - 1
    assert "/github/repositories/{id}" not in warehouse.origin.requests()["by_path"]


def test_an_audit_leaves_alone_what_no_entry_selects_any_more(warehouse: Warehouse) -> None:
    """The credential may no longer see it, either."""
    warehouse.sync("catalog")
    every = names(warehouse)
    warehouse.origin.change("repository.edit", repository="acme/api", set={"hidden": True})
    warehouse.origin.advance()
    warehouse.sync("catalog", audit=True, SOURCES__GITHUB__REPOSITORIES="acme/web")
    assert names(warehouse) == every


def test_an_audit_leaves_alone_what_an_entry_selects_that_cannot_be_read(warehouse: Warehouse) -> None:
    """Even if the entry was written in another case before."""
    warehouse.sync("catalog")
    every = names(warehouse)
    warehouse.origin.fail({"kind": "status", "status": 404, "path": "/(orgs|users|repositories)/"})
    warehouse.sync("catalog", audit=True, SOURCES__GITHUB__REPOSITORIES="Acme/*")
    assert names(warehouse) == every


def test_a_repository_that_is_left_out_from_the_start_is_not_loaded(warehouse: Warehouse) -> None:
    warehouse.sync("catalog", SOURCES__GITHUB__REPOSITORIES="acme/*,-acme/legacy")
    assert "legacy" not in names(warehouse)
    assert "web" in names(warehouse)


def test_archived_repositories_are_left_out_unless_they_are_named(warehouse: Warehouse) -> None:
    warehouse.origin.change("repository.archive", repository="acme/web")
    warehouse.origin.change("repository.archive", repository="acme/docs")
    warehouse.sync(
        "catalog",
        SOURCES__GITHUB__REPOSITORIES="acme/docs,acme/*",
        SOURCES__GITHUB__LEAVE_OUT="archived,forks",
    )
    assert "web" not in names(warehouse)
    assert {"docs", "api"} < names(warehouse)


def test_a_kind_of_repositories_that_does_not_exist(warehouse: Warehouse) -> None:
    with pytest.raises(Exception, match=r"leave_out has 'private'; valid values are archived and forks"):
        warehouse.sync("catalog", SOURCES__GITHUB__LEAVE_OUT="private")
