"""What several tasks find out of one node at once: none undoes what another has written meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from pubsub_cached import errors
from pubsub_cached.analysers.registry import Matched
from pubsub_cached.cache.nodes import transitions
from pubsub_cached.cache.options import AccountOptions
from pubsub_cached.store.items import items
from pubsub_cached.store.rows import UNPROVED
from pubsub_cached.xmpp.fake import Service, World
from tests.support.cached import ALICE, ENTRY, Cached, Make

from .blog import reaching, writer_busy
from .test_access import ADDRESS, MICROBLOG, PUBSUB, followed, found, shut_out

BOB = "bob@example.org"

Task = Callable[[Cached], Coroutine[Any, Any, object]]


async def doubt(cache: Cached) -> None:
    """Access may have been tightened, as a configuration event says."""
    cache.house.proofs.doubt(ADDRESS)
    await cache.house.distrust.of(ADDRESS, UNPROVED)


async def bounce(cache: Cached) -> None:
    """Events may have been missed."""
    await cache.house.distrust.of(ADDRESS, "bounce")


def failed(error: errors.PubSubCachedError) -> Task:
    """A read of the service that failed."""

    async def fail(cache: Cached) -> None:
        await cache.house.nodes.failed(ADDRESS, error)

    return fail


timed_out = failed(errors.NoAnswer("There was no answer."))
broken = failed(errors.StanzaError("internal-server-error"))
offline = failed(errors.Offline("There is no session."))
forbidden = failed(errors.StanzaError("forbidden"))


async def at_once(cache: Cached, *tasks: Task) -> None:
    """All of them have looked at the node before any has written."""
    with writer_busy(cache):
        running = [asyncio.create_task(task(cache)) for task in tasks]
        for _ in range(10):
            await asyncio.sleep(0)
    await asyncio.gather(*running)


async def silent(cached: Make, world: World) -> tuple[Cached, Service]:
    """A node that was followed, at a service that answers nothing any more; it is stale."""
    cache, service = await followed(cached, world, "open")
    service.hold()
    await bounce(cache)
    return cache, service


FAILURES = pytest.mark.parametrize(
    "failure", [timed_out, broken, offline, bounce], ids=["timeout", "error", "offline", "bounce"]
)


@FAILURES
async def test_a_failure_takes_no_doubt_away(cached: Make, failure: Task) -> None:
    world = World()
    cache, _ = await silent(cached, world)
    await at_once(cache, doubt, failure)
    assert (await cache.node(PUBSUB, MICROBLOG))["reason"] == UNPROVED
    assert await found(cache) == []


@FAILURES
async def test_a_failure_shows_nothing_that_was_denied(cached: Make, failure: Task) -> None:
    world = World()
    cache, _ = await silent(cached, world)
    await at_once(cache, forbidden, failure)
    assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "denied"
    assert await found(cache) == []


async def deleted(cache: Cached) -> None:
    """The service says where the node went."""
    await cache.house.nodes.gone(ADDRESS, "xmpp:new.example?;node=blog")


async def test_who_finds_a_node_absent_takes_no_redirect_away(cached: Make) -> None:
    cache, _ = await silent(cached, World())

    await at_once(cache, deleted, failed(errors.StanzaError("item-not-found")))
    assert (await cache.node(PUBSUB, MICROBLOG))["redirect"] == "xmpp:new.example?;node=blog"


async def test_a_first_synchronisation_that_begins_takes_no_redirect_away(cached: Make) -> None:
    cache, service = await followed(cached, World(), "open")
    row = await cache.house.nodes.find(ADDRESS)
    assert row is not None
    await cache.store.write(items.drop, row.id)
    service.delete(MICROBLOG)

    async def synchronised(cache: Cached) -> None:
        with pytest.raises(errors.NoSuchNode):
            await cache.house.sync.run(ADDRESS)

    await at_once(cache, deleted, synchronised)
    assert (await cache.node(PUBSUB, MICROBLOG))["redirect"] == "xmpp:new.example?;node=blog"


async def test_what_was_asked_before_a_deletion_makes_nothing_of_it_undone(cached: Make) -> None:
    cache, service = await followed(cached, World(), "open")
    service.hold()
    reading = asyncio.create_task(cache.house.nodes.discover(cache.house.accounts.get(ALICE).session, ADDRESS))
    await service.holding(2)
    service.release(1, request="get_items")
    await cache.world.settle()
    service.delete(MICROBLOG, redirect="xmpp:new.example?;node=blog")
    await cache.world.settle()
    await cache.house.events.settled()
    service.release()
    await reading
    node = await cache.node(PUBSUB, MICROBLOG)
    assert (node["state"], node["redirect"]) == ("gone", "xmpp:new.example?;node=blog")


async def test_a_node_that_is_made_again_while_it_is_looked_at_is_followed(cached: Make) -> None:
    cache, service = await followed(cached, World(), "open")
    service.hold()
    await cache.house.distrust.of(ADDRESS, "configuration")
    await service.holding(2)
    service.release(1, request="get_items")
    await cache.world.settle()
    service.delete(MICROBLOG)
    service.create_node(MICROBLOG)
    service.add_subscription(MICROBLOG, ALICE)
    service.publish(MICROBLOG, "again", ENTRY.format("again"))
    await cache.world.settle()
    await cache.house.events.settled()
    service.release()
    await cache.idle()
    assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "live"
    assert await cache.ids(PUBSUB, MICROBLOG, policy="cache") == ["again"]


async def test_two_failures_count_as_two(cached: Make) -> None:
    cache, _ = await silent(cached, World())
    await at_once(cache, timed_out, timed_out)
    row = await cache.house.nodes.find(ADDRESS)
    assert row is not None
    assert row.failures == 2


async def test_what_was_asked_before_a_doubt_is_no_proof(cached: Make) -> None:
    """The service let the account read, then access was tightened, and both are written down afterwards."""
    world = World()
    cache, service = await followed(cached, world, "open")
    session = cache.house.accounts.get(ALICE).session
    with writer_busy(cache):
        discovering = asyncio.create_task(cache.house.nodes.discover(session, ADDRESS))
        await world.settle()
        service.hold()
        doubting = asyncio.create_task(doubt(cache))
    await asyncio.gather(discovering, doubting)
    assert await found(cache) == []
    with pytest.raises(errors.NotCached):
        await cache.read(PUBSUB, MICROBLOG, policy="cache")
    service.release()
    await cache.idle()
    assert await found(cache) == ["i0"]


async def test_what_was_asked_before_a_refusal_shows_nothing_that_was_denied(cached: Make) -> None:
    cache, service = await followed(cached, World(), "whitelist")
    session = cache.house.accounts.get(ALICE).session
    service.hold()
    discovering = asyncio.create_task(cache.house.nodes.discover(session, ADDRESS))
    await service.holding(2)
    service.release(1, request="get_items")
    await cache.world.settle()
    shut_out(service)
    reading = asyncio.create_task(cache.read(PUBSUB, MICROBLOG, policy="network"))
    await service.holding(2)
    service.release(1, request="get_items")
    with pytest.raises(errors.Denied):
        await reading
    service.release()
    await discovering
    assert (await cache.node(PUBSUB, MICROBLOG))["state"] == "denied"
    with pytest.raises(errors.Denied):
        await cache.read(PUBSUB, MICROBLOG, policy="cache")


@pytest.mark.sqlite
async def test_what_was_synchronised_before_a_doubt_is_not_called_right(cached: Make) -> None:
    """Between the moment in which the one is written down and the other."""
    cache, service = await silent(cached, World())
    await reaching(service, "get_items")
    between = threading.Event()
    cache.told.clear()
    with writer_busy(cache):
        service.release()
        await cache.world.settle()
        # What is queued from here on is not committed with what was before.
        waiting = cache.store.maintain(lambda connection: between.wait(30))
        bouncing = asyncio.create_task(bounce(cache))
        await asyncio.sleep(0)
    while not cache.signals("live"):
        await asyncio.sleep(0.001)
    *_, info = await cache.read(PUBSUB, MICROBLOG, policy="cache")
    assert info["freshness"] == "stale"
    between.set()
    await asyncio.gather(waiting, bouncing)


async def test_an_account_that_is_taken_over_puts_nothing_of_others_in_doubt(cached: Make) -> None:
    world = World()
    world.account(BOB)
    cache, service = await followed(cached, world, "open")
    other = await cache.house.accounts.add(BOB, AccountOptions())
    service.hold()
    await doubt(cache)
    await service.holding(1)
    await cache.house.taken(other)
    service.release()
    await cache.idle()
    assert await cache.ids(PUBSUB, MICROBLOG, policy="cache") == ["i0"]


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize("proved", [False, True])
async def test_a_node_that_nobody_keeps_any_more_stays_denied_if_that_came_later(
    cached: Make, proved: bool, empty: bool
) -> None:
    cache, service = await followed(cached, World(), "open")
    if empty:
        service.retract(MICROBLOG, "i0")
        await cache.idle()
    await forbidden(cache)
    before, after = await cache.store.write(
        transitions.classify, ADDRESS, Matched(), True, lambda name: True, {}, proved=proved, known=True
    )
    assert before is not None
    assert (before.state, before.completeness) == ("denied", "full")
    assert (after.state, after.completeness, after.item_count) == ("discovered" if proved else "denied", "none", 0)
