"""An image's inputs and tag follow from the recipe, and from nothing else."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import images
from local import Refused
from projects import ROOT, Project, locations

RECIPE = """
# syntax=docker/dockerfile:1
ARG PYTHON=python:3.13
FROM ${PYTHON} AS dependencies
ARG LOCATION
COPY locations/${LOCATION}/requirements.lock ./
RUN --mount=type=cache,target=/root/.cache --mount=type=bind,source=tools/build.sh,target=/build.sh \\
    sh /build.sh
FROM ${PYTHON}
ENV PATH=/opt/venv/bin:$PATH
COPY --from=dependencies /opt/venv /opt/venv
COPY shared/src/ \\
    # a comment within
     locations/$LOCATION/src/ /opt/
"""
IGNORE = "*\n# kept\n!shared/src\n!locations/*/src\n!locations/*/requirements.lock\n!tools\n**/*.tmp\n"
FILES = {
    ".gitignore": "__pycache__/\n",
    ".dockerignore": IGNORE,
    "README.md": "",
    "locations/Dockerfile": RECIPE,
    "shared/README.md": "",
    "shared/src/lib/code.py": "1",
    "shared/src/lib/left.tmp": "",
    "tools/build.sh": "",
    "tools/other.sh": "",
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


def taken(root: Path, recipe: str, location: str = "one") -> set[str]:
    """What a recipe takes of the repository, beside itself."""
    (root / images.RECIPE).write_text(f"FROM python\n{recipe}\n")
    (root / ".dockerignore").unlink(missing_ok=True)
    return {file.relative_to(root).as_posix() for file in images.inputs(location, root)} - {images.RECIPE}


def test_inputs_are_what_the_recipe_takes_and_the_recipe(root: Path) -> None:
    assert [file.relative_to(root).as_posix() for file in images.inputs("one", root)] == [
        ".dockerignore",
        "locations/Dockerfile",
        "locations/one/requirements.lock",
        "locations/one/src/code.py",
        "shared/src/lib/code.py",
        "tools/build.sh",
    ]


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ("ADD tools/*.sh /opt/", {"tools/build.sh", "tools/other.sh"}),
        ("COPY tools/b????.sh tools/[n-p]ther.sh /opt/", {"tools/build.sh", "tools/other.sh"}),
        ('COPY --chmod=755 ["tools/build.sh", "/opt/"]', {"tools/build.sh"}),
        ("copy ./tools/./build.sh /opt/", {"tools/build.sh"}),
        ("ARG TOOL=other\nCOPY tools/${TOOL}.sh /opt/", {"tools/other.sh"}),
        ("COPY tools/${TOOL:-build}.sh /opt/", {"tools/build.sh"}),
        ("ARG LOCATION=two\nCOPY locations/$LOCATION/src /opt/", {"locations/one/src/code.py"}),
        ("RUN --mount=src=shared/src,target=/src true", {"shared/src/lib/code.py", "shared/src/lib/left.tmp"}),
        ("RUN --mount=type=bind,from=other,source=tools,target=/src true", set()),
        ("RUN --mount=type=secret,id=tools true", set()),
        ("COPY --from=other --link tools /opt/", set()),
        ("ADD https://example.com/$VERSION/tools/build.sh /opt/", set()),
        ("COPY <<END /opt/\nCOPY tools /opt/\nEND\nCOPY tools/other.sh /opt/", {"tools/other.sh"}),
        ("RUN <<-'END' cat\n  COPY tools /opt/\n  END\n", set()),
        ("# COPY tools /opt/\nRUN echo COPY tools /opt/", set()),
    ],
)
def test_every_way_to_take_a_file_is_understood(root: Path, recipe: str, expected: set[str]) -> None:
    assert taken(root, recipe) == expected


@pytest.mark.parametrize("recipe", ["COPY . /opt/", "RUN --mount=target=/src true"])
def test_a_recipe_may_take_everything(root: Path, recipe: str) -> None:
    assert taken(root, recipe) == FILES.keys() - {images.RECIPE, ".dockerignore"}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("locations\n.*\nshared", {"README.md", "tools/build.sh", "tools/other.sh"}),
        ("**/README.md\nlocations/\n/shared/src\n.git*\n.dockerignore\n", {"tools/build.sh", "tools/other.sh"}),
        ("**\n!tools/*\ntools/other.sh", {"tools/build.sh"}),
        ("*\n!locations/*/src\n# !tools\nlocations/two", {"locations/one/src/code.py"}),
    ],
)
def test_what_the_context_leaves_out_is_no_input(root: Path, lines: str, expected: set[str]) -> None:
    """As Docker reads it: the last line that matches decides."""
    write(root, {images.RECIPE: "FROM python\nCOPY . /opt/\n", ".dockerignore": lines})
    files = {file.relative_to(root).as_posix() for file in images.inputs("one", root)}
    assert files == expected | {images.RECIPE, ".dockerignore"}


@pytest.mark.parametrize(
    ("recipe", "reason"),
    [
        ("COPY tools/$TOOL /opt/", "nothing says which files 'tools/$TOOL' stands for"),
        ("COPY tools/${LOCATION%e} /opt/", "nothing says which files"),
        ("COPY <<END /opt/\nCOPY tools /opt/", "has no end"),
    ],
)
def test_what_cannot_be_understood_is_refused(root: Path, recipe: str, reason: str) -> None:
    """Rather than left out in silence, with an old image in production as the result."""
    with pytest.raises(Refused, match="locations/Dockerfile: ") as refused:
        taken(root, recipe)
    assert reason in str(refused.value)


def test_a_location_or_recipe_that_is_not_there_is_refused(root: Path) -> None:
    with pytest.raises(Refused, match=r"there is no location 'three': there are one, two"):
        images.inputs("three", root)
    (root / images.RECIPE).unlink()
    with pytest.raises(Refused, match="locations/Dockerfile is missing"):
        images.inputs("one", root)


def test_no_repository_is_refused(root: Path) -> None:
    shutil.rmtree(root / ".git")
    with pytest.raises(Refused, match=r"git ls-files failed: .*not a git repository"):
        images.inputs("one", root)


@pytest.mark.parametrize(
    "change",
    [
        "locations/one/src/code.py",
        "locations/one/src/new.py",
        "locations/one/requirements.lock",
        "shared/src/lib/code.py",
        "tools/build.sh",
        "locations/Dockerfile",
    ],
)
def test_the_tag_changes_with_each_input(root: Path, change: str) -> None:
    before = images.content_tag("one", root)
    with (root / change).open("a") as file:
        file.write("\n# new\n")
    assert images.content_tag("one", root) != before


@pytest.mark.parametrize(
    "change",
    [
        "README.md",
        "locations/one/README.md",
        "locations/one/compose.yaml",
        "locations/one/tests/test_it.py",
        "locations/one/src/__pycache__/code.pyc",
        "locations/two/src/code.py",
        "shared/README.md",
        "shared/src/lib/left.tmp",
        "tools/other.sh",
    ],
)
def test_the_tag_stays_whatever_else_changes(root: Path, change: str) -> None:
    before = images.content_tag("one", root)
    write(root, {change: "new"})
    assert images.content_tag("one", root) == before


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


@pytest.mark.parametrize("location", locations(), ids=lambda location: location.folder.name)
class TestRealRecipe:
    """What this repository's own recipe takes."""

    def test_takes_the_locations_code_and_no_other_ones(self, location: Project) -> None:
        name = location.folder.name
        files = {file.relative_to(ROOT).as_posix() for file in images.inputs(name)}
        assert {
            f"locations/{name}/requirements.lock",
            f"locations/{name}/.dlt/config.toml",
            f"locations/{name}/src/{name}_location/definitions.py",
            "shared/src/ingest_shared/__init__.py",
            "locations/Dockerfile",
        } <= files
        others = {other.folder.name for other in locations()} - {name}
        assert [file for file in files if file.split("/")[1:2] in [[other] for other in others]] == []
        assert [file for file in files if "/tests/" in file or file.endswith(("compose.yaml", "README.md"))] == []

    def test_takes_nothing_that_git_ignores(self, location: Project) -> None:
        """It would be in the image without a trace in the tag; a credential among it, even."""
        ignored = images.git_paths(
            ROOT, "ls-files", "--others", "--ignored", "--exclude-standard", "locations", "shared"
        )
        takes = images.image(location.folder.name).takes
        assert [path for path in ignored if takes(path)] == []
        assert not takes(f"locations/{location.folder.name}/.dlt/secrets.toml")
