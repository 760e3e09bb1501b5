"""What clients do with subscriptions, while the daemon may be doing something with the same."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from ...address import Address
from ...recent import Recent

# So many nodes are known of which a client changed the subscription: far more than while one is synchronised.
CHANGED_AT_MOST = 4096


class Acts:
    """Who subscribes and unsubscribes, and when that was; numbered, of all nodes in one row."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        # How many clients are giving up a subscription, and when that has begun or ended last.
        self._declining: Counter[Address] = Counter()
        self._declines: Recent[Address, int] = Recent(CHANGED_AT_MOST)
        # Of these, those who do not only have the node forgotten.
        self._unsubscribes: Recent[Address, int] = Recent(CHANGED_AT_MOST)
        # How many clients are subscribing, and when one has done so last.
        self._claiming: Counter[Address] = Counter()
        self._claims: Recent[Address, int] = Recent(CHANGED_AT_MOST)

    @contextmanager
    def declining(self, address: Address, *, forgets: bool = False) -> Iterator[None]:
        """A client unsubscribes, or only has the node forgotten: what is not the daemon's stays then.

        No subscription is made before the row says so, or is gone, and one that is being made is undone.
        """
        self._declining[address] += 1
        if not forgets:
            self._unsubscribes[address] = next(self._numbers)
        self._declines[address] = next(self._numbers)
        try:
            yield
        finally:
            self._declining[address] -= 1
            self._declines[address] = next(self._numbers)
            self._declining = +self._declining

    def declines(self, address: Address) -> int:
        """A number that is another one once a client begins or ends to unsubscribe: an older row does not say so."""
        return self._declines.get(address, 0)

    def is_declined(self, address: Address, declines: int) -> bool:
        """Whether a client unsubscribes, or has done so since the number was that."""
        return address in self._declining or self.declines(address) != declines

    def unsubscribes(self, address: Address) -> int:
        """A number that is another one once a client begins to unsubscribe."""
        return self._unsubscribes.get(address, 0)

    @contextmanager
    def claiming(self, address: Address) -> Iterator[None]:
        """A client subscribes: from now on the subscription is not the daemon's to give up."""
        self._claiming[address] += 1
        try:
            yield
        finally:
            self._claiming[address] -= 1
            self._claiming = +self._claiming

    def claim(self, address: Address) -> None:
        """A client has subscribed, and the row is about to say so, or says so by now."""
        self._claims[address] = next(self._numbers)

    def claims(self, address: Address) -> int:
        """A number that is another one once a client has subscribed: an older row does not say so."""
        return self._claims.get(address, 0)

    def is_claiming(self, address: Address) -> bool:
        """Whether a client subscribes."""
        return address in self._claiming
