"""Where a view finds its items: the search that made it, asked of the store."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sqlalchemy import Connection

from ... import errors
from ...address import Address
from ...records import ItemRecord
from ...store.search.members import Member, Members, Place
from ...store.search.search import Search
from ...store.store import Store
from ...store.touched import Touched
from ..options import REPLY_BYTES

COUNT_SECONDS = 0.5


class ViewSource:
    """A ``view.Source`` over the store.

    What is bounded by what changed is read where bounded reads are, everything else aside, with a time limit.
    """

    def __init__(self, store: Store, search: Search, *, count_seconds: float = COUNT_SECONDS) -> None:
        """count_seconds: after which members are too many to be counted."""
        self._store = store
        self._count_seconds = count_seconds
        self._members = Members(search, store.dialect)
        self._query = search.matching.query
        self.independent = not self._members.ranked
        # By rank only some of very many are looked at: then anything that changes may let others in.
        self._all_looked_at = True

    async def following(self, place: Place | None, limit: int) -> tuple[list[Member], bool]:
        """See ``view.Source``."""
        members, more, self._all_looked_at = await self._store.read_aside(self._members.following, place, limit)
        return members, more

    async def among(self, touched: Touched, limit: int) -> list[Member] | None:
        """See ``view.Source``."""
        if not self._all_looked_at:
            return None
        return await self._store.read(self._among, touched, limit)

    async def records(self, rows: Sequence[int], max_bytes: int) -> tuple[dict[str, ItemRecord], int]:
        """See ``view.Source``."""
        return await self._store.read(self._members.records, rows, max_bytes)

    async def range(self, offset: int, count: int) -> list[ItemRecord]:
        """See ``view.Source``."""
        return await self._store.read_aside(self._members.range, offset, count, REPLY_BYTES)

    async def count(self, most: int | None = None) -> int:
        """See ``view.Source``."""
        try:
            async with asyncio.timeout(self._count_seconds):
                return await self._store.read_aside(self._members.count, most)
        except TimeoutError:
            raise errors.Timeout(f"The items are too many to be counted within {self._count_seconds:g} s.") from None

    def concerns(self, address: Address) -> bool:
        """See ``view.Source``."""
        return self._query.names(address)

    def _among(self, conn: Connection, touched: Touched, limit: int) -> list[Member]:
        found: list[Member] = []
        for node_id, node in touched.nodes.items():
            if node.whole:
                found += self._members.of_node(conn, node_id, node.address, limit)
            else:
                found += self._members.among(conn, node_id, node.address, node.ids)
        return found
