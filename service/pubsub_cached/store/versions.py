"""Whether the items of a node are still what they were, asked without looking at them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..address import Address
from .touched import Touched

Version = tuple[int, int]


class Versions:
    """Counts the commits that touched each node, and those that may have touched any.

    Only the writer's thread counts, before a commit and after it, so that a number is odd exactly while the commit may
    or may not be seen. Whoever has seen the same even version before reading some rows and now may keep what was made
    of these rows.
    """

    def __init__(self) -> None:
        self._nodes: dict[Address, int] = {}
        self._all = 0

    def of(self, address: Address) -> Version | None:
        """The version of a node's items; None while they are being changed."""
        version = self._all, self._nodes.get(address, 0)
        return None if version[0] & 1 or version[1] & 1 else version

    @contextmanager
    def changing(self, touched: Touched) -> Iterator[None]:
        """A commit of what was touched."""
        addresses = [node.address for node in touched.nodes.values()]
        self._count(addresses, touched.everything)
        try:
            yield
        finally:
            self._count(addresses, touched.everything)

    def _count(self, addresses: list[Address], everything: bool) -> None:
        for address in addresses:
            self._nodes[address] = self._nodes.get(address, 0) + 1
        if everything:
            self._all += 1
