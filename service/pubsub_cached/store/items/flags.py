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

# Up to so many items are looked up, for more all flags of the node are read.
_LOOKED_UP = 32

_OF_NODE = (
    select(Flag.item_id, Flag.flag)
    .where(Flag.account == bindparam("account"), Flag.service == bindparam("service"), Flag.node == bindparam("name"))
    .order_by(Flag.item_id, Flag.flag)
)
_SOME = Several(lambda ids: _OF_NODE.where(Flag.item_id.in_(ids)))
_ALL = Prepared(_OF_NODE)
_ADD = Prepared(
    insert(Flag).values({name: bindparam(name) for name in ("account", "service", "node", "item_id", "flag")})
)
_REMOVE = Prepared(
    delete(Flag).where(
        Flag.account == bindparam("account"),
        Flag.service == bindparam("service"),
        Flag.node == bindparam("name"),
        Flag.item_id == bindparam("item"),
        Flag.flag == bindparam("flag"),
    )
)
_MARK = Prepared(
    update(Item)
    .where(Item.node_id == bindparam("row"), Item.item_id == bindparam("item"))
    .values(flags=bindparam("marks"), seen=bindparam("is_seen"), revision=bindparam("number"))
)
_ROW = Prepared(select(Item.id).where(Item.node_id == bindparam("row"), Item.item_id == bindparam("item")))


def of(conn: Connection, address: Address, ids: Collection[str]) -> dict[str, list[str]]:
    """The flags of items, sorted; an item without any is left out."""
    account, service, node = address
    found: dict[str, list[str]] = {}
    if len(ids) <= _LOOKED_UP:
        rows = _SOME.all(conn, [*ids], account=account, service=service, name=node)
    else:
        rows = _ALL.all(conn, account=account, service=service, name=node)
    for item_id, flag in rows:
        found.setdefault(item_id, []).append(flag)
    return found


def set_flags(
    tx: Transaction, address: Address, ids: Sequence[str], add: Sequence[str] = (), remove: Sequence[str] = ()
) -> Delta:
    """Add and remove flags; one that is in both is removed.

    The marks are kept for items that are not in the cache too; changed are those that are. Raises AccountInUse.
    """
    accounts.own(tx, address.account)
    node = nodes.find(tx.connection, address)
    before = of(tx.connection, address, ids)
    changed: list[str] = []
    for id_ in dict.fromkeys(ids):
        old = set(before.get(id_, ()))
        new = (old | set(add)) - set(remove)
        if new == old:
            continue
        _write(tx, address, id_, new - old, old - new)
        if node is not None and _ROW.first(tx.connection, row=node.id, item=id_):
            marks = " ".join(sorted(new))
            _MARK.run(tx.connection, row=node.id, item=id_, marks=marks, is_seen=READ in new, number=tx.next_revision())
            changed.append(id_)
    if node is None or not changed:
        return Delta()
    nodes.count(tx, node, 0)
    tx.touched.items(node.id, address, changed)
    return Delta(changed, [], tx.last_revision)


def _write(tx: Transaction, address: Address, item_id: str, added: set[str], removed: set[str]) -> None:
    account, service, node = address
    _ADD.each(
        tx.connection,
        [
            {"account": account, "service": service, "node": node, "item_id": item_id, "flag": flag}
            for flag in sorted(added)
        ],
    )
    for flag in removed:
        _REMOVE.run(tx.connection, account=account, service=service, name=node, item=item_id, flag=flag)
