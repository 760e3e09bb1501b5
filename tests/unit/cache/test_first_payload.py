"""Nodes of which only a payload tells what they are: the first one that comes does, by whichever way it comes."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.analysers.definition import Definition
from pubsub_cached.analysers.item import Item
from pubsub_cached.cache.jobs import Job, JobFailed
from pubsub_cached.cache.options import PurgeFilter
from pubsub_cached.xmpp.fake import EJABBERD, PROSODY, Profile, Service, World
from tests.support.cached import ALICE, ENTRY, Cached, Make

from .blog import PUBSUB, reaching

CALENDAR = "<event xmlns='urn:xmpp:calendar-events:0'><name>{0}</name></event>"
SECRET = "<secret xmlns='urn:example:secret'>{0}</secret>"
OWN = Address(ALICE, ALICE, "things")
COUNT = 5

NEVER_STORED = Definition(name="secret", type="secret", namespace="urn:example:secret", excluded=True)


async def synchronised(cache: Cached, service: str) -> None:
    """Pin the node and synchronise it; raises what a client is told."""
    await cache.house.sync.run(Address(ALICE, service, "things"), pin=True)


def filled(world: World, payload: str = ENTRY, profile: Profile = PROSODY, count: int = COUNT) -> Service:
    """The account's own service, with a node whose name says nothing."""
    pep = world.account(ALICE, pep=profile).pep
    pep.create_node("things", max_items=100)
    for number in range(count):
        pep.publish("things", f"i{number}", payload.format(number))
    return pep


async def local(cache: Cached, service: str = ALICE) -> dict[str, str | None]:
    """The ids that the cache has of the node, and what kind of item each is."""
    items, _, info = await cache.read(service, "things", policy="cache")
    assert info["freshness"] == "live"
    return {item["id"]: item.get("type") for item in items}


async def fetching(cache: Cached, service: Service) -> Job:
    """The job that pins the own node, as far as that all items are asked for; the request is held."""
    service.hold()
    job = await cache.house.sync.start(OWN, False, "", "")
    async with asyncio.timeout(30):
        while "get_items" not in [request.kind for request in service.held]:
            service.release(1)
            await service.holding(1)
    return job


@pytest.mark.parametrize("profile", [PROSODY, EJABBERD], ids=["prosody", "ejabberd"])
async def test_all_of_an_own_node_is_asked_for_once_whatever_it_is(cached: Make, profile: Profile) -> None:
    world = World()
    filled(world, profile=profile)
    cache: Cached = await cached(world)
    world.requests.clear()
    await synchronised(cache, ALICE)
    assert [request.kind for request in world.requests].count("get_items") == 1
    assert await local(cache) == {f"i{number}": "blog" for number in range(COUNT)}
    assert (await cache.node(ALICE, "things"))["type"] == "blog"


async def test_what_was_fetched_is_parsed_once(cached: Make) -> None:
    world = World()
    filled(world, "<x xmlns='urn:x'>{0}</x>")
    cache: Cached = await cached(world)
    parsed: list[str] = []

    def parser(item: Item) -> dict[str, str]:
        parsed.append(item.context.id)
        return {}

    register(cache, Definition(name="x", type="thing", namespace="urn:x", parser=parser))
    await synchronised(cache, ALICE)
    await cache.idle()
    # The last one comes as events as well, for the service sends it to whoever subscribes.
    assert sorted(id_ for id_ in parsed if id_ != f"i{COUNT - 1}") == [f"i{number}" for number in range(COUNT - 1)]


async def test_more_is_fetched_of_a_node_of_whose_kind_more_is_kept(cached: Make) -> None:
    world = World()
    filled(world, CALENDAR)
    cache: Cached = await cached(world, items_per_node=3)
    await synchronised(cache, ALICE)
    assert await local(cache) == {f"i{number}": "event" for number in range(COUNT)}
    assert (await cache.node(ALICE, "things"))["completeness"] == "full"


async def test_an_event_during_the_fetch_is_parsed_as_what_it_is(cached: Make) -> None:
    world = World()
    pep = filled(world)
    cache: Cached = await cached(world)
    await fetching(cache, pep)
    pep.publish("things", "new", ENTRY.format("new"))
    await world.settle()
    await cache.house.events.settled()
    assert (await cache.node(ALICE, "things"))["type"] == "blog"
    pep.release()
    await cache.idle()
    assert await local(cache) == {f"i{number}": "blog" for number in range(COUNT)} | {"new": "blog"}


