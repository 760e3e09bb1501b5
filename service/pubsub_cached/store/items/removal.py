"""Local removal, which is not deletion: no tombstones, and older revisions can't be told from any more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import compress, pairwise

from sqlalchemy import bindparam, delete, select

from ..accounts import discarded, nodes
from ..models import Account, Item, Node
from ..rows import NodeRow
from ..statement import Prepared, Row, Several
from ..transaction import Transaction
from .batch import delete_rows

_ALL = Prepared(
    select(Item.id, Item.item_id, Item.created_at, Item.modified_at)
    .where(Item.node_id == bindparam("node"))
    .order_by(Item.modified)
)

# So many items go at once; what else is done for a node takes as long as so many of them.
_AT_ONCE = 500
_NODE_COSTS = 10


def drop(tx: Transaction, node_id: int) -> None:
    """Remove the copy, also that of an empty node, which holds that it has no items. Raises NoSuchNode."""
    drop_of_each(tx, [node_id])
    nodes.update(tx, node_id, completeness="none")


def drop_of_each(
    tx: Transaction, node_ids: Sequence[int], *, created_before: int | None = None, modified_before: int | None = None
) -> list[int]:
    """Remove the items of nodes that meet every condition given; their numbers, 0 of a node that is gone by now.

    The completeness is ``window`` while the newest are left, and ``none`` when nothing is, or when
    what is left has a hole. It is the statement that costs, and one removes them all.
    """

    def meets(row: Row) -> bool:
        _, _, created_at, modified_at = row
        return (created_before is None or created_at < created_before) and (
            modified_before is None or modified_at < modified_before
        )

    held = [nodes.by_id(tx.connection, node_id) for node_id in node_ids]
    found = [_ALL.all(tx.connection, node=node.id) if node is not None else [] for node in held]
    dropped = [[meets(row) for row in rows] for rows in found]
    going = [[*compress(rows, gone)] for rows, gone in zip(found, dropped, strict=True)]
    delete_rows(tx, [row[0] for rows in going for row in rows])
    for node, rows, gone in zip(held, going, dropped, strict=True):
        if node is not None and rows:
            from_oldest = not any(later and not earlier for earlier, later in pairwise(gone))
            _removed(tx, node, rows, from_oldest)
    return [len(rows) for rows in going]


def parts(rows: Iterable[NodeRow]) -> Iterator[list[NodeRow]]:
    """Nodes, as many at a time as are emptied by one write: whoever else writes has a turn in between."""
    part: list[NodeRow] = []
    cost = 0
    for row in rows:
        part.append(row)
        cost += _NODE_COSTS + row.item_count
        if cost >= _AT_ONCE:
            yield part
            part, cost = [], 0
    if part:
        yield part


def evict(tx: Transaction, node_id: int, keep: int) -> int:
    """Remove all but the ``keep`` items modified last; the number removed, 0 of a node that is gone by now."""
    node = nodes.by_id(tx.connection, node_id)
    return 0 if node is None else node.item_count - shorten(tx, node, keep).item_count


def shorten(tx: Transaction, node: NodeRow, keep: int) -> NodeRow:
    """As ``evict``, of a node whose row was read in this transaction; the row as it is now."""
    excess = node.item_count - keep
    if excess <= 0:
        return node
    rows = _OLDEST.all(tx.connection, node=node.id, most=excess)
    delete_rows(tx, [row[0] for row in rows])
    return _removed(tx, node, rows, from_oldest=True)


_SOME = select(Item.id, Item.item_id).where(Item.node_id == bindparam("node")).limit(bindparam("most"))
_OLDEST = Prepared(_SOME.order_by(Item.modified))
_CREATED_FIRST = Prepared(_SOME.order_by(Item.created))
_NODES_GONE = Several(lambda ids: delete(Node).where(Node.id.in_(ids)))
_ACCOUNT_GONE = Prepared(delete(Account).where(Account.id == bindparam("account")))


def drop_discarded(tx: Transaction) -> bool:
    """Drop a part of what was in nodes that were discarded, by whichever daemon; False when there was nothing left."""
    conn = tx.connection
    account_id = discarded.stand_in(conn)
    if account_id is None:
        return False
    room = _AT_ONCE
    items: list[int] = []
    emptied: list[int] = []
    for node_id in discarded.some(conn, account_id, room // _NODE_COSTS):
        found = _OLDEST.all(conn, node=node_id, most=room)
        items += (row[0] for row in found)
        room -= len(found) + _NODE_COSTS
        if room <= 0:
            break
        emptied.append(node_id)
    delete_rows(tx, items)
    _NODES_GONE.run(conn, emptied)
    if room == _AT_ONCE:
        _ACCOUNT_GONE.run(conn, account=account_id)
    return True


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


def _removed(tx: Transaction, node: NodeRow, rows: list[Row], from_oldest: bool) -> NodeRow:
    tx.touched.items(node.id, node.address, [row[1] for row in rows])
    return nodes.lower(tx, node, len(rows), left_of(node, len(rows), from_oldest))
