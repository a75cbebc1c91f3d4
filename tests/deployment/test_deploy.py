"""A location is deployed alone: what others notice, and what happens to broken code."""

import json
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Self

import pytest

from caught import at_work
from ingest_tools import audit, deploy, versions
from ingest_tools.dagster_api import PlatformError, wait_for
from ingest_tools.deploy import Deploy
from ingest_tools.engine import docker, inspect
from ingest_tools.local import Refused
from ingest_tools.versions import Versions
from measured import measured
from tree import Copy

from .conftest import Tested

pytestmark = pytest.mark.docker

LONGEST_DEPLOY = 120
"""Seconds; on a machine that has nothing else to do it takes some 30."""
API = "locations/stripe/src/stripe_location/source/api.py"
DEFINITIONS = "locations/stripe/src/stripe_location/definitions.py"
DIES_AFTER_START = """
import os, threading
if os.environ.get("DAGSTER_CURRENT_IMAGE"):
    threading.Timer(4, os._exit, [3]).start()
"""
NEVER_READY = """
import os, time
if os.environ.get("DAGSTER_CURRENT_IMAGE"):
    time.sleep(600)
"""
FAILS_AS_A_RUN = """
import os
if "DLT_DATA_DIR" in os.environ:
    raise RuntimeError("no server has this variable")
"""


@contextmanager
def changed(one: Versions, path: str, more: str) -> Iterator[None]:
    """Appends to a file of the tree, and restores it afterwards."""
    file = one.deployment.tree / path
    text = file.read_text()
    file.write_text(text + more)
    try:
        yield
    finally:
        file.write_text(text)


@pytest.fixture(scope="module")
def stripe(platform: Tested) -> Deploy:
    """Stripe, in whichever version the earlier tests left active."""
    return Deploy("stripe", platform)


class Watch:
    """Checks every 200 ms whether stripe could be launched, and whether the UI shows an error."""

    def __init__(self, platform: Tested) -> None:
        self.platform = platform
        self.longest = 0.0
        self.errors: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        well = time.monotonic()
        while not self._stop.wait(0.2):
            if self._can_launch():
                self.longest = max(self.longest, time.monotonic() - well)
                well = time.monotonic()
            self.errors += [one.error for one in self.platform.platform.locations().values() if one.error]

    def _can_launch(self) -> bool:
        """Requests the job's plan from the code server itself, as a launch does."""
        query = """query($selector: PipelineSelector!) {
          executionPlanOrError(pipeline: $selector, mode: "default") { __typename } }"""
        selector = {
            "repositoryLocationName": "stripe",
            "repositoryName": "__repository__",
            "pipelineName": "stripe_payments_ingest",
        }
        try:
            answer = self.platform.platform.query(query, selector=selector)
        except PlatformError:
            return False
        return bool(answer["executionPlanOrError"]["__typename"] == "ExecutionPlan")


# What is active is what the tree holds, so a deploy has nothing to do: these two come first. Each version that is
# deployed serves the tests after it, too.


def test_the_trail_tells_of_deploys_rollbacks_and_secrets(platform: Tested, stripe: Deploy, tree: Copy) -> None:
    """Those that were refused, too: under the version that was, not under that which stays active."""
    settings = platform.settings | {"COMPOSE_PROJECT_NAME": platform.project}
    shutil.copy(platform.env_file, tree.root / ".env")
    try:
        again = tree.ingest("deploy", "stripe", "--no-tests", **settings)
        with changed(stripe, DEFINITIONS, FAILS_AS_A_RUN):
            broken, ill = stripe.new_tag(), tree.ingest("deploy", "stripe", "--no-tests", **settings)
        back = tree.ingest("rollback", "stripe", "--to=never-active", **settings)
        stored = tree.ingest("secret", "stripe", "load.workers", text="5", **settings)
    finally:
        (tree.root / ".env").unlink()
    done = (again, ill, back, stored)
    assert [one.returncode for one in done] == [0, 1, 1, 0], [one.stderr for one in done]
    rows = audit.shown(platform, last=4)
    assert [(*row[3:6], json.loads(row[6])) for row in rows] == [
        ("deploy", "stripe", "done", {"tag": stripe.tag}),
        ("deploy", "stripe", "refused", {"tag": broken, "why": ill.stderr.splitlines()[-1]}),
        ("rollback", "stripe", "refused", {"tag": "never-active", "why": back.stderr.splitlines()[-1]}),
        ("secret", "stripe", "done", {"name": "load.workers"}),
    ]
    assert audit.refusal(platform, "stripe") == back.stderr.splitlines()[-1]
    assert {row[1:3] for row in rows} == {(audit.whoami(), "this machine")}


