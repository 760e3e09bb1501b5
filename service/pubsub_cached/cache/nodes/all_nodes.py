"""Every node there is, a few at a time: of many the loop has its turn in between; and those that a filter chooses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection

from ... import jid
from ...pace import Pace
from ...store.accounts import nodes as node_store
from ...store.rows import NodeRow, NodesQuery
from ...store.store import Store
from ..options import ReanalyseFilter

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


def fitting(chosen: ReanalyseFilter) -> Callable[[NodeRow], bool]:
    """Whether a node fits all lists; accounts by their JIDs, the service "" is the account's own. Raises InvalidJid."""
    services = {jid.normalise(name) if name else "" for name in chosen.services}

    def fits(row: NodeRow) -> bool:
        address = row.address
        return (
            _in(address.account, chosen.accounts)
            and (_in(address.service, services) or (address.own and "" in services))
            and _in(address.node, chosen.nodes)
            and _in(row.type, chosen.types)
            and _in(row.subtype, chosen.subtypes)
        )

    return fits


def _in(value: str, chosen: Collection[str]) -> bool:
    return not chosen or value in chosen
