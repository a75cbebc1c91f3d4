"""Views of the tables: what follows from them without a call."""

from pathlib import Path

from github_location import OWNERS
from github_location.defs.assets import pipeline_of
from github_location.defs.groups import CATALOG, VIEWS
from ingest_shared.views import view_assets, views_in

ALL_VIEWS = views_in(Path(__file__).parent.parent / "views")

views = view_assets("github", VIEWS.name, ALL_VIEWS, pipeline_of(CATALOG), OWNERS)
