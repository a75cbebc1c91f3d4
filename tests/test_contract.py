"""`make contract` asks every location that has a vendor's word, and fails with any of them."""

import pytest

from ingest_tools import contract
from ingest_tools.cli import main
from ingest_tools.projects import LOCATIONS, Project


def test_a_location_is_compared_with_its_vendor(capfd: pytest.CaptureFixture[str]) -> None:
    assert contract.keeps(Project(LOCATIONS / "stripe"))
    told = capfd.readouterr().out
    assert told.startswith("locations/stripe: stripe 16.1.")
    assert "  customers: no differences\n" in told


def test_one_without_a_vendor_is_passed_over(capsys: pytest.CaptureFixture[str]) -> None:
    assert contract.keeps(Project(LOCATIONS / "zendesk"))
    assert capsys.readouterr().out == "locations/zendesk: the vendor publishes no schema\n"


def test_all_are_asked_even_where_one_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def differs(location: Project) -> bool:
        asked.append(location.folder.name)
        return False

    monkeypatch.setattr(contract, "keeps", differs)
    assert main(["contract", "github", "stripe"]) == 1
    assert asked == ["github", "stripe"]