async def test_a_read_during_the_fetch_is_given_what_the_items_say(cached: Make) -> None:
    world = World()
    pep = filled(world)
    cache: Cached = await cached(world)
    await fetching(cache, pep)
    reading = asyncio.create_task(cache.read(ALICE, "things"))
    await pep.holding(2)
    pep.release()
    items, _, info = await reading
    assert info["source"] == "network"
    assert {item.get("type") for item in items} == {"blog"}
    await cache.idle()
    assert await local(cache) == {f"i{number}": "blog" for number in range(COUNT)}


@pytest.mark.parametrize(
    "change",
    [{"excluded": True}, {"private": True}, {"agent": "/agent", "callbacks": ("match",)}],
    ids=["excluded", "private", "agent"],
)
async def test_the_newest_item_is_asked_for_first_where_it_might_forbid_the_rest(
    cached: Make, change: dict[str, object]
) -> None:
    world = World()
    filled(world)
    cache: Cached = await cached(world)
    register(cache, msgspec.structs.replace(NEVER_STORED, **({"excluded": False} | change)))
    world.requests.clear()
    await synchronised(cache, ALICE)
    asked = [request.args["max_items"] for request in world.requests if request.kind == "get_items"]
    assert asked[0] == 1
    assert await local(cache) == {f"i{number}": "blog" for number in range(COUNT)}


async def test_of_what_is_excluded_by_its_payload_nothing_is_left_anywhere(cached: Make) -> None:
    world = World()
    pep = filled(world, SECRET)
    cache: Cached = await cached(world)
    register(cache, NEVER_STORED)
    with pytest.raises(errors.NotSupported):
        await synchronised(cache, ALICE)
    await nothing_is_left(cache, pep)
    assert "subscribe" not in [request.kind for request in world.requests]
    assert not [told for told in cache.told if len(told) == 4]


@pytest.mark.parametrize("meanwhile", ["nothing", "event"])
async def test_nor_of_what_is_excluded_only_once_it_is_being_fetched(cached: Make, meanwhile: str) -> None:
    world = World()
    pep = filled(world, SECRET)
    cache: Cached = await cached(world)
    job = await fetching(cache, pep)
    register(cache, NEVER_STORED)
    if meanwhile == "event":
        pep.publish("things", "new", SECRET.format("new"))
    # The analysers are asked again beside the synchronisation, which may end before the answer is written down.
    await world.settle()
    await cache.house.events.settled()
    pep.release()
    await cache.idle()
    with pytest.raises(JobFailed, match="Nothing of 'things'"):
        await job.wait()
    await nothing_is_left(cache, pep)


@pytest.mark.parametrize("way", ["event", "read"])
async def test_of_what_is_excluded_by_its_first_item_nothing_is_left_anywhere(cached: Make, way: str) -> None:
    world = World()
    pep = world.account(ALICE).pep
    pep.create_node("things")
    cache: Cached = await cached(world)
    register(cache, NEVER_STORED)
    await synchronised(cache, ALICE)
    pep.publish("things", "i0", SECRET.format("i0"), notify=way == "event")
    if way == "read":
        items, *_ = await cache.read(ALICE, "things", policy="network")
        assert [item["id"] for item in items] == ["i0"]
    await cache.idle()
    await nothing_is_left(cache, pep)


async def nothing_is_left(cache: Cached, service: Service) -> None:
    """The row says that nothing is stored, no item is, and the service does not think that somebody listens."""
    node = await cache.node(ALICE, "things")
    assert (node["state"], node["items"], node["subscribed"], node["pinned"]) == ("excluded", 0, False, False)
    assert not service.node("things").subscribed(ALICE)
    service.publish("things", "later", SECRET.format("later"))
    await cache.idle()
    assert (await cache.node(ALICE, "things"))["items"] == 0


async def test_an_own_node_that_is_not_there_leaves_no_row(cached: Make) -> None:
    world = World()
    cache: Cached = await cached(world)
    with pytest.raises(errors.NoSuchNode):
        await synchronised(cache, ALICE)
    with pytest.raises(errors.NoSuchNode):
        await cache.node(ALICE, "things")


