"""Every node there is, a few at a time: of many the loop has its turn in between; and those that a filter chooses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from ... import jid
from ...pace import Pace
from ...store.accounts import nodes as node_store
from ...store.rows import NodeRow, NodesQuery
from ...store.search.query import Query
from ...store.store import Store
from ..options import ReanalyseFilter

_AT_ONCE = 100


async def all_nodes(store: Store, *, run: bool) -> AsyncIterator[NodeRow]:
    """In the order in which they were first met. run: of the accounts that are run, else of all the daemon has."""
    pace = Pace()
    after = 0
    while page := await store.read(node_store.listing, NodesQuery(limit=_AT_ONCE, after_id=after, run=run)):
        for row in page:
            yield row
        after = page[-1].id
        await pace.kept()


def fitting(chosen: ReanalyseFilter) -> Callable[[NodeRow], bool]:
    """Whether a node fits all lists; accounts by their JIDs, the service "" is the account's own. Raises InvalidJid."""
    services = tuple(jid.normalise(name) if name else "" for name in chosen.services)
    named = Query(accounts=chosen.accounts, services=services, nodes=chosen.nodes)

    def fits(row: NodeRow) -> bool:
        is_of_type = not chosen.types or row.type in chosen.types
        is_of_subtype = not chosen.subtypes or row.subtype in chosen.subtypes
        return is_of_type and is_of_subtype and named.names(row.address)

    return fits
