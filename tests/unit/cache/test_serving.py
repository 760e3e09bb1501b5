"""The serving table as a client sees it: each row brought about at a service, each cell read (coherence.md, "Serving").

``test_policy`` holds the decisions; here is what comes of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.xmpp.fake import PROSODY, Service, World
from tests.support.cached import ALICE, ENTRY, Cached, Make

from .blog import PUBSUB, reaching

NODE = "urn:xmpp:microblog:0"
COLUMNS = ("cache", "default", "refresh", "network", "no session")


class Scene:
    """A service with two nodes: one that is kept, and one that nobody claims."""

    def __init__(self, cache: Cached, world: World, service: Service) -> None:
        self.cache, self.world, self.service = cache, world, service
        self.node = NODE

    async def live(self) -> None:
        await self.cache.read(PUBSUB, NODE)
        await self.cache.idle()
        self.cache.clock.advance(seconds=61)

    async def validate(self) -> None:
        """A synchronisation, as a client asks for one; whatever comes of it."""
        job = await self.cache.house.sync.start(Address(ALICE, PUBSUB, NODE), True, "", "")
        try:
            await job.wait()
        except errors.PubSubCachedError:
            await self.cache.idle()

    async def outcome(self, column: str) -> str:
        """Source and freshness of the answer, with a star where a validation has begun; or the error's name."""
        if column == "no session":
            self.world.cut(ALICE)
            await self.world.settle()
        policy = "default" if column == "no session" else column
        try:
            items, _, info = await self.cache.read(PUBSUB, self.node, policy=policy, timeout=5)
        except errors.PubSubCachedError as error:
            return error.name.rpartition("Error.")[2]
        assert [item["id"] for item in items] == ["i1"]
        assert {"source", "freshness", "completeness", "validated-at"} <= info.keys()
        return f"{info['source']} {info['freshness']}{' *' if 'job' in info else ''}"


async def unknown(scene: Scene) -> None:
    pass


async def discovered(scene: Scene) -> None:
    scene.node = "unclaimed"
    await scene.cache.read(PUBSUB, scene.node)
    await scene.cache.idle()


async def first_failed(scene: Scene) -> None:
    scene.service.hold()
    reading = asyncio.create_task(scene.cache.read(PUBSUB, NODE))
    await reaching(scene.service, "subscribe")
    await reading
    scene.service.fail_next("internal-server-error")
    scene.service.release()
    await scene.cache.idle()
    assert (await scene.cache.node(PUBSUB, NODE))["state"] == "stale"


async def live(scene: Scene) -> None:
    await scene.live()


async def just_validated(scene: Scene) -> None:
    await scene.live()
    await scene.validate()


async def polled(scene: Scene) -> None:
    scene.service.fail_next("not-allowed", request="subscribe", times=99)
    await scene.live()
    assert (await scene.cache.node(PUBSUB, NODE))["state"] == "polled"


async def expired(scene: Scene) -> None:
    await polled(scene)
    scene.cache.clock.advance(seconds=15 * 60)


async def stale(scene: Scene) -> None:
    """A later synchronisation failed, and is due again."""
    await scene.live()
    scene.service.fail_next("internal-server-error", request="get_items")
    await scene.validate()
    assert (await scene.cache.node(PUBSUB, NODE))["state"] == "stale"
    scene.cache.clock.advance(hours=1)


async def unreachable(scene: Scene) -> None:
    await scene.live()
    scene.service.down()
    await scene.validate()
    assert (await scene.cache.node(PUBSUB, NODE))["state"] == "unreachable"


async def denied(scene: Scene) -> None:
    await scene.live()
    scene.service.set_affiliation(NODE, ALICE, "outcast")
    await scene.validate()
    assert (await scene.cache.node(PUBSUB, NODE))["state"] == "denied"


async def gone(scene: Scene) -> None:
    await scene.live()
    scene.service.delete(NODE, notify=False)
    await scene.validate()
    assert (await scene.cache.node(PUBSUB, NODE))["state"] == "gone"


async def excluded(scene: Scene) -> None:
    scene.node = "eu.siacs.conversations.axolotl.devicelist"
    await scene.cache.read(PUBSUB, scene.node)
    await scene.cache.idle()
    assert (await scene.cache.node(PUBSUB, scene.node))["state"] == "excluded"


