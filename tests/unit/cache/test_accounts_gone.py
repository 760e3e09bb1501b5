"""Accounts that are no more: the cache goes on without them."""

from __future__ import annotations

import msgspec

from pubsub_cached.xmpp.fake import World
from tests.support.cached import ALICE, ENTRY, Cached, Make

from .blog import MICROBLOG, PUBSUB, local


async def test_an_account_taken_out_of_the_configuration_ends_nothing(cached: Make) -> None:
    world = World()
    world.account("bob@example.org")
    service = world.service(PUBSUB)
    service.create_node(MICROBLOG)
    service.publish(MICROBLOG, "i0", ENTRY.format(0))
    service.fail_next("not-allowed", pubsub_condition="unsupported", request="subscribe", times=9)
    cache: Cached = await cached(world, ALICE, "bob@example.org")
    for account in (ALICE, "bob@example.org"):
        await cache.read(PUBSUB, MICROBLOG, account=account)
    await cache.idle()
    await cache.stop()
    cache.settings = msgspec.structs.replace(
        cache.settings, account=tuple(each for each in cache.settings.account if each.jid == ALICE)
    )
    cache.clock.advance(hours=1)
    await cache.start()
    service.publish(MICROBLOG, "i1", ENTRY.format(1))
    cache.clock.advance(hours=1)
    cache.house.revalidation.wake()
    await cache.idle()
    assert "i1" in await local(cache)
