"""The window of a view: the first members of a query in order, by their places alone.

It knows no database. Invariants, which hold between any two calls, for all items that are not still to be looked at:

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
        """As many of the members next after ``bound``, at the beginning the first, as there is room for.

        more: there are others after them.
        """
        for member in following:
            self.drop(member.key)
            self._insert(member)
        self.bound = following[-1].place if more and following else None

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
            at = self._index(member.place)
            while self._members[at].key != key:
                # Another one that was given its row before this was looked at.
                at += 1
            del self._members[at]

    def _insert(self, member: Member) -> None:
        self._members.insert(self._index(member.place), member)
        self._held[member.key] = member

    def _index(self, place: Place) -> int:
        return bisect_left(self._members, place, key=_place)

    def _trim(self) -> None:
        while len(self._members) > self.size:
            del self._held[self._members.pop().key]
            self.bound = self._members[-1].place


def _place(member: Member) -> Place:
    return member.place
