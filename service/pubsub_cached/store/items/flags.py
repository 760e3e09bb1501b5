"""Flags: local marks of items, which outlive the items' rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from ...address import Address
from ..accounts import accounts, nodes
from ..models import Flag, Item
from ..rows import Delta
from ..statement import Prepared, Several
from ..transaction import Transaction

READ = "read"

_OF_NODE = (Flag.account == bindparam("account"), Flag.service == bindparam("service"), Flag.node == bindparam("node"))
_SOME = Several(
    lambda ids: (
        select(Flag.item_id, Flag.flag).where(*_OF_NODE, Flag.item_id.in_(ids)).order_by(Flag.item_id, Flag.flag)
    )
)
_CLEAR = Several(lambda ids: delete(Flag).where(*_OF_NODE, Flag.item_id.in_(ids)))
_ADD = Prepared(insert(Flag).values({column.name: bindparam(column.name) for column in Flag.__table__.columns}))
_THERE = Several(lambda ids: select(Item.item_id).where(Item.node_id == bindparam("row"), Item.item_id.in_(ids)))
_MARK = Prepared(
    update(Item)
    .where(Item.node_id == bindparam("row"), Item.item_id == bindparam("item"))
    .values(flags=bindparam("marks"), seen=bindparam("is_seen"), revision=bindparam("number"))
)


def of(conn: Connection, address: Address, ids: Collection[str]) -> dict[str, list[str]]:
    """The flags of items, sorted; an item without any is left out."""
    found: dict[str, list[str]] = {}
    for item_id, flag in _SOME.all(conn, [*ids], **address._asdict()):
        found.setdefault(item_id, []).append(flag)
    return found


def set_flags(
    tx: Transaction, address: Address, ids: Sequence[str], add: Sequence[str] = (), remove: Sequence[str] = ()
) -> Delta:
    """Add and remove flags; one that is in both is removed.

    The marks are kept for items that are not in the cache too; changed are those that are. Raises AccountInUse.
    """
    accounts.own(tx, address.account)
    conn, here = tx.connection, address._asdict()
    before = of(conn, address, ids)
    after = {id_: sorted({*before.get(id_, ()), *add}.difference(remove)) for id_ in ids}
    differing = [id_ for id_, marks in after.items() if marks != before.get(id_, [])]
    _CLEAR.run(conn, differing, **here)
    _ADD.each(conn, ({**here, "item_id": id_, "flag": flag} for id_ in differing for flag in after[id_]))
    node = nodes.find(conn, address)
    if node is None:
        return Delta()
    there = {id_ for (id_,) in _THERE.all(conn, differing, row=node.id)}
    changed = [id_ for id_ in differing if id_ in there]
    if not changed:
        return Delta()
    _MARK.each(
        conn,
        (
            {
                "row": node.id,
                "item": id_,
                "marks": " ".join(after[id_]),
                "is_seen": READ in after[id_],
                "number": tx.next_revision(),
            }
            for id_ in changed
        ),
    )
    nodes.count(tx, node, 0)
    tx.touched.items(node.id, address, changed)
    return Delta(changed, [], tx.last_revision)
