"""What is known in memory, while what the database says of it is being read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import msgspec
import pytest
from sqlalchemy import Connection

from pubsub_cached.address import Address
from pubsub_cached.analysers.builtin import registry
from pubsub_cached.cache.privacy import Privacy
from pubsub_cached.store.store import Store
from pubsub_cached.xmpp.fake import World
from tests.support.cached import ALICE, Cached, Make

from .blog import BLOG, followed, writer_busy

pytestmark = pytest.mark.sqlite


class Slow:
    """A store whose reads have begun and are not answered before ``answer`` is set."""

    def __init__(self, store: Store) -> None:
        self.answer = asyncio.Event()
        self._store = store

    async def read(self, fn: Callable[[Connection], Any]) -> Any:
        found = self._store.read_now(fn)
        await self.answer.wait()
        return found


async def test_a_node_that_turns_out_private_while_all_are_looked_at_is_private(cached: Make) -> None:
    cache, _ = await followed(cached, World())
    slow = Slow(cache.store)
    privacy = Privacy(cast("Store", slow), registry())
    loading = asyncio.create_task(privacy.load())
    await asyncio.sleep(0)
    row = await cache.house.nodes.find(BLOG)
    assert row is not None
    privacy.note(msgspec.structs.replace(row, analyser="bookmarks"))
    slow.answer.set()
    await loading
    assert privacy.private(BLOG)


async def test_what_was_just_seen_of_a_service_is_known_when_another_account_is_taken_over(cached: Make) -> None:
    cache: Cached = await cached(World())
    facts, address = cache.house.sync.facts, Address(ALICE, "pubsub.example.net", "blog")
    with writer_busy(cache):
        facts.overwritten(address, False)
        await facts.load("bob@example.org")
        assert facts.of(address).kept == 1
