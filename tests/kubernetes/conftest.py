"""A platform of the tests' own on the cluster that TEST_KUBECONFIG names, from a copy of the tree, gone afterwards.

The cluster's nodes are containers of this machine's Docker engine.
"""

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from ingest_tools.cluster import Cluster, HostRelease, LocationRelease, _forwards
from ingest_tools.dagster_api import Run
from ingest_tools.engine import docker
from measured import measured
from origin import Origin, assert_equal
from tree import Copy, committed

PROJECT = "ingest-test"
SIZE = "0.25"
POSTGRES = "postgres:17-trixie"
LOCATIONS = ("github", "stripe")
PROBE = """
import json, sys
from dagster import DagsterInstance
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import construct_dagster_k8s_job
from ingest_host.kubernetes import namespace_of, run_pod
location, image, name, command = sys.argv[1:]
namespace, like = namespace_of(location), run_pod(location)
with DagsterInstance.get() as instance:
    settings = K8sContainerContext(run_k8s_config=like).get_k8s_job_config(image, instance.run_launcher)
    job = construct_dagster_k8s_job(settings, [], name, like, name, "run_worker")
    job.spec.template.spec.containers[0].command = json.loads(command)
    instance.run_launcher._api_client.batch_api.create_namespaced_job(namespace, job)
"""
"""In the daemon, as the run launcher does it."""


@dataclass(frozen=True)
class Tested(Cluster):
    """The platform under test."""

    __test__ = False
    loaded_since: dict[str, int] = field(default_factory=dict)
    renamed: set[int] = field(default_factory=set)
    """Repositories that the sandbox has renamed or transferred, by id."""

    @property
    def origin(self) -> Origin:
        return Origin(f"http://{self.forward('sandbox', 8099)}", self.renamed)

    @property
    def nodes(self) -> list[str]:
        return self.kubectl("get", "nodes", "--output=name").replace("node/", "").split()

    @property
    def node_of_host(self) -> str:
        """Has all of the host's pods, so that another one can be lost without the sandbox."""
        return self.nodes[0]

    @contextmanager
    def only_on(self, node: str) -> Iterator[None]:
        """Pods that start meanwhile start there."""
        others = [one for one in self.nodes if one != node]
        for other in others:
            self.kubectl("cordon", other)
        try:
            yield
        finally:
            for other in others:
                self.kubectl("uncordon", other)

    def location(self, name: str) -> LocationRelease:
        return LocationRelease(name, self)

    def ingest(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """The command `ingest`, as whoever runs the platform would call it in its folder."""
        environment = os.environ | self.settings | {"COMPOSE_PROJECT_NAME": self.project}
        command, folder = [sys.executable, "-m", "ingest_tools", *arguments], self.tree / "tools"
        return subprocess.run(
            command, cwd=folder, env=environment, input=text, capture_output=True, text=True, check=False
        )

    def in_location(self, name: str, *arguments: str, text: str | None = None) -> str:
        """What kubectl prints about a location's namespace."""
        return self.kubectl(f"--namespace={self.namespace(name)}", *arguments, text=text)

    def secret(self, name: str, secret: str, key: str) -> str:
        """What a Secret of a location holds; empty where it does not."""
        found = f'--output=go-template={{{{with index .data "{key}"}}}}{{{{base64decode .}}}}{{{{end}}}}'
        return self.in_location(name, "get", "secret", secret, found)

    def rolled_out(self, service: str) -> None:
        """Waits for another pod of a service; what leads to the one before, leads nowhere."""
        self.kubectl("rollout", "status", f"deployment/{service}", "--timeout=120s")
        if forward := _forwards.pop((self.project, service), None):
            forward[0].kill()

    def warehouse(self, statement: str) -> str:
        """What the superuser is answered there."""
        return self.psql(
            "--username=postgres", "--dbname=warehouse", "--tuples-only", "--quiet", text=statement
        ).strip()

    def load(self, *names: str) -> list[Run]:
        """Loads all of these locations at the same time; from its first load on a warehouse knows what disappears."""
        for name in names:
            self.loaded_since.setdefault(name, self.origin.now())
        launched = [self.platform.launch(name, f"{name}_ingest") for name in names]
        runs = [self.platform.ended(run_id) for run_id in launched]
        for name, run in zip(names, runs, strict=True):
            log = ("logs", f"job/dagster-run-{run.id}", "--tail=40")
            assert run.status == "SUCCESS", self.in_location(name, *log)
        return runs

    def assert_mirrors(self, name: str) -> None:
        """The location's schema equals the sandbox, in every value."""
        password = self.secret(name, "runs", "destination--postgres--credentials--password")
        warehouse = f"postgresql://{name}:{password}@{self.forward('postgres', 5432)}/warehouse"
        assert_equal(name, self.origin, warehouse, self.loaded_since[name])

    def run_pod(self, location: str, name: str, command: list[str]) -> str:
        """Starts a pod like a run's, with another command, and gives its name."""
        image = str(self.values(location)["image"])
        self.kubectl("exec", "deploy/daemon", "--", "python", "-c", PROBE, location, image, name, json.dumps(command))
        one = f"--selector=job-name={name}"
        self.in_location(location, "wait", "pod", one, "--for=condition=PodScheduled", "--timeout=120s")
        return self.in_location(location, "get", "pod", one, "--output=name")

    def remove(self) -> None:
        """Nothing of it ends in order: the turnstile would wait for connections whose other end is gone."""
        spaces = [self.project, *map(self.namespace, LOCATIONS)]
        self.kubectl("delete", "namespace", *spaces, "--ignore-not-found", "--wait=false")
        for space in spaces:
            self.kubectl(f"--namespace={space}", "delete", "pods", "--all", "--force", "--grace-period=0")
        self.kubectl("delete", "namespace", *spaces, "--ignore-not-found", "--timeout=240s")


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """What the platform is built from; tests change it as teams do."""
    return committed(tmp_path_factory.mktemp("tree"), "kubernetes")


@pytest.fixture(scope="session")
def platform(tree: Copy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tested]:
    folder = tmp_path_factory.mktemp("deployment")
    user = int(docker("run", "--rm", "--entrypoint=id", POSTGRES, "-u", "postgres"))
    (folder / "values.json").write_text(json.dumps({"postgres": {"user": user}, "sandboxSize": SIZE}))
    tested = Tested(PROJECT, {}, folder / ".env", tree.root)
    load = shlex.join([sys.executable, str(Path(__file__).with_name("load.py")), *tested.nodes])
    settings = {"INGEST_VALUES": str(folder / "values.json"), "INGEST_LOAD": load, "SANDBOX": "1"}
    tested = replace(tested, settings=settings)
    tested.remove()
    tested.deliver(POSTGRES)
    started = time.monotonic()
    try:
        with tested.only_on(tested.node_of_host):
            print(HostRelease(tested).deploy(tests=False))
        with ThreadPoolExecutor() as beside:
            print(*beside.map(lambda name: tested.location(name).deploy(tests=False), LOCATIONS), sep="\n")
        measured(f"host and two locations from nothing: {time.monotonic() - started:.0f} s, images included")
        yield tested
    finally:
        tested.remove()
