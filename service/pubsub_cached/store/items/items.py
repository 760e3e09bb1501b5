"""Items: what a service published, as far as it is kept.

Every change of an item and every removal has a revision of its own; the node's is that of the last.
The functions that write are for the writer's thread (``Store.write``) and raise NoSuchNode when the
node's row is gone meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..accounts import nodes
from ..rows import Delta, NodeRow, StoredItem
from ..transaction import Transaction
from .batch import Batch, all_held, held, last_of_each, newest_place, published_again
from .flags import set_flags
from .removal import drop, drop_discarded, drop_of_each, evict, parts, shorten, surplus
from .replace import replace

__all__ = [
    "Followed",
    "drop",
    "drop_discarded",
    "drop_of_each",
    "erase",
    "evict",
    "follow",
    "parts",
    "replace",
    "set_flags",
    "surplus",
]


class Followed(NamedTuple):
    """What an event changed; ``node`` is the row as it is now.

    evicted: how many items made room for others. again: whether one was published again that had not been the last.
    """

    delta: Delta
    evicted: int
    node: NodeRow
    again: bool


def follow(
    tx: Transaction,
    node: NodeRow,
    items: Sequence[StoredItem],
    retracted: Sequence[str],
    keep: int | None,
    *,
    in_place: bool = False,
) -> Followed:
    """All that one event says of a node whose row was read in this transaction: items, then retractions.

    Of an id that comes twice the last counts; the same content has no revision. An item that is published again becomes
    the newest, its creation stays where it is. Ids that are not there are not in ``removed``. keep: how many items stay
    when some were published, those modified last; None for all. in_place: whether the service leaves in its place what
    is published again. What it pushes to a new session need not be published last, and counts as published if it has
    another content.
    """
    published = removed = Delta()
    again = False
    if items:
        batch = Batch(tx, node)
        again = _publish(batch, tx, items, in_place)
        published, node = batch.write(), batch.node
    if retracted:
        batch = Batch(tx, node)
        removed, node = _retracted(batch, tx, retracted), batch.node
    before = node.item_count
    if keep is not None and published.changed:
        node = shorten(tx, node, keep)
    gone = frozenset(removed.removed)
    changed = [id_ for id_ in published.changed if id_ not in gone]
    delta = Delta(changed, removed.removed, max(published.revision, removed.revision))
    return Followed(delta, before - node.item_count, node, again)


def erase(tx: Transaction, node_id: int) -> Delta:
    """The service removed everything: a purge, or the node was deleted."""
    node = nodes.must(nodes.by_id(tx.connection, node_id))
    batch = Batch(tx, node)
    for item in all_held(tx, node_id).values():
        batch.remove(item)
    return batch.write()


def _publish(batch: Batch, tx: Transaction, items: Sequence[StoredItem], in_place: bool) -> bool:
    """Have items stored; whether one of them was there and becomes the newest."""
    again = False
    last = last_of_each(items)
    stored = held(tx, batch.node.id, [item.id for item in last])
    # Where nothing is there yet, nothing is compared with it.
    newest = newest_place(tx, batch.node.id) if stored else None
    for item in last:
        before = stored.get(item.id)
        if before is None:
            newest = tx.next_place()
            batch.store(item, None, newest, newest)
        elif before.modified == newest or (in_place and not published_again(before, item)):
            batch.store(item, before, before.created, before.modified)
        else:
            again = True
            newest = tx.next_place()
            batch.store(item, before, before.created, newest)
    return again


def _retracted(batch: Batch, tx: Transaction, ids: Sequence[str]) -> Delta:
    named = [*dict.fromkeys(ids)]
    stored = held(tx, batch.node.id, named)
    for id_ in named:
        if (item := stored.get(id_)) is not None:
            batch.remove(item)
    return batch.write()
