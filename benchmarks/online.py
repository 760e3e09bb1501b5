"""A server with a daemon at it, and who else is there: nodes are made and filled, kept by the daemon and read bare."""

from __future__ import annotations

import asyncio
from pathlib import Path
from xml.etree.ElementTree import Element

from tests.support.daemon import Daemon
from tests.support.publisher import Config, Publisher, Refused
from tests.support.server import Server

from . import content

ITEM = "{http://jabber.org/protocol/pubsub}item"
TITLE = f".//{{{content.ATOM}}}title"
AT_ONCE = 50


class Online:
    """A server, Alice's daemon connected to it, and Bob, who publishes."""

    service = Server.pubsub

    def __init__(
        self, server: Server, daemon: Daemon, alice: Publisher, bob: Publisher, known: Path, component_port: int = 0
    ) -> None:
        """component_port: where the pump connects, of a server that has one for it."""
        self.server = server
        self.daemon = daemon
        self.alice = alice
        self.bob = bob
        self.known = known
        self.component_port = component_port

    async def node(self, name: str, count: int, *, own: bool = False, size: int = 1500) -> None:
        """Make a node and fill it, one of Alice's own or one that Bob writes to; one that is there stays as it is."""
        service = self.address(own)
        config: Config = {
            "access_model": "open",
            "publish_model": "open",
            "max_items": "10000",
            "persist_items": True,
            "type": content.ATOM,
        }
        try:
            await self.alice.create(service, name, config)
        except Refused as refused:
            if refused.condition != "conflict":
                raise
            return
        author = self.alice if own else self.bob
        for start in range(0, count, AT_ONCE):
            ids = [f"post-{number}" for number in range(start, min(start + AT_ONCE, count))]
            await asyncio.gather(*(author.publish(service, name, id_, content.entry(id_, size)) for id_ in ids))

    def address(self, own: bool) -> str:
        """Where a node is: at Alice's own service or at the pubsub component."""
        return self.alice.jid if own else self.service

    async def keep(self, name: str, *, own: bool = False) -> None:
        """Have the daemon synchronise a node; it is live afterwards."""
        await self.keep_at(self.address(own), name)

    async def keep_at(self, service: str, name: str) -> None:
        """The same of a node of any service."""
        await keep(self.daemon, service, name)

    async def fetch(
        self, name: str, most: int | None = None, *, own: bool = False, reader: Publisher | None = None
    ) -> int:
        """Read items of a node from the service with bare slixmpp, in one request; their number. reader: who asks."""
        return sum(1 for _ in (await self._items(name, most, own, reader)).iter(ITEM))

    async def contents(self, name: str) -> dict[str, str]:
        """The titles of a node's entries at the service, by the items' ids."""
        return {item.get("id", ""): item.findtext(TITLE, "") for item in (await self._items(name)).iter(ITEM)}

    async def _items(
        self, name: str, most: int | None = None, own: bool = False, reader: Publisher | None = None
    ) -> Element:
        limit = "" if most is None else f" max_items='{most}'"
        reader = reader or (self.alice if own else self.bob)
        request = f"<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='{name}'{limit}/></pubsub>"
        return await reader.iq("get", request, self.address(own))


async def keep(daemon: Daemon, service: str, node: str, *, account: str = "") -> None:
    """Have a daemon synchronise a node."""
    job = await daemon.call("Cache", "Sync", "sssa{sv}", account, service, node, {})
    await daemon.call("Job", "Wait", path=job)
