"""An image's tag follows from its declared inputs, which are what the Dockerfile copies."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ingest_tools import images
from ingest_tools.local import Refused
from ingest_tools.projects import ROOT

DOCKERFILE = "locations/Dockerfile"
NOT_COPIED = {".dockerignore", DOCKERFILE}
"""They decide what is copied."""
FILES = {
    ".gitignore": "__pycache__/\n",
    ".dockerignore": "*",
    "README.md": "",
    "host/health": "",
    DOCKERFILE: "FROM python",
    "shared/README.md": "",
    "shared/src/lib/code.py": "1",
} | {
    f"locations/{name}/{file}": name
    for name in ("one", "two")
    for file in ("README.md", "compose.yaml", "pyproject.toml", "requirements.lock", "src/code.py", "tests/test_it.py")
}


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made-up repository of two locations, nothing of which is committed."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    write(tmp_path, FILES)
    return tmp_path


def test_the_inputs_are_what_the_dockerfile_copies() -> None:
    """Or an old image would stay in production in silence."""
    dockerfile = (ROOT / DOCKERFILE).read_text()
    lines = re.findall(r"^(?i:add|copy)\b(?! --from=).*", dockerfile, re.MULTILINE)
    copies = [re.fullmatch(r"COPY (?:--chmod=\d+ )?(\S+) \S+", line) for line in lines]
    copied = {copy[1].replace("${LOCATION}", "{location}").rstrip("/") for copy in copies if copy}
    assert copied == set(images.INPUTS) - NOT_COPIED
    assert None not in copies, "this test does not understand every line"
    assert set(re.findall(r"--mount=([^,\s]+)", dockerfile)) == {"type=cache"}, "a mount takes files, too"


HOST_DOCKERFILES = ("host/Dockerfile", "host/front/Dockerfile", "sandbox/Dockerfile")


@pytest.mark.parametrize("file", HOST_DOCKERFILES)
def test_the_inputs_of_the_host_have_what_its_dockerfiles_copy(file: str) -> None:
    lines = re.findall(r"^COPY (?!--from=)(?:--chmod=\d+ )?(.*) \S+$", (ROOT / file).read_text(), re.MULTILINE)
    copied = [path for line in lines for path in line.split()]
    assert copied
    assert [path for path in [file, *copied] if not images.is_host_input(path.rstrip("/"))] == []


def test_a_version_of_the_host_is_also_what_compose_makes_of_it(root: Path) -> None:
    for change in ("docker-compose.yml", "dagster.yaml", "locations/service.yaml", "host/src/new.py", "host/health"):
        before = images.host_tag(root)
        write(root, {change: "new"})
        assert images.host_tag(root) != before, change
    before = images.host_tag(root)
    write(root, {"host/tests/test_new.py": "new", "locations/one/src/code.py": "new"})
    assert images.host_tag(root) == before


def test_nothing_is_copied_that_git_ignores() -> None:
    """It would be in the image without a trace in the tag; a credential among it, even."""
    ignored = images.git_paths(ROOT, "ls-files", "--others", "--ignored", "--exclude-standard", "locations", "shared")
    left_out = [path for path in ignored if "/__pycache__/" not in path]  # as in .dockerignore
    assert [path for path in left_out if any(images.is_input(path, name) for name in images.location_names())] == []
    assert not images.is_input("locations/github/.dlt/secrets.toml", "github")


def test_inputs_are_those_of_the_location_alone(root: Path) -> None:
    assert [file.relative_to(root).as_posix() for file in images.inputs("one", root)] == [
        ".dockerignore",
        "host/health",
        "locations/Dockerfile",
        "locations/one/pyproject.toml",
        "locations/one/requirements.lock",
        "locations/one/src/code.py",
        "shared/src/lib/code.py",
    ]


def test_what_is_not_there_is_refused(root: Path) -> None:
    with pytest.raises(Refused, match=r"there is no location 'three': choose from one, two"):
        images.inputs("three", root)
    shutil.rmtree(root / ".git")
    with pytest.raises(Refused, match=r"git ls-files failed: .*not a git repository"):
        images.inputs("one", root)


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ("locations/one/src/code.py", True),
        ("locations/one/src/new.py", True),
        ("locations/one/.dlt/config.toml", True),
        ("locations/one/requirements.lock", True),
        ("shared/src/lib/code.py", True),
        ("host/health", True),
        (DOCKERFILE, True),
        (".dockerignore", True),
        ("README.md", False),
        ("locations/one/compose.yaml", False),
        ("locations/one/tests/test_it.py", False),
        ("locations/one/src/__pycache__/code.pyc", False),
        ("locations/two/src/code.py", False),
        ("shared/README.md", False),
    ],
)
def test_the_tag_changes_with_the_inputs_and_with_nothing_else(root: Path, change: str, *, counts: bool) -> None:
    before = images.content_tag("one", root)
    write(root, {change: "new"})
    assert (images.content_tag("one", root) != before) == counts


def test_the_tag_knows_modes_names_links_and_what_is_gone(root: Path) -> None:
    code = root / "locations/one/src/code.py"
    renamed = code.with_name("renamed.py")
    subprocess.run(["git", "add", "."], cwd=root, check=True)
    tags = [images.content_tag("one", root)]
    code.chmod(0o755)
    tags.append(images.content_tag("one", root))
    code.unlink()
    tags.append(images.content_tag("one", root))
    renamed.write_text("one")
    tags.append(images.content_tag("one", root))
    code.symlink_to(renamed.name)
    tags.append(images.content_tag("one", root))
    code.unlink()
    for content in (renamed.name, renamed.read_text()):
        code.write_text(content)
        tags.append(images.content_tag("one", root))
    assert len(set(tags)) == 7
    assert all(len(tag) == 12 and int(tag, 16) for tag in tags)


def test_the_tag_is_the_same_in_another_checkout(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Committed or not, whatever the umask and the time."""
    other = shutil.copytree(root, tmp_path_factory.mktemp("other"), copy_function=shutil.copyfile, dirs_exist_ok=True)
    subprocess.run(["git", "add", "."], cwd=other, check=True)
    assert images.content_tag("one", other) == images.content_tag("one", root)
