"""A location that was just made is sound and green, and removed again it leaves no trace.

All happens in a copy of the tree. The locks and the environment are those of a location that is
there, since the dependencies are the same: so nothing is fetched.
"""

import ast
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest_tools import new_location
from ingest_tools.projects import ROOT, Project
from tree import MODEL, Copy

MADE = {"zendesk": "rest", "crm": "sql", "shop": "files", "a_name_of_thirty_letters_1_2_3": "component"}
"""Before and after what else is imported, and as long as a name may be."""
OF_AN_API = [name for name, style in MADE.items() if style in ("rest", "component")]
PASSED = {"rest": 55, "sql": 29, "files": 37, "component": 8}
"""Tests: the standard ones, and its own; of a component only those of its definitions and jobs, in which it differs."""
DIFFER = "definitions or a_job_selects or ui_tells or every_check or the_audit_finds"
TOLD = {
    "zendesk": """
- **Read**: What changed since the previous sync, by `updated_at`; at first every page.
- **Cost**: One call for each page of changes, and at least one; at first one for each page.
- **Deletes**: found by the audit.
""",
    "shop": """
- **Files**: `items/*.csv`, Csv
- **Read**: The files that are new, or whose size, time or ETag changed since the previous sync.
""",
}
BIN = Path(sys.executable).parent
TRY = """
from ingest_shared.errors import SettingError
from {}_location.source.api import connect

try:
    connect()
except SettingError as error:
    print(error)
"""
FAIL = """
from ingest_tools import new_location
from ingest_tools.cli import main
from ingest_tools.local import Refused

def fails(project):
    raise Refused("no such version")

new_location.write_locks = fails
assert main(["new-location", "freshdesk"]) == 1
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    """A copy with a new location of each style; removed again, it is as it was."""
    copy = Copy(tmp_path_factory.mktemp("tree"))
    before = copy.files()
    for name, style in MADE.items():
        copy.make(name, style)
    yield copy
    for name in MADE:
        told = copy.ingest("remove-location", name).stdout
        mine = f"label=ingest.project=ingest --filter label=ingest.location={name}"
        containers = f"{mine} | xargs -r docker rm --force"  # they hold the volumes
        assert told.index(containers) < told.index(f"docker volume rm ingest_{name}-secrets")
        assert f"schema {name}_raw" in told
    assert copy.files() == before


each = pytest.mark.parametrize("name", MADE)


def test_lint_and_format_find_nothing(made: Copy) -> None:
    folders = [f"locations/{name}" for name in MADE]
    for command in (["check"], ["format", "--check"]):
        done = made.run(BIN / "ruff", *command, "--no-cache", *folders)
        assert done.returncode == 0, done.stdout


@each
def test_types_are_strict(name: str, made: Copy) -> None:
    command: list[str | Path] = [BIN / "mypy", "--config-file", made.root / "pyproject.toml"]
    command += ["--cache-dir", ROOT / ".mypy_cache" / "template", "--python-executable", MODEL.python, "src", "tests"]
    done = made.run(*command, folder=f"locations/{name}", MYPYPATH="src")
    assert done.returncode == 0, done.stdout


@each
def test_its_own_tests_pass(name: str, made: Copy) -> None:
    folder = f"locations/{name}"
    command: list[str | Path] = [MODEL.python, "-m", "pytest", "-p", "no:cacheprovider", "tests"]
    command += ["-k", DIFFER] if MADE[name] == "component" else []
    done = made.run(*command, folder=folder, PYTHONPATH=str(made.root / folder / "src"))
    assert done.returncode == 0, done.stdout
    assert f"{PASSED[MADE[name]]} passed" in done.stdout


def test_the_repository_finds_it_whole(made: Copy) -> None:
    """Registration, names, locks and layers, as ``make check`` looks at them."""
    tests = [f"tests/repository/test_{name}.py" for name in ("registration", "locks", "layers", "projects")]
    done = made.run(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *tests)
    assert done.returncode == 0, done.stdout


@each
def test_a_deploy_tells_a_setting_that_is_missing_in_one_line(name: str, made: Copy) -> None:
    """It reads them as a run does, by `connect`: see ``ingest_shared/trial.py``."""
    program = TRY.format(name)
    done = made.run(MODEL.python, "-c", program, folder="tests", PYTHONPATH=f"{made.root}/locations/{name}/src")
    assert done.returncode == 0, done.stderr
    assert f"sources.{name}." in done.stdout
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize("name", ["zendesk", "crm", "shop"])
def test_the_readme_says_how_many_lines_of_code_it_has(name: str, made: Copy) -> None:
    """What a team writes over when it reads its own source."""
    files = (made.root / "locations" / name / "src").glob("*/source/*.py")
    (told,) = re.findall(rf"^\| `{MADE[name]}`.*\| (\d+),", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert int(told) == sum(map(lines_of_code, files))


def lines_of_code(file: Path) -> int:
    """Without those that are blank, a comment or a docstring."""
    text = file.read_text()
    found = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Expr)]
    strings = [node for node in found if isinstance(node.value, ast.Constant)]
    told = {line for node in strings for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}
    lines = enumerate(text.splitlines(), 1)
    return sum(number not in told and not re.fullmatch(r"\s*(#.*)?", line) for number, line in lines)


def test_it_is_owned_by_a_team(made: Copy) -> None:
    owned = (made.root / ".github" / "CODEOWNERS").read_text()
    for name in MADE:
        team = f"{name.replace('_', '-')}-ingest"
        assert f"/locations/{name}/ @acme/{team}\n" in owned
        assert f'"team:{team}"' in (made.root / f"locations/{name}/src/{name}_location/__init__.py").read_text()


def test_the_sandbox_beside_it_is_its_origin(made: Copy) -> None:
    told = made.python("from ingest_tools import sandbox; print(sandbox.settings('http://127.0.0.1:1'))")
    for name in OF_AN_API:
        assert f"'SOURCES__{name.upper()}__API_URL': 'http://127.0.0.1:1/example'" in told
    assert "'SOURCES__SHOP__BUCKET_URL': 'src/shop_location/sample'" in told


@pytest.mark.parametrize("name", OF_AN_API)
def test_its_api_has_one_address(name: str, made: Copy) -> None:
    """A second one, in a file of settings, would win over a corrected one, and get the credential."""
    folder = made.root / "locations" / name
    files = [file for file in folder.rglob("*") if file.suffix in (".py", ".toml", ".yaml", ".md")]
    assert [file.name for file in files if '"https://api.example.com"' in file.read_text()] == ["api.py"]
    assert "https://" not in (folder / "README.md").read_text()


@pytest.mark.parametrize(("name", "told"), TOLD.items())
def test_its_page_of_tables_tells_how_its_rows_are_read(name: str, told: str, made: Copy, tmp_path: Path) -> None:
    settings = {"PYTHONPATH": f"{made.root}/locations/{name}/src:{made.root}/tools"}
    command: list[str | Path] = [MODEL.python, "-m", "ingest_tools.table_docs", name, "--into", tmp_path]
    done = made.run(*command, **settings)
    assert done.returncode == 0, done.stderr
    assert told in (tmp_path / f"{name}.md").read_text()


def test_a_name_that_is_taken_is_refused_and_nothing_happens(made: Copy) -> None:
    before = made.files()
    for name, why in {"zendesk": "already", "purge": "reserved", "Zen": "not a valid", "": "not a valid"}.items():
        done = made.ingest("new-location", name)
        assert done.returncode == 1
        assert why in done.stderr
        assert done.stderr.count("\n") == 1
    done = made.ingest("remove-location", "freshdesk")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert made.files() == before


def test_where_a_step_fails_nothing_is_left(made: Copy) -> None:
    before = made.files()
    done = made.run(sys.executable, "-c", FAIL, folder="tools")
    assert done.returncode == 0
    assert done.stdout == "writing locations/freshdesk\nlocking its versions\n"
    assert done.stderr == "its versions cannot be locked (no such version): the new location was removed again\n"
    assert made.files() == before


def test_credentials_are_not_removed(made: Copy) -> None:
    secrets = made.root / "locations" / "zendesk" / ".dlt" / "secrets.toml"
    secrets.write_text("[sources.zendesk]\n")
    before = made.files()
    done = made.ingest("remove-location", "zendesk")
    secrets.unlink()
    assert done.stderr.startswith("locations/zendesk/.dlt/secrets.toml holds credentials")
    assert before.keys() - made.files().keys() == {str(secrets.relative_to(made.root))}


def test_what_is_left_half_registered_can_be_removed(made: Copy) -> None:
    """A folder that somebody deleted by hand, as well."""
    before = made.files()
    made.make("freshdesk", "rest")
    pages = made.root / "docs" / "tables"
    pages.mkdir(parents=True, exist_ok=True)
    (pages / "freshdesk.md").touch()
    shutil.rmtree(made.root / "locations" / "freshdesk")
    assert "ingest remove-location freshdesk" in made.ingest("new-location", "freshdesk").stderr
    assert made.ingest("remove-location", "freshdesk").returncode == 0
    assert made.files() == before


def test_a_folder_that_cannot_be_removed_is_told_in_one_line_and_removed_later(made: Copy) -> None:
    """As one in which a process creates files meanwhile."""
    before = made.files()
    made.make("freshdesk", "rest")
    folder = made.root / "locations" / "freshdesk"
    moved = folder.rename(made.root.parent / "freshdesk")
    folder.symlink_to(moved)
    done = made.ingest("remove-location", "freshdesk")
    assert done.returncode == 1
    assert done.stderr.startswith("locations/freshdesk could not be removed completely (")
    assert "run `ingest remove-location freshdesk` again" in done.stderr
    assert done.stderr.count("\n") == 1
    folder.unlink()
    moved.rename(folder)
    assert made.ingest("remove-location", "freshdesk").returncode == 0
    assert made.files() == before


def test_its_tags_are_removed_and_other_settings_stay(made: Copy) -> None:
    made.make("freshdesk", "rest")
    settings = made.root / ".env"
    settings.write_text("FRESHDESK_TAG=b\nHOST_TAG=a\nFRESHDESK_TAGS=b,a\nFRESHDESK_TAG_BEFORE=a\nMY_FRESHDESK_TAG=c\n")
    told = made.ingest("remove-location", "freshdesk").stdout
    assert settings.read_text() == "HOST_TAG=a\nMY_FRESHDESK_TAG=c\n"
    assert "    make up\n" in told
    for file in made.root.glob(".env*"):
        file.unlink()


def test_locks_begin_with_the_versions_of_the_newest_location(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never with a dagster that is newer than the host's."""
    for name, version in {"old": "1.13.9", "newest": "1.13.31", "new": ""}.items():
        (tmp_path / name).mkdir()
        shutil.copy(MODEL.folder / "pyproject.toml", tmp_path / name)
        for lock in ("requirements.lock", "requirements-dev.lock"):
            if version:
                (tmp_path / name / lock).write_text(f"dagster=={version}\n")
    found = [Project(tmp_path / name) for name in ("new", "newest", "old")]
    monkeypatch.setattr(Project, "name", "locations/any")
    monkeypatch.setattr(new_location, "locations", lambda: found)
    monkeypatch.setattr(new_location, "compile_lock", lambda *_: None)
    new_location.write_locks(found[0])
    assert (tmp_path / "new" / "requirements.lock").read_text() == "dagster==1.13.31\n"
