"""Quotas: the newest items of a log, the size of a payload, the size of everything."""

from __future__ import annotations

import random

import msgspec

from pubsub_cached.address import Address
from pubsub_cached.store.accounts import nodes
from pubsub_cached.store.items.outline import ids_of
from pubsub_cached.store.rows import StoredItem
from pubsub_cached.store.touched import Touched
from pubsub_cached.store.transaction import Transaction
from pubsub_cached.store.upkeep import maintenance
from pubsub_cached.xmpp.fake import Service, World
from tests.support.cached import ALICE, ENTRY, Cached, Make
from tests.support.stored import publish

from .blog import MICROBLOG, PUBSUB


async def limited(cached: Make, *posts: tuple[str, str]) -> tuple[Cached, Service]:
    """A cache that keeps payloads of 1,000 bytes, of a node of these posts: each an id and its text."""
    world = World()
    service = world.service(PUBSUB)
    service.create_node(MICROBLOG)
    for id_, text in posts:
        service.publish(MICROBLOG, id_, ENTRY.format(text))
    cache: Cached = await cached(world, payload_limit=1000)
    await cache.keep(PUBSUB, MICROBLOG)
    return cache, service


async def test_a_payload_beyond_the_limit_is_left_at_the_service(cached: Make) -> None:
    cache, _ = await limited(cached, ("large", "x" * 5000), ("small", "x"))
    items, *_ = await cache.read(PUBSUB, MICROBLOG, policy="cache")
    assert [item["id"] for item in items] == ["small", "large"]
    assert "payload" not in items[1]
    assert "1000 bytes" in items[1]["errors"][0]


async def test_a_large_payload_is_fetched_when_it_is_named(cached: Make) -> None:
    cache, _ = await limited(cached, ("large", "x" * 5000))
    items, _, info = await cache.read(PUBSUB, MICROBLOG, ids=("large",))
    assert info["source"] == "network"
    assert "x" * 5000 in items[0]["payload"]


async def test_a_payload_is_stored_once_the_limit_is_above_it_and_dropped_once_it_is_below(cached: Make) -> None:
    cache, _ = await limited(cached, ("large", "x" * 5000))
    (left_out,), *_ = await cache.read(PUBSUB, MICROBLOG, policy="cache")
    for limit, is_stored in ((100_000, True), (1000, False)):
        limits = msgspec.structs.replace(cache.settings.cache, payload_limit=limit)
        cache.settings = msgspec.structs.replace(cache.settings, cache=limits)
        await cache.restart()
        await (await cache.house.sync.start(Address(ALICE, PUBSUB, MICROBLOG), True, "", "")).wait()
        (item,), *_ = await cache.read(PUBSUB, MICROBLOG, policy="cache")
        assert ("payload" in item, "data" in item, "errors" in item) == (is_stored, is_stored, not is_stored)
        assert item["modified"] == left_out["modified"]


async def test_an_item_that_grows_beyond_the_limit_does_not_keep_its_old_content(cached: Make) -> None:
    cache, service = await limited(cached, ("post", "old"))
    service.publish(MICROBLOG, "post", ENTRY.format("x" * 5000))
    await cache.idle()
    items, *_ = await cache.read(PUBSUB, MICROBLOG, policy="cache")
    assert "payload" not in items[0]


async def filled(cached: Make) -> Cached:
    """A cache that is full, of two nodes, ``read`` and ``unread``."""
    world = World()
    service = world.service(PUBSUB)
    for node in ("unread", "read"):
        service.create_node(f"{MICROBLOG}/{node}", max_items=1000)
        for number in range(40):
            # What some databases can't make smaller.
            text = random.Random(number).randbytes(5_000).hex()
            service.publish(f"{MICROBLOG}/{node}", f"i{number}", ENTRY.format(text))
    cache: Cached = await cached(world, total_size=1_200_000)
    for node in ("unread", "read"):
        await cache.keep(PUBSUB, f"{MICROBLOG}/{node}")
        cache.clock.advance(hours=2)
        await cache.read(PUBSUB, f"{MICROBLOG}/{node}")
    cache.house.revalidation.wake()
    await cache.idle()
    return cache


