"""The platform that teams share, and from which each tries to reach what is not its own."""

import pytest

from on_docker import Project, platform, tree

__all__ = ["platform", "tree"]

PROJECT = "ingest-teams"
SUBNETS = "10.215"


@pytest.fixture(scope="session")
def project() -> Project:
    return Project(PROJECT, SUBNETS)
