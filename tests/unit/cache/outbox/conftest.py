"""The scene that most tests of the outbox begin with."""

from __future__ import annotations

import pytest

from pubsub_cached.xmpp.fake import PROSODY, Profile, World
from tests.support.cached import ALICE, Cached, Make

from ..blog import MICROBLOG, PUBSUB, post
from .scene import Scene


@pytest.fixture
def profile() -> Profile:
    return PROSODY


@pytest.fixture
async def scene(cached: Make, profile: Profile) -> Scene:
    world = World()
    service = world.service(PUBSUB, profile=profile)
    service.create_node(MICROBLOG, owner=ALICE, max_items=10_000)
    for number in range(2):
        service.publish(MICROBLOG, f"i{number}", post(number))
    cache: Cached = await cached(world)
    await cache.keep(PUBSUB, MICROBLOG)
    found = Scene(world, cache, service)
    await found.cut()
    cache.told.clear()
    return found