def test_a_newer_base_image_makes_a_new_version_and_nobody_else_notices_its_deploy(
    platform: Tested, stripe: Deploy
) -> None:
    """Even if nothing of the location changed; without a registry, the local image is used."""
    old, github = stripe.tag, platform.inspect("github")["Id"]
    server = platform.platform.locations()["github"].server_id
    docker("build", "--quiet", "--tag=ingest-base:newer", "-", text=f"FROM {versions.BASE}\nLABEL newer=yes\n")
    other = Deploy("stripe", replace(platform, settings=platform.settings | {"INGEST_PYTHON": "ingest-base:newer"}))
    platform.origin.slow_down(500)
    try:
        under_way = at_work(platform)
        queued = platform.platform.launch("stripe", "stripe_payments_ingest")
        with Watch(platform) as watch:
            said = other.deploy(tests=False)
        assert "nothing to do" in other.deploy(tests=False)
    finally:
        platform.origin.slow_down(0)
        docker("image", "rm", "--force", "ingest-base:newer")
    measured(f"{said}; stripe could not be launched for {watch.longest:.1f} s at most")
    assert stripe.tag != old
    assert stripe.tag.split("-")[0] == old.split("-")[0]
    assert inspect(stripe.image(stripe.tag))["Config"]["Labels"]["newer"] == "yes"
    assert watch.errors == []
    assert watch.longest < 3
    assert platform.platform.ended(under_way.id).status == "SUCCESS"
    assert platform.platform.ended(queued).status == "SUCCESS"
    after = platform.platform.run(platform.succeed("stripe", "stripe_payments_ingest"))
    assert after.image == stripe.image(stripe.tag)
    assert platform.inspect("github")["Id"] == github
    assert platform.platform.locations()["github"].server_id == server


