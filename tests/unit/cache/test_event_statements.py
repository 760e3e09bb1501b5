"""What an event costs: the statements of its transaction, which are most of the time until it is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import groupby

import pytest

from pubsub_cached.cache.events.arrivals import TOGETHER
from pubsub_cached.xmpp.fake import World
from tests.support.cached import ENTRY, Cached, Make

from .blog import MICROBLOG, PUBSUB, followed

# BEGIN, both counters, SAVEPOINT, the node; RELEASE, a counter each, COMMIT.
FRAME = 8

pytestmark = pytest.mark.sqlite


async def transaction(cache: Cached, happens: Callable[[], None]) -> list[str]:
    """The statements of the one transaction that changes items; what triggers do is not among them."""
    heard: list[str] = []
    await cache.store.maintain(lambda driver: driver.set_trace_callback(heard.append))
    happens()
    await cache.world.settle()
    await cache.house.events.settled()
    await cache.store.maintain(lambda driver: driver.set_trace_callback(None))
    transactions: list[list[str]] = []
    # A statement is told again for each trigger that it sets off.
    for statement, _ in groupby(each for each in heard if not each.startswith("--")):
        if statement.startswith("BEGIN"):
            transactions.append([])
        transactions[-1].append(statement)
    (changing,) = (each for each in transactions if any(_changes_items(statement) for statement in each))
    return changing


def _changes_items(statement: str) -> bool:
    return statement.startswith(("INSERT INTO item ", "UPDATE item ", "DELETE FROM item "))


def reads(statements: list[str], table: str) -> int:
    words = [statement.split() for statement in statements if statement.startswith("SELECT")]
    return Counter(each[each.index("FROM") + 1] for each in words)[table]


async def test_a_publish_asks_for_nothing_twice(cached: Make) -> None:
    cache, service = await followed(cached, count=5)
    ran = await transaction(cache, lambda: service.publish(MICROBLOG, "new", ENTRY.format("new")))

    assert reads(ran, "node") == 1
    assert reads(ran, "counter") == 1
    # Whether it is there; its flags; an old tombstone; the item; the node's count.
    assert len(ran) <= FRAME + 5, ran
    assert await cache.ids(PUBSUB, MICROBLOG) == ["new", "i4", "i3", "i2", "i1", "i0"]


async def test_one_that_pushes_another_out_finds_that_and_removes_it_besides(cached: Make) -> None:
    cache, service = await followed(cached, count=5, items_per_node=5)
    ran = await transaction(cache, lambda: service.publish(MICROBLOG, "new", ENTRY.format("new")))

    assert reads(ran, "node") == 1
    assert len(ran) <= FRAME + 5 + 3, ran
    assert await cache.ids(PUBSUB, MICROBLOG, policy="cache") == ["new", "i4", "i3", "i2", "i1"]


async def test_a_retraction_finds_the_item_and_buries_it(cached: Make) -> None:
    cache, service = await followed(cached, count=5)
    ran = await transaction(cache, lambda: service.retract(MICROBLOG, "i1"))

    assert reads(ran, "node") == 1
    # The item, twice its row: to find and to delete it; its tombstone; the node's count. No place is given.
    assert len(ran) <= FRAME - 1 + 4, ran
    assert await cache.ids(PUBSUB, MICROBLOG) == ["i4", "i3", "i2", "i0"]


async def test_publications_that_wait_cost_little_more_than_one(cached: Make) -> None:
    cache, service = await followed(cached, World(burst=True), count=5)
    new = [f"new{number}" for number in range(TOGETHER)]

    def publish() -> None:
        for id_ in new:
            service.publish(MICROBLOG, id_, ENTRY.format(id_))

    ran = await transaction(cache, publish)

    # What is there, the flags and old tombstones of all of them; the item, for each; the count.
    assert reads(ran, "node") == 1
    assert len(ran) <= FRAME + 4 + TOGETHER, ran
    assert await cache.ids(PUBSUB, MICROBLOG, limit=TOGETHER) == new[::-1]
