"""The markers ``docker`` and ``kubernetes``: skipped loudly without an engine or a cluster, an error where required."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ingest_tools.projects import ROOT

TESTS = """
import pytest

@pytest.mark.docker
def test_with_engine():
    pass

def test_without():
    pass
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A suite of two tests under the repository's own rules, one of which needs an engine."""
    for name in ("conftest.py", "measured.py"):
        shutil.copy(ROOT / "tests" / name, tmp_path)
    (tmp_path / "test_two.py").write_text(TESTS)
    return tmp_path


def run(suite: Path, engine_exit: int, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the suite on a machine whose ``docker`` ends with the given code."""
    docker = suite / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(f"#!/bin/sh\nexit {engine_exit}\n")
    docker.chmod(0o755)
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        ROOT / "pyproject.toml",
        "--rootdir",
        suite,
        suite,
    ]
    path = f"{docker.parent}:{os.environ['PATH']}"
    left_out = ("REQUIRE_DOCKER", "REQUIRE_KUBERNETES", "TEST_KUBECONFIG")
    variables = {name: value for name, value in os.environ.items() if name not in left_out}
    return subprocess.run(
        [*command, "-p", "no:cacheprovider"],
        env=variables | {"PATH": path} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_runs_where_an_engine_answers(suite: Path) -> None:
    done = run(suite, 0, REQUIRE_DOCKER="1")
    assert done.returncode == 0
    assert "2 passed" in done.stdout


def test_skips_with_one_loud_line_where_none_answers(suite: Path) -> None:
    done = run(suite, 1)
    assert done.returncode == 0
    assert "1 passed, 1 skipped" in done.stdout
    loud = [line for line in done.stdout.splitlines() if line.startswith("!!!")]
    assert len(loud) == 1
    assert "1 tests SKIPPED" in loud[0]


def test_is_an_error_where_docker_is_required(suite: Path) -> None:
    done = run(suite, 1, REQUIRE_DOCKER="1")
    assert done.returncode != 0
    assert "REQUIRE_DOCKER=1, but no Docker engine answers" in done.stderr + done.stdout


def test_no_cluster_is_touched_but_the_one_that_is_named_for_tests(suite: Path) -> None:
    (suite / "test_two.py").write_text(TESTS.replace("docker", "kubernetes"))
    done = run(suite, 0, KUBECONFIG="/a/cluster/of/somebody")
    assert "1 passed, 1 skipped" in done.stdout
    assert "!!! no Kubernetes cluster answers that TEST_KUBECONFIG names: 1 tests SKIPPED" in done.stdout


def test_is_an_error_where_a_cluster_is_required(suite: Path) -> None:
    (suite / "test_two.py").write_text(TESTS.replace("docker", "kubernetes"))
    done = run(suite, 0, REQUIRE_KUBERNETES="1")
    assert done.returncode != 0
    assert "REQUIRE_KUBERNETES=1, but no Kubernetes cluster answers" in done.stderr + done.stdout
