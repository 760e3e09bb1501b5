"""Nodes: the rows that say what of a service is kept, and how far it may be trusted."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Boolean, ColumnElement, Connection, Select, and_, bindparam, delete, func, insert, or_, select
from sqlalchemy import update as change

from ... import errors
from ...address import Address
from .. import whose
from ..listed import rows
from ..models import Account, Counter, Item, Node
from ..rows import DISCARDED, KEPT, UNPROVED, NodeRow, NodesQuery
from ..statement import Prepared, Row, Several
from ..transaction import Transaction, committed_revision
from . import accounts, subscriptions

# The columns of a NodeRow after ``address``, in its order.
_REST = NodeRow.__struct_fields__[3:]
_BOOLEANS = tuple(index for index, name in enumerate(_REST) if isinstance(getattr(Node, name).type, Boolean))
_KEPT_BY_STORE = frozenset({"item_count", "floor", "revision"})
_WRITABLE = frozenset(_REST) - _KEPT_BY_STORE
# What changes all the time and tells a client nothing.
_BOOKKEEPING = frozenset(
    {
        "validated_at",
        "last_read",
        "last_sync",
        "next_sync",
        "failures",
        "whole_at",
        "described_at",
        "item_expire",
        "notifies",
        "own_subscription",
    }
)

# Of one whose items expire events tell all but that.
_FOLLOWED = or_(Node.state == "live", and_(Node.state == "polled", Node.item_expire.is_not(None)))

_SELECT: Select[Any] = select(
    Node.id, Node.account_id, Account.jid, Node.service, Node.node, *(getattr(Node, name) for name in _REST)
).join(Account, Account.id == Node.account_id)

_AT_ADDRESS = _SELECT.where(
    Account.jid == bindparam("account"), Node.service == bindparam("service"), Node.node == bindparam("name")
)
_BY_ADDRESS = Prepared(_AT_ADDRESS)
_WITH_REVISION = Prepared(
    _AT_ADDRESS.add_columns(select(Counter.value).where(Counter.name == "revision").scalar_subquery())
)
_BY_ID = Prepared(_SELECT.where(Node.id == bindparam("node"), Node.state != DISCARDED))
_SEEN = Several(
    lambda ids: (
        select(Item.node_id, func.count()).where(Item.node_id.in_(ids), Item.seen.is_(True)).group_by(Item.node_id)
    )
)
_CHANGE = change(Node).where(Node.id == bindparam("row"))
_COUNTED = Prepared(_CHANGE.values(item_count=Node.item_count + bindparam("more"), revision=bindparam("number")))
_DEMOTED = Prepared(_CHANGE.values(state="stale", reason=bindparam("why"), revision=bindparam("number")))
_POSTPONED = Prepared(_CHANGE.values(next_sync=bindparam("at")))
_LOWERED = Prepared(
    _CHANGE.values(
        item_count=Node.item_count - bindparam("fewer"),
        revision=bindparam("number"),
        floor=bindparam("number"),
        completeness=bindparam("left"),
    )
)


def find(conn: Connection, address: Address) -> NodeRow | None:
    """The node's row, or None."""
    account, service, node = address
    row = _BY_ADDRESS.first(conn, account=account, service=service, name=node)
    return _node(row) if row else None


def find_with_revision(conn: Connection, address: Address) -> tuple[NodeRow | None, int]:
    """The node's row, or None, and the daemon's revision."""
    account, service, node = address
    row = _WITH_REVISION.first(conn, account=account, service=service, name=node)
    return (_node(row[:-1]), row[-1]) if row else (None, committed_revision(conn))


def by_id(conn: Connection, node_id: int) -> NodeRow | None:
    """The row of this id, or None."""
    row = _BY_ID.first(conn, node=node_id)
    return _node(row) if row else None


def listing(conn: Connection, query: NodesQuery) -> list[NodeRow]:
    """Nodes in the order they were first met, at most ``limit``, after the one of id ``after_id``."""
    statement = _SELECT.where(whose.runs() if query.run else whose.has(), Node.id > query.after_id)
    equal = {
        Account.jid: query.account,
        Node.service: query.service,
        Node.type: query.type,
        Node.subtype: query.subtype,
        Node.analyser: query.analyser,
        Node.subscribed: query.subscribed,
    }
    for column, wanted in equal.items():
        if wanted is not None:
            statement = statement.where(column == wanted)
    if query.state is not None:
        state = Node.state == query.state
        statement = statement.where(or_(state, among(query.doubtful)) if query.doubtful else state)
    if query.analysers is not None:
        statement = statement.where(Node.analyser.in_(query.analysers))
    if query.node_prefix:
        # Not LIKE, which is blind to case in SQLite.
        statement = statement.where(func.substr(Node.node, 1, len(query.node_prefix)) == query.node_prefix)
    if query.since is not None:
        statement = statement.where(Node.revision > min(query.since, 2**63 - 1))
    return [_node(row) for row in conn.execute(statement.order_by(Node.id).limit(query.limit))]


