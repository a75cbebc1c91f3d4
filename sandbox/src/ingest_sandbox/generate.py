"""Objects in any number, for measurements: as the APIs serve them, without a server.

A few hundred real objects are grown once; copies of them get ids, numbers and times of their own
by replacing bytes, so that a million cost seconds and no memory.
"""

from collections.abc import Iterator
from itertools import islice

from . import wire
from .github import render
from .world import World

_TEMPLATES = 300
_ANCHOR = 1_735_689_600  # 2025-01-01T00:00:00Z: all of it lies in the past

# What no object holds by chance, and so can be replaced in its bytes.
_NUMBER = 777_000_333
_ID = 7_770_003_337
_CREATED, _UPDATED = 33_333, 66_666
_TOKEN = b"SandboxTemplate0"


def issues(count: int, seed: int = 1) -> Iterator[bytes]:
    """`count` GitHub issues as JSON, of distinct ids, in ascending order of `updated_at`."""
    templates = _issue_templates(seed)
    number, created, updated = str(_NUMBER).encode(), _iso(_CREATED), _iso(_UPDATED)
    id, node = str(_ID).encode(), render.node_id("I", _ID).encode()
    for index in range(count):
        own = 3_000_000_000 + index
        yield (
            templates[index % len(templates)]
            .replace(node, render.node_id("I", own).encode())
            .replace(id, b"%d" % own)
            .replace(number, b"%d" % (index + 1))
            .replace(created, _iso(_ANCHOR + index))
            .replace(updated, _iso(_ANCHOR + index))
        )


def invoices(count: int, seed: int = 1) -> Iterator[bytes]:
    """`count` Stripe invoices with their lines (up to ten shown), of distinct ids, newest first."""
    templates = _invoice_templates(seed)
    created = str(_ID).encode()
    for index in range(count):
        yield (
            templates[index % len(templates)]
            .replace(_TOKEN, b"%016d" % index)
            .replace(created, b"%d" % (_ANCHOR - index))
        )


def issue_pages(count: int, seed: int = 1, per_page: int = 100) -> Iterator[bytes]:
    """`count` issues in pages, each the body of an answer of ``/repos/{o}/{r}/issues``."""
    rows = issues(count, seed)
    while page := list(islice(rows, per_page)):
        yield wire.array(page)


def invoice_pages(count: int, seed: int = 1, per_page: int = 100) -> Iterator[bytes]:
    """`count` invoices in pages, each the body of an answer of ``/v1/invoices``."""
    rows = invoices(count, seed)
    done = 0
    while page := list(islice(rows, per_page)):
        done += len(page)
        more = b"true" if done < count else b"false"
        yield (b'{"object":"list","data":' + wire.array(page) + b',"has_more":' + more + b',"url":"/v1/invoices"}')


def _iso(seconds: int) -> bytes:
    return wire.iso(seconds).encode()


def _issue_templates(seed: int) -> list[bytes]:
    world = World(seed, 0.5, _ANCHOR)
    repo = world.github.named("acme/platform")
    assert repo is not None
    rows = [row for row in repo.issues.values() if row.pull is None][:_TEMPLATES]
    bodies = []
    for row in rows:
        row.id, row.number, row.created_at, row.updated_at = _ID, _NUMBER, _CREATED, _UPDATED
        bodies.append(wire.encode(render.issue(repo, row)))
    return bodies


def _invoice_templates(seed: int) -> list[bytes]:
    world = World(seed, 0.3, _ANCHOR)
    bodies = []
    for row in islice(world.stripe.tables["invoices"].rows.values(), _TEMPLATES):
        body = wire.encode(row.shown() | {"created": _ID})
        token = _TOKEN.decode()
        names = {row.object["id"]: f"in_{token}"}
        for place, line in enumerate(row.object["lines"]["data"]):
            names[line["id"]] = f"il_{token}{place:02}"
        for old, new in names.items():
            body = body.replace(old.encode(), new.encode())
        bodies.append(body)
    return bodies
