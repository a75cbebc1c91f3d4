"""The UI in a real browser; the screenshots of the documents are taken here."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest_tools.projects import ROOT

from .conftest import Tested

pytest.importorskip("playwright")
from playwright.sync_api import Browser, Page, expect, sync_playwright

pytestmark = pytest.mark.docker

SCREENSHOTS = ROOT / "docs" if os.environ.get("RENEW_SCREENSHOTS") else None
"""If set, the pictures in docs/ are renewed."""
TIMEOUT = 60_000
"""Milliseconds."""
expect.set_options(timeout=TIMEOUT)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(platform: Tested, browser: Browser) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1440, "height": 900}, base_url=platform.platform.url)
    opened.set_default_timeout(TIMEOUT)
    yield opened
    opened.close()


def picture(page: Page, name: str, folder: Path | None = SCREENSHOTS) -> None:
    if folder:
        page.wait_for_timeout(1500)  # what fades in is there
        page.screenshot(path=folder / name)


def test_both_locations_are_listed(page: Page) -> None:
    page.goto("/deployment/locations")
    for name in ("github", "stripe"):
        expect(page.get_by_text(name, exact=True).first).to_be_visible()
    expect(page.get_by_text("Loaded").nth(1)).to_be_visible()
    picture(page, "ui-locations.png")


def test_an_asset_tells_what_its_table_is(page: Page) -> None:
    page.goto("/assets/github/issues")
    for text in ("github-ingest", "primary key", "Immutable id."):
        expect(page.get_by_text(text).first).to_be_visible()
    picture(page, "ui-asset.png")


def test_the_asset_graph_shows_a_locations_tables(page: Page) -> None:
    page.goto("/locations/github/asset-groups/github_people/lineage")  # a large group shows no names at first
    for table in ("stargazers", "collaborators", "teams", "members"):
        expect(page.get_by_text(table, exact=True).first).to_be_visible()


def test_a_click_on_materialize_ends_green(page: Page, platform: Tested) -> None:
    page.goto("/locations/github/jobs/github_reference_ingest")
    page.locator("button", has_text="Materialize").first.click()
    run = platform.wait_for_run("dagster/from_ui", "true", seconds=30)
    assert run.job == "github_reference_ingest"
    page.goto(f"/runs/{run.id}")
    expect(page.get_by_text("Success", exact=True).first).to_be_visible()


def test_what_a_run_wrote_is_readable_when_its_container_is_gone(page: Page, platform: Tested) -> None:
    (run, *_) = platform.platform.runs(1, pipelineName="github_ingest", statuses=["SUCCESS"])
    platform.remove_container(run.id)
    page.goto(f"/runs/{run.id}")
    # Until the run's events are there, the page offers the steps and not what they wrote: all of them into one file.
    expect(page.get_by_text(re.compile(r"Succeeded \([1-9]"))).to_be_visible()
    page.locator("[aria-label=logs_stderr]").click()
    page.get_by_placeholder("Select a step").click()
    page.get_by_text(re.compile(r"^pid: \d+ \(\d+ steps\)$")).last.click()
    expect(page.locator("body")).to_contain_text("calls of quota left")
    picture(page, "ui-run.png")
