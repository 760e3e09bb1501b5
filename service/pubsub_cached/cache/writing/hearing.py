"""Hearing: what services answer clients who ask for something else than items, held against what is kept.

Services delete, configure and shut out without a word, so such an answer may be the first to show it. What is refused
is ``Distrust.if_refused``'s, what is shown of items ``PassThrough``'s. Source: the coherence model, "What the protocol
forces" and "Negative answers".
"""

from __future__ import annotations

from ...address import Address
from ...recent import Recent
from ...store.rows import KEPT
from ...xmpp.port import ConfigurationEvent, DiscoInfo
from ..accounts.account import Account
from ..events.events import Events
from ..nodes import metadata
from ..nodes.nodes import Nodes
from ..nodes.transitions import Columns
from ..revalidation.distrust import Distrust

# Of so many nodes it is known what a service said of them that they are not by its own account.
REMEMBERED = 1024
# Who is that may read; and who may not, whatever the access model is (XEP-0060 4.1).
_ADMITTED = frozenset({"owner", "publisher", "member"})
_SHUT_OUT = frozenset({"outcast", "publish-only"})


class Hearing:
    """Says of nodes that they are not, or may not be, what is kept of them."""

    def __init__(self, nodes: Nodes, events: Events, distrust: Distrust) -> None:
        self._nodes = nodes
        self._events = events
        self._distrust = distrust
        self._said: Recent[Address, Columns] = Recent(REMEMBERED)

    def exists(self, address: Address) -> None:
        """A service has a node, of which it may have said before that it has none."""
        self._nodes.negatives.found(address)

    async def described(self, account: Account, address: Address, info: DiscoInfo) -> None:
        """What a node is, which is looked at anew where it is something else than before.

        Once, of a service that says one thing in a node's configuration and another in its metadata.
        """
        node, said = await self._nodes.find(address), metadata.columns(info)
        if node is None or all(getattr(node, column) in (value, "", None) for column, value in said.items()):
            self.redescribed(address)
        elif self._said.get(address) != said:
            self._said[address] = said
            self._events.put(account, ConfigurationEvent(service=address.service, node=address.node))
            await self._events.applied()

    def redescribed(self, address: Address) -> None:
        """It is another node than the one of which something else was said."""
        self._said.pop(address, None)

    async def affiliated(self, address: Address, affiliation: str) -> None:
        """What the account is to a node: whether it may be read is for a read to say, from now on."""
        if affiliation in _ADMITTED:
            self._nodes.negatives.clear(address)
        elif affiliation in _SHUT_OUT:
            node = await self._nodes.find(address)
            if node is not None and node.state in KEPT:
                await self._distrust.of_access(address, "affiliation")
