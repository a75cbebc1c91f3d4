from pathlib import Path

import pytest

from ingest_sandbox import wire
from ingest_sandbox.control import deleted, held
from ingest_sandbox.github.changes import SILENT
from ingest_sandbox.github.model import GHOST
from ingest_sandbox.github.plain import COLLECTIONS as PLAIN
from ingest_sandbox.moment import Change, ChangeRefused
from ingest_sandbox.stripe.resources import RESOURCES
from ingest_sandbox.wire import Json
from ingest_sandbox.world import KINDS, World

from .conftest import ANCHOR, make_world

COLLECTIONS = [("example", "items"), *(("stripe", name) for name in RESOURCES)] + [
    ("github", name)
    for name in (
        *("repositories", "issues", "pull_requests", "issue_comments", "commits"),
        *("commit_branches", "branches", "labels", "milestones", "releases"),
        *(collection.name for collection in PLAIN),
    )
]


UNTOLD = {
    "stripe.balance_transaction.settle",
    "stripe.checkout_session.create",
    "stripe.invoiceitem.edit",
    "stripe.quote.update",
    *(f"stripe.shipping_rate.{what}" for what in ("create", "update")),
    *(f"stripe.account.{what}" for what in ("create", "update", "delete")),
}
"""Of which Stripe writes no event, or not always."""


NEEDED = {
    "github.viewer.join": "github.viewer.leave",
    "github.repository.show": "github.repository.hide",
    "stripe.discount.delete": "stripe.discount.create",
    "stripe.customer.remove_tax_id": "stripe.customer.add_tax_id",
    "stripe.review.update": "stripe.review.create",
    "stripe.early_fraud_warning.update": "stripe.early_fraud_warning.create",
}
"""What must have happened before, for certain."""


def everything(world: World) -> dict[str, bytes]:
    """All that the world holds, to the byte."""
    return {
        f"{api} {name}": wire.encode([held(world, api, name), deleted(world, api, name)]) for api, name in COLLECTIONS
    }


def test_the_same_seed_gives_the_same_world() -> None:
    assert everything(make_world(3, 0.1)) == everything(make_world(3, 0.1))
    assert everything(make_world(3, 0.1)) != everything(make_world(4, 0.1))


def test_random_changes_are_the_same_for_the_same_seed() -> None:
    one, two, other = make_world(), make_world(), make_world()
    assert one.random_changes(7, 150) == two.random_changes(7, 150)
    assert everything(one) == everything(two)
    assert other.random_changes(8, 150) != one.random_changes(7, 150)


