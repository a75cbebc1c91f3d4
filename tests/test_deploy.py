"""What the image of a deploy says of itself, and whom a deploy keeps waiting."""

import fcntl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ingest_tools.deploy import Deploy, _provenance
from ingest_tools.engine import Deployment
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


@dataclass(frozen=True)
class Watched(Deploy):
    """Notes at each step which locks are held; what it would do to an engine it does not."""

    held: dict[str, list[str]] = field(default_factory=dict)

    def note(self, step: str) -> None:
        self.held[step] = [lock for lock in (".env.github.lock", ".env.stripe.lock") if not self.is_free(lock)]

    def is_free(self, lock: str) -> bool:
        with self.deployment.env_file.with_name(lock).open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    def _must_be_up(self) -> None: ...
    def _must_keep_to_its_walls(self) -> None: ...
    def _renewed_base(self) -> str:
        return "base"

    def _build(self, tag: str) -> None:
        self.note("build")

    def _test(self, tag: str) -> None:
        self.note("test")

    def _is_there(self) -> bool:
        return False

    def _introduce(self) -> None:
        self.note("introduce")

    def _switch(self, tag: str, before: list[str]) -> str:
        self.note("switch")
        return ""

    def _tags(self, variable: str) -> list[str]:
        return ["one"]


def test_builds_and_tests_keep_nobody_waiting_and_a_swap_only_its_own_location(tmp_path: Path) -> None:
    one = Watched("github", Deployment(env_file=tmp_path / ".env"))
    one.deploy(tests=True)
    own = [".env.github.lock"]
    assert one.held == {"build": [], "test": [], "introduce": own, "switch": own}
    one.held.clear()
    one.roll_back()
    assert one.held == {"switch": own}
