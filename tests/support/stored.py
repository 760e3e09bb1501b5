"""What an event does to a node, written by hand."""

from __future__ import annotations

from collections.abc import Sequence

from pubsub_cached.store.accounts import nodes
from pubsub_cached.store.items import items
from pubsub_cached.store.rows import Delta, StoredItem
from pubsub_cached.store.transaction import Transaction


def publish(tx: Transaction, node_id: int, published: Sequence[StoredItem]) -> Delta:
    """Items are published, in this order. Raises NoSuchNode."""
    return _follow(tx, node_id, published, ())


def retract(tx: Transaction, node_id: int, ids: Sequence[str]) -> Delta:
    """Items are retracted. Raises NoSuchNode."""
    return _follow(tx, node_id, (), ids)


def _follow(tx: Transaction, node_id: int, published: Sequence[StoredItem], retracted: Sequence[str]) -> Delta:
    return items.follow(tx, nodes.must(nodes.by_id(tx.connection, node_id)), published, retracted, None).delta
