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
from typing import Any, NamedTuple, Protocol

# An item: the row of its node, and its id there.
Id = tuple[int, str]


class Place(Protocol):
    """Where an item stands in the order; no two stand at the same place."""

    def __lt__(self, other: Any, /) -> bool: ...


class Entry(NamedTuple):
    """A member of the query. key: what its owner knows it by."""

    id: Id
    key: str
    place: Place


class Window:
    """The first ``size`` members; see the invariants above."""

    def __init__(self, size: int) -> None:
        self.bound: Place | None = None
        self._size = size
        self._entries: list[Entry] = []
        self._held: dict[Id, Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def entries(self) -> Sequence[Entry]:
        """In order."""
        return self._entries

    @property
    def complete(self) -> bool:
        """Whether it holds all members there are."""
        return self.bound is None

    @property
    def lacking(self) -> int:
        """How many members have to be read from ``bound`` on."""
        return 0 if self.bound is None else self._size - len(self._entries)

    def of_node(self, node_id: int) -> list[Id]:
        """The items of a node that are in it."""
        return [id_ for id_ in self._held if id_[0] == node_id]

    def fill(self, first: Sequence[Entry], *, more: bool) -> None:
        """Begin with the first members; ``more``: there are others after them."""
        self._entries, self._held = [], {}
        self.bound = None
        self.extend(first, more=more)

    def extend(self, following: Sequence[Entry], *, more: bool) -> None:
        """The members next after ``bound``; ``more``: there are others after them."""
        for entry in following:
            self.drop(entry.id)
            self._insert(entry)
        if not more:
            self.bound = None
        elif following:
            self.bound = following[-1].place
        self._trim()

    def look(self, at: Iterable[Id], found: Iterable[Entry]) -> None:
        """Items were looked at, and those of them that are members were found."""
        for id_ in at:
            self.drop(id_)
        for entry in found:
            if self.bound is None or not self.bound < entry.place:
                self.drop(entry.id)
                self._insert(entry)
        self._trim()

    def drop(self, id_: Id) -> None:
        """An item is not, or no longer where it was."""
        entry = self._held.pop(id_, None)
        if entry is not None:
            del self._entries[self._index(entry.place)]

    def _insert(self, entry: Entry) -> None:
        self._entries.insert(self._index(entry.place), entry)
        self._held[entry.id] = entry

    def _index(self, place: Place) -> int:
        return bisect_left(self._entries, place, key=_place)

    def _trim(self) -> None:
        while len(self._entries) > self._size:
            del self._held[self._entries.pop().id]
            self.bound = self._entries[-1].place


class Holding:
    """What the owner holds once it has applied all that it was told, in order: a list of keys.

    Each method changes it as the owner will, and gives what the owner has to be told for that.
    """

    def __init__(self) -> None:
        self.keys: list[str] = []

    def clear(self) -> None:
        """The owner forgets all."""
        self.keys.clear()

    def remove(self, wanted: Collection[str], most: int) -> list[str]:
        """Up to ``most`` keys that are not wanted any more."""
        gone = [key for key in self.keys if key not in wanted][:most]
        leaving = frozenset(gone)
        self.keys = [key for key in self.keys if key not in leaving]
        return gone

    def moved(self, wanted: Sequence[str], changed: Collection[str]) -> list[str]:
        """The keys that stand elsewhere in ``wanted`` (all of which it holds, and no other), as few as is easily found.

        Those that changed are what may have moved; only when this does not explain it the others are compared.
        """
        left = [key for key in wanted if key not in changed]
        if left == [key for key in self.keys if key not in changed]:
            return []
        return [key for key, held in zip(wanted, self.keys, strict=True) if key != held]

    def put(self, key: str, before: str | None) -> int:
        """Have ``key`` stand right behind ``before``, at the front for None; the index to insert it at.

        If it is held already it is taken out first.
        """
        if key in self.keys:
            self.keys.remove(key)
        index = 0 if before is None else self.keys.index(before) + 1
        self.keys.insert(index, key)
        return index
