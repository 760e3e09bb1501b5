"""Local removal, which is not deletion: no tombstones, and older revisions can't be told from any more."""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise

from sqlalchemy import bindparam, select

from ..accounts import nodes
from ..models import Item
from ..rows import NodeRow
from ..statement import Prepared, Row
from ..transaction import Transaction
from .batch import delete_rows

_ALL = Prepared(
    select(Item.id, Item.item_id, Item.modified, Item.created_at, Item.modified_at)
    .where(Item.node_id == bindparam("node"))
    .order_by(Item.modified)
)


def drop(
    tx: Transaction,
    node_id: int,
    ids: Collection[str] | None = None,
    *,
    created_before: int | None = None,
    modified_before: int | None = None,
) -> int:
    """Remove the items that meet every condition given (all of them without any); their number.

    The completeness is ``window`` while the newest are left, and ``none`` when nothing is, or when
    what is left has a hole.
    """
    wanted = None if ids is None else frozenset(ids)

    def meets(row: Row) -> bool:
        _, item_id, _, created_at, modified_at = row
        return (
            (wanted is None or item_id in wanted)
            and (created_before is None or created_at < created_before)
            and (modified_before is None or modified_at < modified_before)
        )

    rows = _ALL.all(tx.connection, node=node_id)
    dropped = [meets(row) for row in rows]
    if not any(dropped):
        return 0
    from_oldest = not any(later and not earlier for earlier, later in pairwise(dropped))
    node = nodes.must(nodes.by_id(tx.connection, node_id))
    _remove(tx, node, [row for row, gone in zip(rows, dropped, strict=True) if gone], from_oldest)
    return sum(dropped)


def evict(tx: Transaction, node_id: int, keep: int) -> int:
    """Remove all but the ``keep`` items modified last; the number removed."""
    node = nodes.must(nodes.by_id(tx.connection, node_id))
    return node.item_count - shorten(tx, node, keep).item_count


def shorten(tx: Transaction, node: NodeRow, keep: int) -> NodeRow:
    """As ``evict``, of a node whose row was read in this transaction; the row as it is now."""
    excess = node.item_count - keep
    if excess <= 0:
        return node
    return _remove(tx, node, _OLDEST.all(tx.connection, node=node.id, most=excess), from_oldest=True)


_SOME = select(Item.id, Item.item_id).where(Item.node_id == bindparam("node")).limit(bindparam("most"))
_OLDEST = Prepared(_SOME.order_by(Item.modified))
_CREATED_FIRST = Prepared(_SOME.order_by(Item.created))


def surplus(tx: Transaction, node_id: int, most: int) -> list[str] | None:
    """Ids of the items that a service which keeps ``most`` has evicted; None where that can't be told.

    Services evict by last publication or by creation: only where both name the same items they are known.
    """
    node = nodes.must(nodes.by_id(tx.connection, node_id))
    excess = node.item_count - most
    if excess <= 0 or node.completeness != "full":
        return []
    found = [
        [item_id for _, item_id in oldest.all(tx.connection, node=node_id, most=excess)]
        for oldest in (_OLDEST, _CREATED_FIRST)
    ]
    return found[0] if sorted(found[0]) == sorted(found[1]) else None


def left_of(node: NodeRow, removed: int, from_oldest: bool) -> str:
    """The completeness after ``removed`` items went."""
    if node.completeness == "none" or removed >= node.item_count or not from_oldest:
        return "none"
    return "window"


def _remove(tx: Transaction, node: NodeRow, rows: list[Row], from_oldest: bool) -> NodeRow:
    delete_rows(tx, [row[0] for row in rows])
    tx.touched.items(node.id, node.address, [row[1] for row in rows])
    return nodes.lower(tx, node, len(rows), left_of(node, len(rows), from_oldest))
