import json

from ingest_sandbox import generate, wire
from ingest_sandbox.control import held

from .conftest import make_world


def test_issues_are_like_those_served_and_of_distinct_ids() -> None:
    pages = [json.loads(page) for page in generate.issue_pages(750)]
    assert [len(page) for page in pages] == [100] * 7 + [50]
    rows = [row for page in pages for row in page]
    assert len({row["id"] for row in rows}) == len({row["node_id"] for row in rows}) == 750
    assert [row["number"] for row in rows] == list(range(1, 751))
    updated = [row["updated_at"] for row in rows]
    assert updated == sorted(updated)
    served = json.loads(wire.encode(held(make_world(size=0.1), "github", "issues")))
    assert rows[0].keys() in [row["object"].keys() for row in served]


def test_invoices_have_lines_of_their_own() -> None:
    pages = [json.loads(page) for page in generate.invoice_pages(650)]
    assert [page["has_more"] for page in pages] == [True] * 6 + [False]
    rows = [row for page in pages for row in page["data"]]
    lines = [line for row in rows for line in row["lines"]["data"]]
    assert len({row["id"] for row in rows}) == 650
    assert len({line["id"] for line in lines}) == len(lines)
    assert all(line["invoice"] == row["id"] for row in rows for line in row["lines"]["data"])
    created = [row["created"] for row in rows]
    assert created == sorted(created, reverse=True)


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert list(generate.issues(5, seed=3)) == list(generate.issues(5, seed=3))
    assert list(generate.invoices(5, seed=3)) != list(generate.invoices(5, seed=4))
