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
    with pytest.raises(Refused, match=r"^INGEST_LOAD `ls /nowhere`: ls /nowhere: ls: [^\n]*$"):
        given(tmp_path, INGEST_LOAD="ls /nowhere").deliver(IMAGE)
    with pytest.raises(Refused, match=r"^INGEST_LOAD `false`: false ingest-github:0123: exit code 1$"):
        given(tmp_path, INGEST_LOAD="false").deliver(IMAGE)
    with pytest.raises(Refused, match=r"^INGEST_LOAD `no-such-kind load`: no-such-kind is not installed"):
        given(tmp_path, INGEST_LOAD="no-such-kind load").deliver(IMAGE)


def test_the_namespace_of_the_host_is_made_beside_those_of_its_locations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []

    def kubectl(self: Cluster, *arguments: str) -> str:
        asked.append(arguments)
        return "namespace/default\nnamespace/ingest-github"

    monkeypatch.setattr(Cluster, "kubectl", kubectl)
    given(tmp_path).make_namespace()
    assert asked[1:] == [("create", "namespace", "ingest")]


def test_where_neither_is_set_the_setting_is_named(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"^INGEST_REGISTRY is not set: [^\n]*kind load docker-image`$"):
        given(tmp_path).deliver(IMAGE)


def test_where_kubectl_is_missing_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refused, match=r"^kubectl is not installed: install it"):
        given(tmp_path).kubectl("get", "pods")
