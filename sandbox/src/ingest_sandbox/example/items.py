"""The items of the plain API, how they are seeded, and how they change.

A deleted item stays with its last values and `deleted_at`, and every change moves `updated_at`.
"""

from dataclasses import dataclass
from random import Random

from .. import prose, wire
from ..moment import Fields, Kind, Moment
from ..wire import Json

_AGE = 400 * 86_400
_AT_LEAST = 250
"""So that there are pages to turn in the smallest world, too."""
_STATUSES = ("open", "waiting", "closed")
_TAGS = ("blue", "green", "heavy", "new", "old", "round", "ünïcode", "with space")
_SET: Fields = {"name": str, "status": str, "quantity": int, "price": str, "tags": list[str]}


class Items:
    """All items by id, ids in the order of their making."""

    def __init__(self) -> None:
        self.rows: dict[int, Json] = {}
        self.touched: list[Json] = []
        """What the changes so far did; whoever makes a change takes it away."""

    def add(self, rng: Random, at: int, **fields: object) -> Json:
        """A new item, made at `at`, in epoch seconds."""
        id = len(self.rows) + 1
        row = {
            "id": id,
            "name": prose.title(rng),
            "status": rng.choice(_STATUSES),
            "quantity": rng.randrange(1_000),
            "price": f"{rng.randrange(100_000) / 100:.2f}",
            "owner": {"id": rng.randrange(1, 40), "name": prose.person(rng)} if rng.random() < 0.9 else None,
            "tags": rng.sample(_TAGS, k=rng.choice((0, 0, 1, 2, 3))),
            "attributes": {"colour": rng.choice(("red", "blue")), "sizes": [rng.randrange(9), None]},
            "created_at": wire.iso(at),
            "updated_at": wire.iso(at),
            "deleted_at": None,
        }
        self.rows[id] = row | fields
        self._touch("created", id)
        return self.rows[id]

    def update(self, id: int, at: int, **fields: object) -> None:
        self.rows[id] = self.rows[id] | fields | {"updated_at": wire.iso(at)}
        self._touch("deleted" if fields.get("deleted_at") else "updated", id)

    def living(self) -> list[Json]:
        """Those that are not deleted."""
        return [row for row in self.rows.values() if row["deleted_at"] is None]

    def _touch(self, action: str, id: int) -> None:
        self.touched.append({"action": action, "collection": "items", "id": id})


def seeded(seed: int, size: float, anchor: int) -> Items:
    """All items as they were at `anchor`, in epoch seconds: 250, or more of them above size 1.

    One in twenty is deleted, and a third changed since it was made.
    """
    rng = Random(f"example/{seed}")
    made = Items()
    count = max(_AT_LEAST, round(_AT_LEAST * size))
    for at in sorted(rng.randrange(anchor - _AGE, anchor) for _ in range(count)):
        row = made.add(rng, at)
        fate = rng.random()
        if fate < 0.05:
            gone = rng.randrange(at, anchor)
            made.update(row["id"], gone, deleted_at=wire.iso(gone))
        elif fate < 0.35:
            made.update(row["id"], rng.randrange(at, anchor), quantity=rng.randrange(1_000))
    made.touched.clear()
    return made


@dataclass(frozen=True, slots=True)
class _Hand:
    """One change at work."""

    items: Items
    moment: Moment

    def pick(self) -> int:
        """The id of the item that the change names, if it lives, or of a seeded one."""
        wanted = self.moment.change.id
        ids: list[int] = [row["id"] for row in self.items.living() if wanted in (None, row["id"])]
        return self.moment.choose(ids)


def _create(hand: _Hand) -> None:
    hand.items.add(hand.moment.rng, hand.moment.at, **hand.moment.change.set)


def _update(hand: _Hand) -> None:
    id = hand.pick()
    given = hand.moment.change.set or {"name": prose.title(hand.moment.rng)}
    hand.items.update(id, hand.moment.at, **given)


def _delete(hand: _Hand) -> None:
    hand.items.update(hand.pick(), hand.moment.at, deleted_at=wire.iso(hand.moment.at))


KINDS: dict[str, Kind[_Hand]] = {
    "example.item.create": Kind(_create, 2, _SET),
    "example.item.update": Kind(_update, 4, _SET),
    "example.item.delete": Kind(_delete, 1),
}
"""Every kind of change. What one may set goes by the names of the fields."""


def apply(items: Items, moment: Moment) -> None:
    """Make one change; raises `ChangeRefused` where nothing fits it, and then nothing changed."""
    KINDS[moment.change.kind].apply(_Hand(items, moment), moment)
