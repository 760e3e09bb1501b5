"""Nodes that are no more, and whose items are yet to be dropped: that takes long where there are many.

Until then they are those of an account that stands in: nobody has it, and its name is no JID. They are found neither by
their addresses nor by their ids, nothing is due for them, and where they were is room for others.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from ..models import Account, Node, Tombstone
from ..rows import DISCARDED
from ..statement import Prepared
from ..transaction import Transaction

_NOTHING: dict[str, Any] = {
    "state": DISCARDED,
    "reason": "",
    "completeness": "none",
    "analyser": "",
    "next_sync": None,
    "item_count": 0,
}
_BLANK: dict[str, Any] = {
    "origin": DISCARDED,
    "enabled": False,
    "host": "",
    "port": 0,
    "tls": "",
    "ca_file": "",
    "resource": "",
    "removed": True,
}
_STANDS_IN = Prepared(select(Account.id).where(Account.origin == DISCARDED).order_by(Account.id).limit(1))
_NODES = Prepared(
    select(Node.id).where(Node.account_id == bindparam("account")).order_by(Node.id).limit(bindparam("most"))
)


def discard(tx: Transaction, account_id: int) -> None:
    """Forget all nodes of an account at once, however much is in them; ``items.drop_discarded`` drops that."""
    tx.own(account_id)
    tx.touched.all()
    conn = tx.connection
    stands_in = conn.scalar(insert(Account).values(jid=f"/{tx.next_revision()}", **_BLANK).returning(Account.id))
    mine = Node.account_id == account_id
    conn.execute(delete(Tombstone).where(Tombstone.node_id.in_(select(Node.id).where(mine))))
    conn.execute(update(Node).where(mine).values(account_id=stands_in, **_NOTHING))


def stand_in(conn: Connection) -> int | None:
    """The id of an account of discarded nodes, None when there is none."""
    id_: int | None = _STANDS_IN.value(conn)
    return id_


def some(conn: Connection, account_id: int, most: int) -> list[int]:
    """The ids of the first of its nodes."""
    return [id_ for (id_,) in _NODES.all(conn, account=account_id, most=most)]
