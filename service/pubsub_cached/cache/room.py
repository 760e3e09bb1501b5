"""Room: how much of ``total-size`` the database takes. Source: the coherence model, "Quotas"."""

from __future__ import annotations

import asyncio

from ..store.rows import NodeRow
from ..store.store import Store
from ..store.upkeep import maintenance

# What was evicted is fetched back while less than this part is taken. Evicting halves nodes, and so ends above it: else
# the same items would come and go for good.
SPARE = 0.5
# A look at the items on a server may take this part of the time, once they take so many bytes.
PART = 0.01
LARGE = 16 * 1024 * 1024


class Room:
    """What the database takes, in bytes, and may take: ``total``."""

    def __init__(self, store: Store, total: int) -> None:
        self.total = total
        self._store = store
        self._taken: int | None = None
        self._again = 0.0

    @property
    def is_due(self) -> bool:
        """Whether it is time to look again."""
        return asyncio.get_running_loop().time() >= self._again

    async def taken(self) -> int:
        """What it takes now, for which a server of PostgreSQL looks at each item."""
        clock = asyncio.get_running_loop().time
        began = clock()
        self._taken = await self._store.read(maintenance.size)
        now = clock()
        if self._store.shared and self._taken > LARGE:
            self._again = now + (now - began) / PART
        return self._taken

    async def most(self, node: NodeRow) -> int | None:
        """As many of a node's items as there is room for, as was looked at last; None for as many as are kept."""
        if node.completeness != "window":
            return None
        taken = await self.taken() if self._taken is None else self._taken
        return None if taken < SPARE * self.total else max(node.item_count, 1)
