"""The world: the state of all APIs, one clock, and the history that led to it."""

import json
import logging
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from random import Random
from typing import IO, Any, TypedDict

import msgspec

from . import wire
from .example import items as example_items
from .github import changes as github_changes
from .github import render
from .github import seed as github_seed
from .github.model import Forge
from .moment import Change, ChangeRefused, Moment
from .stripe import changes as stripe_changes
from .stripe import seed as stripe_seed
from .stripe.books import Books
from .stripe.objects import CONNECTED_ACCOUNT

_log = logging.getLogger(__name__)

APIS = ("github", "stripe", "example")
KINDS = github_changes.KINDS | stripe_changes.KINDS | example_items.KINDS
"""Every kind of change, of all APIs."""

# A random change that fits nothing is drawn again, but not for ever: a world may be empty.
_DRAWS = 100

_LIVE_SIZE = 0.05


class Changed(TypedDict):
    """What one change did."""

    kind: str
    at: int
    """Epoch seconds of the world's clock."""
    changed: list[dict[str, Any]]
    """Each with `action` (created, updated, deleted), `collection`, `id` and, for GitHub,
    `repository_id`."""


class World:
    """GitHub, Stripe and the plain API as they are now, all grown from one seed.

    The same seed, size, anchor and changes at the same times give the same world, to the byte.

    `size` multiplies the number of rows; `anchor` is the time, in epoch seconds, up to which the
    seeded history reaches (by default now); `now` is the real clock.
    """

    def __init__(
        self,
        seed: int = 1,
        size: float = 1.0,
        anchor: int | None = None,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.seed = seed
        self.size = size
        self.anchor = int(now()) if anchor is None else anchor
        self.offset = 0
        """Seconds that the world's clock is ahead of the real one."""
        self._real_now = now
        self._changes = 0
        self._journal: IO[str] | None = None

    @cached_property
    def github(self) -> Forge:
        return github_seed.forge(self.seed, self.size, self.anchor)

    @cached_property
    def stripe(self) -> Books:
        return stripe_seed.books(self.seed, self.size, self.anchor)

    @cached_property
    def stripe_live(self) -> Books:
        """Live mode of the same account: other objects, and few, whatever the size."""
        return stripe_seed.books(self.seed, _LIVE_SIZE, self.anchor, live=True)

    @cached_property
    def stripe_connected(self) -> Books:
        """Test mode of a connected account, of which the platform's key can read with a header."""
        return stripe_seed.books(self.seed, _LIVE_SIZE, self.anchor, of=CONNECTED_ACCOUNT)

    @cached_property
    def example(self) -> example_items.Items:
        return example_items.seeded(self.seed, self.size, self.anchor)

    def prepare(self) -> None:
        """Grow the large APIs and encode what their long lists show, ahead of the first request."""
        for repo in self.github.repositories.values():
            for issue in repo.issues.values():
                repo.rendered(render.issue, issue)
        for books in (self.stripe, self.stripe_live, self.stripe_connected):
            for table in books.tables.values():
                for row in table.rows.values():
                    row.rendered()

    def now(self) -> int:
        """Epoch seconds of the world's clock."""
        return int(self._real_now()) + self.offset

    def advance(self, seconds: int) -> int:
        """Set the clock forward; the time it shows then. Raises `ValueError` for a step back."""
        if seconds < 0:
            raise ValueError("the clock only moves forward")
        self.offset += seconds
        self._write({"offset": self.offset})
        return self.now()

    def change(self, change: Change) -> Changed:
        """Make one change; raises `ChangeRefused` where nothing in the world fits it."""
        at = self.now()
        done = self._apply(change, at)
        self._write({"at": at, "change": msgspec.to_builtins(change)})
        return done

    def random_changes(
        self, seed: int, count: int, apis: Sequence[str] = APIS, without: Sequence[str] = ()
    ) -> list[Changed]:
        """`count` changes picked by chance: the same ones for the same world and seed."""
        kinds = {kind: spec for kind, spec in KINDS.items() if kind.split(".")[0] in apis and kind not in without}
        weights = {kind: spec.weight for kind, spec in kinds.items()}
        rng = Random(f"changes/{seed}")
        done: list[Changed] = []
        for _ in range(count * _DRAWS if weights else 0):
            if len(done) == count:
                break
            kind = rng.choices(list(weights), list(weights.values()))[0]
            try:
                done.append(self.change(Change(kind, seed=rng.getrandbits(32))))
            except ChangeRefused:
                continue
        return done

    def _apply(self, change: Change, at: int) -> Changed:
        # Time is no part of the chance: the same picks are made whenever a test runs.
        moment = Moment(change, Random(f"{self.seed}/{self._changes}/{change.seed}"), at)
        if change.kind in github_changes.KINDS:
            self.github.touched.clear()
            github_changes.apply(self.github, moment)
            touched = list(self.github.touched)
        elif change.kind in stripe_changes.KINDS:
            books = self.stripe_connected if change.connected else self.stripe_live if change.live else self.stripe
            books.touched.clear()
            stripe_changes.apply(books, moment)
            touched = list(books.touched)
        elif change.kind in example_items.KINDS:
            self.example.touched.clear()
            example_items.apply(self.example, moment)
            touched = list(self.example.touched)
        else:
            raise ChangeRefused(f"no such kind of change: {change.kind}")
        self._changes += 1
        return {"kind": change.kind, "at": at, "changed": touched}

    # The state file.

    @classmethod
    def kept(
        cls,
        path: Path,
        seed: int | None = None,
        size: float | None = None,
        *,
        now: Callable[[], float] = time.time,
    ) -> "World":
        """The world that a file keeps, or a new one that it keeps from now on.

        Its first line says what the world grew from, each further one a change or a step of the
        clock, handed to the system before it is answered: a killed process loses nothing that
        was answered, though a machine without power may. A last line without its end is the trace
        of such a kill; it is taken out of the file, with a warning. Raises `ValueError` where the
        file holds another world than the one asked for.
        """
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        # A line that was cut by a crash was never answered either.
        whole = [line for line in lines if line.endswith(b"\n")]
        if len(whole) < len(lines):
            _log.warning("%s: the last line is torn and ignored", path)
        if whole:
            first = json.loads(whole[0])
            world = cls(first["seed"], first["size"], first["anchor"], now=now)
            if seed not in (None, world.seed) or size not in (None, world.size):
                raise ValueError(
                    f"{path} holds the world of seed {world.seed} and size {world.size:g}: "
                    "ask for that one, or name another file"
                )
            for line in whole[1:]:
                world._replay(json.loads(line))
            with path.open("r+b") as file:
                file.truncate(sum(map(len, whole)))
        else:
            world = cls(1 if seed is None else seed, 1.0 if size is None else size, now=now)
            path.write_bytes(b"")
        world._journal = path.open("a", encoding="utf-8")
        if not whole:
            world._write({"seed": world.seed, "size": world.size, "anchor": world.anchor})
        return world

    def close(self) -> None:
        """Let go of the state file; what changes from now on is not kept."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def _replay(self, entry: dict[str, Any]) -> None:
        if "offset" in entry:
            self.offset = entry["offset"]
        else:
            self._apply(msgspec.convert(entry["change"], Change), entry["at"])

    def _write(self, entry: dict[str, Any]) -> None:
        if self._journal is not None:
            self._journal.write(wire.encode(entry).decode() + "\n")
            self._journal.flush()
