"""The charts by themselves: what they render is valid for newer clusters, too, and says the same as Docker Compose."""

import configparser
import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from ingest_tools.projects import ROOT
from ingest_tools.registrations import workspace

CHARTS = ROOT / "deploy" / "kubernetes"
VALUES: dict[str, dict[str, Any]] = {
    "host": {"image": "ingest-host:it", "frontImage": "ingest-front:it", "sandboxImage": "ingest-sandbox:it"},
    "location": {"name": "stripe_eu", "image": "ingest-stripe_eu:it", "hostImage": "ingest-host:it"},
}
ALIVE = {"keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3", "tcp_user_timeout": "60000"}
NEWER = [f"1.{minor}.0" for minor in range(28, 38)]
needs_helm = pytest.mark.kubernetes


@cache
def rendered(chart: str) -> list[dict[str, Any]]:
    """Every object of a chart, installed into the namespace `ingest`."""
    given = [f"--set-json={name}={json.dumps(value)}" for name, value in VALUES[chart].items()]
    command = ["helm", "template", "it", str(CHARTS / chart), "--namespace=ingest", *given]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [one for one in yaml.safe_load_all(told) if one]


def pod_specs(chart: str) -> dict[str, dict[str, Any]]:
    """Those of all that runs, by name."""
    found = (one for one in rendered(chart) if one["kind"] in ("Deployment", "StatefulSet", "Job"))
    return {one["metadata"]["name"]: one["spec"]["template"]["spec"] for one in found}


def arguments(service: str) -> set[str]:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"][service]["command"]
    return {one for one in compose.split() if "=" in one}


@needs_helm
@pytest.mark.parametrize("chart", VALUES)
def test_helm_finds_no_fault(chart: str) -> None:
    given = [f"--set-json={name}={json.dumps(value)}" for name, value in VALUES[chart].items()]
    done = subprocess.run(
        ["helm", "lint", "--strict", CHARTS / chart, *given], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@needs_helm
@pytest.mark.parametrize("version", [NEWER[0], NEWER[-1]])
@pytest.mark.parametrize("chart", VALUES)
def test_every_object_is_valid_from_1_28_to_the_newest(chart: str, version: str) -> None:
    assert kubernetes_validate.latest_version() == NEWER[-1]
    for one in rendered(chart):
        kubernetes_validate.validate(one, version, strict=True)


@needs_helm
@pytest.mark.parametrize("chart", VALUES)
def test_no_pod_has_a_right_that_it_does_not_need(chart: str) -> None:
    """The profile `restricted` of Kubernetes' Pod Security, and more: limits, and a file system that nobody writes."""
    for name, spec in pod_specs(chart).items():
        assert not spec["automountServiceAccountToken"], name
        assert spec["securityContext"]["runAsNonRoot"], name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            rights = container["securityContext"]
            assert (rights["allowPrivilegeEscalation"], rights["readOnlyRootFilesystem"]) == (False, True), name
            assert rights["capabilities"] == {"drop": ["ALL"]}, name
            assert container["resources"]["limits"].keys() >= {"cpu", "memory"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name
        assert not any("hostPath" in one for one in spec.get("volumes", ())), name


@needs_helm
@pytest.mark.many
def test_a_policy_scan_finds_nothing_that_is_not_explained(tmp_path: Path) -> None:
    """https://www.checkov.io/ has two hundred dependencies, so it is in no lock of ours."""
    for chart in VALUES:
        (tmp_path / f"{chart}.yaml").write_text(yaml.safe_dump_all(rendered(chart)))
    scan = [
        str(Path(sys.executable).with_name("uvx")),
        "checkov==3.3.30",
        "--compact",
        f"--config-file={CHARTS / 'checkov.yaml'}",
        f"--directory={tmp_path}",
    ]
    done = subprocess.run(scan, capture_output=True, text=True, check=False)
    assert "Passed checks: " in done.stdout, done.stderr
    assert done.returncode == 0, done.stdout


@needs_helm
def test_only_webserver_daemon_and_purge_have_a_token() -> None:
    with_token = {name for name, spec in pod_specs("host").items() if "serviceAccountToken" in json.dumps(spec)}
    assert with_token == {"webserver", "daemon", "purge"}
    assert "serviceAccountToken:" not in json.dumps(pod_specs("location"))


@needs_helm
def test_a_location_is_in_a_namespace_of_its_own() -> None:
    """But for its set-up, which is gone afterwards: names of locations have no hyphen, so no two share one."""
    elsewhere = {
        one["metadata"]["name"]
        for one in rendered("location")
        if one["kind"] != "Namespace" and one["metadata"].get("namespace") != "ingest-stripe-eu"
    }
    assert elsewhere == {"set-up-it"}


@needs_helm
def test_postgres_is_set_up_as_by_compose() -> None:
    """But for those who are on another machine, which may be lost."""
    (postgres,) = pod_specs("host")["postgres"]["containers"]
    given = {one.removeprefix("-c") for one in postgres["args"][1:]}
    assert {one for one in given if not one.startswith("tcp_keepalives_")} == arguments("postgres")
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["postgres"]
    assert f"ulimit -d {compose['ulimits']['data'] // 1024}; exec docker-entrypoint.sh " in postgres["command"][-2]


@needs_helm
def test_no_connection_outlives_the_node_of_its_other_end_by_more_than_a_minute() -> None:
    """libpq's settings in the files and the variable that tell where Postgres is, and the server's own."""
    found = [one for chart in VALUES for one in rendered(chart) if "pg_service.conf" in one.get("stringData", {})]
    assert len(found) == 4
    for one in found:
        service = configparser.RawConfigParser()
        service.read_string(one["stringData"]["pg_service.conf"])
        assert ALIVE.items() <= dict(service["dagster"]).items(), one["metadata"]["name"]
    (postgres,) = pod_specs("host")["postgres"]["containers"]
    assert {f"-ctcp_{name}={value}" for name, value in ALIVE.items() if "alive" in name} <= {*postgres["args"]}


def test_dagster_is_set_up_as_by_compose() -> None:
    """But for what launches runs and where their output is."""
    ours = yaml.safe_load((CHARTS / "host" / "dagster.yaml").read_text())
    compose = yaml.safe_load((ROOT / "dagster.yaml").read_text())
    for one in (ours, compose):
        del one["run_launcher"], one["compute_logs"]
    assert ours == compose


def test_every_registered_location_is_in_the_workspace_of_the_cluster(tmp_path: Path) -> None:
    (tmp_path / "workspace.yaml").write_text((ROOT / "workspace.yaml").read_text())
    told = yaml.safe_load(workspace(lambda name: f"ingest-{name}", tmp_path))["load_from"]
    here = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"]
    assert [one["grpc_server"]["location_name"] for one in told] == [
        one["grpc_server"]["location_name"] for one in here
    ]
    assert told[0]["grpc_server"] == {"location_name": "github", "host": "server.ingest-github", "port": 4000}