SERVICE = ("NotCached", "network validated *", "network validated *", "network validated *", "Offline")
PASSED = ("NotCached", "network validated", "network validated", "network validated", "Offline")
Rows = dict[str, tuple[Callable[[Scene], Awaitable[None]], tuple[str, ...]]]
TABLE: Rows = {
    "unknown": (unknown, SERVICE),
    "discovered": (discovered, PASSED),
    "not synchronised": (first_failed, PASSED),
    "live": (live, ("cache live", "cache live", "cache live", "network validated", "cache offline")),
    "live, just validated": (
        just_validated,
        ("cache live", "cache live", "cache live", "network validated", "cache offline"),
    ),
    "polled within its ttl": (
        polled,
        ("cache validated", "cache validated", "cache validated", "network validated", "cache offline"),
    ),
    "polled, expired": (
        expired,
        ("cache stale", "cache stale *", "cache validated", "network validated", "cache offline"),
    ),
    "stale": (stale, ("cache stale", "cache stale *", "cache live", "network validated", "cache offline")),
    "unreachable": (
        unreachable,
        ("cache stale", "cache stale", "cache stale", "Xmpp.RemoteServerTimeout", "cache offline"),
    ),
    "denied": (denied, ("Denied", "Denied", "Denied", "Denied", "Denied")),
    "gone": (gone, ("NoSuchNode", "NoSuchNode", "NoSuchNode", "NoSuchNode", "NoSuchNode")),
    "excluded": (excluded, PASSED),
}
CELLS = [
    pytest.param(make, column, said, id=f"{name}, {column}")
    for name, (make, row) in TABLE.items()
    for column, said in zip(COLUMNS, row, strict=True)
]


@pytest.mark.parametrize(("make", "column", "said"), CELLS)
async def test_a_read_is_answered_as_the_table_says(
    cached: Make, make: Callable[[Scene], Awaitable[None]], column: str, said: str
) -> None:
    """
    coherence, Serving: unknown, discovered, first syncing, not synchronised, completeness none
    coherence, Serving: live
    coherence, Serving: polled within its ttl
    coherence, Serving: polled expired, stale
    coherence, Serving: unreachable
    coherence, Serving: denied, gone
    coherence, Serving: excluded
    """
    scene = await begun(cached)
    await make(scene)
    assert await scene.outcome(column) == said


@pytest.mark.parametrize(("policy", "said"), [("cache", "NotCached"), ("default", "network validated")])
async def test_during_the_first_synchronisation_the_service_answers(cached: Make, policy: str, said: str) -> None:
    """coherence, Serving: unknown, discovered, first syncing, not synchronised, completeness none"""
    scene = await begun(cached)
    await scene.cache.read(PUBSUB, NODE)
    await under_way(scene)
    reading = asyncio.create_task(scene.outcome(policy))
    await scene.world.settle()
    scene.service.release()
    assert await reading == said


@pytest.mark.parametrize(
    ("column", "said"), [("cache", "cache live"), ("default", "cache live"), ("no session", "cache offline")]
)
async def test_during_a_later_synchronisation_answers_are_as_before(cached: Make, column: str, said: str) -> None:
    """coherence, Serving: later syncing"""
    scene = await begun(cached)
    await scene.live()
    synchronising = asyncio.create_task(scene.validate())
    await under_way(scene)
    assert await scene.outcome(column) == said
    scene.service.release()
    await synchronising


async def test_a_read_has_a_node_validated_though_its_last_synchronisation_failed(cached: Make) -> None:
    """coherence, Serving: polled expired, stale

    That the service fails may be over long before the time planned after so many failures.
    """
    scene = await begun(cached)
    await scene.live()
    scene.service.fail_next("internal-server-error", request="get_items", times=2)
    await scene.validate()
    assert await scene.outcome("default") == "cache stale *"
    await scene.cache.idle()
    assert await scene.outcome("default") == "cache stale"
    scene.cache.clock.advance(seconds=10)
    assert await scene.outcome("default") == "cache stale *"
    await scene.cache.idle()
    assert await scene.outcome("default") == "cache live"


async def test_a_node_that_was_read_is_not_unreachable_any_more(cached: Make) -> None:
    """coherence, Serving: unreachable"""
    scene = await begun(cached)
    await unreachable(scene)
    scene.service.up()
    assert await scene.outcome("default") == "cache stale"
    assert await scene.outcome("network") == "network validated *"
    await scene.cache.idle()
    assert await scene.outcome("default") == "cache live"


async def test_a_node_of_which_an_event_comes_is_not_unreachable_any_more(cached: Make) -> None:
    """
    coherence, Serving: unreachable
    coherence, Negative answers: any event of the node
    """
    scene = await begun(cached)
    await unreachable(scene)
    scene.service.publish(NODE, "missed", ENTRY.format("missed"))
    scene.service.up()
    scene.service.publish(NODE, "told", ENTRY.format("told"))
    await scene.cache.idle()
    items, _, info = await scene.cache.read(PUBSUB, NODE)
    assert ([item["id"] for item in items], info["freshness"]) == (["told", "missed", "i1"], "live")


async def under_way(scene: Scene) -> None:
    """The service has been asked for what the synchronisation needs, and has not answered."""
    scene.service.hold()
    await scene.world.settle()
    assert scene.cache.house.sync.running(Address(ALICE, PUBSUB, NODE))


async def begun(cached: Make) -> Scene:
    """The nodes, each with one item, and a cache that knows none of them."""
    world = World()
    world.account(ALICE)
    service = world.service(PUBSUB, profile=PROSODY)
    for node in (NODE, "unclaimed", "eu.siacs.conversations.axolotl.devicelist"):
        service.create_node(node)
        service.publish(node, "i1", ENTRY.format(1) if node == NODE else "<x xmlns='urn:x'/>")
    return Scene(await cached(world), world, service)
