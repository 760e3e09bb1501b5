"""Nodes that no analyser keeps any more."""

from __future__ import annotations

import pytest

from pubsub_cached import errors
from pubsub_cached.xmpp.fake import World
from pubsub_cached.xmpp.port import ConfigurationEvent
from tests.support.cached import ALICE, Cached, Make

PUBSUB = "pubsub.example.net"
EVENTS = "urn:xmpp:calendar-events:0"


async def test_a_node_whose_new_configuration_nobody_keeps_is_answered_by_the_service(cached: Make) -> None:
    world = World()
    world.account(ALICE)
    service = world.service(PUBSUB)
    service.create_node("calendar", node_type=EVENTS)
    service.publish("calendar", "e1", "<thing xmlns='urn:example'/>")
    cache: Cached = await cached(world)
    await cache.read(PUBSUB, "calendar")
    await cache.idle()
    assert (await cache.node(PUBSUB, "calendar"))["state"] == "live"
    service.configure("calendar", node_type="urn:example:other")
    world.inject(ALICE, ConfigurationEvent(service=PUBSUB, node="calendar"))
    await cache.idle()
    assert (await cache.node(PUBSUB, "calendar"))["state"] == "discovered"
    with pytest.raises(errors.NotCached):
        await cache.read(PUBSUB, "calendar", policy="cache")
