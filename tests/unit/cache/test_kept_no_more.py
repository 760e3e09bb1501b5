"""Nodes that no analyser keeps any more."""

from __future__ import annotations

import asyncio

import pytest

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.store.accounts import nodes as node_store
from pubsub_cached.xmpp.fake import World
from pubsub_cached.xmpp.port import ConfigurationEvent, DeleteEvent, Event, PurgeEvent
from tests.support.cached import ALICE, Cached, Make

from .blog import MICROBLOG, PUBSUB, followed

EVENTS = "urn:xmpp:calendar-events:0"


async def let_go(cached: Make, items: int) -> Cached:
    """A node that was kept until its configuration changed."""
    world = World()
    world.account(ALICE)
    service = world.service(PUBSUB)
    service.create_node("calendar", node_type=EVENTS)
    for number in range(items):
        service.publish("calendar", f"e{number}", "<thing xmlns='urn:example'/>")
    cache: Cached = await cached(world)
    await cache.keep(PUBSUB, "calendar")
    before = await cache.node(PUBSUB, "calendar")
    assert (before["state"], before["completeness"], before["items"]) == ("live", "full", items)
    service.configure("calendar", node_type="urn:example:other")
    world.inject(ALICE, ConfigurationEvent(service=PUBSUB, node="calendar"))
    await cache.idle()
    assert (await cache.node(PUBSUB, "calendar"))["state"] == "discovered"
    return cache


async def test_a_node_whose_new_configuration_nobody_keeps_is_answered_by_the_service(cached: Make) -> None:
    cache = await let_go(cached, items=1)
    with pytest.raises(errors.NotCached):
        await cache.read(PUBSUB, "calendar", policy="cache")


async def test_an_empty_node_that_was_let_go_can_be_synchronised(cached: Make) -> None:
    cache = await let_go(cached, items=0)
    assert (await cache.node(PUBSUB, "calendar"))["completeness"] == "none"
    job = await cache.house.sync.start(Address(ALICE, PUBSUB, "calendar"), True, "", "")
    await job.wait()
    assert (await cache.node(PUBSUB, "calendar"))["state"] == "live"
    assert await cache.ids(PUBSUB, "calendar", policy="cache") == []


@pytest.mark.parametrize("event", [DeleteEvent, PurgeEvent, ConfigurationEvent])
async def test_a_node_that_is_forgotten_while_its_event_is_applied_is_no_failure(
    cached: Make, event: type[Event]
) -> None:
    """However far the event has come when the row goes."""
    world = World()
    cache, _ = await followed(cached, world)
    address = Address(ALICE, PUBSUB, MICROBLOG)
    for turns in range(12):
        await cache.keep(PUBSUB, MICROBLOG)
        node = await cache.store.read(node_store.find, address)
        assert node is not None
        account = cache.house.accounts.get(ALICE)
        cache.house.events.put(account, event(service=PUBSUB, node=MICROBLOG))
        for _ in range(turns):
            await asyncio.sleep(0)
        await cache.store.write(node_store.forget, node.id)
        await cache.idle()
    assert cache.failures() == []
