"""Services evict beyond ``max_items`` without a word; an owner is told how many items a node keeps."""

from __future__ import annotations

import asyncio
import threading

import pytest

from pubsub_cached.address import Address
from pubsub_cached.analysers.definition import Definition, from_mapping
from pubsub_cached.analysers.item import Item
from pubsub_cached.cache.sync.rounds import DESCRIBED_MS
from pubsub_cached.xmpp.fake import EJABBERD, PROSODY, Profile, Service, World
from tests.support.cached import ALICE, ENTRY, Cached, Make

from .blog import MICROBLOG, later


async def full(cached: Make, profile: Profile = PROSODY) -> tuple[Cached, Service]:
    """A cache of an own blog that keeps three posts and has them; what was told so far is forgotten."""
    world = World()
    service = world.account(ALICE, pep=profile).pep
    service.create_node(MICROBLOG, max_items=3)
    for number in range(3):
        service.publish(MICROBLOG, f"i{number}", ENTRY.format(number))
    cache: Cached = await cached(world)
    await cache.keep(ALICE, MICROBLOG)
    cache.told.clear()
    return cache, service


async def served(cache: Cached) -> list[str]:
    """What is called live, the newest first."""
    items, _, info = await cache.read(ALICE, MICROBLOG, policy="cache")
    assert info["freshness"] == "live"
    assert info["total"] == len(items)
    return [item["id"] for item in items]


async def test_the_owner_is_told_how_many_items_a_node_keeps(cached: Make) -> None:
    cache, _ = await full(cached)
    assert (await cache.node(ALICE, MICROBLOG))["max-items"] == 3


@pytest.mark.parametrize("profile", [PROSODY, EJABBERD], ids=["prosody", "ejabberd"])
async def test_the_oldest_item_goes_with_the_one_too_many(cached: Make, profile: Profile) -> None:
    """coherence, Silent removals: eviction by `max_items`"""
    cache, service = await full(cached, profile)
    service.publish(MICROBLOG, "i3", ENTRY.format(3))
    await cache.idle()
    assert await served(cache) == ["i3", "i2", "i1"]
    assert cache.removed() == ["i0"]
    assert cache.signals("stale") == []


async def test_a_burst_evicts_as_much_as_it_brought(cached: Make) -> None:
    cache, service = await full(cached)
    for number in range(3, 10):
        service.publish(MICROBLOG, f"i{number}", ENTRY.format(number))
    await cache.idle()
    assert await served(cache) == ["i9", "i8", "i7"]


async def test_more_room_that_nobody_was_told_of_keeps_everything(cached: Make) -> None:
    cache, service = await full(cached)
    service.configure(MICROBLOG, max_items=10, notify=False)
    service.publish(MICROBLOG, "i3", ENTRY.format(3))
    await cache.idle()
    assert await served(cache) == ["i3", "i2", "i1", "i0"]
    assert (await cache.node(ALICE, MICROBLOG))["max-items"] == 10


@pytest.mark.parametrize("profile", [PROSODY, EJABBERD], ids=["prosody", "ejabberd"])
async def test_where_the_orders_of_eviction_differ_the_service_is_asked(cached: Make, profile: Profile) -> None:
    cache, service = await full(cached, profile)
    service.publish(MICROBLOG, "i0", ENTRY.format("again"))
    service.publish(MICROBLOG, "i3", ENTRY.format(3))
    await cache.idle()
    assert sorted(await served(cache)) == sorted(item.id for item in service.items(MICROBLOG))


async def test_a_node_that_keeps_as_many_as_there_are_evicts_nothing(cached: Make) -> None:
    cache, service = await full(cached)
    service.publish(MICROBLOG, "i1", ENTRY.format("again"))
    await cache.idle()
    assert await served(cache) == ["i1", "i2", "i0"]
    assert cache.removed() == []


