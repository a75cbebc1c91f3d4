"""The platform that teams share, and from which each tries to reach what is not its own."""

from collections.abc import Iterator

import pytest

from on_docker import Tested, running
from tree import Copy, committed

PROJECT = "ingest-teams"
SUBNETS = "10.215"


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """What the platform is built from; tests change it as teams do."""
    return committed(tmp_path_factory.mktemp("tree"), PROJECT)


@pytest.fixture(scope="session")
def platform(tree: Copy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tested]:
    with running(PROJECT, SUBNETS, tree, tmp_path_factory.mktemp("deployment")) as tested:
        yield tested
