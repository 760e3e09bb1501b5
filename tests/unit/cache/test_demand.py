"""Nodes that are kept on demand: from the first read, until nobody has read them for 30 days."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from pubsub_cached.address import Address
from pubsub_cached.store.accounts import nodes
from pubsub_cached.xmpp.fake import World
from tests.support.cached import ALICE, ENTRY, Cached, Make

from .blog import reaching, writer_busy

SERVICE = "pubsub.example.org"
COMMENTS = "urn:xmpp:microblog:0:comments/1"
BLOG = "urn:xmpp:microblog:0"


@pytest.fixture
def world() -> World:
    made = World()
    service = made.service(SERVICE)
    for node in (COMMENTS, BLOG):
        service.create_node(node)
        service.publish(node, "1", ENTRY.format(1))
    return made


async def read(found: Cached, *nodes: str) -> None:
    for node in nodes:
        await found.read(SERVICE, node)
    await found.idle()


async def days(found: Cached, number: float) -> None:
    """Time passes, and what is done from time to time is done."""
    found.clock.advance(days=number)
    await found.house.removal.tidy(found.clock())
    await found.idle()


async def test_one_that_nobody_reads_is_let_go_after_30_days_and_kept_again_when_it_is_read(
    cached: Make, world: World
) -> None:
    found = await cached(world)
    await read(found, COMMENTS, BLOG)
    node = world.services[SERVICE].nodes[COMMENTS]
    assert ALICE in node.subscriptions
    await days(found, 29)
    assert (await found.node(SERVICE, COMMENTS))["state"] == "live"
    await days(found, 2)
    record = await found.node(SERVICE, COMMENTS)
    assert (record["state"], record["items"], record["subscribed"]) == ("discovered", 0, False)
    assert ALICE not in node.subscriptions
    assert found.removed() == []
    assert (await found.node(SERVICE, BLOG))["state"] == "live"
    await read(found, COMMENTS)
    assert (await found.node(SERVICE, COMMENTS))["state"] == "live"


async def test_one_that_is_read_stays(cached: Make, world: World) -> None:
    found = await cached(world)
    await read(found, COMMENTS)
    await days(found, 29)
    await read(found, COMMENTS)
    await days(found, 29)
    assert (await found.node(SERVICE, COMMENTS))["state"] == "live"


async def test_one_that_is_pinned_stays(cached: Make, world: World) -> None:
    found = await cached(world)
    await read(found, COMMENTS)
    await found.house.sync.job(Address(ALICE, SERVICE, COMMENTS), pin=True).wait()
    await days(found, 31)
    assert (await found.node(SERVICE, COMMENTS))["state"] == "live"


async def test_a_subscription_is_given_up_once_there_is_a_session(cached: Make, world: World) -> None:
    found = await cached(world)
    await read(found, COMMENTS)
    await found.restart(online=False)
    await days(found, 31)
    assert (await found.node(SERVICE, COMMENTS))["items"] == 1
    await found.house.connect()
    await found.idle()
    await days(found, 0)
    assert (await found.node(SERVICE, COMMENTS))["state"] == "discovered"
    assert ALICE not in world.services[SERVICE].nodes[COMMENTS].subscriptions


async def test_one_that_is_read_while_it_is_let_go_is_followed_again(cached: Make, world: World) -> None:
    found = await cached(world)
    service = world.services[SERVICE]
    await read(found, COMMENTS)
    found.clock.advance(days=31)
    service.hold()
    tidying = asyncio.create_task(found.house.removal.tidy(found.clock()))
    await reaching(service, "unsubscribe")
    reading = asyncio.create_task(found.read(SERVICE, COMMENTS))
    await world.settle()
    service.release()
    await asyncio.gather(tidying, reading)
    await found.idle()
    service.publish(COMMENTS, "2", ENTRY.format(2))
    await found.idle()
    assert (await found.node(SERVICE, COMMENTS))["state"] == "live"
    assert await found.ids(SERVICE, COMMENTS) == ["2", "1"]


async def test_one_that_was_just_read_keeps_its_subscription(cached: Make, world: World) -> None:
    found = await cached(world)
    service = world.services[SERVICE]
    await read(found, COMMENTS)
    found.clock.advance(days=31)
    with writer_busy(found):
        await found.read(SERVICE, COMMENTS, policy="cache")
        tidying = asyncio.create_task(found.house.removal.tidy(found.clock()))
        await world.settle()
    await tidying
    await found.idle()
    assert (await found.node(SERVICE, COMMENTS))["state"] == "live"
    assert ALICE in service.nodes[COMMENTS].subscriptions


@pytest.mark.parametrize("how", ["pinned", "kept by its analyser"])
async def test_one_that_is_kept_for_good_while_others_are_let_go_stays(cached: Make, world: World, how: str) -> None:
    other = f"{COMMENTS}/2"
    world.services[SERVICE].create_node(other)
    world.services[SERVICE].publish(other, "1", ENTRY.format(1))
    found = await cached(world)
    await read(found, COMMENTS, other)
    house, left = found.house, {COMMENTS, other}
    rows = {node: await house.nodes.find(Address(ALICE, SERVICE, node)) for node in left}

    def keep(address: Address, change: str) -> None:
        if change != "discovered" or len(left) == 1:
            return
        left.discard(address.node)
        (node,) = left
        row = rows[node]
        assert row is not None
        if how == "pinned":
            found.store.write(nodes.update, row.id, pinned=True)
            return
        definition = house.analysers.get(row.analyser)
        assert definition is not None
        house.analysers.unregister(definition.name)
        house.analysers.register(msgspec.structs.replace(definition, demand=False))

    house.changes.on_node.append(keep)
    await days(found, 31)
    (node,) = left
    record = await found.node(SERVICE, node)
    assert (record["state"], record["items"]) == ("live", 1)
