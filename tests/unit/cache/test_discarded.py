"""What a Reset and the removal of an account forget is gone at once, and dropped later, while nobody waits for it."""

from __future__ import annotations

import asyncio
import random
from contextlib import ExitStack

import pytest
from sqlalchemy import Connection, func, select

from pubsub_cached import errors
from pubsub_cached.address import Address
from pubsub_cached.cache.options import AccountOptions
from pubsub_cached.store.accounts import nodes
from pubsub_cached.store.models import Account, Item, Node
from pubsub_cached.store.rows import StoredItem
from pubsub_cached.store.touched import Touched
from pubsub_cached.store.transaction import Transaction
from pubsub_cached.store.upkeep import maintenance
from pubsub_cached.xmpp.fake import World
from tests.support.cached import Make
from tests.support.stored import publish

from .blog import BLOG, MICROBLOG, PUBSUB, followed, local, writer_busy

BOB = "bob@example.org"
MANY = 2_000


def stored(conn: Connection) -> list[int]:
    """How many accounts, nodes and items the database holds, whoever may see them."""
    return [conn.scalar(select(func.count()).select_from(each)) or 0 for each in (Account, Node, Item)]


def fill(tx: Transaction, address: Address, *more: StoredItem) -> None:
    """Have more in a node than is dropped at once."""
    many = (StoredItem(str(number), payload="<entry/>") for number in range(MANY))
    publish(tx, nodes.ensure(tx, address).id, [*many, *more])


async def test_nobody_waits_until_what_a_reset_forgot_is_dropped(cached: Make) -> None:
    cache, _ = await followed(cached)
    await cache.store.write(fill, BLOG)
    with ExitStack() as stack:

        def committed(touched: Touched) -> None:
            if touched.everything:
                cache.store.on_commit.remove(committed)
                stack.enter_context(writer_busy(cache))

        cache.store.on_commit.append(committed)
        assert await cache.house.removal.reset().wait() == "1 node was forgotten."
        assert (await cache.store.read(stored))[2] > MANY
        with pytest.raises(errors.NoSuchNode):
            await cache.node(PUBSUB, MICROBLOG)
        assert [change for _, change in cache.signals()] == ["stale", "updated", "removed"]
    await cache.idle()
    assert await cache.store.read(stored) == [1, 0, 0]


async def test_nobody_waits_until_what_an_account_had_is_dropped(cached: Make) -> None:
    world = World()
    world.account(BOB)
    cache, _ = await followed(cached, world)
    accounts = cache.house.accounts
    bob = await accounts.add(BOB, AccountOptions())
    await cache.store.write(fill, BLOG._replace(account=BOB))
    with ExitStack() as stack:
        # What is queued by then is written: that nobody runs the account any more.
        loop = asyncio.get_running_loop()
        accounts.on_removed.append(lambda _: loop.call_soon(stack.enter_context, writer_busy(cache)))
        await bob.remove(keep_cache=False)
        assert (await cache.store.read(stored))[2] > 3
    await cache.idle()
    assert await cache.store.read(stored) == [1, 1, 3]


async def test_what_was_forgotten_is_dropped_after_a_restart(cached: Make) -> None:
    """The daemon was killed before it could; what is kept anew stays."""
    cache, _ = await followed(cached)
    await cache.store.write(fill, BLOG)
    await cache.store.write(maintenance.reset)
    await cache.restart()
    await cache.keep(PUBSUB, MICROBLOG)
    assert await cache.store.read(stored) == [1, 1, 3]
    assert len(await local(cache)) == 3


async def test_what_another_daemon_forgot_and_left_is_dropped(cached: Make) -> None:
    """It was killed before it could, and may never come again."""
    cache, _ = await followed(cached)
    await cache.store.write(fill, BLOG)
    await cache.store.write(maintenance.reset)
    cache.house.revalidation.wake()
    await cache.idle()
    assert await cache.store.read(stored) == [1, 0, 0]


async def test_what_is_compacted_has_nothing_in_it_that_was_forgotten(cached: Make) -> None:
    cache, _ = await followed(cached)
    await cache.store.write(fill, BLOG)
    await cache.store.write(maintenance.reset)
    await cache.house.upkeep.compact().wait()
    assert await cache.store.read(stored) == [1, 0, 0]


async def test_nothing_is_evicted_for_what_is_dropped_anyway(cached: Make) -> None:
    cache, _ = await followed(cached, total_size=MANY * 1_000)
    large = StoredItem("large", payload="<entry>" + random.Random(1).randbytes(MANY * 600).hex() + "</entry>")

    def write(tx: Transaction) -> None:
        fill(tx, BLOG, large)
        maintenance.reset(tx)
        publish(tx, nodes.ensure(tx, BLOG).id, [StoredItem(str(number), payload="<entry/>") for number in range(3)])

    with writer_busy(cache):
        written = cache.store.write(write)
        cache.house.removal.discarded()
        cache.house.revalidation.wake()
    await written
    await cache.idle()
    assert await cache.store.read(stored) == [1, 1, 3]
