"""Nodes with very many items: what is stored of one is compared with what the service has, and nobody waits for it."""

from __future__ import annotations

import gc
import time

import pytest

from pubsub_cached.address import Address
from pubsub_cached.store.accounts import nodes
from pubsub_cached.store.items.outline import outline
from pubsub_cached.store.rows import StoredItem
from pubsub_cached.xmpp.fake import World
from tests.support.cached import ALICE, ENTRY, Make
from tests.support.callbacks import watched
from tests.support.stored import publish

from .blog import PUBSUB

ITEMS = 20_000
ADDRESS = Address(ALICE, PUBSUB, "blog")


@pytest.mark.sqlite
async def test_the_outline_of_a_large_node_keeps_nobody_waiting(cached: Make) -> None:
    """Processor time, against what reading it takes in the same run."""
    world = World()
    service = world.service(PUBSUB)
    service.create_node("blog", node_type="urn:xmpp:microblog:0", max_items=ITEMS)
    service.publish("blog", "first", ENTRY.format("first"))
    cache = await cached(world)
    store = cache.house.store
    cache.house.sync.in_background(ADDRESS)
    await cache.idle()
    node = await store.read(nodes.find, ADDRESS)
    stored = [StoredItem(str(number), payload="<entry/>") for number in range(ITEMS)]
    await store.write(publish, node.id, stored)
    gc.collect()
    gc.disable()
    try:
        begun = time.thread_time()
        assert len(store.read_now(outline, node.id).lines) == ITEMS + 1
        alone = time.thread_time() - begun
        with watched() as found:
            cache.house.sync.in_background(ADDRESS)
            await cache.idle()
    finally:
        gc.enable()
    assert (await store.read(nodes.find, ADDRESS)).item_count == 1
    assert found.longest[0].seconds < alone / 2, str(found)
