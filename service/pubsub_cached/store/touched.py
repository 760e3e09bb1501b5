"""What a transaction touched: where whoever holds the result of a search has to look again.

Wider than what clients are told: an item that only moved in the order, or was removed here and not by the service,
has no revision, but a search finds it elsewhere or no more. To be touched means no more than to be worth a look, so
what was undone may stay in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import msgspec

from ..address import Address

# So many nodes as a whole are a part.
WHOLE = 4


class TouchedNode(msgspec.Struct):
    """Items of one node by their ids; ``whole``: any of them, for the node is shown or hidden as one.

    shared: the ids are somebody else's as well, to be copied before some are added.
    """

    address: Address
    ids: set[str] = msgspec.field(default_factory=set)
    whole: bool = False
    shared: bool = False

    def add(self, ids: Iterable[str]) -> None:
        """These as well."""
        if self.shared:
            self.ids, self.shared = set(self.ids), False
        self.ids.update(ids)


class Touched:
    """Nodes by their rows' ids.

    everything: more than can be named came into sight or went out of it. rewritten: and has perhaps another content.
    """

    __slots__ = ("everything", "nodes", "rewritten")

    def __init__(self) -> None:
        self.nodes: dict[int, TouchedNode] = {}
        self.everything = False
        self.rewritten = False

    def __bool__(self) -> bool:
        return self.everything or bool(self.nodes)

    @property
    def count(self) -> int:
        """How many items are named."""
        return sum(len(node.ids) for node in self.nodes.values())

    def parts(self, most: int) -> Iterator[Touched]:
        """The same nodes and items in parts of at most so many items; a node as a whole counts as some."""
        part, room = Touched(), most
        for node_id, node in self.nodes.items():
            ids, whole = iter(node.ids), node.whole
            while (some := set(islice(ids, room))) or whole:
                part.nodes[node_id] = TouchedNode(node.address, some, whole)
                room -= len(some) + (most // WHOLE if whole else 0)
                whole = False
                if room <= 0:
                    yield part
                    part, room = Touched(), most
        if part:
            yield part

    def keys(self) -> set[str]:
        """The keys of the items that are named (``Address.key``)."""
        return {node.address.key(id_) for node in self.nodes.values() for id_ in node.ids}

    def items(self, node_id: int, address: Address, ids: Iterable[str]) -> None:
        """These items are new, different, elsewhere or gone."""
        self._node(node_id, address).add(ids)

    def node(self, node_id: int, address: Address) -> None:
        """All items of the node came into sight or went out of it."""
        self._node(node_id, address).whole = True

    def all(self, *, rewritten: bool = False) -> None:
        """Anything may be there or not, and be different where it is ``rewritten``."""
        self.everything = True
        self.rewritten |= rewritten

    def merge(self, node_id: int, node: TouchedNode) -> None:
        """What was touched of one node later, too, and will not change any more: hundreds may want to keep it."""
        mine = self._node(node_id, node.address)
        if mine.ids:
            mine.add(node.ids)
        else:
            mine.ids, mine.shared = node.ids, True
        mine.whole |= node.whole

    def _node(self, node_id: int, address: Address) -> TouchedNode:
        found = self.nodes.get(node_id)
        if found is None:
            found = self.nodes[node_id] = TouchedNode(address)
        return found
