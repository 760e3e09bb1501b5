"""What a service answered shows that the copy is not what the service has: nobody is told so any more."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pubsub_cached.xmpp.fake import Profile, World
from tests.support.cached import ALICE, ENTRY, Cached, Make

from .blog import MICROBLOG, PROFILES, PUBSUB, followed, freshness

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
async def test_what_a_read_shows_to_be_there_is_there(cached: Make, profile: Profile) -> None:
    cache, service = await followed(cached, profile=profile)
    service.publish(MICROBLOG, "i3", ENTRY.format("missed"), notify=False)
    assert await network(cache, limit=1)
    await cache.idle()
    assert await cache.ids(PUBSUB, MICROBLOG, policy="cache") == ["i3", "i2", "i1", "i0"]


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


async def test_what_is_stored_otherwise_than_it_is_published_is_no_contradiction(cached: Make) -> None:
    world = World()
    world.account(ALICE).pep.publish(BOOKMARKS, "room@example.org", BOOKMARK)
    cache, service = await followed(cached, world, payload_limit=1000)
    service.publish(MICROBLOG, "large", ENTRY.format("x" * 1000))
    await cache.keep(ALICE, BOOKMARKS)
    assert not await network(cache)
    *_, info = await cache.read(ALICE, BOOKMARKS, policy="network")
    assert "job" not in info


@pytest.mark.parametrize("first", ["event", "answer"])
async def test_what_comes_while_the_service_answers_is_no_contradiction(cached: Make, first: str) -> None:
    cache, service = await followed(cached)
    service.hold()
    reading = asyncio.create_task(network(cache))
    await service.holding(1)
    if first == "event":
        service.publish(MICROBLOG, "i3", ENTRY.format("new"))
        service.release()
    else:
        service.release()
        service.publish(MICROBLOG, "i3", ENTRY.format("new"))
    assert not await reading
    await cache.idle()
    assert not cache.signals("stale")
