"""What another daemon writes of an account that waits here is told."""

from __future__ import annotations

from pubsub_cached.address import Address
from pubsub_cached.cache.accounts.elsewhere import Elsewhere
from pubsub_cached.cache.changes import Changes
from pubsub_cached.store.accounts import nodes as node_store
from pubsub_cached.store.transaction import Transaction
from pubsub_cached.xmpp.fake import World
from tests.support.cached import ALICE, Cached, Make

from .blog import PUBSUB


async def test_of_a_thousand_nodes_that_changed_all_are_told_once(cached: Make) -> None:
    cache: Cached = await cached(World())
    changes, told = Changes(), list[tuple[Address, str]]()
    changes.on_node.append(lambda *change: told.append(change))
    elsewhere = Elsewhere(cache.store, changes, lambda row: None)
    nodes = [Address(ALICE, PUBSUB, f"node {number}") for number in range(1001)]

    def write(tx: Transaction) -> None:
        for address in nodes:
            node_store.ensure(tx, address)

    await cache.store.write(write)
    for _ in range(2):
        await elsewhere.look(cache.house.accounts.get(ALICE))
    assert told == [(address, "updated") for address in nodes]
