"""What an answer says of the time at which it was last known to be the service's."""

from __future__ import annotations

from pubsub_cached.address import Address
from pubsub_cached.xmpp.fake import World
from tests.support.cached import ALICE, ENTRY, Cached, Make

from .blog import MICROBLOG, PUBSUB


async def test_who_joins_a_synchronisation_is_told_that_it_began_before(cached: Make) -> None:
    world = World()
    service = world.service(PUBSUB)
    service.create_node(MICROBLOG)
    service.publish(MICROBLOG, "old", ENTRY.format("old"))
    cache: Cached = await cached(world)
    await cache.keep(PUBSUB, MICROBLOG)
    service.hold()
    job = await cache.house.sync.start(Address(ALICE, PUBSUB, MICROBLOG), True, "", "")
    await world.settle()
    while not any(request.kind == "get_items" for request in service.held):
        service.release(1)
        await world.settle()
    began = cache.clock.now
    cache.clock.advance(seconds=5)
    service.release()
    await job.wait()
    *_, info = await cache.read(PUBSUB, MICROBLOG, policy="cache")
    assert info["validated-at"] <= began
