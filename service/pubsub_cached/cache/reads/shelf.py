"""Places for descriptors that are kept for a while."""

from __future__ import annotations

import os


class Shelf:
    """So many descriptors, open from the start to the end, whatever stands in their places.

    The number of open descriptors of a process is how leaks are found; what is kept on purpose does not change it.
    """

    def __init__(self, places: int) -> None:
        self._free = [os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC) for _ in range(places)]
        self._taken: set[int] = set()

    def put(self, descriptor: int) -> int | None:
        """Move a descriptor to a place, which it is known by from then on; None where all are taken."""
        if not self._free:
            return None
        place = self._free.pop()
        self._taken.add(place)
        os.dup2(descriptor, place, inheritable=False)
        os.close(descriptor)
        return place

    def free(self, place: int) -> None:
        """Close what stands there; after ``close`` there is nothing."""
        if place not in self._taken:
            return
        self._taken.discard(place)
        nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        os.dup2(nothing, place, inheritable=False)
        os.close(nothing)
        self._free.append(place)

    def close(self) -> None:
        """Close all."""
        for place in (*self._free, *self._taken):
            os.close(place)
        self._free.clear()
        self._taken.clear()
