"""Nodes whose owner turned notifications off (``pubsub#deliver_notifications``): nothing of them is live."""

from __future__ import annotations

from pubsub_cached.address import Address
from pubsub_cached.cache.sync.rounds import POLL_MS
from pubsub_cached.xmpp.fake import Service, World
from tests.support.cached import ALICE, ENTRY, Cached, Make

from .blog import MICROBLOG

MINE = Address(ALICE, ALICE, MICROBLOG)
OFF, ON = ({"pubsub#deliver_notifications": (value,)} for value in "01")


async def mine(cached: Make, *, told: bool) -> tuple[Cached, Service]:
    """A cache of an own blog with one post."""
    world = World()
    service = world.account(ALICE).pep
    service.create_node(MICROBLOG, max_items=10, deliver_notifications=told)
    service.publish(MICROBLOG, "i0", ENTRY.format(0))
    cache: Cached = await cached(world)
    await cache.keep(ALICE, MICROBLOG)
    return cache, service


async def served(cache: Cached) -> tuple[list[str], str]:
    """What is served without asking the service, the newest first, and what is said of it."""
    items, _, info = await cache.read(ALICE, MICROBLOG, policy="cache")
    return [item["id"] for item in items], info["freshness"]


async def test_what_nobody_tells_of_is_found_when_the_node_is_polled(cached: Make) -> None:
    cache, service = await mine(cached, told=False)
    service.publish(MICROBLOG, "i1", ENTRY.format(1))
    await cache.idle()
    assert await served(cache) == (["i0"], "validated")
    cache.clock.advance(seconds=POLL_MS / 1000)
    cache.house.revalidation.wake()
    await cache.idle()
    assert await served(cache) == (["i1", "i0"], "validated")


async def test_it_stays_so_over_a_restart(cached: Make) -> None:
    cache, _ = await mine(cached, told=False)
    await cache.restart()
    await cache.idle()
    assert (await served(cache))[1] == "validated"


async def test_a_configuration_that_a_client_changes_counts_at_once(cached: Make) -> None:
    cache, _ = await mine(cached, told=True)
    assert await served(cache) == (["i0"], "live")
    await cache.house.writing.configure(MINE, OFF)
    await cache.idle()
    assert await served(cache) == (["i0"], "validated")
    await cache.house.writing.configure(MINE, ON)
    await cache.idle()
    assert await served(cache) == (["i0"], "live")


async def test_what_another_client_changed_counts_once_it_is_read(cached: Make) -> None:
    cache, service = await mine(cached, told=True)
    service.node(MICROBLOG).deliver_notifications = False
    await cache.house.writing.configuration(MINE)
    await cache.idle()
    assert await served(cache) == (["i0"], "validated")
