"""What the image of a deploy says of itself, whom a deploy keeps waiting, and how a server is watched after it."""

import fcntl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from ingest_tools import versions
from ingest_tools.dagster_api import Location, Platform, PlatformError
from ingest_tools.deploy import Deploy, provenance
from ingest_tools.deploy_host import DeployHost
from ingest_tools.engine import Deployment, EngineError
from ingest_tools.local import Refused
from ingest_tools.projects import ROOT
from tree import Copy


@pytest.fixture
def tree(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


def told(tree: Copy) -> dict[str, str]:
    arguments = [one.removeprefix("--build-arg=") for one in provenance(tree.root)]
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


@dataclass
class Watched(Deploy):
    """Notes at each step which locks are held; what it would do to an engine it does not."""

    held: dict[str, list[str]] = field(default_factory=dict)
    lacks: str = ""

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

    def _build(self, tag: str, *_: str) -> None:
        self.note("build")

    def _test(self, tag: str) -> None:
        self.note("test")

    def _try_out(self, tag: str) -> None:
        self.note("trial")
        if self.lacks:
            raise PlatformError(f"a run of it would fail: {self.lacks}")

    def _switch(self, tag: str, before: list[str], tried: Callable[[], None] = lambda: None, since: str = "") -> str:
        tried()
        self.note("switch")
        return ""

    def _tags(self, variable: str) -> list[str]:
        return ["one"]


def test_builds_and_tests_keep_nobody_waiting_and_a_swap_only_its_own_location(tmp_path: Path) -> None:
    one = Watched("github", Deployment(env_file=tmp_path / ".env"))
    one.deploy(tests=True)
    own = [".env.github.lock"]
    assert list(one.held.items()) == [("build", []), ("trial", own), ("test", []), ("switch", own)]
    one.held.clear()
    one.deploy(tests=False)
    assert one.held == {"build": [], "trial": own, "switch": own}
    one.held.clear()
    one.roll_back()
    assert one.held == {"switch": own}


def test_what_a_run_lacks_is_told_before_the_tests(tmp_path: Path) -> None:
    """A missing setting, above all: a run's container takes seconds, the tests take minutes."""
    one = Watched("github", Deployment(env_file=tmp_path / ".env"), lacks="sources.github.access_token is missing")
    why = "^github: nothing was deployed: a run of it would fail: sources.github.access_token is missing$"
    with pytest.raises(Refused, match=why):
        one.deploy(tests=True)
    assert list(one.held) == ["build", "trial"]


def test_the_host_waits_for_locations_that_swap_and_they_for_it_and_not_for_each_other(tmp_path: Path) -> None:
    deployment = Deployment(env_file=tmp_path / ".env")
    github, stripe = Watched("github", deployment), Watched("stripe", deployment)
    with github._swapping(), stripe._swapping():
        assert not github.is_free(".env.host.lock")
    with DeployHost(deployment)._swapping(), (tmp_path / ".env.host.lock").open("a") as file:
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        assert github.is_free(".env.github.lock")


BEGAN = "2026-11-28T08:00:00.1Z"


def server(*, running: bool = True, started: str = BEGAN, health: str = "healthy", failed: int = 0) -> dict[str, Any]:
    checks = {"Status": health, "FailingStreak": failed}
    return {"Id": "a", "State": {"Running": running, "StartedAt": started, "Health": checks}}


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deploy:
    """A location whose server is well, and is looked at for a moment."""
    monkeypatch.setattr(versions, "WATCH_SECONDS", 0.2)
    monkeypatch.setattr(versions, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(versions, "inspect", lambda _: server())
    monkeypatch.setattr(versions, "logs", lambda *_: "Traceback\nImportError: no more\n")
    monkeypatch.setattr(Deployment, "containers", lambda _: {"github": server()})
    monkeypatch.setattr(Platform, "locations", lambda _: {"github": Location("github", "LOADED")})
    return Deploy("github", Deployment(env_file=tmp_path / ".env"))


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (server(running=False), "died (ImportError: no more)"),
        (server(started="2026-11-28T08:00:30Z"), "died (ImportError: no more)"),
        (server(health="unhealthy", failed=3), "became unhealthy"),
    ],
    ids=["ended", "was started again", "is unhealthy"],
)
def test_a_server_that_is_ill_after_the_swap_is_told(
    watched: Deploy, monkeypatch: pytest.MonkeyPatch, found: dict[str, Any], why: str
) -> None:
    monkeypatch.setattr(versions, "inspect", lambda _: found)
    assert watched.watch() == f"{why} 0 s after it was loaded"


def test_one_that_the_engine_calls_unhealthy_while_it_dies_has_died(
    watched: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """https://github.com/moby/moby/blob/master/daemon/container/health.go says so as soon as it stops checking."""
    looks = iter([server(health="unhealthy"), server(running=False)])
    monkeypatch.setattr(versions, "inspect", lambda _: next(looks))
    assert watched.watch() == "died (ImportError: no more) 0 s after it was loaded"


def test_so_is_one_that_the_webserver_cannot_load(watched: Deploy, monkeypatch: pytest.MonkeyPatch) -> None:
    ill = Location("github", "LOADED", error="Traceback\nno answer")
    monkeypatch.setattr(Platform, "locations", lambda _: {"github": ill})
    assert watched.watch() == "could no longer be loaded (no answer) 0 s after it was loaded"


def test_a_webserver_that_is_away_says_nothing_of_the_server(watched: Deploy, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: Platform) -> None:
        raise PlatformError("does not answer")

    monkeypatch.setattr(Platform, "locations", away)
    assert watched.watch() == ""


def test_one_that_is_well_is_watched_to_the_end(watched: Deploy) -> None:
    began = time.monotonic()
    assert watched.watch() == ""
    assert time.monotonic() - began >= versions.WATCH_SECONDS


def test_who_watches_keeps_nobody_from_deploying(watched: Deploy, monkeypatch: pytest.MonkeyPatch) -> None:
    """And looks no further when somebody did: what became of that server is his to say."""

    def replaced(_: str) -> dict[str, Any]:
        with Deploy("github", watched.deployment)._swapping():
            raise EngineError("no such container")

    monkeypatch.setattr(versions, "inspect", replaced)
    assert watched.watch() == ""
    assert watched.take_back("9f", "died") == "github: 9f died, and was replaced meanwhile"


def test_the_one_shots_of_a_host_start_in_their_order() -> None:
    """A deploy gives them all to Docker Compose, which knows no order but what depends on what."""
    services: dict[str, Any] = {}
    for file in ("docker-compose.yml", "locations/github/compose.yaml"):
        services |= yaml.safe_load((ROOT / file).read_text())["services"]
    order = ["secrets", "setup", "github-setup", "github-sandbox"]
    for first, then in pairwise(order):
        assert services[then]["depends_on"][first] == {"condition": "service_completed_successfully"}
