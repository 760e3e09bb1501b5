"""Every node there is, a few at a time: of many the loop has its turn in between."""

from __future__ import annotations

from collections.abc import AsyncIterator

from ...pace import Pace
from ...store.accounts import nodes as node_store
from ...store.rows import NodeRow, NodesQuery
from ...store.store import Store

_AT_ONCE = 100


async def all_nodes(store: Store, *, run: bool) -> AsyncIterator[NodeRow]:
    """In the order in which they were first met. run: of the accounts that are run, else of all the daemon has."""
    pace = Pace()
    after: int | None = None
    while page := await store.read(node_store.listing, NodesQuery(limit=_AT_ONCE, after_id=after, run=run)):
        for row in page:
            yield row
        after = page[-1].id
        await pace.kept()
