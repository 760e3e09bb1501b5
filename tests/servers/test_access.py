"""Access at real servers: what the cache shows of a node once the account may not read it any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pubsub_cached import errors
from tests.support.cached import ENTRY
from tests.support.following import Following
from tests.support.proxy import Proxy
from tests.support.publisher import ROSTER, Publisher, befriend
from tests.support.server import Server

from .conftest import OpenPublisher

NODE = "urn:xmpp:microblog:0"
POLICIES = ("cache", "default", "refresh", "network")


class Scene:
    """Alice's blog is for her contacts, and bob, who is one, has it in his cache."""

    def __init__(self, alice: Publisher, bob: Publisher, cache: Following) -> None:
        self.alice, self.bob, self.cache = alice, bob, cache

    async def read(self, policy: str) -> list[str]:
        items, *_ = await self.cache.read(self.alice.jid, NODE, account=self.bob.jid, policy=policy)
        return [item["id"] for item in items]

    async def hidden(self) -> bool:
        """Whether no policy shows anything."""
        for policy in POLICIES:
            try:
                await self.read(policy)
            except (errors.Denied, errors.NotCached, errors.NoSuchNode):
                continue
            return False
        return True


@pytest.fixture
async def scene(
    server: Server, users: tuple[str, str], open_publisher: OpenPublisher, tmp_path: Path
) -> AsyncIterator[Scene]:
    alice, bob = await open_publisher(server, users[0]), await open_publisher(server, users[1])
    await befriend(alice, bob)
    await alice.create("", NODE, {"access_model": "presence", "persist_items": True, "max_items": 10})
    await alice.publish("", NODE, "p1", ENTRY.format(1))
    async with Proxy(server.host, server.port) as proxy:
        cache = Following(server, users[1], proxy, tmp_path)
        await cache.start()
        try:
            scene = Scene(alice, bob, cache)
            assert await scene.read("default") == ["p1"]
            await cache.idle()
            assert await scene.read("cache") == ["p1"]
            yield scene
        finally:
            await cache.stop()


async def test_a_contact_who_left_the_roster_has_nothing_to_show(scene: Scene) -> None:
    query = f"<query xmlns='{ROSTER}'><item jid='{scene.alice.jid}' subscription='remove'/></query>"
    await scene.bob.iq("set", query)
    await scene.cache.idle()
    assert await scene.hidden()
    assert (await scene.cache.node(scene.alice.jid, NODE, scene.bob.jid))["state"] == "denied"


async def test_a_contact_who_comes_back_is_shown_again(scene: Scene) -> None:
    query = f"<query xmlns='{ROSTER}'><item jid='{scene.alice.jid}' subscription='remove'/></query>"
    await scene.bob.iq("set", query)
    await scene.cache.idle()
    await befriend(scene.bob, scene.alice)
    await scene.cache.idle()
    assert await scene.read("default") == ["p1"]


async def test_who_is_shut_out_is_shown_nothing_once_a_read_was_refused(server: Server, scene: Scene) -> None:
    """What comes after the refusal, as at ejabberd, does not show the node again."""
    if server.name == "ejabberd":
        # A subscriber may go on reading a node that becomes a whitelist's.
        await scene.alice.affiliate("", NODE, scene.bob.jid, "outcast")
    else:
        # The owner may not set affiliations with a node of her account.
        await scene.alice.configure("", NODE, {"access_model": "whitelist"})
    with pytest.raises(errors.Denied):
        await scene.read("network")
    await scene.alice.publish("", NODE, "p2", ENTRY.format(2))
    await scene.cache.idle()
    assert await scene.hidden()


async def test_what_is_published_while_its_author_is_blocked_is_not_missed(scene: Scene) -> None:
    """XEP-0191: the server keeps its events, and says so only to who has asked for the list."""
    item = f"<item jid='{scene.alice.jid}'/>"
    await scene.bob.iq("set", f"<block xmlns='urn:xmpp:blocking'>{item}</block>")
    await scene.alice.publish("", NODE, "p2", ENTRY.format(2))
    await scene.alice.publish("", NODE, "p3", ENTRY.format(3))
    await scene.bob.iq("set", f"<unblock xmlns='urn:xmpp:blocking'>{item}</unblock>")
    async with asyncio.timeout(30):
        while await scene.read("cache") != ["p3", "p2", "p1"]:
            await scene.cache.idle()
