"""A copy of the tree, in which tests may make and remove what they like."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from ingest_tools.projects import ROOT, Project

MODEL = Project(ROOT / "locations" / "github")
MAKE = """
import sys
from ingest_tools import new_location, registrations

name, style = sys.argv[1:]
new_location.render(name, style, new_location.LOCATIONS / name)
registrations.register(name)
"""


class Copy:
    """The tree as git would see it, without environments but the sandbox's."""

    def __init__(self, root: Path) -> None:
        self.root = root
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in filter(None, told.split("\0")):
            if (ROOT / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, root / name)
        (root / "sandbox" / ".venv").symlink_to(ROOT / "sandbox" / ".venv")

    def run(
        self, *command: str | Path, folder: str = ".", text: str | None = None, **settings: str
    ) -> subprocess.CompletedProcess[str]:
        """Runs a program in a folder of the copy; ``text`` is its standard input."""
        environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", **settings}
        where = self.root / folder
        return subprocess.run(
            command, cwd=where, env=environment, input=text, capture_output=True, text=True, check=False
        )

    def ingest(self, *arguments: str, text: str | None = None, **settings: str) -> subprocess.CompletedProcess[str]:
        """Runs the copy's own command `ingest`."""
        return self.run(sys.executable, "-m", "ingest_tools", *arguments, folder="tools", text=text, **settings)

    def git(self, *arguments: str) -> str:
        """What a git command prints that succeeds."""
        done = self.run("git", "-c", "user.name=test", "-c", "user.email=test@example.com", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def python(self, program: str, *arguments: str) -> str:
        """What a program prints that succeeds and may import the copy's tools."""
        done = self.run(sys.executable, "-c", program, *arguments, folder="tools")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def make(self, name: str, style: str) -> None:
        """A new location, with the versions of another one."""
        self.python(MAKE, name, style)
        for lock in MODEL.locks:
            text = lock.read_text().replace("via github-location", f"via {name.replace('_', '-')}-location")
            (self.root / "locations" / name / lock.name).write_text(text)

    def files(self) -> dict[str, bytes]:
        """Every file, whether git would track it or not."""
        left_out = {".venv", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache"}
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in self.root.rglob("*")
            if path.is_file() and not left_out & set(path.relative_to(self.root).parts)
        }


def committed(root: Path, own: str) -> Copy:
    """A copy in a repository of its own, whose images have tags of their own; the layers are those of the tree.

    Under the same tag, a build would move that of another platform which runs at the same time.
    """
    copy = Copy(root)
    ignore = root / ".dockerignore"
    ignore.write_text(f"{ignore.read_text()}\n# {own}\n")
    copy.git("init", "--quiet")
    copy.git("add", "--all")
    copy.git("commit", "--quiet", "--message=As it was")
    return copy
