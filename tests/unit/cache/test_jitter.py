"""Jitter: nothing that many would do happens at one moment, and nothing happens too late."""

from __future__ import annotations

import random

from pubsub_cached.address import Address
from pubsub_cached.cache.jitter import RETRY_FIRST, RETRY_LONGEST, Jitter
from pubsub_cached.cache.sync.rounds import POLL_MS, SILENCE_MS
from pubsub_cached.xmpp.fake import World
from tests.support.cached import ALICE, ENTRY, Cached, Make

from .blog import MICROBLOG, PUBSUB, followed


def test_waits_end_in_time_and_differ() -> None:
    jitter = Jitter(random.Random(1))
    waits = {jitter.within(10_000) for _ in range(100)}
    assert len(waits) > 50
    assert 7_500 <= min(waits) < max(waits) <= 10_000


def test_the_same_chance_draws_the_same_waits() -> None:
    one, other = Jitter(random.Random(7)), Jitter(random.Random(7))
    assert [one.within(10_000) for _ in range(5)] == [other.within(10_000) for _ in range(5)]


def test_a_retry_waits_longer_each_time_up_to_a_limit() -> None:
    for failures in range(40):
        longest = min(RETRY_FIRST << failures, RETRY_LONGEST)
        assert longest // 2 <= Jitter().retry(failures) <= longest


async def test_two_nodes_that_failed_together_are_not_tried_again_together(cached: Make) -> None:
    world = World()
    service = world.service(PUBSUB)
    for name in "ab":
        service.create_node(f"{MICROBLOG}/{name}")
        service.publish(f"{MICROBLOG}/{name}", "i0", ENTRY.format(0))
    cache: Cached = await cached(world)
    for name in "ab":
        await cache.read(PUBSUB, f"{MICROBLOG}/{name}")
    await cache.idle()
    service.down()
    world.cut(ALICE)
    world.restore(ALICE)
    await cache.idle()
    times = {(await cache.node(PUBSUB, f"{MICROBLOG}/{name}"))["next-sync"] for name in "ab"}
    assert len(times) == 2


async def test_a_live_node_is_looked_at_within_the_silence_and_a_polled_one_within_its_time(cached: Make) -> None:
    cache, service = await followed(cached, World())
    assert 0 < (await cache.node(PUBSUB, MICROBLOG))["next-sync"] - cache.clock.now <= SILENCE_MS
    service.fail_next("not-allowed", request="subscribe")
    await cache.house.sync.job(Address(ALICE, PUBSUB, MICROBLOG)).wait()
    await cache.idle()
    assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "polled"
    assert 0 < (await cache.node(PUBSUB, MICROBLOG))["next-sync"] - cache.clock.now <= POLL_MS
