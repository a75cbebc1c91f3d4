"""Made-up changes of made-up repositories: which locations they touch."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from ingest_tools import affected
from ingest_tools.cli import main
from ingest_tools.local import Refused

PROJECT = '[tool.uv.sources]\ningest-shared = { path = "../../shared" }\n'
COMPOSE = "services:\n  it:\n    extends: {file: ../service.yaml, service: server}\n"
FILES = {
    ".gitignore": "data/\n",
    ".dockerignore": ".git\n",
    "README.md": "",
    "docs/deploy.md": "",
    "host/health": "",
    "host/requirements.lock": "",
    "locations/Dockerfile": "",
    "locations/service.yaml": "",
    "shared/README.md": "",
    "shared/pyproject.toml": "",
    "shared/src/code.py": "",
    "shared/tests/test_code.py": "",
}
LOCATION = {
    "README.md": "",
    "compose.yaml": COMPOSE,
    "pyproject.toml": PROJECT,
    "src/code.py": "",
    "tests/test_it.py": "",
}
ALL = ["one", "two"]


class Repository:
    """A git repository with the locations one and two; the branch ``main`` is its first commit."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("config", "user.name", "a")
        self.git("config", "user.email", "a@example.com")
        self.write(FILES)
        for name in ALL:
            self.add(name)
        self.commit()
        self.git("checkout", "--quiet", "-b", "change")

    def git(self, *arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=self.root, check=True, capture_output=True, text=True).stdout

    def write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(text)

    def add(self, location: str) -> None:
        self.write({f"locations/{location}/{file}": text for file, text in LOCATION.items()})

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "a change")

    def affected(self, base: str = "main") -> list[str]:
        return affected.affected(base, self.root)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    return Repository(tmp_path)


def test_no_change_touches_nothing(repository: Repository) -> None:
    assert repository.affected() == []


@pytest.mark.parametrize("committed", [True, False], ids=["committed", "not committed"])
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("locations/one/src/code.py", ["one"]),
        ("locations/two/tests/test_it.py", ["two"]),
        ("locations/one/compose.yaml", ["one"]),
        ("locations/one/README.md", ["one"]),
        ("locations/one/src/a new ä.py", ["one"]),
        ("shared/src/code.py", ALL),
        ("shared/src/new.py", ALL),
        ("shared/pyproject.toml", ALL),
        ("shared/tests/test_code.py", ALL),
        ("host/health", ALL),
        ("locations/Dockerfile", ALL),
        ("locations/service.yaml", ALL),
        (".dockerignore", ALL),
        ("host/requirements.lock", []),
        ("shared/README.md", []),
        ("docs/deploy.md", []),
        ("README.md", []),
        ("locations/one-more.md", []),
        ("data/one.duckdb", []),
    ],
)
def test_a_change_touches(repository: Repository, path: str, expected: list[str], *, committed: bool) -> None:
    before = FILES.get(path) or LOCATION.get(path.split("/", 2)[-1]) or ""
    repository.write({path: f"{before}# new\n"})
    if committed and "data" not in path:
        repository.commit()
    assert repository.affected() == expected


def test_what_is_deleted_or_moved_touches_where_it_was(repository: Repository) -> None:
    repository.git("rm", "--quiet", "shared/src/code.py")
    assert repository.affected() == ALL
    repository.git("reset", "--quiet", "--hard")
    repository.git("mv", "locations/one/src/code.py", "docs/code.py")
    repository.commit()
    assert repository.affected() == ["one"]


def test_a_new_location_is_touched_and_a_removed_one_is_gone(repository: Repository) -> None:
    repository.add("three")
    repository.git("rm", "-r", "--quiet", "locations/one")
    assert repository.affected() == ["three"]


def test_what_others_did_on_the_base_meanwhile_is_no_change(repository: Repository) -> None:
    repository.write({"locations/one/src/code.py": "new"})
    repository.commit()
    repository.git("checkout", "--quiet", "main")
    repository.write({"locations/two/src/code.py": "new"})
    repository.commit()
    repository.git("checkout", "--quiet", "change")
    assert repository.affected() == ["one"]


def test_before_the_first_commit_all_is_new(repository: Repository) -> None:
    """GitHub calls the commit before a branch's first one by zeros."""
    assert repository.affected("0" * 40) == ALL


def test_a_bad_base_is_refused(repository: Repository) -> None:
    for base in ("nope", "--output=x", "HEAD:README.md"):
        with pytest.raises(Refused, match=f"--base={base} is not a commit here: fetch it, or name another"):
            repository.affected(base)
    alone = repository.git("commit-tree", "HEAD^{tree}", "-m", "no parent").strip()
    with pytest.raises(Refused, match="have no commit in common"):
        repository.affected(alone)


def test_a_project_that_cannot_be_read_is_refused(repository: Repository) -> None:
    repository.write({"locations/two/pyproject.toml": "["})
    with pytest.raises(Refused, match=r"locations/two/pyproject\.toml cannot be read"):
        repository.affected()


@pytest.mark.parametrize(("names", "plain"), [(ALL, "one\ntwo\n"), ([], "")])
def test_prints_a_name_a_line_or_json(
    names: list[str], plain: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(affected, "affected", lambda base: names if base == "main" else None)
    assert main(["affected", "--base=main"]) == 0
    assert capsys.readouterr().out == plain
    assert main(["affected", "--base=main", "--json"]) == 0
    told = capsys.readouterr().out
    assert json.loads(told) == names
    assert told.count("\n") == 1
