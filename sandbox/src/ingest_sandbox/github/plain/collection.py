"""A list of GitHub as a declaration: where it is, how it is sorted, and how its rows come, change and go.

Routes, kinds of change, seeded rows and the oracle follow from it. Only what reacts to other things
is written by hand, as ``after``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from ...moment import ChangeRefused, Kind
from ...ordered import Key, Span, View
from ...wire import Json, Rendered, parse_iso, render
from ..hand import Hand
from ..model import GHOST, Account, Forge, Repository, Row

Home = Any
"""Whose list it is: a :class:`Repository`, or an organization's :class:`Account`."""


@dataclass(frozen=True, slots=True)
class Making:
    """What a new or changed row may depend on; ``parent`` is the object below which its list is."""

    forge: Forge
    rng: Random
    home: Home
    parent: Any
    at: int

    def someone(self) -> Account:
        return self.rng.choice(self.forge.people)


def by_id(row: Row) -> Key:
    return (row.id,)


def by_creation(row: Row) -> Key:
    return (row.created_at, row.id)


@dataclass(frozen=True, kw_only=True)
class Collection:
    """A list of each repository, of each row of a parent in it, or of each organization.

    ``path`` is below its repository or organization; ``{parent}`` in it stands for the parent's number.
    ``make`` gives the facts of a new row, and its ``id`` where ``first_id`` is none; None where nothing
    is left to make. ``edit`` changes a row.
    """

    name: str
    show: Callable[[Any, Row], Json]
    make: Callable[[Making], Json | None]
    path: str = ""
    """By default its name."""
    one: str = ""
    """What its changes are called, by default the name without its s."""
    edit: Callable[[Making, Row], None] | None = None
    deletes: bool = True
    after: Callable[[Hand, Home, Row, str], None] = lambda hand, home, row, action: None
    """What else happens when a row was ``created``, ``updated`` or ``deleted``."""
    without_media_type: tuple[str, Callable[[Any, Row], Json]] | None = None
    """A media type, and how rows show to those who do not accept it."""
    first_id: int | None = None
    parents: Callable[[Repository], Mapping[int, Any]] | None = None
    of_organization: bool = False
    key: Callable[[Row], Key] = by_id
    """The order of the list."""
    descending: bool = False
    sorts: tuple[str, ...] = ()
    """What ``sort`` may be, where the list takes it; it then takes ``since`` too."""
    keeps: Callable[[Mapping[str, str], Row], bool] | None = None
    """Whether a row meets the parameters of a request."""
    visible: Callable[[Home, Row], bool] = lambda home, row: True
    """Whether the token may see a row."""
    filters: tuple[str, ...] = ()
    """Parameters with which the list ends after ``filtered_at_most`` rows."""
    filtered_at_most: int = 1_000
    alone: bool = False
    """Whether there is no list: its path leads to the one row that ``keeps`` keeps of what the path names, and
    rows come with other changes alone."""
    has_path_of_one: bool = False
    """Whether a row is shown alone, too, below the path of its list."""
    rows_at: str | None = None
    """The field of the answer that has the rows, beside what ``beside`` says; None for a bare list."""
    beside: Callable[[Span[Row]], Json] = lambda span: {"total_count": len(span)}
    for_those_who: str = "see"
    """Who gets the list: those who ``see`` its repository, who have a ``token``, or who may ``push``."""
    given: Callable[[Row], Json] = lambda row: {}
    """What a row is known by besides its own fields."""
    seeded: float = 0
    """Rows of the seeded world at size 1."""
    weight: float = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", self.path or f"/{self.name}")
        object.__setattr__(self, "one", self.one or self.name.removesuffix("s"))

    # Rows.

    def rows(self, home: Home) -> dict[Any, Row]:
        """All rows of a repository or an organization, by id."""
        found: dict[Any, Row] = home.rows.setdefault(self.name, {})
        return found

    def add(self, making: Making) -> Row | None:
        """A new row; None where nothing is left to make."""
        rows = self.rows(making.home)
        facts = self.make(making)
        if facts is None:
            return None
        id = facts.pop("id") if self.first_id is None else making.forge.new_id(self.name, self.first_id)
        row = Row(id, making.at, making.at, facts, making.parent)
        rows[id] = row
        return row

    def span(self, home: Home, parent: Any, query: Mapping[str, str]) -> Span[Row]:
        """The rows that a request asks for, in its order; raises `ValueError` for a parameter that is wrong."""
        sort = query.get("sort", "") if self.sorts else ""
        if sort and sort not in self.sorts:
            raise ValueError(f"sort must be one of {', '.join(self.sorts)}")
        since = parse_iso(query["since"]) if self.sorts and "since" in query else 0

        def keyed() -> Iterator[tuple[Key, Row]]:
            for row in self.rows(home).values():
                if not self.visible(home, row):
                    continue
                wanted = row.updated_at >= since and (parent is None or row.parent is parent)
                if wanted and (self.keeps is None or self.keeps(query, row)):
                    yield ((getattr(row, f"{sort}_at"), row.id) if sort else self.key(row)), row

        asked = sorted((name, value) for name, value in query.items() if name not in ("page", "per_page"))
        view = home.view(f"{self.name} {id(parent)} {asked}", keyed) if isinstance(home, Repository) else View(keyed())
        # Without a sort the direction is ignored.
        span = view.span(descending=query.get("direction", "desc") == "desc" if sort else self.descending)
        if not any(name in query for name in self.filters):
            return span
        if self.descending:
            return replace(span, start=max(0, span.stop - self.filtered_at_most))
        return replace(span, stop=min(span.stop, self.filtered_at_most))

    def rendered(self, home: Home, row: Row, accepted: str | None = None) -> Rendered:
        """A row as it shows; to those who accept only these media types, where they are named."""
        show = self.show
        if accepted is not None and self.without_media_type and self.without_media_type[0] not in accepted:
            show = self.without_media_type[1]
        return home.rendered(show, row) if isinstance(home, Repository) else render(show(home, row))

    def held(self, home: Home) -> Iterator[Json]:
        """All visible rows as the oracle shows them."""
        for row in self.rows(home).values():
            if not self.visible(home, row):
                continue
            yield {"object": self.rendered(home, row).raw} | ({"given": given} if (given := self.given(row)) else {})

    # Changes.

    def kinds(self) -> dict[str, Kind[Hand]]:
        found = {} if self.alone else {f"github.{self.one}.create": Kind(self._create, self.weight)}
        if self.edit:
            found[f"github.{self.one}.edit"] = Kind(self._edit, self.weight)
        if self.deletes:
            found[f"github.{self.one}.delete"] = Kind(self._delete, self.weight / 2)
        return found

    def _create(self, hand: Hand) -> None:
        home, parent = hand.moment.choose(
            (home, parent)
            for home in self._homes(hand)
            for number, parent in self._parents(home)
            if hand.change.number in (None, number)
        )
        row = self.add(Making(hand.forge, hand.moment.rng, home, parent, hand.moment.at))
        if row is None:
            raise ChangeRefused(f"{hand.change.kind}: there is nothing left to create")
        self.tell(hand, home, row, "created")

    def _edit(self, hand: Hand) -> None:
        assert self.edit
        home, row = self._choose(hand)
        row.updated_at = hand.moment.at
        self.edit(Making(hand.forge, hand.moment.rng, home, row.parent, hand.moment.at), row)
        self.tell(hand, home, row, "updated")

    def _delete(self, hand: Hand) -> None:
        self.remove(hand, *self._choose(hand))

    def remove(self, hand: Hand, home: Home, row: Row) -> None:
        """Takes a row away, and says so."""
        del self.rows(home)[row.id]
        self.tell(hand, home, row, "deleted")

    def insert(self, hand: Hand, home: Home, row: Row) -> None:
        """Takes a row in that was elsewhere, under a new id, and says so."""
        assert self.first_id
        row.id = hand.forge.new_id(self.name, self.first_id)
        self.rows(home)[row.id] = row
        self.tell(hand, home, row, "created")

    def tell(self, hand: Hand, home: Home, row: Row, action: str) -> None:
        """Writes down what was done, and does what follows from it."""
        if action == "deleted":
            hand.forge.remove(hand.moment.at, self.name, home, row.id)
        else:
            hand.forge.touch(action, self.name, home, row.id)
        self.after(hand, home, row, action)

    def forget(self, hand: Hand, gone: Account) -> None:
        """An account was deleted: it leaves lists of people, and elsewhere the ghost takes its place."""
        for home in hand.forge.organizations.values() if self.of_organization else hand.forge.repositories.values():
            for row in [row for row in self.rows(home).values() if gone in row.facts.values()]:
                if row.id == gone.id:
                    self.remove(hand, home, row)
                else:
                    row.facts |= {name: GHOST for name, value in row.facts.items() if value is gone}
                    hand.forge.touch("updated", self.name, home, row.id)

    def _choose(self, hand: Hand) -> tuple[Home, Row]:
        return hand.moment.choose(
            (home, row)
            for home in self._homes(hand)
            for row in self.rows(home).values()
            if hand.named(getattr(row.parent, "number", None), row.id)
        )

    def _homes(self, hand: Hand) -> Iterable[Home]:
        return hand.forge.organizations.values() if self.of_organization else hand.repositories()

    def _parents(self, home: Home) -> Iterable[tuple[int | None, Any]]:
        return self.parents(home).items() if self.parents else [(None, None)]

    # The seeded world.

    def seed(self, forge: Forge, rng: Random, home: Home, anchor: int, count: int) -> None:
        """So many rows, with times that lie in the past of the world and of their parents."""
        parents = list(self._parents(home))
        moments: list[tuple[int, int, Any]] = []
        for index in range(count if parents else 0):
            _, parent = rng.choice(parents)
            born = parent.created_at if parent else getattr(home, "created_at", anchor - 86_400)
            moments.append((rng.randrange(born, anchor), index, parent))
        for at, _, parent in sorted(moments, key=lambda moment: moment[:2]):
            self.add(Making(forge, rng, home, parent, at))


def kinds_of(collections: Iterable[Collection]) -> dict[str, Kind[Hand]]:
    return {name: kind for collection in collections for name, kind in collection.kinds().items()}