def among(addresses: Collection[Address]) -> ColumnElement[bool]:
    """Whether a node is at one of these addresses."""
    account, service, node = (given := rows(sorted(addresses), 3)).c
    here = select(Node.id).select_from(given).join(Account, Account.jid == account)
    return Node.id.in_(here.join(Node, and_(Node.account_id == Account.id, Node.service == service, Node.node == node)))


def run(conn: Connection) -> list[NodeRow]:
    """All nodes of the accounts that are run, in the order they were first met."""
    return [_node(row) for row in conn.execute(_SELECT.where(whose.runs()).order_by(Node.id))]


def unread(conn: Connection, found: Sequence[NodeRow]) -> list[int]:
    """How many of each node's items are without the flag ``read``."""
    seen: dict[int, int] = dict(_SEEN.all(conn, [row.id for row in found]))
    return [row.item_count - seen.get(row.id, 0) for row in found]


def unmatched(
    conn: Connection, registered: Collection[str], asked: Collection[str], after: int, limit: int
) -> list[NodeRow]:
    """The next nodes, after the one of this id, of accounts that are run: that no registered analyser has, or that
    one of those that are asked has and that nobody keeps."""
    alone = and_(Node.analyser.not_in(list(registered)), Node.state.not_in(("gone", "unknown")))
    waiting = and_(Node.analyser.in_(list(asked)), Node.state == "discovered")
    statement = _SELECT.where(Node.id > after, or_(alone, waiting), whose.runs()).order_by(Node.id).limit(limit)
    return [_node(row) for row in conn.execute(statement)]


def analysed(conn: Connection, but: Collection[str], after: int, limit: int) -> list[tuple[int, Address, str]]:
    """The ids of the next nodes, after this one, that have another analyser than these, and which."""
    statement = select(Node.id, Account.jid, Node.service, Node.node, Node.analyser).join(Account)
    statement = statement.where(Node.id > after, Node.analyser.not_in(list(but))).order_by(Node.id).limit(limit)
    return [(row[0], Address(*row[1:4]), row[4]) for row in conn.execute(statement)]


def unproved(conn: Connection, account: str = "") -> list[Address]:
    """The nodes, of an account or of all, of which nothing is shown until the service has let it read them again."""
    statement = select(Account.jid, Node.service, Node.node).join(Account).where(Node.reason == UNPROVED)
    if account:
        statement = statement.where(Account.jid == account)
    return [Address(*row) for row in conn.execute(statement)]


def by_access(conn: Connection, account: str, models: Collection[str]) -> list[Address]:
    """An account's nodes with one of these access models, of those that are kept."""
    statement = select(Account.jid, Node.service, Node.node).join(Account)
    mine = (Account.jid == account, Node.access_model.in_(list(models)), Node.state.in_(list(KEPT)))
    return [Address(*row) for row in conn.execute(statement.where(*mine))]


def ensure(tx: Transaction, address: Address) -> NodeRow:
    """The node's row, made in state ``unknown`` if there is none. Raises NoSuchAccount.

    Its id is no other's, not even that of a row that went: who holds one longer than the row is writes to none. A
    subscription that an earlier row has left is the new one's.
    """
    row = find(tx.connection, address)
    if row is not None:
        return row
    account_id = accounts.own(tx, address.account)
    if account_id is None:
        raise errors.NoSuchAccount(f"There is no account {address.account}.")
    revision = tx.next_revision()
    subid = subscriptions.take(tx, account_id, address)
    made = NodeRow(revision, account_id, address, floor=revision, revision=revision)
    if subid is not None:
        made = msgspec.structs.replace(made, **subscriptions.made(subid))
    tx.connection.execute(insert(Node).values(as_columns(made)))
    return made


def update(tx: Transaction, node_id: int, **columns: Any) -> NodeRow:
    """Change columns; the row as it is now.

    A new revision only if something that a client can see changed: not for ``_BOOKKEEPING``. Raises NoSuchNode when the
    row is gone meanwhile.
    """
    if unknown := columns.keys() - _WRITABLE:
        raise TypeError(f"no column of a node that may be set: {', '.join(sorted(unknown))}")
    row = must(by_id(tx.connection, node_id))
    differing = {name: value for name, value in columns.items() if getattr(row, name) != value}
    if not differing:
        return row
    tx.own(row.account_id)
    if not differing.keys() <= _BOOKKEEPING:
        differing["revision"] = tx.next_revision()
    tx.connection.execute(change(Node).where(Node.id == node_id).values(differing))
    after = msgspec.structs.replace(row, **differing)
    if _seen_by(row) != _seen_by(after):
        tx.touched.node(node_id, row.address)
    return after


