"""What a location's lock may say to the pip that builds its image: versions with their hashes."""

import re
import subprocess
from pathlib import Path

import pytest

from ingest_tools.projects import ROOT

DOCKERFILES = {"requirements.lock": "locations/Dockerfile", "requirements-dev.lock": "locations/test.Dockerfile"}
SHA = "0" * 64
PIN = f"six==1.17.0 \\\n    --hash=sha256:{SHA}\n"
OTHER = {
    "a file": f"six @ file:///six-1.17.0.tar.gz --hash=sha256:{SHA}\n",
    "a URL": f"https://example.org/six-1.17.0.tar.gz \\\n    --hash=sha256:{SHA}\n",
    "a folder": "-e .\n",
    "another lock": "-r /tmp/more.txt\n",
    "what pip may build": "--no-binary=six\n" + PIN,
    "what pip may build, in a line of its own for pip alone": PIN.replace(" \\\n", " \\\r--no-binary=six\n", 1),
    "how pip builds": PIN.replace(" \\\n", " --config-settings=a=b \\\n", 1),
    "another index": "--index-url=https://example.org\n" + PIN,
    "a version without a hash": "six==1.17.0\n",
    "any version": PIN.replace("==", ">="),
}


def guard(lock: str) -> str:
    """The command of the Dockerfile that reads the lock before pip does."""
    said = (ROOT / DOCKERFILES[lock]).read_text()
    (command,) = re.findall(r"^RUN (! LC_ALL=C grep (?:.*\\\n)*.*)$", said, re.MULTILINE)
    return str(command)


def problem(lock: str, text: str, folder: Path) -> str:
    """What the build says before it ends; empty where it goes on."""
    (folder / lock).write_bytes(text.encode())
    ran = subprocess.run(["sh", "-c", guard(lock)], check=False, cwd=folder, capture_output=True, text=True)
    assert bool(ran.stderr) == bool(ran.returncode)
    return ran.stderr


@pytest.mark.parametrize("lock", DOCKERFILES)
def test_the_locks_that_are_there_are_built(lock: str, tmp_path: Path) -> None:
    for file in ROOT.glob(f"locations/*/{lock}"):
        assert problem(lock, file.read_text(), tmp_path) == ""
    assert problem(lock, PIN, tmp_path) == ""


@pytest.mark.parametrize("lock", DOCKERFILES)
@pytest.mark.parametrize("text", OTHER.values(), ids=OTHER)
def test_a_lock_that_says_more_is_not_built(lock: str, text: str, tmp_path: Path) -> None:
    wrong = f"LockError: {lock} says more than versions and their hashes: run `make lock`\n"
    assert problem(lock, text, tmp_path) == wrong


@pytest.mark.parametrize("lock", DOCKERFILES)
def test_pip_reads_the_lock_after_the_guard_and_without_comments(lock: str, tmp_path: Path) -> None:
    """In UTF-7, of which a comment may tell pip, `+AAo-` is the end of a line."""
    said = (ROOT / DOCKERFILES[lock]).read_text()
    (without_comments,) = re.findall(rf"sed -i .* {lock}", said)
    assert said.index(guard(lock)) < said.index(without_comments) < said.index(f"-r {lock}")
    (tmp_path / lock).write_text(f"# -*- coding: utf-7 -*-\n# +AAo---no-binary=six\n{PIN}    # via tests\n")
    subprocess.run(["sh", "-c", without_comments], check=True, cwd=tmp_path)
    assert (tmp_path / lock).read_text() == PIN
