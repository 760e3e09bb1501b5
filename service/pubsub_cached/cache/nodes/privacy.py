"""Private nodes: for sandboxed clients they are not there. Source: dbus-api.md "Conventions", analysers.md.

A node is private when its analyser is, or is not known: what an analyser that left said of it is not known either.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

from ... import errors
from ...address import Address
from ...analysers.registry import Registry, Subject
from ...pace import Pace
from ...store.accounts import nodes as node_store
from ...store.rows import NodeRow
from ...store.store import Store
from ...tasks import Tasks, end

log = logging.getLogger(__name__)

# Seconds until it is tried again to look at the nodes, where the database fails.
AGAIN = 1.0
# So many nodes are read in one go.
AT_ONCE = 500


class Privacy:
    """Says which nodes are private.

    public: the analysers of nodes that are not, "" for nodes without one; on_change: called when these are others.
    """

    def __init__(self, store: Store, registry: Registry) -> None:
        self.public = frozenset[str]()
        self.on_change: list[Callable[[], None]] = []
        self._store = store
        self._registry = registry
        self._private: set[Address] = set()
        # Those that have no row any more, of which clients are still to be told that.
        self._leaving: set[Address] = set()
        # The public analysers when all nodes were looked at.
        self._looked = frozenset[str]()
        # The public analysers are others by now.
        self._outdated = False
        # Nodes may be private of which that could not be found out.
        self._unsure = False
        # What became known of nodes while all of them are looked at; None of those that have no row any more.
        self._noted: list[dict[Address, NodeRow | None]] = []
        # One at a time, for what was read last counts.
        self._reading = asyncio.Lock()
        self._loading = Tasks()
        registry.on_change.append(lambda name, registered: self._analysers_changed())
        self._classify()

    async def load(self) -> None:
        """Look at every node whose analyser is not public."""
        async with self._reading:
            public = self.public
            noted: dict[Address, NodeRow | None] = {}
            self._noted.append(noted)
            try:
                found = [row async for row in self._analysed(public)]
            finally:
                self._noted.remove(noted)
            self._private = {address for address, analyser in found if analyser not in self.public}
            for address, row in noted.items():
                if row is None:
                    self._private.discard(address)
                else:
                    self.note(row)
            self._looked, self._unsure = public, False

    async def _analysed(self, public: frozenset[str]) -> AsyncIterator[tuple[Address, str]]:
        """Every node that has another analyser than these, and which; of many the loop has its turn in between."""
        pace, after = Pace(), 0
        while page := await self._store.read(node_store.analysed, public, after, AT_ONCE):
            for id_, address, analyser in page:
                yield address, analyser
                after = id_
            if len(page) < AT_ONCE:
                return
            await pace.kept()

    async def close(self) -> None:
        """Look at nothing any more."""
        await end(self._loading)

    def note(self, row: NodeRow) -> None:
        """A node is known to be so."""
        for noted in self._noted:
            noted[row.address] = row
        if row.analyser in self.public:
            self._private.discard(row.address)
        else:
            self._private.add(row.address)

    def forget(self, address: Address) -> None:
        """There is no row of the node any more, of which only who may see it is to hear."""
        for noted in self._noted:
            noted[address] = None
        if address in self._private:
            self._private.discard(address)
            self._leaving.add(address)

    def told(self, address: Address) -> None:
        """Everybody who may was told that the node is forgotten."""
        self._leaving.discard(address)

    def private(self, address: Address) -> bool:
        """Whether a node is private, by what is known of it, or by its name alone."""
        return self.known(address) or self._by_name(address)

    def known(self, address: Address) -> bool:
        """Whether a node that has a row, or had one until now, is private."""
        return self._unsure or address in self._private or address in self._leaving

    def _by_name(self, address: Address) -> bool:
        definition = self._registry.match(Subject(address)).definition
        return definition is not None and definition.private

    def _classify(self) -> None:
        self.public = frozenset({"", *(each.name for each in self._registry.definitions() if not each.private)})

    def _analysers_changed(self) -> None:
        before = self.public
        self._classify()
        if self.public == before:
            return
        for callback in self.on_change:
            callback()
        self._outdated = True
        if not self._loading.under_way:
            self._loading.begin(self._load_again(), "private nodes")

    async def _load_again(self) -> None:
        # Several analysers come at once.
        await asyncio.sleep(0)
        while self._outdated:
            self._outdated = False
            try:
                await self.load()
            except errors.PubSubCachedError as error:
                self._outdated = True
                # Until then none is there, for it may have become private.
                self._unsure = not self._looked <= self.public
                log.warning("which nodes are private could not be read yet: %s", error.message)
                await asyncio.sleep(AGAIN)
