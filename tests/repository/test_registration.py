"""Every location is registered everywhere, named after its folder, and claims what no other claims."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest_tools import registrations
from ingest_tools.local import Refused
from ingest_tools.projects import ROOT, locations

OTHER = "github"
"""The location that the broken copies are broken for."""
SHOWN = ("pyproject.toml", "compose.yaml", "tests/definitions.txt")


def test_no_location_is_half_registered() -> None:
    assert registrations.problems() == []


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files that registration is about, copied; sound to begin with."""
    files = [registrations.COMPOSE, registrations.WORKSPACE, registrations.CODEOWNERS, registrations.SERVICES]
    for location in locations():
        name = location.folder.name
        files += [f"{location.name}/{file}" for file in (*SHOWN, f"src/{name}_location/definitions.py")]
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    assert registrations.problems(tmp_path) == []
    return tmp_path


def replace(file: str, old: str, new: str) -> Callable[[Path], None]:
    """Breaks a copy in one place."""

    def do(root: Path) -> None:
        text = (root / file).read_text()
        assert old in text
        (root / file).write_text(text.replace(old, new, 1))

    return do


def unlink(file: str) -> Callable[[Path], None]:
    return lambda root: (root / file).unlink()


COMPOSE, WORKSPACE, CODEOWNERS = registrations.COMPOSE, registrations.WORKSPACE, registrations.CODEOWNERS
OWN = f"locations/{OTHER}"


@pytest.mark.parametrize(
    ("breaks", "told"),
    [
        (replace(COMPOSE, f"  - locations/{OTHER}/compose.yaml\n", ""), "`include` names github 0 times"),
        (replace(COMPOSE, ", github", ""), "`x-networks` names github 0 times"),
        (replace(COMPOSE, "      github:\n", ""), "`host-networks` names github 0 times"),
        (replace(COMPOSE, "      github: {aliases: [postgres]}\n", ""), "`turnstile` names github 0 times"),
        (replace(COMPOSE, ", github", ", github, github"), "`x-networks` names github 2 times"),
        (replace(COMPOSE, ", github", ", github, gitlab"), "names gitlab, but there is no"),
        (replace(COMPOSE, "include:", "includes:"), "cannot find the list `include`"),
        (replace(WORKSPACE, "location_name: github", "location_name: gitlab"), "`load_from` names github 0 times"),
        (replace(WORKSPACE, "host: github", "host: stripe"), "`load_from` names github 0 times"),
        (replace(WORKSPACE, "host: github, port: 4000", "host: github, port: 4001"), "names github 0 times"),
        (replace(CODEOWNERS, "/locations/github/", "/locations/gitlab/"), "names github 0 times"),
        (unlink(f"{OWN}/pyproject.toml"), "names github, but there is no locations/github"),
        (unlink(f"{OWN}/compose.yaml"), "compose.yaml differs from what"),
        (unlink(f"{OWN}/src/github_location/definitions.py"), "definitions.py is missing"),
        (unlink(f"{OWN}/tests/definitions.txt"), "definitions.txt is missing"),
        (replace(f"{OWN}/pyproject.toml", '"github-location"', '"github"'), "project.name is 'github'"),
        (replace(f"{OWN}/pyproject.toml", '"github_location"', '"github"'), "root_module is 'github'"),
        (
            replace(f"{OWN}/compose.yaml", "    networks: [github]", "    privileged: true"),
            "compose.yaml differs from what",
        ),
        (
            replace(f"{OWN}/compose.yaml", "setup location github", "setup location stripe"),
            "compose.yaml differs from what",
        ),
        (replace(f"{OWN}/compose.yaml", ".0.0/27", ".0.32/27"), "compose.yaml differs from what"),
        (replace(f"{OWN}/pyproject.toml", "{sandbox}/github", "http://elsewhere"), "compose.yaml differs from what"),
        (replace(f"{OWN}/pyproject.toml", "\napi_url =", '\n"x y" ='), "tool.ingest.sandbox.x y is not a setting"),
        (lambda root: (root / OWN / ".env").touch(), "locations/github/.env must not exist"),
        (
            replace("locations/stripe/tests/definitions.txt", "asset stripe/refunds\n", "asset github/issues\n"),
            "the asset github/issues is claimed by github and stripe",
        ),
    ],
)
def test_what_is_wrong_is_told(breaks: Callable[[Path], None], told: str, copy: Path) -> None:
    breaks(copy)
    assert any(told in problem for problem in registrations.problems(copy)), registrations.problems(copy)


def test_a_folder_with_a_forbidden_name_is_told(copy: Path) -> None:
    for name in ("purge", "pg_cron", "a__b"):
        shutil.copytree(copy / OWN, copy / "locations" / name)
    told = "\n".join(registrations.problems(copy))
    assert "'purge' is reserved by the platform" in told
    assert "'pg_cron' is not a valid location name" in told
    assert "'a__b' is not a valid location name" in told


@pytest.mark.parametrize("name", ["zendesk", "s3", "my_api", "a" * 30, "async", "json", "test"])
def test_a_location_may_be_called(name: str) -> None:
    assert registrations.name_problem(name) is None


@pytest.mark.parametrize("name", ["", "x", "Zendesk", "zen-desk", "9lives", "_x", "a b", "é_x", "a" * 31, "../x", "x_"])
def test_a_location_may_not_be_called(name: str) -> None:
    assert "is not a valid location name" in (registrations.name_problem(name) or "")


@pytest.mark.parametrize("name", ["zen_raw", "my_raw_data"])
def test_nor_like_the_schema_of_a_location(name: str) -> None:
    assert "no _raw" in (registrations.name_problem(name) or "")


TAKEN = (
    "access analyst audit daemon dagster default front launch postgres public purge runs sandbox secrets setup shared"
    " warehouse webserver"
)


@pytest.mark.parametrize("name", TAKEN.split())
def test_a_location_may_not_be_called_as_the_platforms_own(name: str) -> None:
    assert "is reserved by the platform" in (registrations.name_problem(name) or "")


@pytest.mark.parametrize("name", ["aaa", "gitlab", "zendesk"])
def test_a_registration_is_taken_back_to_the_byte(name: str, copy: Path) -> None:
    files = [COMPOSE, WORKSPACE, CODEOWNERS]
    before = {file: (copy / file).read_bytes() for file in files}
    (copy / "locations" / name).mkdir(exist_ok=True)
    shutil.copy(copy / OWN / "pyproject.toml", copy / "locations" / name)
    registrations.register(name, copy)
    assert registrations.registered(name, copy) == files
    for place in registrations.PLACES:
        names = place.names((copy / place.file).read_text())
        assert names == sorted(names)
    assert registrations.registered(name, copy) == files
    registrations.unregister(name, copy)
    assert {file: (copy / file).read_bytes() for file in files} == before


def test_where_a_list_is_missing_nothing_is_registered(copy: Path) -> None:
    replace(WORKSPACE, "load_from:", "load:")(copy)
    before = (copy / COMPOSE).read_bytes()
    with pytest.raises(Refused, match=r"workspace.yaml: cannot find the list `load_from`"):
        registrations.register("zendesk", copy)
    assert (copy / COMPOSE).read_bytes() == before


def test_without_codeowners_the_rest_is_registered(copy: Path) -> None:
    (copy / CODEOWNERS).unlink()
    (copy / "locations" / "zendesk").mkdir(exist_ok=True)
    shutil.copy(copy / OWN / "pyproject.toml", copy / "locations" / "zendesk")
    registrations.register("zendesk", copy)
    assert registrations.registered("zendesk", copy) == [COMPOSE, WORKSPACE]
