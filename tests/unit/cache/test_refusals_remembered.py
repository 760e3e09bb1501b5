"""Refusals that are remembered: for whom, for how long, and what makes it worth to ask again."""

from __future__ import annotations

import asyncio

import pytest

from pubsub_cached import errors
from pubsub_cached.xmpp.fake import World
from tests.support.cached import ALICE, ENTRY, Cached, Make
from tests.unit.cache.test_following import MICROBLOG, PUBSUB, followed


async def test_unreachable_for_one_account_is_not_so_for_another(cached: Make) -> None:
    world = World()
    world.account("bob@example.org")
    service = world.service(PUBSUB)
    service.create_node(MICROBLOG)
    cache: Cached = await cached(world, ALICE, "bob@example.org")
    service.fail_next("remote-server-timeout")
    with pytest.raises(errors.PubSubCachedError):
        await cache.read(PUBSUB, MICROBLOG)
    await cache.read(PUBSUB, MICROBLOG, account="bob@example.org")


async def test_several_readers_at_once_count_as_one_refusal(cached: Make) -> None:
    world = World()
    world.service(PUBSUB)
    cache: Cached = await cached(world)
    reads = [cache.read(PUBSUB, MICROBLOG) for _ in range(5)]
    answers = await asyncio.gather(*reads, return_exceptions=True)
    assert all(isinstance(answer, errors.NoSuchNode) for answer in answers)
    asked = world.count()
    cache.clock.advance(seconds=301)
    with pytest.raises(errors.NoSuchNode):
        await cache.read(PUBSUB, MICROBLOG)
    assert world.count() > asked


async def test_an_event_of_a_denied_node_makes_it_worth_a_question(cached: Make) -> None:
    world = World()
    cache, service = await followed(cached, world)
    service.set_affiliation(MICROBLOG, ALICE, "outcast")
    with pytest.raises(errors.Denied):
        await cache.read(PUBSUB, MICROBLOG, policy="network")
    service.set_affiliation(MICROBLOG, ALICE, "member")
    service.publish(MICROBLOG, "new", ENTRY.format("new"))
    await cache.idle()
    assert "new" in await cache.ids(PUBSUB, MICROBLOG)
