"""Events that came and can't be read of yet: the database may be slow, or another daemon have its turn for long."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator

from ...address import Address

# Seconds after which readers are told.
LATE = 3.0


class Unapplied:
    """When they came, by node; the nodes that are late are to be shown as stale."""

    def __init__(self) -> None:
        self._came: dict[Address, deque[float]] = {}

    def __contains__(self, address: Address) -> bool:
        came = self._came.get(address)
        return came is not None and came[0] <= time.monotonic() - LATE

    def __iter__(self) -> Iterator[Address]:
        return iter([address for address in self._came if address in self])

    def add(self, address: Address) -> float:
        """An event came now; when that is."""
        now = time.monotonic()
        self._came.setdefault(address, deque()).append(now)
        return now

    def applied(self, address: Address, until: float) -> None:
        """All that came until then is there for everyone to read, or its node is doubted."""
        came = self._came.get(address)
        while came and came[0] <= until:
            came.popleft()
        if came is not None and not came:
            del self._came[address]
