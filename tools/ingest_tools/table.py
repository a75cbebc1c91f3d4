"""Tables as text."""

from ingest_tools.dagster_api import printable


def aligned(rows: list[tuple[str, ...]], names: int) -> list[str]:
    """The rows, with the first one as header; ``names`` columns are left-aligned, the numbers right-aligned.

    Cells may be foreign text: what a terminal would obey in them, and line breaks, are question marks.
    """
    rows = [tuple(printable(cell).replace("\n", "?") for cell in row) for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        left = [cell.ljust(width) for cell, width in zip(row[:names], widths[:names], strict=True)]
        right = [cell.rjust(width) for cell, width in zip(row[names:], widths[names:], strict=True)]
        lines.append("  ".join(left + right).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return lines
