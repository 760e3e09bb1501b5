"""Silence: a subscription that ended without a word is missed, and made again."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from pubsub_cached.address import Address
from pubsub_cached.cache.revalidation.silence import LISTED_MS
from pubsub_cached.cache.sync.rounds import SILENCE_MS
from pubsub_cached.xmpp.fake import EJABBERD, LIBERVIA, PROSODY, Profile, World
from tests.support.cached import ALICE, ENTRY, Make

from .blog import MICROBLOG, PUBSUB, followed, freshness, later, local, reaching

ADDRESS = Address(ALICE, PUBSUB, MICROBLOG)
ANY = pytest.mark.parametrize("profile", [PROSODY, EJABBERD, LIBERVIA], ids=["prosody", "ejabberd", "libervia"])
HOUR = LISTED_MS / 3_600_000
HOURS = SILENCE_MS / 3_600_000


@ANY
async def test_a_subscription_that_is_gone_is_missed_within_the_hour(cached: Make, profile: Profile) -> None:
    cache, service = await followed(cached, World(), profile)
    await later(cache, hours=0.1)
    service.drop_subscription(MICROBLOG, ALICE)
    service.publish(MICROBLOG, "missed", ENTRY.format("missed"))
    await later(cache, hours=HOUR)
    assert "missed" in await local(cache)
    service.publish(MICROBLOG, "next", ENTRY.format("next"))
    await cache.idle()
    assert "next" in await local(cache)
    assert await freshness(cache) == "live"


async def test_a_node_that_was_closed_and_opened_is_followed_again(cached: Make) -> None:
    cache, service = await followed(cached, World())
    await later(cache, hours=0.1)
    service.configure(MICROBLOG, access_model="whitelist")
    service.configure(MICROBLOG, access_model="open")
    service.publish(MICROBLOG, "missed", ENTRY.format("missed"))
    await later(cache, hours=HOUR)
    assert "missed" in await local(cache)


async def test_a_node_that_stays_closed_is_hidden(cached: Make) -> None:
    cache, service = await followed(cached, World())
    await later(cache, hours=0.1)
    service.configure(MICROBLOG, access_model="whitelist")
    await later(cache, hours=HOUR)
    assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "denied"


@ANY
async def test_what_no_list_of_subscriptions_shows_is_found_after_several_hours(cached: Make, profile: Profile) -> None:
    cache, service = await followed(cached, World(), profile)
    # Deleted and made again: Prosody goes on listing the subscription, and sends nothing.
    service.delete(MICROBLOG, notify=False)
    service.create_node(MICROBLOG)
    service.publish(MICROBLOG, "first", ENTRY.format("first"))
    await later(cache, hours=HOURS)
    assert await local(cache) == {item.id: item.payload for item in service.items(MICROBLOG)}
    service.publish(MICROBLOG, "next", ENTRY.format("next"))
    await cache.idle()
    assert "next" in await local(cache)


async def test_a_service_is_asked_once_for_all_its_nodes(cached: Make) -> None:
    world = World()
    cache, service = await followed(cached, world, EJABBERD)
    for name in "abc":
        service.create_node(f"{MICROBLOG}/{name}")
        service.publish(f"{MICROBLOG}/{name}", "i0", ENTRY.format(0))
        await cache.read(PUBSUB, f"{MICROBLOG}/{name}")
    await cache.idle()
    await later(cache, hours=0.1)
    before = world.count()
    await later(cache, hours=HOUR)
    assert world.count() - before == 1


async def test_a_node_that_speaks_is_not_asked_about(cached: Make) -> None:
    world = World()
    cache, service = await followed(cached, world, EJABBERD)
    await later(cache, hours=0.1)
    for number in range(12):
        cache.clock.advance(hours=HOUR / 2)
        service.publish(MICROBLOG, f"n{number}", ENTRY.format(number))
        await cache.idle()
        before = world.count()
        await later(cache, hours=HOUR / 4)
        assert world.count() == before


@ANY
async def test_a_silent_node_of_which_nothing_is_wrong_is_looked_at_without_a_word(
    cached: Make, profile: Profile
) -> None:
    world = World()
    cache, _ = await followed(cached, world, profile)
    revision, before = cache.house.revision, world.count("get_items")
    await later(cache, hours=HOURS)
    assert world.count("get_items") == before + 1
    assert cache.told == []
    assert cache.house.revision == revision


async def test_a_list_without_ids_does_not_say_that_one_with_an_id_is_gone(cached: Make) -> None:
    cache, service = await followed(cached, World(), EJABBERD)
    listed = service.node(MICROBLOG).subscriptions
    listed[ALICE] = msgspec.structs.replace(listed[ALICE], subid="")
    await later(cache, hours=0.1)
    cache.told.clear()
    await later(cache, hours=HOUR)
    assert cache.told == []


async def test_time_without_a_stream_is_no_silence(cached: Make) -> None:
    world = World()
    cache, _ = await followed(cached, world)
    world.cut(ALICE)
    await cache.idle()
    cache.clock.advance(hours=20)
    before = world.count()
    world.resume(ALICE)
    await cache.idle()
    await later(cache, hours=0.1)
    assert world.count() == before


@ANY
async def test_one_that_waits_for_approval_again_brings_nothing(cached: Make, profile: Profile) -> None:
    cache, service = await followed(cached, World(), profile)
    found = service.node(MICROBLOG).subscriptions[ALICE]
    service.node(MICROBLOG).subscriptions[ALICE] = msgspec.structs.replace(found, state="pending")
    service.publish(MICROBLOG, "missed", ENTRY.format("missed"))
    await cache.house.discovery.subscriptions(ADDRESS._replace(node=""))
    await cache.idle()
    assert "missed" in await local(cache)
    state = (await cache.node(PUBSUB, MICROBLOG))["state"]
    assert state == ("live" if service.node(MICROBLOG).subscribed(ALICE) else "polled")


@ANY
async def test_what_a_client_gives_up_while_all_are_listed_did_not_end_without_a_word(
    cached: Make, profile: Profile
) -> None:
    cache, service = await followed(cached, World(), profile)
    service.hold()
    listing = asyncio.create_task(cache.house.discovery.subscriptions(ADDRESS._replace(node="")))
    await reaching(service, "subscriptions")
    unsubscribing = asyncio.create_task(cache.house.subscribing.unsubscribe(ADDRESS))
    await service.holding(2)
    service.release(1, request="unsubscribe")
    await unsubscribing
    service.release()
    assert await listing == ([], "")
    await cache.idle()
    assert cache.signals("stale") == []
    assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "polled"


@ANY
@pytest.mark.parametrize("state", ["live", "stale"])
async def test_one_that_ends_once_a_synchronisation_has_seen_it_is_missed_all_the_same(
    cached: Make, profile: Profile, state: str
) -> None:
    world = World()
    cache, service = await followed(cached, world, profile)
    service.hold()
    listing = asyncio.create_task(cache.house.discovery.subscriptions(ADDRESS._replace(node="")))
    await reaching(service, "subscriptions")
    if state == "live":
        cache.house.sync.in_background(ADDRESS)
    else:
        await cache.house.distrust.of(ADDRESS, "disagreement")
    await service.holding(2)
    while service.held[-1].kind != "get_items":
        service.release(1, node=MICROBLOG)
        await service.holding(2)
    service.drop_subscription(MICROBLOG, ALICE)
    service.release()
    await listing
    await cache.idle()
    service.publish(MICROBLOG, "next", ENTRY.format("next"))
    await cache.idle()
    assert await freshness(cache) == "live"
    assert "next" in await local(cache)
