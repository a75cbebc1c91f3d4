"""Finds the locations that a change affects, so that only they are tested, built and deployed.

A location is affected by a change of its own folder, of what its image is built from, of the file that
its service extends, and of the code that its ``pyproject.toml`` takes by path. The change is everything that
is new since a base: commits and uncommitted files.
"""

import json
import posixpath
import re
import tomllib
from pathlib import Path

import click

from ingest_tools.images import git, git_paths, is_input, location_names
from ingest_tools.local import Refused
from ingest_tools.options import to_json
from ingest_tools.projects import ROOT, Project

_EXTENDS = re.compile(r"""\bfile: *["']?([^\s,"'}]+)""")
_NOTHING = re.compile("0{40,64}")
"""How GitHub names the commit before a branch's first one."""


def affected(base: str, root: Path = ROOT) -> list[str]:
    """The affected locations that exist now, in order; raises :class:`Refused`."""
    paths = changed(base, root)
    return [name for name in location_names(root) if _touches(paths, name, root)]


def changed(base: str, root: Path = ROOT) -> set[str]:
    """The files that differ from where the base and HEAD diverged, as git writes them; a renamed file has both names.

    Raises :class:`Refused` for a base that is not a commit or is unrelated to HEAD.
    """
    since = _parted(base, root)
    differing = git_paths(root, "diff", "--name-only", "--no-renames", since)
    return differing | git_paths(root, "ls-files", "--others", "--exclude-standard")


def _parted(base: str, root: Path) -> str:
    """The last commit that the base and HEAD share; the empty tree before the first commit."""
    if _NOTHING.fullmatch(base):
        return git(root, "hash-object", "-t", "tree", "--stdin").strip()
    try:
        commit = git(root, "rev-parse", "--verify", "--quiet", f"{base}^{{commit}}").strip()
    except Refused:
        raise Refused(f"--base={base} is not a commit here: fetch it, or name another, such as --base=main") from None
    try:
        return git(root, "merge-base", commit, "HEAD").strip()
    except Refused:
        raise Refused(
            f"--base={base} and HEAD have no commit in common: fetch the full history, or name another base"
        ) from None


def _touches(paths: set[str], location: str, root: Path) -> bool:
    extended = _extended(location, root)
    code = tuple(f"{path}/" for path in _taken_by_path(location, root))
    return any(
        path.startswith(f"locations/{location}/")
        or path in extended
        or is_input(path, location)
        or (path.startswith(code) and not path.endswith(".md"))
        for path in paths
    )


def _extended(location: str, root: Path) -> set[str]:
    """The files whose services the location's own extend: its containers change with them."""
    folder = f"locations/{location}"
    compose = root / folder / "compose.yaml"
    files = _EXTENDS.findall(compose.read_text()) if compose.is_file() else []
    return {posixpath.normpath(f"{folder}/{file}") for file in files}


def _taken_by_path(location: str, root: Path) -> list[str]:
    """The folders of the projects that the location is tested with, as seen from the root."""
    try:
        folders = Project(root.resolve() / "locations" / location).path_dependencies.values()
    except tomllib.TOMLDecodeError as error:
        raise Refused(f"locations/{location}/pyproject.toml cannot be read: {error}") from None
    return [folder.relative_to(root.resolve()).as_posix() for folder in folders]


@click.command(epilog="Example: ingest affected --base main --json")
@click.option("--base", default="origin/main", show_default=True, help="The commit at which the change started.")
@to_json
def affected_command(base: str, *, as_json: bool) -> None:
    """List the locations that a change affects."""
    names = affected(base)
    print(json.dumps(names) if as_json else "".join(f"{name}\n" for name in names), end="\n" * as_json)
