"""What a location's image is built from, and the tag that follows from its content.

The recipe, ``locations/Dockerfile``, is the only list of it: an image's inputs are what its ``COPY``,
``ADD`` and bind mounts take from the repository, and the recipe itself.
"""

import hashlib
import json
import os
import posixpath
import re
import shlex
import shutil
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from local import Refused
from projects import ROOT

RECIPE = "locations/Dockerfile"
IGNORE = (f"{RECIPE}.dockerignore", ".dockerignore")
"""What keeps files out of the build context; Docker reads the first that is there."""
TAG_LENGTH = 12
"""Hex digits of a tag: 48 bits, far more than the few images of a location need to differ."""

_COMMENT = re.compile(r"^[ \t]*#.*\n?", re.MULTILINE)
_CONTINUED = re.compile(r"\\[ \t]*\n\s*")
_FLAGS = re.compile(r"((?:--\S+\s+)*)(.*)", re.DOTALL)
_HEREDOC = re.compile(r"(?<!\S)\d*<<-?[\"']?(\w+)")
_MOUNT = re.compile(r"--mount=(\S+)")
_ASSIGNED = re.compile(r"(\w+)=(\"[^\"]*\"|'[^']*'|\S*)")
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::-([^}]*))?\})")
_GLOB = re.compile(r"\*\*/|\*\*|\*|\?|\[[^]]+\]|\\.|.", re.DOTALL)
_GLOBS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}

Ignored = tuple[re.Pattern[str], bool]
"""A line of ``.dockerignore``, and whether it leaves out what it matches or takes it in again."""


@dataclass(frozen=True)
class Image:
    """What the recipe takes from the repository for one location."""

    sources: tuple[re.Pattern[str], ...]
    ignored: tuple[Ignored, ...]

    def takes(self, path: str) -> bool:
        """Whether a file goes into the image or decides what does; it need not exist any more.

        ``path`` is as git writes it, seen from the root: ``shared/pyproject.toml``.
        """
        if path in (RECIPE, *IGNORE):
            return True
        return any(source.fullmatch(path) for source in self.sources) and not self._leaves_out(path)

    def _leaves_out(self, path: str) -> bool:
        """The last line that matches decides."""
        verdicts = [leaves_out for pattern, leaves_out in self.ignored if pattern.fullmatch(path)]
        return bool(verdicts) and verdicts[-1]


def location_names(root: Path = ROOT) -> list[str]:
    """The locations of a tree, in order."""
    return sorted(file.parent.name for file in root.glob("locations/*/pyproject.toml"))


def image(location: str, root: Path = ROOT) -> Image:
    """Reads the recipe; raises :class:`Refused` where there is none, or none for that location."""
    if location not in (names := location_names(root)):
        raise Refused(f"there is no location {location!r}: there are {', '.join(names) or 'none'}")
    try:
        recipe = (root / RECIPE).read_text()
    except FileNotFoundError:
        raise Refused(f"{RECIPE} is missing: it says what an image is built from") from None
    ignoring = next((root / name for name in IGNORE if (root / name).is_file()), None)
    return Image(
        sources=tuple(_pattern(source) for source in _sources(recipe, location)),
        ignored=tuple(_ignored(ignoring.read_text())) if ignoring else (),
    )


def inputs(location: str, root: Path = ROOT) -> list[Path]:
    """The files that decide what is in the location's image, in order.

    What git ignores is none of them, so that no cache changes a tag. Raises :class:`Refused`.
    """
    takes = image(location, root).takes
    names = git_paths(root, "ls-files", "--cached", "--others", "--exclude-standard")
    files = [root / name for name in sorted(names) if takes(name)]
    return [file for file in files if file.is_symlink() or file.is_file()]


def content_tag(location: str, root: Path = ROOT) -> str:
    """The tag of the location's image: the same for the same inputs, wherever they lie.

    Path, executable bit and bytes of each count. Raises :class:`Refused`.
    """
    digest = hashlib.sha256()
    for file in inputs(location, root):
        if file.is_symlink():
            kind, content = "link", os.fsencode(file.readlink())
        else:
            kind, content = "program" if file.stat().st_mode & stat.S_IXUSR else "file", file.read_bytes()
        # With its length before it, no content can pass for the next file.
        head = f"{file.relative_to(root).as_posix()}\0{kind}\0{len(content)}\0"
        digest.update(os.fsencode(head) + content)
    return digest.hexdigest()[:TAG_LENGTH]


