"""What services evict without a word, once a node has more items than it keeps.

How many that is only an owner is told, and a change of it is silent as well, so that it is asked anew before
anything is presumed. Source: the coherence model, "What the protocol forces"; XEP-0060 16.4.4 (pubsub#max_items).
"""

from __future__ import annotations

from ... import errors
from ...address import Address
from ...store.accounts import nodes as node_store
from ...store.items import items as item_store
from ...store.rows import KEPT, Delta, NodeRow
from ...store.store import Store, Transaction
from ..accounts.account import Account
from ..changes import Changes
from ..nodes import metadata
from ..nodes.nodes import Nodes


class MaxItems:
    """Removes from full nodes what their service has evicted."""

    def __init__(self, store: Store, nodes: Nodes, changes: Changes) -> None:
        self._store = store
        self._nodes = nodes
        self._changes = changes
        self._asked: set[Address] = set()

    async def exceeded(self, account: Account, address: Address) -> bool:
        """A node has more items than it is known to keep; False where it can't be told which of them went."""
        if address in self._asked:
            return True
        self._asked.add(address)
        try:
            info = await metadata.describe(account.require_session(), address)
        except errors.Offline:
            # A stream that is resumed has nothing validated by itself.
            return False
        finally:
            # What comes from here on has to be looked at by itself.
            self._asked.discard(address)
        node = await self._nodes.find(address)
        if node is None:
            return True
        # Whatever else is another by now is for a look at the node, after which the analysers are asked.
        said = {name: value for name, value in metadata.columns(info).items() if name in ("max_items", "item_expire")}
        before, node = node, await self._nodes.update(node, **said)
        if "max_items" not in said or node.item_expire != before.item_expire:
            return False

        def tell(evicted: Delta | None) -> None:
            if evicted is not None:
                self._changes.items(address, evicted)

        return await self._changes.after(self._store.write(_evict, node.id), tell) is not None


def exceeds(node: NodeRow, count: int) -> bool:
    """Whether so many items are more than the node's service keeps, as far as that is known."""
    return node.max_items is not None and node.completeness == "full" and count > node.max_items


def _evict(tx: Transaction, node_id: int) -> Delta | None:
    """None where it can't be told what the service has evicted."""
    node = node_store.by_id(tx.connection, node_id)
    if node is None or node.state not in KEPT or node.max_items is None:
        return Delta()
    ids = item_store.surplus(tx, node_id, node.max_items)
    return item_store.follow(tx, node, (), ids, None).delta if ids is not None else None
