"""The platform that tests deploy to, and break."""

import pytest

from on_docker import Project, platform, tree

__all__ = ["platform", "tree"]


@pytest.fixture(scope="session")
def project() -> Project:
    return Project("ingest-test", "10.214")
