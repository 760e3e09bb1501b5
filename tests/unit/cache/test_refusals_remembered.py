"""Refusals that are remembered: for whom, for how long, and what makes it worth to ask again."""

from __future__ import annotations

import asyncio

import pytest

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.cache.options import PurgeFilter
from pubsub_cached.xmpp.fake import Service, World
from pubsub_cached.xmpp.port import SubscriptionEvent
from tests.support.cached import ALICE, ENTRY, Cached, Make

from .blog import MICROBLOG, PUBSUB, followed


async def test_unreachable_for_one_account_is_not_so_for_another(cached: Make) -> None:
    world = World()
    world.account("bob@example.org")
    service = world.service(PUBSUB)
    service.create_node(MICROBLOG)
    cache: Cached = await cached(world, ALICE, "bob@example.org")
    service.fail_next("remote-server-timeout")
    with pytest.raises(errors.PubSubCachedError):
        await cache.read(PUBSUB, MICROBLOG)
    await cache.read(PUBSUB, MICROBLOG, account="bob@example.org")


async def test_several_readers_at_once_count_as_one_refusal(cached: Make) -> None:
    world = World()
    world.service(PUBSUB)
    cache: Cached = await cached(world)
    reads = [cache.read(PUBSUB, MICROBLOG) for _ in range(5)]
    answers = await asyncio.gather(*reads, return_exceptions=True)
    assert all(isinstance(answer, errors.NoSuchNode) for answer in answers)
    asked = world.count()
    cache.clock.advance(seconds=301)
    with pytest.raises(errors.NoSuchNode):
        await cache.read(PUBSUB, MICROBLOG)
    assert world.count() > asked


async def test_an_event_of_a_denied_node_makes_it_worth_a_question(cached: Make) -> None:
    """
    coherence, Negative answers: any event of the node
    """
    world = World()
    cache, service = await followed(cached, world)
    service.set_affiliation(MICROBLOG, ALICE, "outcast")
    with pytest.raises(errors.Denied):
        await cache.read(PUBSUB, MICROBLOG, policy="network")
    service.set_affiliation(MICROBLOG, ALICE, "member")
    service.publish(MICROBLOG, "new", ENTRY.format("new"))
    await cache.idle()
    assert "new" in await cache.ids(PUBSUB, MICROBLOG)


async def refused(cached: Make, world: World) -> tuple[Cached, Service]:
    """A cache that remembers that alice may not read a node."""
    world.account(ALICE)
    service = world.service(PUBSUB)
    service.create_node(MICROBLOG, access_model="whitelist")
    service.node(MICROBLOG).publish_model = "open"
    service.publish(MICROBLOG, "i1", ENTRY.format(1))
    cache: Cached = await cached(world)
    with pytest.raises(errors.Denied):
        await cache.read(PUBSUB, MICROBLOG)
    service.set_affiliation(MICROBLOG, ALICE, "member")
    with pytest.raises(errors.Denied):
        await cache.read(PUBSUB, MICROBLOG)
    return cache, service


async def test_an_own_publish_ends_it(cached: Make) -> None:
    """
    coherence, Negative answers: an own publish
    """
    cache, _ = await refused(cached, World())
    await cache.house.writing.publish(Address(ALICE, PUBSUB, MICROBLOG), "i2", ENTRY.format(2), {})
    assert await cache.ids(PUBSUB, MICROBLOG) == ["i2", "i1"]


async def test_a_subscription_of_a_client_ends_it(cached: Make) -> None:
    """
    coherence, Negative answers: a subscription change
    """
    cache, _ = await refused(cached, World())
    await cache.house.subscribing.subscribe(Address(ALICE, PUBSUB, MICROBLOG), {})
    assert await cache.ids(PUBSUB, MICROBLOG) == ["i1"]


async def test_an_approval_ends_it(cached: Make) -> None:
    """
    coherence, Negative answers: a subscription change
    """
    world = World()
    cache, _ = await refused(cached, world)
    world.inject(ALICE, SubscriptionEvent(service=PUBSUB, node=MICROBLOG, state="subscribed"))
    await cache.idle()
    assert await cache.ids(PUBSUB, MICROBLOG) == ["i1"]


@pytest.mark.parametrize("policy", ["refresh", "network"])
async def test_a_client_that_insists_ends_it(cached: Make, policy: str) -> None:
    """
    coherence, Negative answers: the user's force
    """
    cache, _ = await refused(cached, World())
    await cache.ids(PUBSUB, MICROBLOG, policy=policy)
    assert await cache.ids(PUBSUB, MICROBLOG) == ["i1"]


@pytest.mark.parametrize("how", ["reset", "purge"])
async def test_it_is_forgotten_with_the_node(cached: Make, how: str) -> None:
    cache, service = await followed(cached)
    service.set_affiliation(MICROBLOG, ALICE, "outcast")
    with pytest.raises(errors.Denied):
        await cache.read(PUBSUB, MICROBLOG, policy="network")
    service.set_affiliation(MICROBLOG, ALICE, "member")
    removal = cache.house.removal
    await (removal.reset() if how == "reset" else removal.purge(PurgeFilter(nodes=(MICROBLOG,), forget=True))).wait()
    assert len(await cache.ids(PUBSUB, MICROBLOG)) == 3


async def test_a_reset_forgets_those_of_nodes_that_were_never_known_as_well(cached: Make) -> None:
    world = World()
    cache, _ = await refused(cached, world)
    other = world.service("other.example.net")
    other.create_node(MICROBLOG)
    other.fail_next("remote-server-not-found", request="")
    with pytest.raises(errors.PubSubCachedError):
        await cache.read("other.example.net", MICROBLOG)
    await cache.house.removal.reset().wait()
    assert await cache.ids(PUBSUB, MICROBLOG) == ["i1"]
    assert await cache.ids("other.example.net", MICROBLOG) == []


async def test_a_refusal_that_says_where_the_node_went_says_so_of_the_node(cached: Make) -> None:
    """RFC 6120, 8.3.3.5"""
    cache, service = await followed(cached)
    service.fail_next("gone", "xmpp:new.example?;node=blog")
    with pytest.raises(errors.NoSuchNode, match=r"xmpp:new\.example"):
        await cache.read(PUBSUB, MICROBLOG, policy="network")
    node = await cache.node(PUBSUB, MICROBLOG)
    assert (node["state"], node["redirect"]) == ("gone", "xmpp:new.example?;node=blog")
