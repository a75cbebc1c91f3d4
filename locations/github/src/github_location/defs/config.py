"""What can be set for one run of a group, in the launchpad.

https://docs.dagster.io/guides/operate/configuration/run-configuration
"""

from pydantic import Field

from ingest_shared.resource import IngestConfig


class GitHubConfig(IngestConfig):
    """As every location's, and which repositories to load anew."""

    repositories: list[str] = Field(
        default=[],
        description="Load only these repositories, as owner/name, and each of them from its beginning; what is gone "
        "there is marked as deleted. All others stay as they are, and the next run goes on with them.",
    )
