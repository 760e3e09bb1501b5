"""Nodes with very many items, and very many nodes: whatever is done with them, nobody waits for all of it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from dbus_fast import Message, MessageType

from pubsub_cached.address import Address
from pubsub_cached.analysers.definition import Definition
from pubsub_cached.cache.events import events
from pubsub_cached.cache.options import NodesFilter, PurgeFilter
from pubsub_cached.pace import SLICE
from pubsub_cached.store.accounts import nodes, schedule
from pubsub_cached.store.items import items
from pubsub_cached.store.items.outline import outline
from pubsub_cached.store.items.parsing import of_node
from pubsub_cached.store.rows import StoredItem, digest
from pubsub_cached.store.transaction import Transaction
from pubsub_cached.xmpp.fake import World
from tests.support.cached import ALICE, ENTRY, Cached, Make
from tests.support.callbacks import taking, watched
from tests.support.stored import publish

from .blog import PUBSUB

ITEMS = 20_000
NODES = 8_000
HEAVY = 3_000
ADDRESS = Address(ALICE, PUBSUB, "blog")


async def large(cached: Make) -> tuple[Cached, float]:
    """A cache that follows a node with very many items, and the processor time that reading what they are takes."""
    world = World()
    service = world.service(PUBSUB)
    service.create_node("blog", node_type="urn:xmpp:microblog:0", max_items=ITEMS)
    service.publish("blog", "first", ENTRY.format("first"))
    cache = await cached(world)
    store = cache.house.store
    cache.house.sync.in_background(ADDRESS)
    await cache.idle()
    node = await store.read(nodes.find, ADDRESS)
    stored = [StoredItem(str(number), payload="<entry/>") for number in range(ITEMS)]
    await store.write(publish, node.id, stored)
    assert len(store.read_now(outline, node.id).lines) == ITEMS + 1
    return cache, taking(partial(store.read_now, outline, node.id))


@pytest.mark.sqlite
async def test_the_outline_of_a_large_node_keeps_nobody_waiting(cached: Make) -> None:
    """Processor time, against what reading it takes in the same run."""
    cache, alone = await large(cached)
    store = cache.house.store
    with watched() as found:
        cache.house.sync.in_background(ADDRESS)
        await cache.idle()
    assert (await store.read(nodes.find, ADDRESS)).item_count == 1
    assert found.longest[0].seconds < alone / 2, str(found)


@pytest.mark.sqlite
async def test_each_item_that_an_event_retracts_is_not_looked_for_among_all(cached: Make) -> None:
    """Against what their removal takes in the same run."""
    cache, _ = await large(cached)
    node = await cache.store.read(nodes.find, ADDRESS)
    retracted = [str(number) for number in range(ITEMS // 2, 3 * ITEMS // 2)]
    took: list[float] = []

    def timed(tx: Transaction, work: Callable[..., object], *arguments: object, **more: object) -> None:
        began = time.thread_time()
        work(tx, *arguments, **more)
        took.append(time.thread_time() - began)
        if len(took) == 1:
            raise LookupError("It is to be done once more.")

    with contextlib.suppress(LookupError):
        await cache.store.write(timed, items.follow, node, [], retracted, None)
    await cache.store.write(
        timed, events._write, node.id, [], retracted, None, asked=False, behind=False, in_place=False
    )
    assert (await cache.store.read(nodes.find, ADDRESS)).item_count == ITEMS // 2 + 1
    assert took[1] < 3 * took[0], took


@pytest.mark.sqlite
async def test_what_a_service_says_of_an_item_is_not_held_against_all_of_a_large_node(cached: Make) -> None:
    """Against what reading all takes in the same run."""
    cache, alone = await large(cached)
    with watched() as found:
        items, *_ = await asyncio.create_task(cache.read(PUBSUB, "blog", policy="network", ids=("first",)))
    assert [item["id"] for item in items] == ["first"]
    assert found.longest[0].seconds < alone / 2, str(found)


@pytest.mark.sqlite
async def test_what_is_stored_already_is_compared_while_nobody_waits(cached: Make) -> None:
    """Against what the digests of all of it take in the same run."""
    world = World()
    service = world.service(PUBSUB)
    service.create_node("blog", node_type="urn:xmpp:microblog:0", max_items=HEAVY)
    contents = [ENTRY.format(f"{number} {'long ' * 2_500}") for number in range(HEAVY)]
    for number, payload in enumerate(contents):
        service.publish("blog", str(number), payload)
    cache = await cached(world, items_per_node=HEAVY)
    for full in (False, True):
        with watched() as found:
            job = await cache.house.sync.start(ADDRESS, full, "", "")
            await job.wait()
            await cache.idle()
    assert (await cache.store.read(nodes.find, ADDRESS)).item_count == HEAVY
    alone = taking(lambda: [digest(payload, "") for payload in contents])
    assert found.longest[0].seconds < alone / 2, str(found)


@pytest.mark.sqlite
async def test_the_items_of_a_large_node_are_found_while_nobody_waits(cached: Make) -> None:
    """Against what finding them takes in the same run; none of them is old enough to be parsed again."""
    cache, _ = await large(cached)
    node = await cache.store.read(nodes.find, ADDRESS)
    assert cache.store.read_now(of_node, node.id, 0) == []
    alone = taking(partial(cache.store.read_now, of_node, node.id, 0))
    with watched() as found:
        await asyncio.create_task(cache.house.reanalysis.parse(node, created_before=0))
    assert found.longest[0].seconds < alone / 2, str(found)


async def many(cached: Make, count: int = NODES, **columns: Any) -> Cached:
    """A cache that follows very many nodes and is offline. columns: of each of them."""

    def follow(tx: Transaction) -> None:
        for number in range(count):
            node = nodes.ensure(tx, ADDRESS._replace(node=f"blog-{number}"))
            nodes.update(tx, node.id, state="live", subscribed=True, **columns)

    world = World()
    world.service(PUBSUB)
    cache: Cached = await cached(world, online=False)
    await cache.store.write(follow)
    # All of them are looked through at the start, for analysers that came.
    await cache.house.analysing.settled()
    return cache


@pytest.mark.sqlite
async def test_very_many_nodes_become_private_while_nobody_waits(cached: Make) -> None:
    """Their analyser has left. Against what all of it takes in the same run."""
    cache = await many(cached, analyser="x", analyser_version=1)
    privacy, analysers = cache.house.privacy, cache.house.analysers
    analysers.register(Definition(name="x", type="thing", node="blog-", priority=1_000), "bus", ":1.5")
    await cache.house.analysing.settled()
    assert not privacy.known(ADDRESS._replace(node="blog-7"))
    with watched() as found:
        analysers.unregister("x")
        while not privacy.known(ADDRESS._replace(node="blog-7")):
            await asyncio.sleep(0)
    assert found.longest[0].seconds < found.total / 2, str(found)


@pytest.mark.sqlite
async def test_a_check_of_many_nodes_keeps_nobody_waiting(cached: Make) -> None:
    """Against what reading those that are subscribed to takes in the same run."""
    cache = await many(cached)
    # Statements are compiled once.
    await cache.house.upkeep.check().wait()
    assert len(cache.store.read_now(schedule.subscribed)) == NODES
    alone = taking(partial(cache.store.read_now, schedule.subscribed))
    with watched() as found:
        await asyncio.create_task(cache.house.upkeep.check().wait())
    assert found.longest[0].seconds < alone / 2, str(found)


@pytest.mark.sqlite
async def test_a_reset_of_many_nodes_keeps_nobody_waiting(cached: Make) -> None:
    """Against what all of it takes in the same run, with the signals written as for the bus."""
    cache = await many(cached)
    told: list[str] = []

    def tell(address: Address, change: str) -> None:
        body = [*address, change]
        Message(
            message_type=MessageType.SIGNAL,
            path="/im/pubsubcache1",
            interface="im.pubsubcache1.Cache",
            member="NodeChanged",
            signature="ssss",
            body=body,
            serial=1,
        )._marshall(False)
        told.append(change)

    cache.house.changes.on_node.append(tell)
    with watched() as found:
        await asyncio.create_task(cache.house.removal.reset().wait())
        # All of it comes before the answer.
        assert told == ["removed"] * NODES
    assert found.longest[0].seconds < found.total / 8, str(found)
    assert await cache.store.read(schedule.subscribed) == []


class Slow(random.Random):
    """Draws, each of which takes as long as everybody else may have to wait, and says in which turn of the loop."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = 0
        self.drawn: Counter[int] = Counter()

    def take_turn(self) -> None:
        self.turn += 1
        asyncio.get_running_loop().call_soon(self.take_turn)

    def random(self) -> float:
        until = time.monotonic() + SLICE
        while time.monotonic() <= until:
            pass
        self.drawn[self.turn] += 1
        return 0.5


