"""What changed in a node after a revision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, select

from ... import errors
from ...address import Address
from ..accounts import nodes
from ..models import Item, Tombstone
from ..rows import NodeRow
from ..statement import Prepared, Several
from ..transaction import committed_revision
from .outline import ids_of

_MOST = 2**63 - 1


def _after(table: type[Item] | type[Tombstone]) -> Prepared:
    return Prepared(
        select(table.revision, table.item_id)
        .where(table.node_id == bindparam("node"), table.revision > bindparam("since"))
        .order_by(table.revision)
        .limit(bindparam("most"))
    )


def _among(table: type[Item] | type[Tombstone]) -> Several:
    return Several(lambda ids: select(table.item_id).where(table.node_id == bindparam("node"), table.item_id.in_(ids)))


_CHANGED = _after(Item)
_REMOVED = _after(Tombstone)
_THERE = _among(Item)
_GONE = _among(Tombstone)


class Changes(NamedTuple):
    """Ids in the order of their revisions; ``revision`` is where to go on; ``complete`` false: read the node again."""

    changed: list[str]
    removed: list[str]
    revision: int
    complete: bool


def since(conn: Connection, address: Address, since: int, limit: int = 500) -> Changes:
    """What changed after ``since`` (any number), at most ``limit`` changes.

    Raises NoSuchNode.
    """
    node = nodes.find(conn, address)
    if node is None:
        raise errors.NoSuchNode(f"{address} is not in the cache.")
    current = committed_revision(conn)
    complete = node.floor <= since <= current
    values = {"node": node.id, "since": min(since, _MOST), "most": limit + 1}
    changed = [(revision, id_, True) for revision, id_ in _CHANGED.all(conn, **values)]
    removed = [(revision, id_, False) for revision, id_ in _REMOVED.all(conn, **values)]
    found = sorted(changed + removed)
    reached = current
    if len(found) > limit:
        found = found[:limit]
        reached = found[-1][0]
    return Changes(
        [id_ for _, id_, there in found if there], [id_ for _, id_, there in found if not there], reached, complete
    )


def any_unknown(conn: Connection, node: NodeRow, ids: Sequence[str]) -> bool:
    """Whether one of these ids was never an item of the node, nor removed from it by the service.

    Behind a window there are items that nobody knows here; only several ids that were joined into one are then strange.
    """
    for there in (_THERE, _GONE):
        known = {id_ for (id_,) in there.all(conn, ids, node=node.id)}
        ids = [id_ for id_ in ids if id_ not in known]
    if not ids or node.completeness != "window":
        return bool(ids)
    return any(part in id_ for part in ids_of(conn, node.id) for id_ in ids)