def git(root: Path, *arguments: str) -> str:
    """What a git command says; raises :class:`Refused` with git's own words where it fails."""
    program = shutil.which("git") or "git"
    try:
        done = subprocess.run(
            [program, *arguments], cwd=root, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
    except FileNotFoundError:
        raise Refused("git is needed, and is not installed") from None
    if done.returncode:
        said = os.fsdecode(done.stderr).strip().splitlines() or [f"exit code {done.returncode}"]
        raise Refused(f"git {arguments[0]} failed: {said[-1]}")
    return os.fsdecode(done.stdout)


def git_paths(root: Path, *arguments: str) -> set[str]:
    """The files that a git command lists, seen from the root; raises :class:`Refused`."""
    return set(git(root, *arguments, "-z").split("\0")) - {""}


def _instructions(recipe: str) -> Iterator[tuple[str, str]]:
    """Name and arguments of each instruction, on one line; the text of heredocs is left out."""
    lines = iter(_CONTINUED.sub(" ", _COMMENT.sub("", recipe)).splitlines())
    for line in lines:
        name, _, arguments = line.strip().partition(" ")
        if name.upper() in ("ADD", "COPY", "RUN"):
            for end in _HEREDOC.findall(arguments):
                if end not in map(str.strip, lines):
                    raise Refused(f"{RECIPE}: the text that {line.strip()!r} begins has no end")
        yield name.upper(), arguments.strip()


def _sources(recipe: str, location: str) -> Iterator[str]:
    """The paths and patterns that the recipe takes from the repository."""
    values: dict[str, str] = {}
    for name, arguments in _instructions(recipe):
        # What the build is given goes before the recipe's own default.
        values["LOCATION"] = location
        if name in ("ARG", "ENV"):
            values |= {key: _filled_in(value.strip("\"'"), values) for key, value in _ASSIGNED.findall(arguments)}
        for source in _taken(name, arguments):
            if "$" in (filled_in := _filled_in(source, values)):
                raise Refused(f"{RECIPE}: nothing says which files {source!r} stands for")
            yield filled_in


def _taken(name: str, arguments: str) -> Iterator[str]:
    """What one instruction takes from the repository, as written."""
    found = _FLAGS.fullmatch(arguments)
    flags, rest = (found[1], found[2]) if found else ("", arguments)
    if name in ("ADD", "COPY") and "--from=" not in flags:
        yield from _copied(rest)
    elif name == "RUN":
        yield from _mounted(flags)


def _copied(arguments: str) -> list[str]:
    """The sources of ``COPY`` or ``ADD``, without those on the web; a heredoc among them matches no file."""
    words: list[str] = json.loads(arguments) if arguments.startswith("[") else shlex.split(arguments)
    return [word for word in words[:-1] if "://" not in word]


def _mounted(flags: str) -> Iterator[str]:
    """The sources of ``RUN --mount=type=bind``: the whole repository where none is named."""
    for mount in _MOUNT.findall(flags):
        options = dict(option.partition("=")[::2] for option in mount.split(","))
        if options.get("type", "bind") == "bind" and "from" not in options:
            yield options.get("source") or options.get("src") or "."


def _filled_in(text: str, values: dict[str, str]) -> str:
    """The text with its variables replaced; one without a value is left as it is."""
    return _VARIABLE.sub(lambda found: values.get(found[1] or found[2]) or found[3] or found[0], text)


def _ignored(text: str) -> Iterator[Ignored]:
    for line in map(str.strip, text.splitlines()):
        if line and not line.startswith("#"):
            yield _pattern(line.removeprefix("!").strip()), not line.startswith("!")


def _pattern(text: str) -> re.Pattern[str]:
    """A path as Docker writes it, with ``*``, ``?``, ``[a-z]`` and ``**``; it takes in all that is below."""
    path = posixpath.normpath(f"/{text}").lstrip("/")
    return re.compile("".join(map(_regex, _GLOB.findall(path))) + "(?:/.*)?" if path else ".*", re.DOTALL)


def _regex(part: str) -> str:
    """A part of a pattern as a regular expression."""
    if part[0] == "[" and len(part) > 1:
        return part.replace("\\", "\\\\")
    return _GLOBS.get(part) or re.escape(part[-1] if part[0] == "\\" else part)
