"""Nodes of one name at several accounts: ejabberd's lists of subscriptions do not tell them apart."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from tests.support.cached import ENTRY
from tests.support.following import Following
from tests.support.proxy import Proxy
from tests.support.server import Server

from .conftest import OpenPublisher

NODE = "urn:xmpp:microblog:0"


async def test_each_is_followed(
    server: Server, users: tuple[str, str], open_publisher: OpenPublisher, tmp_path: Path
) -> None:
    reader = f"w{uuid4().hex[:8]}"
    server.add_user(reader)
    writers = [await open_publisher(server, user) for user in users]
    for writer in writers:
        await writer.create("", NODE, {"access_model": "open", "persist_items": True, "max_items": 10})
        await writer.publish("", NODE, "p1", ENTRY.format(1))
    async with Proxy(server.host, server.port) as proxy:
        cache = Following(server, reader, proxy, tmp_path)
        await cache.start()
        try:
            for writer in writers:
                await cache.keep(writer.jid, NODE, account=server.jid(reader))
            for writer in writers:
                await writer.publish("", NODE, "p2", ENTRY.format(2))
            await cache.idle()
            for writer in writers:
                items, _, info = await cache.read(writer.jid, NODE, account=server.jid(reader), policy="cache")
                assert ([item["id"] for item in items], info["freshness"]) == (["p2", "p1"], "live")
        finally:
            await cache.stop()
