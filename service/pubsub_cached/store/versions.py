"""Whether the items of a node are still what they were, asked without looking at them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..address import Address
from .touched import Touched

Version = tuple[int, int, int]

# So many nodes are counted; then an era ends, and with it all that was seen in it.
NODES_AT_MOST = 4096


class Versions:
    """Counts all commits, those that touched each node, and those that may have touched any.

    Only the writer's thread counts, before a commit and after it, so that a number is odd exactly while the commit may
    or may not be seen. Whoever has seen the same even version before reading some rows and now may keep what was made
    of these rows. What another process commits is not counted.
    """

    def __init__(self) -> None:
        self._commits = 0
        # Of an era: one value, as others read it meanwhile.
        self._counted: tuple[int, dict[Address, int]] = (0, {})
        self._all = 0

    @property
    def everything(self) -> int | None:
        """The version of the whole database; None while something is being committed."""
        commits = self._commits
        return None if commits & 1 else commits

    def of(self, address: Address) -> Version | None:
        """The version of a node's items; None while they are being changed."""
        era, nodes = self._counted
        everything, alone = self._all, nodes.get(address, 0)
        return None if everything & 1 or alone & 1 else (era, everything, alone)

    @contextmanager
    def changing(self, touched: Touched) -> Iterator[None]:
        """A commit of what was touched."""
        addresses = [node.address for node in touched.nodes.values()]
        era, nodes = self._counted
        if len(nodes) > NODES_AT_MOST:
            self._counted = era + 1, {}
        self._count(addresses, touched.everything, 0)
        try:
            yield
        finally:
            self._count(addresses, touched.everything, 1)

    def _count(self, addresses: list[Address], everything: bool, more: int) -> None:
        # Odd whatever it was before: counting may have failed half-way.
        self._commits = (self._commits | 1) + more
        _, nodes = self._counted
        for address in addresses:
            nodes[address] = (nodes.get(address, 0) | 1) + more
        if everything:
            self._all = (self._all | 1) + more
