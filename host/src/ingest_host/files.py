"""Writes the files that other services mount."""

from pathlib import Path


def write_whole(file: Path, text: str, mode: int) -> None:
    """Replaces the file atomically: a reader sees the old text or the new one, never half of it."""
    half = file.with_suffix(".new")
    half.unlink(missing_ok=True)
    half.touch(0o600)
    half.write_text(text)
    half.chmod(mode)
    half.replace(file)
