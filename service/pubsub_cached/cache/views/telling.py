"""Telling the owner of a view what its window is: what left, what changed or moved, what is new, in steps.

Records are read when they are told, so what is told is never older than the reason for telling it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal, Protocol

from ...records import ItemRecord
from ...replies import fitting
from .window import Window

Change = Literal["added", "changed"]

# Items of one signal, and their bytes: as a reply.
BATCH = 100
BATCH_BYTES = 900_000


class Records(Protocol):
    """Where the records of items are."""

    async def records(self, rows: Sequence[int], max_bytes: int) -> tuple[dict[str, ItemRecord], int]:
        """Items of the first rows by key, as far as they are there to be shown, and how many rows these are.

        max_bytes: that they may take, unless it is one item.
        """


class Listener(Protocol):
    """The owner of a view, at the other end of the bus."""

    def items(self, change: Change, items: list[ItemRecord]) -> None:
        """Each is to be taken out if it is held, and put in at its ``index``, one after the other."""

    def removed(self, keys: list[str]) -> None:
        """These are to be taken out."""

    def ready(self, total: int) -> None:
        """All of the window was told."""

    def reset(self) -> None:
        """All are to be taken out."""

    async def attentive(self) -> None:
        """Return once the owner has read enough of what it was sent to be sent more."""


class Telling:
    """What is told, and what the owner made of it. changed: keys of items whose content may be another since."""

    def __init__(self) -> None:
        self.changed: set[str] = set()
        self._holding = Holding()

    def differs(self, window: Window) -> bool:
        """Whether there is something to tell."""
        return window.keys != self._holding.keys or not self.changed.isdisjoint(window.keys)

    def changed_all(self) -> None:
        """The content of everything that the owner holds may be another."""
        self.changed.update(self._holding.keys)

    def forget(self) -> None:
        """The owner holds nothing."""
        self._holding = Holding()
        self.changed.clear()

    async def batch(self, window: Window, source: Records, listener: Listener) -> bool:
        """Tell one signal; False when there is nothing to tell."""
        wanted = window.keys
        if gone := self._holding.remove(frozenset(wanted), BATCH):
            self.changed.difference_update(gone)
            listener.removed(gone)
            return True
        change, keys, waiting = self._next(wanted)
        if not keys:
            return False
        found, looked = await source.records([window.row(key) for key in keys], BATCH_BYTES)
        keys = keys[:looked]
        for key in keys:
            if key not in found:
                # Gone since, which will be said in a moment.
                window.drop(key)
        sent = [key for key in keys if key in found]
        sent = sent[: fitting([found[key] for key in sent], BATCH_BYTES)]
        self.changed.difference_update(sent)
        placed = self._holding.put(wanted, frozenset(sent), frozenset(waiting))
        for key, index in placed:
            found[key]["index"] = index
        if placed:
            listener.items(change, [found[key] for key, _ in placed])
        return True

    def _next(self, wanted: Sequence[str]) -> tuple[Change, Sequence[str], Collection[str]]:
        """What to tell next: keys, and all those that are held and not yet where they are wanted."""
        held = frozenset(self._holding.keys)
        self.changed &= held
        if changes := self._holding.changes(wanted, self.changed):
            return "changed", changes[:BATCH], changes
        return "added", [key for key in wanted if key not in held][:BATCH], ()


class Holding:
    """What the owner holds once it has applied all that it was told, in order: a list of keys."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def remove(self, wanted: Collection[str], most: int) -> list[str]:
        """Take out up to ``most`` keys that are not wanted; those to tell as removed."""
        gone = [key for key in self.keys if key not in wanted][:most]
        leaving = frozenset(gone)
        self.keys = [key for key in self.keys if key not in leaving]
        return gone

    def changes(self, wanted: Sequence[str], changed: Collection[str]) -> list[str]:
        """The keys to tell as changed, in their order, when all it holds is wanted.

        Those that changed, and those that stand elsewhere: what changed is all that moves by itself, so the
        others are compared only where that does not explain the order.
        """
        held = frozenset(self.keys)
        there = [key for key in wanted if key in held]
        if [key for key in there if key not in changed] != [key for key in self.keys if key not in changed]:
            moved = {key for key, other in zip(there, self.keys, strict=True) if key != other}
            return [key for key in there if key in moved or key in changed]
        return [key for key in there if key in changed]

    def put(self, wanted: Sequence[str], placed: Collection[str], waiting: Collection[str]) -> list[tuple[str, int]]:
        """Have the keys ``placed`` stand where they are wanted; each with the index to insert it at, in their order.

        Each is taken out first where it is held. waiting: keys that are held, but not yet where they are wanted.
        """
        held = set(self.keys)
        told: list[tuple[str, int]] = []
        before: str | None = None
        for key in wanted:
            if key in placed:
                if key in held:
                    self.keys.remove(key)
                index = 0 if before is None else self.keys.index(before) + 1
                self.keys.insert(index, key)
                told.append((key, index))
                before = key
            elif key in held and key not in waiting:
                before = key
        return told
