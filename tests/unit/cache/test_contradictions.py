"""What a service answered shows that the copy is not what the service has: nobody is told so any more."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import msgspec
import pytest

from pubsub_cached.cache.reads.contradiction import contradicts
from pubsub_cached.cache.reads.service_reads import ServicePage
from pubsub_cached.xmpp.fake import EJABBERD, Profile, World
from tests.support.cached import ALICE, ENTRY, Cached, Make

from .blog import BLOG, MICROBLOG, PROFILES, PUBSUB, followed, freshness, writer_busy

# Reads that show that one of three items is gone.
SHOWN: dict[str, dict[str, Any]] = {
    "all": {},
    "by its id": {"ids": ("i1", "i2")},
    "the last page": {"before": "", "limit": 2},
    "from a position": {"index": 1, "limit": 2},
    "in another order": {"order": (("id", False),)},
}

BOOKMARKS = "urn:xmpp:bookmarks:1"
BOOKMARK = (
    "<conference xmlns='urn:xmpp:bookmarks:1' name='Room'><nick>Alice</nick><password>secret</password></conference>"
)


async def network(cache: Cached, **options: Any) -> bool:
    """Whether a read that the service answered had the node synchronised."""
    *_, info = await cache.read(PUBSUB, MICROBLOG, policy="network", **options)
    return "job" in info


@PROFILES
@pytest.mark.parametrize("options", SHOWN.values(), ids=SHOWN)
async def test_what_a_read_shows_to_be_gone_is_live_no_more(
    cached: Make, profile: Profile, options: dict[str, Any]
) -> None:
    """server-facts, Events: retract without notify"""
    cache, service = await followed(cached, profile=profile)
    service.expire_items(MICROBLOG, "i1")
    assert await network(cache, **options)
    assert await freshness(cache) == "stale"
    await cache.idle()
    assert await cache.ids(PUBSUB, MICROBLOG, policy="cache") == ["i2", "i0"]
    assert cache.removed() == ["i1"]
    assert await freshness(cache) == "live"


@PROFILES
@pytest.mark.parametrize("there", ["", "i8", "i0 i1 i2 i3 i4 i5 i6 i8"], ids=["none", "fewer", "others"])
async def test_what_a_read_shows_to_be_gone_of_a_window_is_not_there(
    cached: Make, profile: Profile, there: str
) -> None:
    cache, service = await followed(cached, profile=profile, count=9, items_per_node=3)
    left = there.split()
    service.expire_items(MICROBLOG, *({f"i{number}" for number in range(9)} - {*left}))
    assert await network(cache)
    await cache.idle()
    assert await cache.ids(PUBSUB, MICROBLOG, policy="cache") == left[:-4:-1]


@PROFILES
@pytest.mark.parametrize("kept", [3, 500], ids=["window", "full"])
async def test_what_a_read_shows_to_be_there_is_there(cached: Make, profile: Profile, kept: int) -> None:
    cache, service = await followed(cached, profile=profile, count=4, items_per_node=kept)
    service.publish(MICROBLOG, "i4", ENTRY.format("missed"), notify=False)
    assert await network(cache, limit=1)
    await cache.idle()
    assert (await cache.ids(PUBSUB, MICROBLOG, policy="cache"))[:3] == ["i4", "i3", "i2"]


@PROFILES
@pytest.mark.parametrize("missed", ["a publication", "the removal of all"])
async def test_what_a_proof_of_access_shows_is_looked_into(cached: Make, profile: Profile, missed: str) -> None:
    world = World()
    world.service(PUBSUB, profile=profile).create_node(MICROBLOG, access_model="whitelist", owner=ALICE)
    world.services[PUBSUB].publish(MICROBLOG, "i0", ENTRY.format(0))
    cache: Cached = await cached(world)
    await cache.keep(PUBSUB, MICROBLOG)
    if missed == "a publication":
        world.services[PUBSUB].publish(MICROBLOG, "i1", ENTRY.format(1), notify=False)
    else:
        world.services[PUBSUB].expire_items(MICROBLOG, "i0")
    cache.clock.advance(hours=7)
    items, _, info = await cache.read(PUBSUB, MICROBLOG)
    assert ([item["id"] for item in items], info["source"], info["freshness"]) == (["i0"], "cache", "stale")
    await cache.idle()
    assert await cache.ids(PUBSUB, MICROBLOG) == [item.id for item in reversed(world.services[PUBSUB].items(MICROBLOG))]


async def test_a_copy_that_nobody_believes_is_not_doubted_once_more(cached: Make) -> None:
    cache, service = await followed(cached)
    service.fail_next("internal-server-error")
    await cache.house.distrust.of(BLOG, "bounce")
    await cache.idle()
    service.expire_items(MICROBLOG, "i1")
    assert not await network(cache)
    assert (await cache.node(PUBSUB, MICROBLOG))["reason"] == "internal-server-error"


async def test_who_gives_up_a_read_that_shows_it_leaves_nothing_stale(cached: Make) -> None:
    cache, service = await followed(cached)
    service.expire_items(MICROBLOG, "i1")
    reading = asyncio.create_task(network(cache))
    cache.house.changes.on_node.append(lambda *_: reading.cancel())
    with pytest.raises(asyncio.CancelledError):
        await reading
    await cache.idle()
    assert await cache.ids(PUBSUB, MICROBLOG, policy="cache") == ["i2", "i0"]
    assert await freshness(cache) == "live"


@PROFILES
async def test_what_a_read_shows_to_be_other_is_other(cached: Make, profile: Profile) -> None:
    cache, service = await followed(cached, profile=profile)
    service.publish(MICROBLOG, "i1", ENTRY.format("other"), notify=False)
    assert await network(cache, ids=("i1",))
    await cache.idle()
    items, *_ = await cache.read(PUBSUB, MICROBLOG, policy="cache", ids=("i1",))
    assert [item["payload"] for item in items] == [ENTRY.format("other")]


@PROFILES
async def test_what_a_read_leaves_open_contradicts_nothing(cached: Make, profile: Profile) -> None:
    cache, _ = await followed(cached, profile=profile, count=9, items_per_node=5)
    for options in (*SHOWN.values(), {"limit": 7}, {"after": "i1"}, {"ids": ("i0", "i8", "never")}):
        assert not await network(cache, **options)
    assert await freshness(cache) == "live"


async def test_an_answer_that_the_service_has_cut_is_not_all_there_is(cached: Make) -> None:
    profile = msgspec.structs.replace(EJABBERD, reply_items=5)
    cache, _ = await followed(cached, profile=profile, count=9)
    items, cursor, info = await cache.read(PUBSUB, MICROBLOG, policy="network")
    assert ([item["id"] for item in items], info["total"]) == (["i8", "i7", "i6", "i5", "i4"], 9)
    assert "job" not in info
    assert await cache.ids(PUBSUB, MICROBLOG, policy="network", cursor=cursor) == ["i3", "i2", "i1", "i0"]


async def test_what_is_stored_otherwise_than_it_is_published_is_no_contradiction(cached: Make) -> None:
    world = World()
    world.account(ALICE).pep.publish(BOOKMARKS, "room@example.org", BOOKMARK)
    cache, service = await followed(cached, world, payload_limit=1000)
    service.publish(MICROBLOG, "large", ENTRY.format("x" * 1000))
    await cache.keep(ALICE, BOOKMARKS)
    assert not await network(cache)
    *_, info = await cache.read(ALICE, BOOKMARKS, policy="network")
    assert "job" not in info


async def test_what_came_before_the_answer_and_is_not_written_yet_is_no_contradiction(cached: Make) -> None:
    cache, service = await followed(cached)
    service.hold()
    reading = asyncio.create_task(network(cache))
    await service.holding(1)
    with writer_busy(cache):
        service.publish(MICROBLOG, "i3", ENTRY.format("new"))
        service.release()
        await cache.world.settle()
    assert not await reading
    await cache.idle()
    assert not cache.signals("stale")


async def test_what_came_since_the_service_was_asked_is_not_contradicted(cached: Make) -> None:
    cache, service = await followed(cached)
    before = await cache.house.nodes.find(BLOG)
    assert before is not None
    nothing = ServicePage((), more=False, total=0)
    found = functools.partial(contradicts, before=before, items=(), page=nothing, ids=None)
    assert await cache.store.read(found)
    service.publish(MICROBLOG, "i3", ENTRY.format("new"))
    await cache.idle()
    assert not await cache.store.read(found)