def test_a_version_that_does_not_import_never_becomes_an_image(platform: Tested, stripe: Deploy) -> None:
    container = platform.inspect("stripe")["Id"]
    with changed(stripe, DEFINITIONS, "\nimport no_such_module\n"), pytest.raises(Refused, match="no_such_module"):
        stripe.deploy(tests=False)
    assert platform.inspect("stripe")["Id"] == container


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (DIES_AFTER_START, "exit code 3"),
        (NEVER_READY, "to become healthy after 8 s"),
        (FAILS_AS_A_RUN, "a run of it would fail: RuntimeError: no server has this variable"),
    ],
    ids=["dies after start", "never becomes healthy", "serves, but cannot run"],
)
def test_a_version_that_does_not_serve_or_run_is_refused(
    platform: Tested, stripe: Deploy, fault: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fault == NEVER_READY:
        monkeypatch.setattr(deploy, "HEALTHY_SECONDS", 8)
    before, server = stripe.tag, platform.inspect("stripe")["Id"]
    with changed(stripe, DEFINITIONS, fault), pytest.raises(Refused, match=why) as refused:
        stripe.deploy(tests=False)
    measured(str(refused.value))
    assert f"{before} is active again" in str(refused.value)
    assert stripe.tag == before
    assert platform.inspect("stripe")["Id"] == server  # nothing was swapped
    assert platform.platform.locations()["stripe"].image == stripe.image(before)
    assert not docker("ps", "--all", "--quiet", "--filter=name=stripe-trial")


def test_an_interrupted_deploy_leaves_the_version_in_force(
    platform: Tested, stripe: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With Ctrl-C, when the old server is already gone."""
    before, compose = stripe.tag, Tested.compose

    def interrupted(self: Tested, *arguments: str, **settings: Any) -> str:
        if arguments[0] == "up" and settings.get("STRIPE_TAG") != before:
            compose(self, "stop", "stripe")
            raise KeyboardInterrupt
        return compose(self, *arguments, **settings)

    with monkeypatch.context() as patch, changed(stripe, API, "\n# Interrupted.\n"):
        patch.setattr(Tested, "compose", interrupted)
        with pytest.raises(KeyboardInterrupt):
            stripe.deploy(tests=False)
    assert stripe.tag == before
    assert platform.platform.locations()["stripe"].image == stripe.image(before)


def test_nothing_is_rolled_back_to_an_image_that_is_gone(platform: Tested, stripe: Deploy) -> None:
    """Compose would build the current tree under the old name."""
    other = replace(platform, env_file=platform.env_file.with_name("other.env"))
    other.env_file.write_text(platform.env_file.read_text() + "STRIPE_TAG_BEFORE=gone\nSTRIPE_TAGS=gone\n")
    with pytest.raises(Refused, match="no earlier version to go back to"):
        Deploy("stripe", other).roll_back()
    assert not docker("image", "ls", "--quiet", stripe.image("gone"))


TESTED = f"\n# Tested, {time.time()}.\n"
ATTACK = """
import os, socket
from pathlib import Path

def test_its_own_tests_have_nothing_of_the_machine():
    assert os.getuid() == 10001
    assert not Path("/var/run/docker.sock").exists()
    assert not Path({tree!r}).exists()
    assert not list(Path("/run").glob("secrets/*"))
    assert {{name for _, name in socket.if_nameindex()}} == {{"lo"}}
    for path in ("/opt/location/src", "/opt/tree", "/usr", "/"):
        try:
            (Path(path) / "there").touch()
        except OSError:
            continue
        raise AssertionError(path + " can be written to")
    status = Path("/proc/self/status").read_text()
    assert "CapEff:\t0000000000000000" in status and "NoNewPrivs:\t1" in status
    assert not [name for name in os.environ if name in {variables!r}]
"""


@contextmanager
def having_tests(one: Deploy, text: str) -> Iterator[None]:
    """Replaces the location's tests with one file, until the block ends."""
    folder = one.deployment.tree / "locations" / "stripe" / "tests"
    kept = folder.rename(one.deployment.tree.parent / "kept-tests")
    folder.mkdir()
    (folder / "test_one.py").write_text(text)
    try:
        yield
    finally:
        shutil.rmtree(folder)
        kept.rename(folder)


def test_what_a_run_lacks_is_told_before_the_tests(platform: Tested, stripe: Deploy) -> None:
    before = stripe.tag
    with (
        changed(stripe, DEFINITIONS, FAILS_AS_A_RUN),
        having_tests(stripe, "def test_it(): assert False\n"),
        pytest.raises(Refused, match="stripe: nothing was deployed: a run of it would fail: RuntimeError"),
    ):
        stripe.deploy(tests=True)
    assert stripe.tag == before
    assert platform.platform.locations()["stripe"].image == stripe.image(before)


def test_where_its_tests_fail_nothing_is_deployed(platform: Tested, stripe: Deploy) -> None:
    before = stripe.tag
    with (
        changed(stripe, API, TESTED),
        having_tests(stripe, "def test_it(): assert False\n"),
        pytest.raises(Refused, match="its tests fail: nothing was deployed"),
    ):
        stripe.deploy(tests=True)
    assert stripe.tag == before
    assert platform.platform.locations()["stripe"].image == stripe.image(before)


def test_a_locations_tests_run_in_its_image_and_have_nothing_of_the_machine(platform: Tested, stripe: Deploy) -> None:
    """A review of a location's folder alone grants no rights on the machine that deploys."""
    of_any = {"PATH", "HOME", "LANG", "PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"}
    here = sorted(name for name in set(os.environ) - of_any if not name.startswith("PYT"))  # Python's and pytest's
    attack = ATTACK.format(tree=str(platform.tree), variables=here)
    with changed(stripe, API, TESTED), having_tests(stripe, attack):
        before = stripe.tag
        stripe.deploy(tests=True)
    assert stripe.tag != before
    assert not docker("image", "ls", "--quiet", f"ingest-stripe-tests:{stripe.tag}")


@pytest.fixture
def three(stripe: Deploy) -> list[str]:
    """Three versions that were active in turn: those of earlier tests, or new ones."""
    while len(stripe.tags_before) < 2:
        with changed(stripe, API, f"\n# Another version, {time.time()}.\n"):
            stripe.deploy(tests=False)
    return [*reversed(stripe.tags_before[:2]), stripe.tag]


def test_back_to_the_version_before_and_never_to_a_broken_one(
    platform: Tested, stripe: Deploy, three: list[str]
) -> None:
    """Two rollbacks go back two versions; a version that was rolled back only becomes active again by name.

    The first time the deploy itself goes back, since the new server dies while it is watched. The second time a run
    waits, which keeps its image.
    """
    first, second, broken = three
    with ThreadPoolExecutor(1) as beside:
        watching = beside.submit(stripe.watch)
        time.sleep(versions.LOOK_SECONDS)
        docker("exec", "--detach", platform.container("stripe"), "python", "-c", "import os; os.kill(-1, 9)")
        why = watching.result()
    assert why.startswith("died ("), why
    said = stripe.take_back(broken, why)
    measured(said)
    assert said == f"stripe: {broken} {why}; {second} is active again"
    assert stripe.tag == second
    platform.compose("stop", "daemon")
    try:
        waiting = platform.platform.launch("stripe", "stripe_payments_ingest")
        said = stripe.roll_back()
    finally:
        platform.compose("up", "--detach", "--no-deps", "--wait", "daemon")
    measured(said)
    assert re.fullmatch(rf"stripe: {first} is active, \S+ s after the rollback began", said)
    assert stripe.tag == first
    assert broken not in stripe.tags_before
    assert platform.platform.locations()["stripe"].image == stripe.image(first)
    run = platform.platform.ended(waiting)
    assert (run.status, run.image) == ("SUCCESS", stripe.image(second))
    stripe.roll_back(second)
    assert stripe.tag == second
    assert stripe.tags_before[0] == first
    with pytest.raises(Refused, match="--to=nonsense is not a version of stripe that was active"):
        stripe.roll_back("nonsense")
    assert platform.platform.locations()["stripe"].image == stripe.image(second)


def test_a_compose_file_that_asks_for_more_is_not_deployed(platform: Tested, stripe: Deploy) -> None:
    """Nor is it resolved: the line of the refusal would quote a variable, or a file, of this machine."""
    file, container = platform.tree / "locations" / "stripe" / "compose.yaml", platform.inspect("stripe")["Id"]
    text = file.read_text()
    file.write_text(
        text.replace("    networks: [stripe]\n", "    networks: [stripe]\n    annotations: {stolen: $HOME}\n", 1)
    )
    try:
        with (
            changed(stripe, API, f"\n# With more rights, {time.time()}.\n"),
            pytest.raises(
                Refused, match=r"stripe/compose.yaml differs from what .* renders: run `make format`"
            ) as refusal,
        ):
            stripe.deploy(tests=False)
    finally:
        file.write_text(text)
    assert os.environ["HOME"] not in str(refusal.value)
    assert platform.inspect("stripe")["Id"] == container


def test_the_active_tag_survives_compose_up(platform: Tested, stripe: Deploy) -> None:
    platform.compose("--profile", "sandbox", "up", "--detach", "--wait")
    assert platform.inspect("stripe")["Config"]["Image"] == stripe.image(stripe.tag)


@pytest.fixture(scope="module")
def renewed(platform: Tested, stripe: Deploy) -> Iterator[Deploy]:
    """Stripe with one line changed, where an image that was never deployed is newer than all, and two are kept."""
    recipe = f"FROM {stripe.image(stripe.tag)}\nLABEL newest=yes\n"
    docker("build", "--quiet", "--tag=ingest-stripe:never-deployed", "-", text=recipe)
    started = time.monotonic()
    with changed(stripe, API, f"\n# At {started}.\n"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(versions, "KEPT_IMAGES", 2)
        stripe.deploy(tests=False)
        wait_for(lambda: platform.platform.locations()["stripe"].loaded, "stripe to be loaded", 30)
        seconds = time.monotonic() - started
        measured(f"from a changed line to the new code: {seconds:.1f} s")
        assert seconds < LONGEST_DEPLOY
        yield stripe


def test_unchanged_content_is_not_deployed_again(platform: Tested, renewed: Deploy) -> None:
    container = platform.inspect("stripe")["Id"]
    assert "nothing to do" in renewed.deploy(tests=False)
    assert platform.inspect("stripe")["Id"] == container


def test_an_image_says_what_it_was_built_from_by_whom_and_when(renewed: Deploy, tree: Copy) -> None:
    labels = inspect(renewed.image(renewed.tag))["Config"]["Labels"]
    assert labels["org.opencontainers.image.revision"] == tree.git("rev-parse", "HEAD").strip()
    assert labels["org.opencontainers.image.created"] > "2026"
    assert (labels["ingest.dirty"], labels["ingest.built-by"]) == ("true", audit.whoami())


def test_old_images_are_removed_unless_a_run_needs_them(renewed: Deploy) -> None:
    tags = docker("image", "ls", "--format={{.Tag}}", "ingest-stripe").split()
    used = {inspect(container)["Config"]["Image"] for container in docker("ps", "--all", "--quiet").split()}
    in_use = {renewed.tag, *(tag for tag in tags if renewed.image(tag) in used)}
    assert {renewed.tag, *renewed.tags_before[:1]} <= set(tags)
    assert len(set(tags) - in_use) < versions.KEPT_IMAGES
