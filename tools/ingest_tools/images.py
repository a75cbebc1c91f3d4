"""What a location's image is built from, and the tag that is derived from its content."""

import hashlib
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

from ingest_tools.local import Refused
from ingest_tools.projects import ROOT

INPUTS = (
    ".dockerignore",
    "host/health",
    "locations/Dockerfile",
    "locations/{location}/.dlt/config.toml",
    "locations/{location}/pyproject.toml",
    "locations/{location}/requirements.lock",
    "locations/{location}/src",
    "shared/src",
)
"""The files and folders that decide what is in an image; ``tests/test_images.py`` compares them with the Dockerfile."""
HOST_INPUTS = (
    ".dockerignore",
    "dagster.yaml",
    "docker-compose.yml",
    "host/Dockerfile",
    "host/front",
    "host/health",
    "host/requirements.lock",
    "host/src",
    "locations/service.yaml",
    "sandbox/Dockerfile",
    "sandbox/requirements.lock",
    "sandbox/src",
)
"""The files of the host's images, and the others that define a version of the host."""
TAG_LENGTH = 12
"""Hex digits of a tag: 48 bits, more than enough to distinguish the few images of a location."""


def location_names(root: Path = ROOT) -> list[str]:
    """The locations of a tree, in order."""
    return sorted(file.parent.name for file in root.glob("locations/*/pyproject.toml"))


def is_input(path: str, location: str) -> bool:
    """Whether the location's image is built from a file, which may no longer exist.

    ``path`` is relative to the root, as git writes it: ``shared/src/ingest_shared/http.py``.
    """
    return any(f"{path}/".startswith(f"{taken.format(location=location)}/") for taken in INPUTS)


def inputs(location: str, root: Path = ROOT) -> list[Path]:
    """The files that decide what is in the location's image, in order.

    Files that git ignores do not count, so caches do not change a tag. Raises :class:`Refused`.
    """
    if location not in (names := location_names(root)):
        raise Refused(f"there is no location {location!r}: choose from {', '.join(names)}")
    return _files(root, lambda name: is_input(name, location))


def _files(root: Path, wanted: Callable[[str], bool]) -> list[Path]:
    """The files of a tree whose names are wanted, in order."""
    names = sorted(git_paths(root, "ls-files", "--cached", "--others", "--exclude-standard"))
    files = [root / name for name in names if wanted(name)]
    return [file for file in files if file.is_symlink() or file.is_file()]


def is_host_input(path: str) -> bool:
    """Whether a file is part of a version of the host."""
    return any(f"{path}/".startswith(f"{taken}/") for taken in HOST_INPUTS)


def host_tag(root: Path = ROOT) -> str:
    """The tag of the host's images, like :func:`content_tag` for a location."""
    return _tag(_files(root, is_host_input), root)


def content_tag(location: str, root: Path = ROOT) -> str:
    """The tag of the location's image: the same for the same inputs, wherever they are.

    Path, executable bit and bytes of each count. Raises :class:`Refused`.
    """
    return _tag(inputs(location, root), root)


def _tag(files: Iterable[Path], root: Path) -> str:
    digest = hashlib.sha256()
    for file in files:
        if file.is_symlink():
            kind, content = "link", os.fsencode(file.readlink())
        else:
            kind, content = "program" if file.stat().st_mode & stat.S_IXUSR else "file", file.read_bytes()
        # Prefixed with its length, no content can be mistaken for the next file.
        head = f"{file.relative_to(root).as_posix()}\0{kind}\0{len(content)}\0"
        digest.update(os.fsencode(head) + content)
    return digest.hexdigest()[:TAG_LENGTH]


def git(root: Path, *arguments: str) -> str:
    """The output of a git command; raises :class:`Refused` with git's own message if it fails."""
    program = shutil.which("git") or "git"
    try:
        done = subprocess.run(
            [program, *arguments], cwd=root, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
    except FileNotFoundError:
        raise Refused("git is not installed: install it") from None
    if done.returncode:
        said = os.fsdecode(done.stderr).strip().splitlines() or [f"exit code {done.returncode}"]
        why = next((line for line in said if line.startswith("fatal: ")), said[-1])
        raise Refused(f"git {arguments[0]} failed: {why}")
    return os.fsdecode(done.stdout)


def git_paths(root: Path, *arguments: str) -> set[str]:
    """The files that a git command lists, relative to the root; raises :class:`Refused`."""
    return set(git(root, *arguments, "-z").split("\0")) - {""}