def test_random_changes_keep_to_the_apis_asked_for() -> None:
    done = make_world(size=0.1).random_changes(1, 20, ["stripe"])
    assert len(done) == 20
    assert {change["kind"].split(".")[0] for change in done} == {"stripe"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_leaves_a_trace(kind: str) -> None:
    world = make_world(size=0.1)
    if kind in NEEDED:
        world.change(Change(NEEDED[kind]))
    before = everything(world)
    world.advance(10)
    done = world.change(Change(kind))
    assert done["kind"] == kind
    assert done["at"] == ANCHOR + 10
    api = kind.split(".", maxsplit=1)[0]
    after = everything(world)
    touched = {f"{api} {entry['collection']}" for entry in done["changed"]}
    assert touched
    # What is said to have changed did, and of what else changed GitHub shows a count.
    changed = {name for name in after if after[name] != before[name]}
    assert touched <= changed
    if api == "stripe":
        assert touched == changed
        assert kind in UNTOLD or "stripe events" in touched


def test_an_update_tells_what_was_before() -> None:
    world = make_world(size=0.1)
    id = next(iter(world.stripe.tables["customers"].rows))
    name = world.stripe.row("customers", id).object["name"]
    world.change(Change("stripe.customer.update", id=id, set={"name": "New"}))
    event = wire.decode(wire.encode(held(world, "stripe", "events")))[-1]
    assert event["type"] == "customer.updated"
    assert event["data"]["previous_attributes"] == {"name": name}
    assert event["data"]["object"]["name"] == "New"


def test_a_change_bumps_updated_at_where_github_does() -> None:
    world = make_world(size=0.2)
    repo = world.github.named("acme/platform")
    assert repo is not None
    world.advance(10)
    issue = next(row for row in repo.issues.values() if row.labels and row.pull is None)
    before = issue.updated_at
    label = issue.labels[0]
    renamed = Change("github.label.rename", repository="acme/platform", id=label.id, set={"name": "New"})
    world.change(renamed)
    assert issue.updated_at == before
    world.change(Change("github.label.delete", repository="acme/platform", id="New"))
    assert label not in issue.labels
    assert issue.updated_at == before
    world.change(Change("github.issue.edit", repository="acme/platform", number=issue.number))
    assert issue.updated_at == ANCHOR + 10


@pytest.mark.parametrize(("kind", "shows"), [("test_merge", "merge_commit_sha"), ("delete_head", "head")])
def test_a_pull_request_changes_without_a_new_updated_at(kind: str, shows: str) -> None:
    world = make_world(size=0.1)
    before = pulls(world)
    world.advance(10)
    (done,) = world.change(Change(f"github.pull.{kind}", repository="acme/platform"))["changed"]
    old, new = before[done["id"]], pulls(world)[done["id"]]
    assert {name for name in new if new[name] != old[name]} == {shows}
    assert kind == "test_merge" or new["head"]["repo"] is None


def pulls(world: World) -> dict[int, Json]:
    rows = wire.decode(wire.encode(held(world, "github", "pull_requests")))
    return {row["object"]["id"]: row["object"] for row in rows}


def test_what_a_deleted_account_wrote_is_the_ghosts_and_no_older() -> None:
    world = make_world(size=0.1)
    repo = world.github.named("acme/platform")
    assert repo is not None
    author = next(row.author for row in repo.issues.values() if row.author in world.github.people[1:-1])
    assert author is not None
    issues = [row for row in repo.issues.values() if row.author is author]
    commits = [row for row in repo.commits.values() if row.author is author]
    before = [row.updated_at for row in issues]
    world.advance(10)
    world.change(Change("github.account.delete", id=author.login))
    assert {row.author for row in issues} == {GHOST}
    assert [row.updated_at for row in issues] == before
    assert not any(row.author for row in commits)


def test_a_commit_is_no_constant() -> None:
    world = make_world(size=0.1)
    repo = world.github.named("acme/platform")
    assert repo is not None
    head = repo.commits[repo.branches["main"].sha]
    author = head.author
    for kind in ("relink", "comment"):
        world.change(Change(f"github.commit.{kind}", repository="acme/platform", id=head.sha))
    assert head.author is not author
    assert head.comments == 1


def test_silent_changes_are_made_by_name_only() -> None:
    done = make_world(size=0.1).random_changes(1, 300, ["github"])
    assert not {change["kind"] for change in done} & SILENT.keys()


def test_what_fits_nothing_is_refused_and_changes_nothing() -> None:
    world = make_world(size=0.1)
    before = everything(world)
    for change in (
        Change("github.issue.close", repository="acme/none"),
        Change("github.issue.open", repository="acme/platform", set={"colour": "red"}),
        Change("github.issue.open", repository="acme/platform", set={"title": 5}),
        Change("github.repository.create", set={"name": "platform"}),
        Change("stripe.refund.create", set={"amount": 10**12}),
        Change("stripe.invoice.pay", id="in_none"),
        Change("nothing"),
    ):
        with pytest.raises(ChangeRefused):
            world.change(change)
    assert everything(world) == before


def test_a_merge_brings_commits_older_than_the_head() -> None:
    world = make_world(size=0.1)
    repo = world.github.named("acme/platform")
    assert repo is not None
    for _ in range(20):
        world.advance(60)
        head = repo.commits[repo.branches["main"].sha]
        known = repo.lineage(head.sha)
        done = world.change(Change("github.commit.merge", repository="acme/platform"))
        merge = repo.commits[repo.branches["main"].sha]
        work = repo.commits[merge.parents[1]]
        added = [row["id"] for row in done["changed"] if row["collection"] == "commits"]
        assert merge.parents == (head.sha, work.sha)
        assert repo.lineage(merge.sha).keys() - known.keys() == set(added)
        assert added[-2:] == [work.sha, merge.sha]
        assert all(repo.commits[sha].committed_at < head.committed_at for sha in added[:-1])
        # What a client sees that walks from the newest commit until the one it knows.
        newest = [row.sha for row in reversed(repo.history(merge.sha).rows)]
        assert newest[:2] == [merge.sha, head.sha]
        for row in repo.lineage(merge.sha).values():
            assert all(repo.commits[sha].place < row.place for sha in row.parents)


def test_a_merge_needs_a_history() -> None:
    world = make_world(size=0.1)
    world.change(Change("github.commit.push", repository="acme/empty"))
    with pytest.raises(ChangeRefused, match="too short"):
        world.change(Change("github.commit.merge", repository="acme/empty"))


def test_merges_are_among_random_changes() -> None:
    done = make_world(size=0.1).random_changes(1, 200, ["github"])
    assert "github.commit.merge" in {change["kind"] for change in done}


def test_a_state_file_gives_the_world_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "world.jsonl"
    first = World.kept(path, seed=5, size=0.1)
    first.random_changes(1, 40)
    first.advance(100_000)
    first.random_changes(2, 40)
    # A crash in the middle of a line.
    with path.open("a") as file:
        file.write('{"at":17')
    again = World.kept(path)
    assert caplog.messages == [f"{path}: the last line is torn and ignored"]
    assert (again.anchor, again.offset) == (first.anchor, first.offset)
    assert everything(again) == everything(first)
    assert again.random_changes(3, 20)
    assert everything(World.kept(path)) == everything(again)


def test_a_state_file_may_be_torn_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "world.jsonl"
    first = World.kept(path, seed=5, size=0.1)
    first.change(Change("github.issue.open", set={"title": "Zahlung \N{PARTY POPPER}\n\r\u2028"}))
    first.advance(5)
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    assert len(lines) == 3
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        again = World.kept(path, seed=5, size=0.1)
        again.change(Change("github.label.create"))
        again.close()
        answered = sum(length >= sum(map(len, lines[: n + 1])) for n in range(3))
        kept = path.read_bytes().splitlines(keepends=True)
        assert len(kept) == max(1, answered) + 1
        assert kept[1:-1] == lines[1:answered]


def test_a_state_file_is_of_one_world(tmp_path: Path) -> None:
    path = tmp_path / "world.jsonl"
    World.kept(path, seed=5, size=0.1)
    with pytest.raises(ValueError, match="seed 5"):
        World.kept(path, seed=6)


def test_the_clock_goes_forward_only() -> None:
    with pytest.raises(ValueError, match="forward"):
        make_world(size=0.1).advance(-1)
