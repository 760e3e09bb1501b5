"""What is asked of a service while a client waits ends before the bus gives the call up, after 25 seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from pubsub_cached import errors
from pubsub_cached.cache.house import House
from pubsub_cached.cache.reanalysis import analysing
from pubsub_cached.cache.writing import discovery, subscribing
from pubsub_cached.xmpp.fake import World
from tests.support.cached import Cached, Make

from .blog import BLOG, MICROBLOG, PUBSUB, post

ASKED: dict[str, Callable[[House], Awaitable[object]]] = {
    "Publish": lambda house: house.writing.publish(BLOG, "new", post("new"), {}),
    "Retract": lambda house: house.writing.retract(BLOG, ["i0"]),
    "CreateNode": lambda house: house.writing.create(BLOG, {}),
    "GetNodeConfig": lambda house: house.writing.configuration(BLOG),
    "ConfigureNode": lambda house: house.writing.configure(BLOG, {"pubsub#title": ["New"]}),
    "DeleteNode": lambda house: house.writing.delete(BLOG),
    "DeleteAllItems": lambda house: house.writing.purge(BLOG),
    "Subscribe": lambda house: house.subscribing.subscribe(BLOG, {}),
    "Unsubscribe": lambda house: house.subscribing.unsubscribe(BLOG),
    "ListSubscriptions": lambda house: house.discovery.subscriptions(BLOG),
    "ListAffiliations": lambda house: house.discovery.affiliations(BLOG),
    "Discover": lambda house: house.discovery.nodes(BLOG),
}


@pytest.mark.parametrize("method", ASKED)
async def test_the_wait_for_a_session_is_a_part_of_a_call_s_time(
    cached: Make, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that is slow then was waited for as long as always."""
    monkeypatch.setattr(discovery, "LISTING_TIMEOUT", 20.0)
    monkeypatch.setattr(discovery, "ASK_TIMEOUT", 0.0)
    world = World()
    world.service(PUBSUB).down(None)
    cache: Cached = await cached(world, online=False)
    cache.house.begin()
    call = asyncio.ensure_future(ASKED[method](cache.house))
    # The session takes its time.
    await asyncio.sleep(0.06)
    await cache.house.connect()
    with pytest.raises(errors.NoAnswer, match=r"within 1\d(\.\d)? seconds"):
        await call


async def silent(cached: Make) -> Cached:
    """A cache at a service that answers to subscriptions and to nothing else, and the time of a call is up at once."""
    world = World(real_timeouts=True)
    service = world.service(PUBSUB)
    service.create_node(MICROBLOG, max_items=10)
    service.publish(MICROBLOG, "i0", post("i0"))
    cache: Cached = await cached(world)
    service.ignore_next(request="disco_info", times=10)
    service.ignore_next(request="get_items", times=10)
    return cache


async def test_which_analyser_fits_is_told_by_the_name_where_the_service_says_nothing(
    cached: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analysing, "TIMEOUT", 0.01)
    cache = await silent(cached)
    async with asyncio.timeout(20):
        assert (await cache.house.analysing.match(BLOG))[0] == "blog"


async def test_a_subscription_is_told_where_nothing_else_is_answered(
    cached: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscribing, "FOLLOW_TIMEOUT", 0.01)
    cache = await silent(cached)
    async with asyncio.timeout(20):
        assert await cache.house.subscribing.subscribe(BLOG, {}) == "subscribed"
