"""The window of a view: the first members of a query in order, by their places alone; and what its owner holds.

Neither knows a database or the bus. Invariants, which hold between any two calls, for all items that are not still to
be looked at:

- every item in the window is a member, and at its place;
- every member that is not in the window comes after ``bound``, and there is none when ``bound`` is None;
- the window is in order, and holds at most ``size``.

So a change is decided by looking at the items that changed: one before ``bound`` is in, one after it is out, and only
when the window gets short something has to be read, from ``bound`` on.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence

from ...store.search.members import Member, Place


class Window:
    """The first ``size`` members; see the invariants above."""

    def __init__(self, size: int) -> None:
        self.bound: Place | None = None
        self.size = size
        self._members: list[Member] = []
        self._held: dict[str, Member] = {}

    def __len__(self) -> int:
        return len(self._members)

    @property
    def keys(self) -> list[str]:
        """In order."""
        return [member.key for member in self._members]

    @property
    def complete(self) -> bool:
        """Whether it holds all members there are."""
        return self.bound is None

    @property
    def lacking(self) -> int:
        """How many members have to be read from ``bound`` on."""
        return 0 if self.bound is None else self.size - len(self._members)

    def __contains__(self, key: str) -> bool:
        return key in self._held

    def row(self, key: str) -> int:
        """The row of an item that is in it."""
        return self._held[key].row

    def of_nodes(self, nodes: Collection[int]) -> list[str]:
        """The items of some nodes that are in it."""
        return [member.key for member in self._members if member.node in nodes]

    def extend(self, following: Sequence[Member], more: bool) -> None:
        """The members next after ``bound``, at the beginning the first; ``more``: there are others after them."""
        for member in following:
            self.drop(member.key)
            self._insert(member)
        self.bound = following[-1].place if more and following else None
        self._trim()

    def look(self, at: Iterable[str], found: Iterable[Member]) -> None:
        """Items were looked at, and those of them that are members were found."""
        for key in at:
            self.drop(key)
        for member in found:
            if self.bound is None or not self.bound < member.place:
                self.drop(member.key)
                self._insert(member)
        self._trim()

    def resize(self, size: int) -> None:
        """Hold so many; those that are ``lacking`` then are to be read."""
        self.size = size
        self._trim()

    def drop(self, key: str) -> None:
        """An item is not a member, or not where it was."""
        member = self._held.pop(key, None)
        if member is not None:
            del self._members[self._index(member.place)]

    def _insert(self, member: Member) -> None:
        self._members.insert(self._index(member.place), member)
        self._held[member.key] = member

    def _index(self, place: Place) -> int:
        return bisect_left(self._members, place, key=_place)

    def _trim(self) -> None:
        while len(self._members) > self.size:
            del self._held[self._members.pop().key]
            self.bound = self._members[-1].place


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


def _place(member: Member) -> Place:
    return member.place
