"""Tables on an operator's terminal."""

from ingest_tools.table import aligned


def test_a_cell_gives_the_terminal_no_command_and_begins_no_row() -> None:
    """A location's code server chooses the names of its image and of its jobs."""
    rows: list[tuple[str, ...]] = [("location", "image"), ("stripe", "\x1b]0;title\a\x1b[31m\u009b1m\ngithub  loaded")]
    head, _, *lines = aligned(rows, names=2)
    assert head == "location  image"
    assert lines == ["stripe    ?]0;title??[31m?1m?github  loaded"]