async def test_a_full_cache_evicts_the_oldest_of_what_nobody_reads(cached: Make) -> None:
    cache = await filled(cached)
    unread = await cache.node(PUBSUB, f"{MICROBLOG}/unread")
    assert unread["items"] < 40
    assert unread["completeness"] == "window"
    items, *_ = await cache.read(PUBSUB, f"{MICROBLOG}/unread", policy="cache")
    assert items[0]["id"] == "i39"
    assert cache.removed() == []


async def test_what_was_evicted_comes_back_once_there_is_room(cached: Make) -> None:
    """Before, it would be fetched with each session, to be evicted again."""
    cache = await filled(cached)
    evicted = await cache.node(PUBSUB, f"{MICROBLOG}/unread")
    for total, is_room in ((1_200_000, False), (12_000_000, True)):
        limits = msgspec.structs.replace(cache.settings.cache, total_size=total)
        cache.settings = msgspec.structs.replace(cache.settings, cache=limits)
        await cache.stop()
        newest = cache.world.services[PUBSUB].publish(f"{MICROBLOG}/unread", f"n{total}", ENTRY.format("new"))
        await cache.start()
        await cache.idle()
        node = await cache.node(PUBSUB, f"{MICROBLOG}/unread")
        assert node["state"] == "live"
        items, *_ = await cache.read(PUBSUB, f"{MICROBLOG}/unread", policy="cache")
        assert items[0]["id"] == newest
        assert node["items"] == (42 if is_room else evicted["items"])
        assert node["completeness"] == ("full" if is_room else "window")


async def test_a_node_that_is_forgotten_before_its_turn_is_evicted_from_no_more(cached: Make) -> None:
    cache: Cached = await cached(World(), total_size=1)

    def fill(tx: Transaction) -> None:
        for node in ("first", "second"):
            row = nodes.ensure(tx, Address(ALICE, PUBSUB, node))
            publish(tx, row.id, [StoredItem(str(number), payload="<entry/>") for number in range(4)])

    def once(_: Address, change: str) -> None:
        if change == "updated":
            cache.house.changes.on_node.remove(once)
            cache.store.write(maintenance.reset)

    cache.house.changes.on_node.append(once)
    await cache.store.write(fill)
    cache.house.revalidation.wake()
    await cache.idle()
    assert cache.failures() == []
    assert len(cache.signals("updated")) == 1


async def test_of_a_large_node_little_is_evicted_at_a_time(cached: Make) -> None:
    """Everybody else who writes waits for one of the parts at most."""
    cache: Cached = await cached(World(), total_size=1)

    def fill(tx: Transaction) -> int:
        row = nodes.ensure(tx, Address(ALICE, PUBSUB, MICROBLOG))
        publish(tx, row.id, [StoredItem(str(number), payload="<entry/>") for number in range(3_000)])
        return row.id

    row = await cache.store.write(fill)
    evicted: list[int] = []
    cache.store.on_commit.append(lambda touched: evicted.append(touched.count))
    cache.house.revalidation.wake()
    await cache.idle()
    assert max(evicted) == 500
    assert sum(evicted) == 2_999
    assert await cache.store.read(ids_of, row) == ["2999"]


async def test_a_large_node_loses_as_much_of_it_as_a_small_one_does(cached: Make) -> None:
    cache: Cached = await cached(World(), total_size=1)

    def fill(tx: Transaction) -> None:
        for node, count in (("large", 3_000), ("small", 100)):
            row = nodes.ensure(tx, Address(ALICE, PUBSUB, node))
            publish(tx, row.id, [StoredItem(str(number), payload="<entry/>") for number in range(count)])

    await cache.store.write(fill)
    evicted: list[tuple[str, int]] = []

    def heard(touched: Touched) -> None:
        evicted.extend((node.address.node, len(node.ids)) for node in touched.nodes.values())

    cache.store.on_commit.append(heard)
    cache.house.revalidation.wake()
    await cache.idle()
    assert evicted[:4] == [("large", 500), ("large", 500), ("large", 500), ("small", 50)]