@pytest.mark.parametrize("service", [ALICE, PUBSUB], ids=["own", "component"])
async def test_an_empty_node_that_is_pinned_is_matched_at_its_first_event(cached: Make, service: str) -> None:
    world = World()
    there = world.account(ALICE).pep if service == ALICE else world.service(PUBSUB)
    there.create_node("things")
    cache: Cached = await cached(world)
    await synchronised(cache, service)
    assert "type" not in await cache.node(service, "things")
    there.publish("things", "i0", ENTRY.format("i0"))
    await cache.idle()
    assert (await cache.node(service, "things"))["type"] == "blog"
    assert await local(cache, service) == {"i0": "blog"}


@pytest.mark.parametrize("payload", [ENTRY, CALENDAR, "<x xmlns='urn:x'>{0}</x>"], ids=["kept", "too", "unknown"])
async def test_an_empty_node_is_matched_by_the_read_that_finds_its_first_item(cached: Make, payload: str) -> None:
    world = World()
    service = world.service(PUBSUB)
    service.create_node("things", owner=ALICE)
    cache: Cached = await cached(world)
    await cache.read(PUBSUB, "things")
    assert (await cache.node(PUBSUB, "things"))["state"] == "discovered"
    # Nobody is subscribed, so no event tells.
    service.publish("things", "i0", payload.format(0))
    (item,), *_ = await cache.read(PUBSUB, "things")
    await cache.idle()
    kind = {ENTRY: "blog", CALENDAR: "event"}.get(payload)
    assert item.get("type") == kind
    if kind is not None:
        assert await local(cache, PUBSUB) == {"i0": kind}
    else:
        assert (await cache.node(PUBSUB, "things"))["state"] == "discovered"
        before = world.count("disco_info", PUBSUB, "things")
        await cache.read(PUBSUB, "things")
        assert world.count("disco_info", PUBSUB, "things") == before


async def test_a_node_that_is_forgotten_meanwhile_is_not_made_again_by_what_it_is(cached: Make) -> None:
    world = World()
    pep = filled(world)
    cache: Cached = await cached(world)
    await fetching(cache, pep)
    forgetting = cache.house.removal.purge(PurgeFilter(nodes=("things",), forget=True))
    await pep.holding(2)
    # While its subscription is being given up the synchronisation, which that disturbed, begins anew.
    synchronised = asyncio.create_task(cache.house.sync.settled())
    while not synchronised.done() and "subscribe" not in [request.kind for request in pep.held]:
        for kind in {request.kind for request in pep.held} - {"unsubscribe"}:
            pep.release(1, request=kind)
        asking = asyncio.create_task(pep.holding(2))
        await asyncio.wait([synchronised, asking], return_when=asyncio.FIRST_COMPLETED)
        asking.cancel()
    pep.release(1, request="unsubscribe")
    await forgetting.wait()
    pep.release()
    await synchronised
    await cache.idle()
    with pytest.raises(errors.NoSuchNode):
        await cache.node(ALICE, "things")
    assert not pep.node("things").subscribed(ALICE)
    assert cache.failures() == []


async def test_a_read_is_answered_though_the_node_is_forgotten_before_its_first_payload_tells(cached: Make) -> None:
    world = World()
    service = world.service(PUBSUB)
    service.create_node("things")
    cache: Cached = await cached(world)
    await synchronised(cache, PUBSUB)
    service.drop_subscription("things", ALICE)
    service.publish("things", "i0", ENTRY.format("i0"))
    service.hold()
    reading = asyncio.create_task(cache.read(PUBSUB, "things", policy="network"))
    await reaching(service, "get_items")
    forgetting = cache.house.removal.purge(PurgeFilter(nodes=("things",), forget=True))
    await service.holding(2)
    service.release(request="unsubscribe")
    await forgetting.wait()
    service.release()
    items, _, info = await reading
    assert ([(item["id"], item.get("type")) for item in items], info["source"]) == ([("i0", "blog")], "network")
    await cache.idle()
    assert (await cache.node(PUBSUB, "things"))["state"] == "live"


def register(cache: Cached, definition: Definition) -> None:
    cache.house.analysers.register(definition, "plugin")
