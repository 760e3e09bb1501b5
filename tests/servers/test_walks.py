"""Walks through a node of a real server, with a cursor, while the daemon compares what it has with the service."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator

import pytest

from pubsub_cached.bus import Variant
from tests.support.cached import ENTRY
from tests.support.daemon import Daemon
from tests.support.publisher import Publisher, befriend
from tests.support.server import Server

from .conftest import OpenPublisher

NODE = "urn:xmpp:microblog:0"


class Walk:
    """A walk of pages of two by GetItems; ``found``: the ids so far."""

    def __init__(self, daemon: Daemon, service: str, node: str, order: str) -> None:
        self._daemon = daemon
        self._at = ("", service, node)
        self._order = order
        self._cursor = ""
        self.found = ""

    @property
    def options(self) -> dict[str, Variant]:
        return {"limit": Variant("u", 2), "order": Variant("s", self._order), "cursor": Variant("s", self._cursor)}

    async def page(self) -> bool:
        """Read the next page; whether there are others."""
        items, self._cursor, _ = await self._daemon.call("Cache", "GetItems", "sssa{sv}", *self._at, self.options)
        self.found += "".join(item["id"] for item in items)
        return bool(self._cursor)


class Bulk(Walk):
    """The same by Json.ReadItems."""

    async def page(self) -> bool:
        lines, self._cursor, _ = await self._daemon.call("Json", "ReadItems", "sssa{sv}", *self._at, self.options)
        with os.fdopen(lines) as file:
            self.found += "".join(json.loads(line)["id"] for line in file)
        return bool(self._cursor)


@pytest.fixture(params=["component", pytest.param("contact", marks=pytest.mark.long)])
async def service(
    request: pytest.FixtureRequest, server: Server, users: tuple[str, str], open_publisher: OpenPublisher
) -> AsyncIterator[tuple[Publisher, str, str]]:
    """A publisher, the service that she publishes at, and her node."""
    if request.param == "contact":
        writer, friend = await open_publisher(server, users[0]), await open_publisher(server, users[1])
        await befriend(writer, friend)
        await friend.close()
        yield writer, writer.jid, NODE
    else:
        yield await open_publisher(server, "alice"), server.pubsub, f"{NODE}/{users[0]}"


async def followed(daemon: Daemon, account: str, at: str, node: str) -> None:
    """Start the daemon, which has compared the node when this returns."""
    await daemon.start()
    await daemon.state(account, "online")
    await daemon.items(at, node)
    await daemon.settled(at, node, "live")


async def test_what_was_not_published_meanwhile_comes_once_though_all_was_fetched_and_the_daemon_began_anew(
    daemon: Daemon, server: Server, users: tuple[str, str], service: tuple[Publisher, str, str]
) -> None:
    (writer, at, node), account = service, server.jid(users[1])
    await writer.create(at, node, {"max_items": 100, "persist_items": True, "access_model": "open"})
    for id_ in "abcdefgh":
        await writer.publish(at, node, id_, ENTRY.format(id_))
    daemon.account(server, users[1])
    await followed(daemon, account, at, node)
    await writer.publish(at, node, "b", ENTRY.format("b again"))
    await daemon.until(lambda heard: heard.member == "ItemsChanged" and heard.body[3] == ["b"])
    walks = [kind(daemon, at, node, order) for order in ("modified desc", "modified asc") for kind in (Walk, Bulk)]
    for walk in walks:
        await walk.page()
    job = await daemon.call("Cache", "Sync", "sssa{sv}", "", at, node, {"full": Variant("b", True)})
    await daemon.call("Job", "Wait", path=job)
    for walk in walks:
        await walk.page()
    await daemon.end()
    await followed(daemon, account, at, node)
    for walk in walks:
        await walk.page()
    await daemon.end()
    await writer.publish(at, node, "c", ENTRY.format("c unheard"))
    await followed(daemon, account, at, node)
    for walk in walks:
        while await walk.page():
            pass
    found = [walk.found.replace("c", "") for walk in walks]
    assert found == ["bhgfeda"] * 2 + ["adefghb"] * 2
    items, *_ = await daemon.items(at, node)
    # All that it saw, in the order in which it saw it.
    assert "".join(item["id"] for item in items) == "cbhgfeda"
