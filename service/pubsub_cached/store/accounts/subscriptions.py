"""Subscriptions that the daemon made, and that nothing needs any more: they are to be given up.

Of a node that nobody keeps its row has it; of one whose row went, a row of its own.
"""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, delete, insert, or_, select, union_all

from ...address import Address
from ..models import Account, Node, Subscription
from ..rows import LET_GO, NodeRow
from ..statement import Prepared
from ..transaction import Transaction
from . import accounts

_LEFT = select(Account.jid, Subscription.service, Subscription.node, Subscription.subid).join(Account)
_KEPT = select(Account.jid, Node.service, Node.node, Node.subid).join(Account)
_IN_VAIN = _KEPT.where(Node.own_subscription.is_(True), or_(*(Node.state == state for state in sorted(LET_GO))))
_MINE = Account.jid == bindparam("account")
_OF_ACCOUNT = Prepared(union_all(_IN_VAIN.where(_MINE), _LEFT.where(_MINE)))
_AT_ADDRESS = Prepared(
    union_all(
        *(
            found.where(_MINE, table.service == bindparam("service"), table.node == bindparam("name"))
            for found, table in ((_IN_VAIN, Node), (_LEFT, Subscription))
        )
    )
)
_KEY = (
    Subscription.account_id == bindparam("row"),
    Subscription.service == bindparam("service"),
    Subscription.node == bindparam("name"),
)
_TAKEN = Prepared(select(Subscription.subid).where(*_KEY))
_REMOVED = Prepared(delete(Subscription).where(*_KEY))
_MADE = Prepared(
    insert(Subscription).values(
        account_id=bindparam("row"), service=bindparam("service"), node=bindparam("name"), subid=bindparam("id")
    )
)


def made(subid: str) -> dict[str, object]:
    """The columns of a node that the daemon has subscribed to."""
    return {"subscribed": True, "own_subscription": True, "subid": subid}


def in_vain(conn: Connection, account: str) -> list[Address]:
    """The nodes to which the daemon has subscribed an account, for nothing."""
    return [Address(*row[:3]) for row in _OF_ACCOUNT.all(conn, account=account)]


def find(conn: Connection, address: Address) -> str | None:
    """The id of the subscription to a node that is to be given up, "" where it has none; None for no such one."""
    account, service, node = address
    row = _AT_ADDRESS.first(conn, account=account, service=service, name=node)
    return row[3] if row is not None else None


def leave(tx: Transaction, row: NodeRow) -> None:
    """Remember the subscription that the daemon made to a node without a row; nothing where the account went."""
    account, service, node = row.address
    # By its name: whoever holds a row of an account that went may hold the id of another one.
    account_id = accounts.own(tx, account)
    if account_id is not None:
        take(tx, account_id, row.address)
        _MADE.run(tx.connection, row=account_id, service=service, name=node, id=row.subid)


def take(tx: Transaction, account_id: int, address: Address) -> str | None:
    """The id of the subscription to a node without a row, which is remembered no more; None for no such one."""
    tx.own(account_id)
    _, service, node = address
    subid: str | None = _TAKEN.value(tx.connection, row=account_id, service=service, name=node)
    if subid is not None:
        _REMOVED.run(tx.connection, row=account_id, service=service, name=node)
    return subid


def ended(tx: Transaction, address: Address) -> None:
    """The service has ended the subscription to a node without a row."""
    account_id = accounts.own(tx, address.account)
    if account_id is not None:
        take(tx, account_id, address)
