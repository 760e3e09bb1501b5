"""Freshness: nothing is called better than it is known to be."""

from __future__ import annotations

import asyncio

import pytest

from pubsub_cached import errors
from pubsub_cached.xmpp.fake import World
from pubsub_cached.xmpp.port import BounceEvent, ConfigurationEvent
from tests.support.cached import ALICE, ENTRY, Cached, Make

from .blog import MICROBLOG, PUBSUB, followed, freshness, local


async def test_the_presence_of_a_contact_that_left_the_roster_is_no_evidence(cached: Make) -> None:
    world = World()
    world.account(ALICE)
    bob = world.account("bob@example.org")
    world.befriend(ALICE, "bob@example.org")
    bob.pep.create_node(MICROBLOG, access_model="open")
    bob.pep.publish(MICROBLOG, "p1", ENTRY.format("p1"))
    bob.pep.fail_next("not-allowed", request="subscribe", times=9)
    cache: Cached = await cached(world)
    await cache.idle()
    *_, info = await cache.read("bob@example.org", MICROBLOG)
    assert info["freshness"] == "live"
    world.unfriend(ALICE, "bob@example.org")
    bob.pep.publish(MICROBLOG, "p2", ENTRY.format("p2"))
    await cache.idle()
    *_, info = await cache.read("bob@example.org", MICROBLOG)
    assert info["freshness"] != "live"


async def test_a_clock_set_back_makes_nothing_fresh(cached: Make) -> None:
    world = World()
    service = world.service(PUBSUB)
    service.create_node(MICROBLOG)
    service.publish(MICROBLOG, "i0", ENTRY.format(0))
    service.fail_next("not-allowed", pubsub_condition="unsupported", request="subscribe", times=9)
    cache: Cached = await cached(world)
    await cache.keep(PUBSUB, MICROBLOG)
    cache.clock.advance(days=-1)
    assert await freshness(cache) == "stale"


@pytest.mark.sqlite
async def test_what_can_not_be_written_down_is_not_called_live(cached: Make) -> None:
    world = World()
    cache, service = await followed(cached, world)
    await cache.store.maintain(lambda driver: driver.execute("PRAGMA query_only=ON").fetchall())
    service.publish(MICROBLOG, "new", ENTRY.format("new"))
    world.inject(ALICE, BounceEvent(service=PUBSUB, node=""))
    await world.settle()
    await asyncio.wait_for(cache.house.events.settled(), 10)
    assert await freshness(cache) == "stale"
    await cache.store.maintain(lambda driver: driver.execute("PRAGMA query_only=OFF").fetchall())
    await cache.keep(PUBSUB, MICROBLOG)
    assert "new" in await local(cache)
    assert await freshness(cache) == "live"


async def test_a_doubted_node_is_not_shown_by_policy_cache(cached: Make) -> None:
    world = World()
    cache, service = await followed(cached, world)
    service.configure(MICROBLOG, access_model="whitelist")
    service.hold()
    world.inject(ALICE, ConfigurationEvent(service=PUBSUB, node=MICROBLOG))
    await world.settle()
    with pytest.raises(errors.NotCached):
        await cache.read(PUBSUB, MICROBLOG, policy="cache")
    service.release()


async def test_a_session_lost_while_access_is_proved_leaves_an_offline_reader_what_it_had(cached: Make) -> None:
    world = World()
    world.account(ALICE)
    service = world.service(PUBSUB)
    service.create_node(MICROBLOG, access_model="whitelist")
    service.set_affiliation(MICROBLOG, ALICE, "member")
    service.publish(MICROBLOG, "i0", ENTRY.format(0))
    cache: Cached = await cached(world)
    await cache.keep(PUBSUB, MICROBLOG)
    cache.clock.advance(hours=7)
    service.hold()
    read = asyncio.create_task(cache.read(PUBSUB, MICROBLOG))
    await world.settle()
    world.cut(ALICE)
    items, _, info = await read
    assert (len(items), info["freshness"]) == (1, "offline")


async def test_what_was_doubted_before_the_session_went_is_not_shown_offline_either(cached: Make) -> None:
    world = World()
    cache, service = await followed(cached, world)
    service.configure(MICROBLOG, access_model="whitelist")
    service.hold()
    world.inject(ALICE, ConfigurationEvent(service=PUBSUB, node=MICROBLOG))
    await world.settle()
    world.cut(ALICE)
    await cache.idle()
    with pytest.raises(errors.NotCached):
        await cache.read(PUBSUB, MICROBLOG, policy="cache")
    with pytest.raises(errors.Offline):
        await cache.read(PUBSUB, MICROBLOG)
    service.configure(MICROBLOG, access_model="open")
    service.release()
    world.restore(ALICE)
    await cache.idle()
    assert await freshness(cache) == "live"


async def test_who_hears_that_the_account_is_online_is_answered_by_the_service(cached: Make) -> None:
    world = World()
    cache, service = await followed(cached, world)
    account = cache.house.accounts.get(ALICE)
    reads: list[asyncio.Task[list[str]]] = []

    def heard() -> None:
        if account.state == "online":
            reads.append(asyncio.create_task(cache.ids(PUBSUB, MICROBLOG, policy="refresh", limit=1)))

    account.on_change.append(heard)
    world.cut(ALICE)
    await cache.idle()
    service.publish(MICROBLOG, "meanwhile", ENTRY.format("meanwhile"))
    world.restore(ALICE)
    await cache.idle()
    assert [await read for read in reads] == [["meanwhile"]]


async def test_a_resumed_session_is_told_as_online(cached: Make) -> None:
    world = World()
    cache, _ = await followed(cached, world)
    account = cache.house.accounts.get(ALICE)
    states: list[str] = []
    account.on_change.append(lambda: states.append(account.state))
    world.cut(ALICE)
    await cache.idle()
    world.resume(ALICE)
    await cache.idle()
    assert states == ["waiting", "connecting", "online"]
    assert await freshness(cache) == "live"
