"""Services remove what is older than ``pubsub#item_expire`` without a word, in time or when they are told to."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from pubsub_cached.address import Address
from pubsub_cached.cache.options import SearchOptions
from pubsub_cached.cache.sync.rounds import POLL_MS
from pubsub_cached.xmpp.fake import EJABBERD, PROSODY, Profile, Service, World
from tests.support.cached import ALICE, ENTRY, Cached, Make, answered

from .blog import MICROBLOG, PUBSUB

MINUTE = 60_000


def removing(profile: Profile) -> Profile:
    """As the profile, but what is too old is removed in time."""
    pep = msgspec.structs.replace(profile.pep or profile, expires="removed")
    return msgspec.structs.replace(profile, expires="removed", pep=pep)


REMOVING = removing(EJABBERD)


async def expiring(cached: Make, profile: Profile = REMOVING, expire: str = "60") -> tuple[Cached, Service]:
    """A cache of an own blog with one post, which came as an event just now; what was told so far is forgotten."""
    world = World()
    service = world.account(ALICE, pep=profile).pep
    service.create_node(MICROBLOG, max_items=10, item_expire=expire)
    cache: Cached = await cached(world)
    world.clock = cache.clock
    service.publish(MICROBLOG, "before", ENTRY.format("before"))
    await cache.keep(ALICE, MICROBLOG)
    service.retract(MICROBLOG, "before")
    await cache.house.sync.run(Address(ALICE, ALICE, MICROBLOG))
    service.publish(MICROBLOG, "i0", ENTRY.format(0))
    await cache.idle()
    cache.told.clear()
    return cache, service


async def served(cache: Cached, service: str = ALICE) -> tuple[list[str], str]:
    """What is served without asking the service, the newest first, and what is said of it."""
    items, _, info = await cache.read(service, MICROBLOG, policy="cache")
    return [item["id"] for item in items], info["freshness"]


async def pass_(cache: Cached, *, seconds: float) -> None:
    """Time passes, and whoever watches it notices."""
    cache.clock.advance(seconds=seconds)
    cache.house.revalidation.wake()
    await cache.idle()


async def test_an_item_that_has_to_be_gone_is_asked_for_at_that_moment(cached: Make) -> None:
    """coherence, Silent removals: `item_expire`"""
    cache, _ = await expiring(cached)
    await pass_(cache, seconds=59)
    assert await served(cache) == (["i0"], "validated")
    await pass_(cache, seconds=1)
    assert await served(cache) == ([], "validated")
    assert cache.removed() == ["i0"]


async def test_it_is_served_as_what_it_is_until_the_service_has_answered(cached: Make) -> None:
    cache, service = await expiring(cached)
    service.hold()
    cache.clock.advance(seconds=60)
    cache.house.revalidation.wake()
    await cache.world.settle()
    assert await served(cache) == (["i0"], "stale")
    query = '{"nodes":["urn:xmpp:microblog:0"]}'
    _, _, found = await answered(cache.house.searches.search("", query, SearchOptions(limit=5)))
    assert found["freshness"] == "stale"
    service.release()
    await cache.idle()
    assert await served(cache) == ([], "validated")


async def test_who_was_away_is_told_by_changes(cached: Make) -> None:
    cache, _ = await expiring(cached)
    *_, info = await cache.read(ALICE, MICROBLOG, policy="cache")
    await pass_(cache, seconds=60)
    address = Address(ALICE, ALICE, MICROBLOG)
    changed, removed, _, complete = await cache.house.node_reads.changes(address, info["revision"], 500)
    assert (changed, removed, complete) == ([], ["i0"], True)


async def test_each_item_has_its_own_time(cached: Make) -> None:
    cache, service = await expiring(cached)
    await pass_(cache, seconds=30)
    service.publish(MICROBLOG, "i1", ENTRY.format(1))
    await cache.idle()
    await pass_(cache, seconds=30)
    assert await served(cache) == (["i1"], "validated")
    await pass_(cache, seconds=30)
    assert await served(cache) == ([], "validated")


async def test_one_that_is_published_again_begins_anew(cached: Make) -> None:
    cache, service = await expiring(cached)
    await pass_(cache, seconds=30)
    service.publish(MICROBLOG, "i0", ENTRY.format("again"))
    await cache.idle()
    await pass_(cache, seconds=59)
    assert await served(cache) == (["i0"], "validated")
    await pass_(cache, seconds=1)
    assert await served(cache) == ([], "validated")


async def test_one_that_is_published_again_as_it_was_is_not_taken_for_gone(cached: Make) -> None:
    cache, service = await expiring(cached)
    await pass_(cache, seconds=30)
    service.publish(MICROBLOG, "i0", ENTRY.format(0))
    await cache.idle()
    await pass_(cache, seconds=30)
    assert await served(cache) == (["i0"], "validated")
    assert cache.removed() == []


async def test_what_the_service_keeps_although_it_is_too_old_is_kept(cached: Make) -> None:
    cache, service = await expiring(cached, EJABBERD)
    asked = cache.world.count("get_items")
    await pass_(cache, seconds=60)
    assert await served(cache) == (["i0"], "validated")
    assert cache.told == []
    # Once, and then as often as what is polled.
    assert cache.world.count("get_items") - asked == 1
    assert (await cache.node(ALICE, MICROBLOG))["next-sync"] > cache.clock() + MINUTE
    service.expire_items(MICROBLOG, "i0")
    await pass_(cache, seconds=POLL_MS / 1000)
    assert await served(cache) == ([], "validated")
    assert cache.removed() == ["i0"]


async def test_an_item_of_unknown_age_is_served_no_longer_than_what_is_polled(cached: Make) -> None:
    cache, service = await expiring(cached, expire="7200")
    service.publish(MICROBLOG, "old", ENTRY.format("old"), notify=False)
    await pass_(cache, seconds=7000)
    assert await served(cache) == (["old", "i0"], "validated")
    # It was first seen long after it was published.
    await pass_(cache, seconds=200 + POLL_MS / 1000)
    assert await served(cache) == ([], "validated")


async def test_events_are_applied_though_the_node_is_polled(cached: Make) -> None:
    cache, service = await expiring(cached)
    asked = cache.world.count("get_items")
    service.publish(MICROBLOG, "i1", ENTRY.format(1))
    await cache.idle()
    assert await served(cache) == (["i1", "i0"], "validated")
    assert (await cache.node(ALICE, MICROBLOG))["state"] == "polled"
    assert cache.world.count("get_items") == asked


@pytest.mark.parametrize("restarted", [False, True], ids=["a new session", "a restart"])
async def test_what_was_published_between_two_sessions_is_there_at_once(cached: Make, restarted: bool) -> None:
    cache, service = await expiring(cached)
    cache.world.cut(ALICE)
    # The presence brings the last alone.
    for number in (1, 2):
        service.publish(MICROBLOG, f"i{number}", ENTRY.format(number))
    if restarted:
        await cache.restart()
    else:
        cache.world.restore(ALICE)
        await cache.idle()
    assert await served(cache) == (["i2", "i1", "i0"], "validated")


async def test_what_an_event_makes_due_sooner_is_not_slept_over(cached: Make) -> None:
    cache, _ = await expiring(cached, expire="1")
    gone = asyncio.Event()
    cache.house.changes.on_items.append(lambda address, changed, removed, revision: removed and gone.set())
    cache.clock.advance(seconds=1)
    # A second later, which is all that anybody waits for.
    async with asyncio.timeout(60):
        await gone.wait()
    assert cache.removed() == ["i0"]


async def test_without_a_session_a_reader_keeps_what_it_has(cached: Make) -> None:
    cache, _ = await expiring(cached)
    cache.world.cut(ALICE)
    await pass_(cache, seconds=60)
    assert await served(cache) == (["i0"], "offline")
    cache.world.resume(ALICE)
    await cache.idle()
    assert await served(cache) == ([], "validated")


@pytest.mark.parametrize("value", ["max", "0", "", "nonsense", "-1", "2.5", "9" * 30])
async def test_what_is_no_number_of_seconds_is_no_limit(cached: Make, value: str) -> None:
    cache, _ = await expiring(cached, expire=value)
    await pass_(cache, seconds=3600)
    assert await served(cache) == (["i0"], "live")


async def test_a_service_without_the_setting_keeps_everything(cached: Make) -> None:
    cache, _ = await expiring(cached, PROSODY)
    await pass_(cache, seconds=3600)
    assert await served(cache) == (["i0"], "live")


async def test_a_changed_configuration_counts_at_once(cached: Make) -> None:
    cache, service = await expiring(cached, expire="max")
    assert await served(cache) == (["i0"], "live")
    service.configure(MICROBLOG, item_expire="60", notify=True)
    await cache.idle()
    assert await served(cache) == (["i0"], "validated")
    service.configure(MICROBLOG, item_expire="max", notify=True)
    await cache.idle()
    assert await served(cache) == (["i0"], "live")


async def test_a_configuration_that_a_client_changes_counts_at_once(cached: Make) -> None:
    cache, _ = await expiring(cached, expire="max")
    await cache.house.writing.configure(Address(ALICE, ALICE, MICROBLOG), {"pubsub#item_expire": ("60",)})
    await cache.idle()
    await pass_(cache, seconds=60)
    assert await served(cache) == ([], "validated")


async def test_what_disco_info_says_to_everybody_counts_as_well(cached: Make) -> None:
    world = World()
    service = world.service(PUBSUB, profile=msgspec.structs.replace(REMOVING, shows_expire=True))
    service.create_node(MICROBLOG, item_expire="60")
    cache: Cached = await cached(world)
    world.clock = cache.clock
    service.publish(MICROBLOG, "i0", ENTRY.format(0))
    await cache.keep(PUBSUB, MICROBLOG)
    assert await served(cache, PUBSUB) == (["i0"], "validated")
    await pass_(cache, seconds=60)
    assert await served(cache, PUBSUB) == ([], "validated")
