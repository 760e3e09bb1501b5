"""A node's items without their content: what a service's answer is compared with, and how that is written down."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec
from sqlalchemy import Connection, bindparam, func, select

from ..models import Item
from ..rows import Delta, StoredItem
from ..statement import Prepared, Several
from ..transaction import Transaction
from .replace import replace

# So many of the newest tell how much an item weighs.
WEIGHED = 20

_LINES = Prepared(
    select(Item.item_id, Item.hash, Item.created).where(Item.node_id == bindparam("node")).order_by(Item.modified)
)
_DIGESTS = Several(
    lambda ids: select(Item.item_id, Item.hash).where(Item.node_id == bindparam("node"), Item.item_id.in_(ids))
)
_NEWEST = (
    select(func.length(Item.payload).label("weight"))
    .where(Item.node_id == bindparam("node"))
    .order_by(Item.modified.desc())
    .limit(WEIGHED)
    .subquery()
)
_HEAVIEST = Prepared(select(func.max(_NEWEST.c.weight)))

_YOUNGEST = Prepared(
    select(Item.item_id).where(Item.node_id == bindparam("node")).order_by(Item.created.desc()).limit(1)
)


class Line(msgspec.Struct, frozen=True):
    """An item: the digest of its content, "" while that is unknown, and its place by creation."""

    id: str
    hash: str
    created: int


class Outline(msgspec.Struct, frozen=True):
    """All items of a node, the longest unmodified first; ``heaviest``: characters in a payload of the newest."""

    lines: tuple[Line, ...]
    heaviest: int

    @property
    def ids(self) -> list[str]:
        """Their ids in this order."""
        return [line.id for line in self.lines]


def ids_of(conn: Connection, node_id: int) -> list[str]:
    """The ids of all items of a node, the longest unmodified first."""
    return [row[0] for row in _LINES.all(conn, node=node_id)]


def outline(conn: Connection, node_id: int) -> Outline:
    """What is stored of a node."""
    lines = tuple(Line(*row) for row in _LINES.all(conn, node=node_id))
    return Outline(lines, _HEAVIEST.value(conn, node=node_id) or 0)


def digests(conn: Connection, node_id: int, ids: Collection[str]) -> dict[str, str]:
    """Of these items those that are stored, each with the digest of its content, "" while that is unknown."""
    return dict(_DIGESTS.all(conn, [*ids], node=node_id))


def youngest_beside(conn: Connection, node_id: int, item_id: str) -> str:
    """The item that was made last, or "" where that is this one."""
    youngest = str(_YOUNGEST.value(conn, node=node_id))
    return youngest if youngest != item_id else ""


def confirm(
    tx: Transaction, node_id: int, older: Sequence[str], newest: Sequence[StoredItem], *, kept: Collection[str]
) -> Delta:
    """Make the node hold ``older`` as they are stored, then ``newest``, and nothing else but the ids in ``kept``.

    Of ``older`` those that are not stored any more stay away.
    """
    there = set(ids_of(tx.connection, node_id))
    given = [*(StoredItem(id_) for id_ in older if id_ in there), *newest]
    return replace(tx, node_id, given, kept=kept, full=True, moves=True)
