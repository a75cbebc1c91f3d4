"""Numbers that tests of a platform measure on the way; ``conftest.py`` writes them when all is done."""

LINES: list[str] = []


def measured(line: str) -> None:
    """Keeps a line for the end."""
    LINES.append(line)
