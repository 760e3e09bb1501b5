"""Jobs: their paths."""

from __future__ import annotations

import asyncio

from pubsub_cached.xmpp.fake import World
from tests.support.cached import Cached, Make


async def test_a_token_that_a_client_chose_is_never_chosen_by_the_daemon(cached: Make) -> None:
    cache: Cached = await cached(World())
    ended = asyncio.Event()

    async def work(job: object) -> str:
        await ended.wait()
        return ""

    cache.house.jobs.start("test", work, ":1.5", "j1")
    cache.house.jobs.start("test", work, ":1.5")
    ended.set()
