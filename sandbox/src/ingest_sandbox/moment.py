"""The context of one change: when it happens, and the chance it takes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Annotated, Any, Generic, TypeVar

import msgspec

T = TypeVar("T")
H = TypeVar("H")

Fields = dict[str, Any]
"""The fields that a change may set, and their types."""


class ChangeRefused(Exception):
    """Nothing in the world fits the change; the world is as it was."""


class Change(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """A wish for one change. What is not named is picked by the seed."""

    kind: str
    repository: str | int | None = None
    """GitHub: full name or id of the repository."""
    number: int | None = None
    """GitHub: number of the issue, pull request or milestone."""
    id: int | str | None = None
    """The id of the object; for a commit its sha, for a branch or a label its name will do."""
    set: dict[str, Any] = {}
    """Values to give to fields, in place of seeded ones."""
    late: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Stripe: the events of the change appear this many seconds after their `created`."""
    untold: tuple[str, ...] = ()
    """Stripe: types of events that the change does not write; `*` for all. An account lacks those that
    Stripe writes only for a webhook that names them."""
    live: bool = False
    """Stripe: of the objects of live mode."""
    connected: bool = False
    """Stripe: of the objects of the connected account, `acct_1SandboxConnected`."""
    seed: int = 0
    """Another seed makes another pick."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What a change may depend on, apart from the world itself."""

    change: Change
    rng: Random
    at: int
    """Epoch seconds of the world's clock."""

    def choose(self, rows: Iterable[T]) -> T:
        """A seeded pick; raises `ChangeRefused` where there is nothing to pick."""
        candidates = list(rows)
        if not candidates:
            raise ChangeRefused(f"{self.change.kind}: nothing in the world fits")
        return self.rng.choice(candidates)

    def value(self, field: str, otherwise: T) -> T:
        """What the change sets `field` to, or else the value given."""
        chosen: T = self.change.set.get(field, otherwise)
        return chosen


@dataclass(frozen=True, slots=True)
class Kind(Generic[H]):
    """One kind of change, made by a function of the API's own hand."""

    make: Callable[[H], None]
    weight: float
    """How often it comes among random changes, against the others; at 0 by name only."""
    settable: Fields = field(default_factory=dict)

    def apply(self, hand: H, moment: Moment) -> None:
        """Make the change; raises `ChangeRefused` before anything is done."""
        for name, value in moment.change.set.items():
            if name not in self.settable:
                raise ChangeRefused(f"{moment.change.kind}: cannot set {name!r}")
            try:
                msgspec.convert(value, self.settable[name])
            except msgspec.ValidationError as error:
                raise ChangeRefused(f"{moment.change.kind}: {name!r}: {error}") from None
        self.make(hand)
