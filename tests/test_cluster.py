"""How images reach a cluster, and what is said where they cannot."""

from pathlib import Path

import pytest

from ingest_tools import cluster
from ingest_tools.cluster import Cluster
from ingest_tools.local import Refused

IMAGE = "ingest-github:0123"
DIGEST = f"sha256:{'0' * 64}"


def given(tmp_path: Path, **settings: str) -> Cluster:
    return Cluster("ingest", {"INGEST_REGISTRY": "", "INGEST_LOAD": "", **settings}, tmp_path / ".env")


def test_a_registry_gives_the_image_a_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    def docker(*arguments: str) -> str:
        asked.append(arguments)
        return f"0123: digest: {DIGEST} size: 1" if arguments[0] == "push" else ""

    monkeypatch.setattr(cluster, "docker", docker)
    name = given(tmp_path, INGEST_REGISTRY="registry.example.com/ingest").deliver(IMAGE)
    assert name == f"registry.example.com/ingest/ingest-github@{DIGEST}"
    assert asked == [
        ("tag", IMAGE, f"registry.example.com/ingest/{IMAGE}"),
        ("push", f"registry.example.com/ingest/{IMAGE}"),
    ]


def test_a_cluster_without_a_registry_loads_the_image_itself(tmp_path: Path) -> None:
    assert given(tmp_path, INGEST_LOAD=f"test {IMAGE} =").deliver(IMAGE) == IMAGE
    with pytest.raises(Refused, match=r"^INGEST_LOAD: ls /nowhere ingest-github:0123: ls: [^\n]*$"):
        given(tmp_path, INGEST_LOAD="ls /nowhere").deliver(IMAGE)


def test_where_neither_is_set_the_setting_is_named(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"^INGEST_REGISTRY is not set: [^\n]*kind load docker-image`$"):
        given(tmp_path).deliver(IMAGE)


def test_where_kubectl_is_missing_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refused, match=r"^kubectl is not installed: install it"):
        given(tmp_path).kubectl("get", "pods")
