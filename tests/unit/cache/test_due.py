"""What is due is looked at in time, whenever that is written down."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.cached import Make

from .blog import BLOG, followed


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
