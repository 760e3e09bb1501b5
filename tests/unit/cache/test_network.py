"""What the cache does when it is told that the network changed or the machine woke up."""

from __future__ import annotations

from pubsub_cached.xmpp.fake import World
from tests.support.cached import ALICE, ENTRY, Cached, Make

from .blog import MICROBLOG, PUBSUB

BOB = "bob@example.org"


async def test_every_waiting_account_connects_at_once_when_the_network_is_up(cached: Make) -> None:
    world = World()
    cache: Cached = await cached(world, ALICE, BOB)
    accounts = cache.house.accounts.list()
    world.cut(ALICE)
    world.cut(BOB)
    await cache.idle()
    cache.house.network_changed(False)
    await cache.idle()
    assert [account.state for account in accounts] == ["waiting", "waiting"]
    cache.house.network_changed(True)
    await cache.idle()
    assert [account.state for account in accounts] == ["online", "online"]


async def test_an_account_that_was_disconnected_stays_so(cached: Make) -> None:
    world = World()
    cache: Cached = await cached(world, ALICE)
    account = cache.house.accounts.get(ALICE)
    await account.disconnect()
    cache.house.network_changed(True)
    await cache.idle()
    assert account.state == "offline"


async def test_what_became_due_while_the_machine_slept_is_validated_when_it_wakes_up(cached: Make) -> None:
    world = World()
    service = world.service(PUBSUB)
    service.create_node(MICROBLOG)
    service.publish(MICROBLOG, "old", ENTRY.format("old"))
    service.fail_next("not-allowed", request="subscribe", times=9)
    cache: Cached = await cached(world)
    await cache.keep(PUBSUB, MICROBLOG)
    assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "polled"
    service.publish(MICROBLOG, "new", ENTRY.format("new"))
    cache.clock.advance(hours=8)
    await cache.idle()
    assert await cache.ids(PUBSUB, MICROBLOG, policy="cache") == ["old"]
    cache.house.network_changed(True)
    await cache.idle()
    assert await cache.ids(PUBSUB, MICROBLOG, policy="cache") == ["new", "old"]
