"""Items: what a service published, as far as it is kept.

Every change of an item and every removal has a revision of its own; the node's is that of the last.
The functions that write are for the writer's thread (``Store.write``) and raise NoSuchNode when the
node's row is gone meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from . import nodes, pages
from .batch import Batch, all_held, held, last_of_each, newest_place
from .flags import set_flags
from .removal import drop, evict, surplus
from .replace import replace
from .rows import Delta, ItemsQuery, ItemsSlice, StoredItem
from .transaction import Transaction

__all__ = ["drop", "erase", "evict", "page", "publish", "replace", "retract", "set_flags", "surplus"]


def page(conn: Connection, node_id: int, query: ItemsQuery) -> ItemsSlice:
    """A slice of the node's items. Raises NoSuchItem for an unknown ``after`` or ``before``, and NoSuchNode."""
    return pages.page(conn, nodes.must(nodes.by_id(conn, node_id)), query)


def publish(tx: Transaction, node_id: int, items: Sequence[StoredItem], *, moves: bool = True) -> Delta:
    """Items that the service announced, in its order; of an id that comes twice the last counts.

    The same content has no revision. moves: whether an item that is published again becomes the
    newest (XEP-0060 leaves it to the service); its creation stays where it is.
    """
    node = nodes.must(nodes.by_id(tx.connection, node_id))
    batch = Batch(tx, node)
    newest = newest_place(tx, node_id)
    last = last_of_each(items)
    stored = held(tx, node_id, [item.id for item in last])
    for item in last:
        before = stored.get(item.id)
        if before is None:
            newest = tx.next_place()
            batch.store(item, None, newest, newest)
        elif not moves or before.modified == newest:
            batch.store(item, before, before.created, before.modified)
        else:
            newest = tx.next_place()
            batch.store(item, before, before.created, newest)
    return batch.write()


def retract(tx: Transaction, node_id: int, ids: Sequence[str]) -> Delta:
    """Items that the service removed; ids that are not there are not in ``removed``."""
    node = nodes.must(nodes.by_id(tx.connection, node_id))
    batch = Batch(tx, node)
    named = [*dict.fromkeys(ids)]
    stored = held(tx, node_id, named)
    for id_ in named:
        if (item := stored.get(id_)) is not None:
            batch.remove(item)
    return batch.write()


def erase(tx: Transaction, node_id: int) -> Delta:
    """The service removed everything: a purge, or the node was deleted."""
    node = nodes.must(nodes.by_id(tx.connection, node_id))
    batch = Batch(tx, node)
    for item in all_held(tx, node_id).values():
        batch.remove(item)
    return batch.write()