async def test_where_the_service_does_not_say_what_it_keeps_now_it_is_asked_for_what_it_has(cached: Make) -> None:
    cache, service = await full(cached)
    service.configure(MICROBLOG, max_items=10, notify=False)
    for request in ("node_configuration", "disco_info"):
        service.fail_next("internal-server-error", request=request)
    service.publish(MICROBLOG, "i3", ENTRY.format(3))
    await cache.idle()
    assert service.planned == 0
    assert await served(cache) == ["i3", "i2", "i1", "i0"]
    assert cache.removed() == []


@pytest.mark.parametrize("resumed", [True, False], ids=["resumed", "new"])
async def test_a_stream_that_is_lost_while_the_service_is_asked_keeps_nothing_that_was_evicted(
    cached: Make, resumed: bool
) -> None:
    cache, service = await full(cached)
    service.hold()
    service.publish(MICROBLOG, "i3", ENTRY.format(3))
    await service.holding(1)
    cache.world.cut(ALICE)
    await cache.idle()
    service.release()
    (cache.world.resume if resumed else cache.world.restore)(ALICE)
    await cache.idle()
    assert await served(cache) == ["i3", "i2", "i1"]


async def test_a_node_whose_items_expire_by_now_evicts_nothing_by_itself(cached: Make) -> None:
    cache, service = await full(cached, EJABBERD)
    service.configure(MICROBLOG, item_expire="3600", notify=False)
    service.publish(MICROBLOG, "i3", ENTRY.format(3))
    await cache.idle()
    assert (await cache.node(ALICE, MICROBLOG))["state"] == "polled"
    assert await cache.ids(ALICE, MICROBLOG, policy="cache") == ["i3", "i2", "i1"]


async def test_a_type_that_is_found_beside_the_number_is_for_the_analysers(cached: Make) -> None:
    world = World()
    service = world.account(ALICE).pep
    service.create_node("things", max_items=1)
    service.publish("things", "i0", "<x xmlns='urn:x'/>")
    cache: Cached = await cached(world)
    await (await cache.house.sync.start(Address(ALICE, ALICE, "things"), False, "", "")).wait()
    rules = {"name": "x", "type": "thing", "node-type": "urn:x:things", "to-sync": True}
    cache.house.analysers.register(from_mapping(rules), "plugin")
    await cache.house.analysing.settled()
    service.configure("things", node_type="urn:x:things", notify=False)
    service.publish("things", "i1", "<x xmlns='urn:x'/>")
    await cache.idle()
    await later(cache, hours=DESCRIBED_MS / 3_600_000)
    assert (await cache.node(ALICE, "things"))["analyser"] == "x"


async def test_what_is_evicted_while_an_older_answer_is_parsed_does_not_come_back(cached: Make) -> None:
    slow, begun, going = threading.Event(), threading.Event(), threading.Event()

    def parse(item: Item) -> dict[str, str]:
        if item.element.text == "i0" and slow.is_set():
            begun.set()
            going.wait(30)
        return {}

    world = World()
    service = world.account(ALICE).pep
    service.create_node("things", max_items=2)
    for number in range(2):
        service.publish("things", f"i{number}", f"<x xmlns='urn:x'>i{number}</x>")
    cache: Cached = await cached(world)
    things = Definition(name="x", type="thing", namespace="urn:x", to_sync=True, parser=parse)
    cache.house.analysers.register(things, "plugin")
    await cache.keep(ALICE, "things")
    slow.set()
    job = cache.house.sync.job(Address(ALICE, ALICE, "things"), full=True)
    assert await asyncio.to_thread(begun.wait, 30)
    evicted = asyncio.Event()
    cache.house.changes.on_items.append(lambda _, changed, removed, revision: removed and evicted.set())
    service.publish("things", "i2", "<x xmlns='urn:x'>i2</x>")
    async with asyncio.timeout(30):
        await evicted.wait()
    going.set()
    await job.wait()
    await cache.idle()
    assert await cache.ids(ALICE, "things", policy="cache") == ["i2", "i1"]
