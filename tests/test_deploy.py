"""What the image of a deploy says of itself."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ingest_tools.deploy import _provenance
from tree import Copy


@pytest.fixture
def tree(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


def told(tree: Copy) -> dict[str, str]:
    arguments = [one.removeprefix("--build-arg=") for one in _provenance(tree.root)]
    return dict(one.split("=", 1) for one in arguments)


def test_the_revision_and_whether_the_tree_is_as_committed(tree: Copy) -> None:
    tree.git("init", "--quiet")
    tree.git("add", "--all")
    tree.git("commit", "--quiet", "--message=All of it")
    revision = tree.git("rev-parse", "HEAD").strip()
    assert (told(tree)["REVISION"], told(tree)["DIRTY"]) == (revision, "false")
    (tree.root / "locations" / "github" / "src" / "new.py").touch()  # git does not know it yet
    assert (told(tree)["REVISION"], told(tree)["DIRTY"]) == (revision, "true")


def test_without_git_nothing_is_claimed(tree: Copy) -> None:
    assert (told(tree)["REVISION"], told(tree)["DIRTY"]) == ("unknown", "true")


@pytest.mark.parametrize("variable", ["GITHUB_ACTOR", "SUDO_USER"])
def test_who_and_when(tree: Copy, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    for name in ("GITHUB_ACTOR", "SUDO_USER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "gita")
    assert told(tree)["BUILT_BY"] == "gita"
    assert abs(datetime.fromisoformat(told(tree)["CREATED"]) - datetime.now(UTC)) < timedelta(minutes=1)
