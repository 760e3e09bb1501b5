"""Every place in every order, by every policy: what is read is the part of the whole that was asked for.

Whether all of the node is kept, the newest of it or nothing, a reader is given the same; only who answers differs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pubsub_cached.cache.options import Order
from pubsub_cached.cache.policy import Policy
from pubsub_cached.xmpp.fake import EJABBERD, Profile, Service, World
from tests.support.cached import ENTRY, Cached, Make

from .blog import MICROBLOG, PROFILES, PUBSUB

# In the order of their publication; their own is another one.
NAMES = ("q", "c", "m", "a", "z", "k", "b")
POLICIES: tuple[Policy, ...] = ("default", "refresh", "network")


class Scene:
    """A node at a service and a cache that keeps so many items of it, of which one was published again."""

    def __init__(self, cache: Cached, service: Service, node: str) -> None:
        self.cache = cache
        self.service = service
        self.node = node

    @classmethod
    async def begin(cls, cached: Make, profile: Profile, kept: int, again: str) -> Scene:
        world = World()
        service = world.service(PUBSUB, profile=profile)
        node, payload = (MICROBLOG, ENTRY) if kept else ("things", "<thing xmlns='urn:example'>{}</thing>")
        service.create_node(node, max_items=1000)
        for name in NAMES:
            service.publish(node, name, payload.format(name))
        cache: Cached = await cached(world, items_per_node=kept or 500)
        scene = cls(cache, service, node)
        await cache.keep(PUBSUB, node)
        if again:
            service.publish(node, again, payload.format("again"))
            await cache.idle()
        return scene

    def whole(self, key: str, descending: bool) -> list[str]:
        ids = [item.id for item in self.service.items(self.node)]
        ids = sorted(ids) if key == "id" else ids
        return ids[::-1] if descending else ids

    async def read(self, policy: Policy, order: Order, **place: Any) -> tuple[list[str], str]:
        # Later than what was validated for the last read is good for.
        self.cache.clock.advance(seconds=61)
        items, cursor, info = await self.cache.read(PUBSUB, self.node, policy=policy, order=order, **place)
        ids = [item["id"] for item in items]
        assert "index" not in info or self.whole(*order[0])[info["index"]] == ids[0]
        return ids, cursor

    async def walk(self, policy: Policy, order: Order, limit: int) -> list[str]:
        found, cursor = await self.read(policy, order, limit=limit)
        while cursor:
            ids, cursor = await self.read(policy, order, limit=limit, cursor=cursor)
            found += ids
        return found


def places(whole: list[str]) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Options that name a place, and what is there."""
    yield {"before": "", "limit": 3}, whole[-3:]
    for number, id_ in enumerate(whole):
        yield {"after": id_, "limit": 2}, whole[number + 1 : number + 3]
        yield {"before": id_, "limit": 2}, whole[max(0, number - 2) : number]
        yield {"index": number, "limit": 2}, whole[number : number + 2]


@PROFILES
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    "kept",
    [
        pytest.param(3, id="window"),
        pytest.param(0, id="nothing kept", marks=pytest.mark.long),
        pytest.param(100, id="all kept", marks=pytest.mark.long),
    ],
)
@pytest.mark.parametrize("descending", [True, False], ids=["newest first", "oldest first"])
async def test_a_read_is_the_part_of_the_whole_that_was_asked_for(
    cached: Make, profile: Profile, policy: Policy, kept: int, descending: bool
) -> None:
    # Where ejabberd leaves an item the cache has it among the newest, and both are right.
    in_place = profile is EJABBERD and kept and policy != "network"
    scene = await Scene.begin(cached, profile, kept, "" if in_place else "m")
    order, whole = (("modified", descending),), scene.whole("modified", descending)
    for limit in (1, 3, 50):
        assert await scene.walk(policy, order, limit) == whole, limit
    for place, expected in places(whole):
        found, cursor = await scene.read(policy, order, **place)
        # A page may end with the window, and then goes on.
        assert found == expected or (cursor and found == expected[: len(found)]), place


@PROFILES
@pytest.mark.parametrize("key", ["created", "id"])
async def test_the_service_alone_has_the_whole_in_other_orders(cached: Make, profile: Profile, key: str) -> None:
    scene = await Scene.begin(cached, profile, 3, "m")
    for descending in (True, False):
        order, whole = ((key, descending),), scene.whole(key, descending)
        assert await scene.walk("network", order, 3) == whole
        for place, expected in places(whole):
            assert (await scene.read("network", order, **place))[0] == expected, place
