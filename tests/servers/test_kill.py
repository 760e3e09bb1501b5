"""``kill -9`` at any moment: the database opens, what was stored is served, and the cache converges."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
from uuid import uuid4

import pytest

from pubsub_cached.bus import Variant
from tests.support.cached import ENTRY
from tests.support.daemon import Daemon
from tests.support.prosody import Prosody
from tests.support.publisher import Publisher

NODE = "urn:xmpp:microblog:0/"


async def burst(publisher: Publisher, service: str, node: str, number: int) -> None:
    """Some publishes and a retraction."""
    for index in range(8):
        await publisher.publish(service, node, f"{number}-{index}", ENTRY.format(f"{number}-{index}"))
    await publisher.retract(service, node, f"{number}-0", notify=True)


async def stored(daemon: Daemon, service: str, node: str) -> set[str]:
    items, cursor, _ = await daemon.items(service, node, limit=Variant("u", 500))
    assert cursor == ""
    return {item["id"] for item in items}


async def killed_in_bursts(daemon: Daemon, prosody: Prosody, times: int) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    alice = await Publisher.open(prosody, "alice")
    node = NODE + uuid4().hex
    await alice.create(prosody.pubsub, node, {"max_items": 5000, "persist_items": True, "access_model": "open"})
    await burst(alice, prosody.pubsub, node, 0)
    daemon.account(prosody, "bob")
    await daemon.start()
    await daemon.state(prosody.jid("bob"), "online")
    await daemon.items(prosody.pubsub, node)
    await daemon.settled(prosody.pubsub, node, "live")
    known = await stored(daemon, prosody.pubsub, node)
    for number in range(1, times + 1):
        writing = asyncio.create_task(burst(alice, prosody.pubsub, node, number))
        # The moment is what is tried: none of them may hurt.
        await asyncio.sleep(chance.random() * 0.2)
        await daemon.end(signal.SIGKILL)
        with sqlite3.connect(daemon.database) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)], seed
        await writing
        await daemon.start()
        assert {id_ for id_ in known if not id_.endswith("-0")} <= await stored(daemon, prosody.pubsub, node), seed
        await daemon.state(prosody.jid("bob"), "online")
        await daemon.settled(prosody.pubsub, node, "live")
        known = await stored(daemon, prosody.pubsub, node)
        assert known == set(await alice.items(prosody.pubsub, node)), seed
    await alice.close()


@pytest.mark.prosody
async def test_a_killed_daemon_loses_nothing_and_converges(daemon: Daemon, prosody: Prosody) -> None:
    await killed_in_bursts(daemon, prosody, 4)


@pytest.mark.prosody
@pytest.mark.long
@pytest.mark.timeout(600)
async def test_fifty_kills_lose_nothing(daemon: Daemon, prosody: Prosody) -> None:
    await killed_in_bursts(daemon, prosody, 50)
