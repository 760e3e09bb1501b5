"""What is due is looked at in time, whenever that is written down."""

from __future__ import annotations

import asyncio

import pytest

from pubsub_cached import errors
from pubsub_cached.xmpp.fake import World
from tests.support.cached import ALICE, ENTRY, Cached, Make

from .blog import BLOG, MICROBLOG, PUBSUB, followed, freshness, later, local


@pytest.mark.parametrize("seconds", [0, 30, 3600])
async def test_what_is_written_after_it_is_due_is_looked_at_all_the_same(cached: Make, seconds: int) -> None:
    """Whatever was due then has been handed on."""
    cache, _ = await followed(cached)
    cache.house.revalidation.wake()
    await cache.idle()
    live = asyncio.Event()
    cache.house.changes.on_node.append(lambda address, change: change == "live" and live.set())
    node = await cache.house.nodes.find(BLOG)
    assert node is not None
    await cache.house.nodes.update(node, state="stale", next_sync=cache.clock.now - 1000 * seconds)
    async with asyncio.timeout(60):
        await live.wait()


class TestAClockThatWasSetBack:
    """By months, say, as of a machine that knew no better before it had a network."""

    async def test_a_service_that_did_not_answer_is_tried_again(self, cached: Make) -> None:
        cache, service = await followed(cached)
        cache.clock.advance(days=200)
        service.fail_next("remote-server-timeout", times=9)
        with pytest.raises(errors.PubSubCachedError):
            await cache.read(PUBSUB, MICROBLOG, policy="network")
        service.plan_nothing()
        assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "unreachable"
        await later(cache, hours=-200 * 24)
        assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "live"

    async def test_a_subscription_that_is_gone_is_missed(self, cached: Make) -> None:
        cache, service = await followed(cached)
        cache.clock.advance(days=200)
        service.publish(MICROBLOG, "heard", ENTRY.format("heard"))
        await later(cache, hours=0.5)
        await later(cache, hours=-200 * 24)
        service.drop_subscription(MICROBLOG, ALICE)
        service.publish(MICROBLOG, "missed", ENTRY.format("missed"))
        await later(cache, hours=0.1)
        await later(cache, hours=1)
        assert "missed" in await local(cache)
        assert await freshness(cache) == "live"

    async def test_access_is_proved_again(self, cached: Make) -> None:
        world = World()
        service = world.service(PUBSUB)
        service.create_node(MICROBLOG, access_model="whitelist")
        service.set_affiliation(MICROBLOG, ALICE, "member")
        service.publish(MICROBLOG, "i0", ENTRY.format(0))
        cache: Cached = await cached(world)
        cache.clock.advance(hours=5)
        await cache.keep(PUBSUB, MICROBLOG)
        cache.clock.advance(hours=-24)
        before = world.count("get_items")
        await cache.read(PUBSUB, MICROBLOG)
        assert world.count("get_items") > before