def ask_to_parse(tx: Transaction, node_id: int) -> None:
    """Have an analyser's deferred parser parse a node's items again. Raises NoSuchNode.

    A version that there is none of is behind every one, and each request has its own, so that what is under way for an
    earlier one does not settle it.
    """
    row = must(by_id(tx.connection, node_id))
    update(tx, node_id, analyser_version=min(row.analyser_version, 0) - 1)


def demote(tx: Transaction, account: str | None, reason: str) -> list[Address]:
    """Make every node stale that events kept right until now; those that were.

    account: whose; None for all that are run, and those that were removed.
    """
    mine = or_(whose.runs(), Account.removed) if account is None else Account.jid == account
    columns = (Node.id, Node.account_id, Account.jid, Node.service, Node.node, Node.completeness, Node.reason)
    statement = select(*columns).join(Account, Account.id == Node.account_id).where(_FOLLOWED, mine).order_by(Node.id)
    changed: list[dict[str, object]] = []
    demoted: list[Address] = []
    for id_, account_id, jid, service, node, completeness, before in tx.connection.execute(statement):
        tx.own(account_id)
        address = Address(jid, service, node)
        if completeness != "none" and (before == UNPROVED) != (reason == UNPROVED):
            tx.touched.node(id_, address)
        changed.append({"row": id_, "why": reason, "number": tx.next_revision()})
        demoted.append(address)
    # All of a start: one by one they would keep the first answer waiting, 0.4 ms each.
    _DEMOTED.each(tx.connection, changed)
    return demoted


def postpone(tx: Transaction, times: Iterable[tuple[int, int]]) -> None:
    """When nodes are to be looked at next, by their rows' ids; those that are gone are left out."""
    _POSTPONED.each(tx.connection, [{"row": node_id, "at": at} for node_id, at in times])


def forget(tx: Transaction, node_id: int) -> NodeRow | None:
    """Delete the row, with its items and tombstones; flags stay, and so does a subscription that the daemon made.

    The row as it was last, None where there is none.
    """
    row = by_id(tx.connection, node_id)
    if row is not None:
        tx.own(row.account_id)
        tx.touched.node(node_id, row.address)
        if row.own_subscription:
            subscriptions.leave(tx, row)
        tx.connection.execute(delete(Node).where(Node.id == node_id))
    return row


def count(tx: Transaction, row: NodeRow, more: int) -> NodeRow:
    """Its items changed, and are ``more`` (or fewer) now; the row as it is now.

    The node's revision is that of the last change.
    """
    _COUNTED.run(tx.connection, row=row.id, more=more, number=tx.last_revision)
    return msgspec.structs.replace(row, item_count=row.item_count + more, revision=tx.last_revision)


def lower(tx: Transaction, row: NodeRow, fewer: int, completeness: str) -> NodeRow:
    """Items were removed here and not by the service; the row as it is now. What came before can't be told any more."""
    tx.own(row.account_id)
    number = tx.next_revision()
    _LOWERED.run(tx.connection, row=row.id, fewer=fewer, number=number, left=completeness)
    if "none" in (completeness, row.completeness):
        tx.touched.node(row.id, row.address)
    return msgspec.structs.replace(
        row, item_count=row.item_count - fewer, floor=number, revision=number, completeness=completeness
    )


def shown(row: NodeRow) -> bool:
    """Whether its items may be found by a search: the cache holds a copy, and neither was it denied nor is it gone."""
    return row.completeness != "none" and row.state in KEPT and row.reason != UNPROVED


def _seen_by(row: NodeRow) -> str | None:
    """What decides who sees its items: its analyser; None where nobody does."""
    return row.analyser if shown(row) else None


def as_columns(row: NodeRow) -> dict[str, Any]:
    """A row as its table has it."""
    _, service, node = row.address
    where = {"id": row.id, "account_id": row.account_id, "service": service, "node": node}
    return where | {name: getattr(row, name) for name in _REST}


def must(row: NodeRow | None) -> NodeRow:
    """A row that should be there. Raises NoSuchNode."""
    if row is None:
        raise errors.NoSuchNode("The node was removed from the cache meanwhile; read it again.")
    return row


def _node(row: Row) -> NodeRow:
    id_, account_id, jid, service, node, *rest = row
    for index in _BOOLEANS:
        rest[index] = bool(rest[index])
    return NodeRow(id_, account_id, Address(jid, service, node), *rest)