@pytest.mark.sqlite
async def test_when_many_nodes_are_looked_at_in_a_new_session_is_drawn_while_nobody_waits(cached: Make) -> None:
    cache = await many(cached, count=200)
    cache.chance = chance = Slow()
    await cache.restart(online=False)
    chance.take_turn()
    await cache.house.connect()
    while chance.drawn.total() < 100:
        await cache.world.settle()
    assert max(chance.drawn.values()) < 10


@pytest.mark.parametrize("forget", [False, True], ids=["purge", "forget"])
async def test_the_items_of_many_nodes_go_in_few_transactions_and_not_in_one(cached: Make, forget: bool) -> None:
    """One for each node takes many times as long, and everybody else who writes would wait for one that has all."""
    count, each = 100, 20

    def follow(tx: Transaction) -> None:
        for number in range(count):
            node = nodes.ensure(tx, ADDRESS._replace(node=f"blog-{number}"))
            nodes.update(tx, node.id, state="live", completeness="full", subscribed=True)
            publish(tx, node.id, [StoredItem(str(item), payload="<entry/>") for item in range(each)])

    world = World()
    world.service(PUBSUB)
    cache: Cached = await cached(world, online=False)
    await cache.store.write(follow)
    # Else what is looked through at the start, for analysers that came, is written meanwhile.
    await cache.house.analysing.settled()
    gone: list[int] = []
    cache.store.on_commit.append(lambda touched: gone.append(touched.count))
    await cache.house.removal.purge(PurgeFilter(services=(PUBSUB,), forget=forget)).wait()
    assert sum(gone) == count * each
    assert len(gone) < count / 5
    assert max(gone) < count * each / 4


@pytest.mark.sqlite
async def test_a_list_of_nodes_of_which_many_are_in_another_state_keeps_nobody_waiting(cached: Make) -> None:
    """The database could not take it; nothing of the first pages is shown."""
    cache = await many(cached)
    for number in range(NODES // 4):
        cache.house.nodes.suspected.add(ADDRESS._replace(node=f"blog-{number}"))
    with watched() as found:
        listing = asyncio.create_task(cache.house.node_reads.listing(NodesFilter(state="live", limit=100)))
        listed, _ = await listing
    assert listed[0]["node"] == f"blog-{NODES // 4}"
    assert found.longest[0].seconds < found.total / 4, str(found)
