"""Settings for a single run of a group, in the launchpad.

https://docs.dagster.io/guides/operate/configuration/run-configuration
"""

from pydantic import Field

from ingest_shared.resource import IngestConfig


class GitHubConfig(IngestConfig):
    """The settings of every location, and which repositories to reload."""

    repositories: list[str] = Field(
        default=[],
        description="Load only these repositories, written owner/name, each from the beginning; rows that are gone "
        "there are marked as deleted. All other repositories stay as they are, and the next run continues with them.",
    )
