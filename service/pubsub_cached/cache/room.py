"""Room: how much of ``total-size`` the database takes. Source: the coherence model, "Quotas"."""

from __future__ import annotations

from ..store.rows import NodeRow
from ..store.store import Store
from ..store.upkeep import maintenance

# What was evicted is fetched back while less than this part is taken. Evicting halves nodes, and so ends above it: else
# the same items would come and go for good.
SPARE = 0.5


class Room:
    """What the database takes, in bytes, and may take: ``total``."""

    def __init__(self, store: Store, total: int) -> None:
        self.total = total
        self._store = store
        self._taken: int | None = None

    async def taken(self) -> int:
        """What it takes now, which costs a server of PostgreSQL a look at each item."""
        self._taken = await self._store.read(maintenance.size)
        return self._taken

    async def most(self, node: NodeRow) -> int | None:
        """As many of a node's items as there is room for, as was looked at last; None for as many as are kept."""
        if node.completeness != "window":
            return None
        taken = await self.taken() if self._taken is None else self._taken
        return None if taken < SPARE * self.total else max(node.item_count, 1)
