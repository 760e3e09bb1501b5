"""Revisions of answers: from there on GetChanges tells all that an answer lacks."""

from __future__ import annotations

import asyncio

from pubsub_cached.xmpp.fake import World
from tests.support.cached import ENTRY, Make

from .blog import BLOG, MICROBLOG, PUBSUB, followed, reaching


async def test_what_is_published_while_the_service_answers_is_told_after_the_answer_s_revision(cached: Make) -> None:
    cache, service = await followed(cached)
    service.hold()
    reading = asyncio.create_task(cache.read(PUBSUB, MICROBLOG, policy="network", index=0, limit=5))
    await reaching(service, "get_items")
    # Ids were listed, and where they end was looked at.
    service.release(1)
    await service.holding(1)
    service.publish(MICROBLOG, "new", ENTRY.format("new"))
    await cache.world.settle()
    await cache.store.write(lambda tx: None)
    service.release()
    items, _, info = await reading
    changed, _, _, complete = await cache.house.node_reads.changes(BLOG, info["revision"], 500)
    assert "new" not in [item["id"] for item in items]
    assert (changed, complete) == (["new"], True)


async def test_changes_can_be_told_from_the_revision_of_a_first_read(cached: Make) -> None:
    world = World()
    service = world.service(PUBSUB)
    service.create_node(MICROBLOG)
    service.publish(MICROBLOG, "i0", ENTRY.format(0))
    cache = await cached(world)
    _, _, info = await cache.read(PUBSUB, MICROBLOG)
    await cache.idle()
    changed, removed, _, complete = await cache.house.node_reads.changes(BLOG, info["revision"], 500)
    assert (info["source"], changed, removed, complete) == ("network", ["i0"], [], True)
