"""What a kept node is where neither its name nor its metadata told: its first payload does, however it comes.

Source: analysers.md, "An empty node is matched again at its first item".
"""

from __future__ import annotations

from collections.abc import Callable

from ...address import Address
from ...analysers.registry import Matched
from ...store.accounts import nodes as node_store
from ...store.rows import KEPT, NodeRow
from ...store.store import Store, Transaction
from ..changes import Changes
from ..nodes.nodes import Nodes
from ..nodes.transitions import asks, classify


class Recognition:
    """Has the analysers say what nodes are once there is a payload to go by."""

    def __init__(self, store: Store, nodes: Nodes, changes: Changes) -> None:
        self._store = store
        self._nodes = nodes
        self._changes = changes

    async def recognise(self, node: NodeRow, namespace: str) -> NodeRow:
        """The row of a kept node of which a payload has come; the same where it is known what it is.

        namespace: of the payload. It may turn out that the node is not to be kept. Raises NoSuchNode.
        """
        if node.analyser or node.namespace or not namespace:
            return node
        address = node.address
        matched = self._nodes.match_stored(node, namespace)

        def tell(rows: tuple[NodeRow, NodeRow]) -> None:
            before, after = rows
            self._nodes.tell(before, after)
            if asks(matched) and after.analyser != before.analyser:
                self._nodes.ask(address)

        written = self._store.write(_recognise, address, matched, namespace, self._nodes.registered)
        _, after = await self._changes.after(written, tell)
        return after


def _recognise(
    tx: Transaction, address: Address, matched: Matched, namespace: str, registered: Callable[[str], bool]
) -> tuple[NodeRow, NodeRow]:
    """The row before and after, the same where another payload came first, or a refusal."""
    before = node_store.must(node_store.find(tx.connection, address))
    if before.analyser or before.namespace or before.state not in KEPT:
        return before, before
    columns = {"namespace": namespace}
    return before, classify(tx, address, matched, True, registered, columns, proved=False, known=True)[1]
