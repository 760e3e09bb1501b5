"""Nodes by the time at which something is to be done about them; of the accounts that are run (``whose``)."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import BindParameter, ColumnElement, Connection, Select, and_, bindparam, func, or_, select

from ...address import Address
from .. import whose
from ..models import Account, Item, Node
from ..rows import KEPT, NodeRow
from ..statement import Prepared, Row

# So many of those that may be very many are read at once.
PAGE = 256


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A node, as far as a plan needs it."""

    id: int
    address: Address
    state: str
    last_read: int | None
    item_count: int
    analyser: str
    next_sync: int | None


_ENTRY: Select[Any] = select(
    Node.id, Account.jid, Node.service, Node.node, *(getattr(Node, name) for name in Entry.__struct_fields__[2:])
).join(Account, Account.id == Node.account_id)


def of_account(conn: Connection, account: str, states: frozenset[str], after: int = 0) -> list[Entry]:
    """The next of an account's nodes in these states, after the one of this id; ``PAGE`` at most."""
    return [_entry(row) for row in _of_account(states).all(conn, jid=account, after=after, most=PAGE)]


@lru_cache(maxsize=8)
def _of_account(states: frozenset[str]) -> Prepared:
    mine = (Account.jid == bindparam("jid"), Node.id > bindparam("after"), Node.state.in_(sorted(states)))
    return Prepared(_ENTRY.where(*mine).order_by(Node.id).limit(bindparam("most")))


def at_service(conn: Connection, account: str, service: str, states: Collection[str]) -> list[Entry]:
    """An account's nodes of one service in these states."""
    return _entries(conn, Account.jid == account, Node.service == service, Node.state.in_(list(states)))


def subscribed(conn: Connection) -> list[Entry]:
    """Nodes of which the cache believes that they are subscribed to."""
    return _entries(conn, Node.subscribed.is_(True), whose.runs())


def subscribed_services(conn: Connection) -> list[tuple[str, str]]:
    """Accounts, and services at which the cache believes that they are subscribed to something."""
    return _services(conn, Node.subscribed.is_(True))


def followed(conn: Connection, account: str, service: str) -> list[Entry]:
    """An account's nodes of one service that are live because they are subscribed to."""
    return _entries(conn, Account.jid == account, Node.service == service, *_FOLLOWED, whose.runs())


def followed_weakly(conn: Connection, names: Collection[str]) -> list[Entry]:
    """Nodes of these names that are live because presence brings their events."""
    weak = (Node.state == "live", Node.guarantee == "weak", Node.node.in_(list(names)))
    return _entries(conn, *weak, whose.runs())


def followed_services(conn: Connection) -> list[tuple[str, str]]:
    """Accounts, and services of which they have such nodes."""
    return _services(conn, *_FOLLOWED)


_FOLLOWED = (Node.subscribed.is_(True), Node.state == "live")


def _services(conn: Connection, *conditions: ColumnElement[bool]) -> list[tuple[str, str]]:
    found = select(Account.jid, Node.service).join(Account, Account.id == Node.account_id).distinct()
    return [(jid, service) for jid, service in conn.execute(found.where(*conditions, whose.runs()))]


def due(conn: Connection, since: tuple[int, int], now: int) -> list[Entry]:
    """The next of the nodes that are kept whose ``next_sync`` has come, ``PAGE`` at most.

    In the order of ``next_sync`` and the row's id, after those two.
    """
    at, row = since
    return [_entry(found) for found in _DUE.all(conn, at=at, row=row, now=now, most=PAGE)]


_AT: BindParameter[int] = bindparam("at")
_LATER = and_(Node.next_sync >= _AT, or_(Node.next_sync > _AT, Node.id > bindparam("row")))
_COME = (_LATER, Node.next_sync <= bindparam("now"), Node.state.in_(sorted(KEPT)), whose.runs())
_DUE = Prepared(_ENTRY.where(*_COME).order_by(Node.next_sync, Node.id).limit(bindparam("most")))


def next_due(conn: Connection, now: int) -> int | None:
    """The next ``next_sync`` after now, or None."""
    later = select(func.min(Node.next_sync)).join(Account).where(Node.next_sync > now, whose.runs())
    found: int | None = conn.scalar(later)
    return found


def later_than(conn: Connection, at: int) -> list[Entry]:
    """Nodes whose ``next_sync`` comes after this time."""
    return _entries(conn, Node.next_sync > at, whose.runs())


def next_expiry(conn: Connection, node: NodeRow, after: int) -> int | None:
    """When the next of the node's items gets too old to be at the service, later than this, ms; None for none.

    Of none is it known that it is younger than what is stored of it.
    """
    if node.item_expire is None:
        return None
    lasts = node.item_expire * 1000
    oldest: int | None = conn.scalar(
        select(func.min(Item.modified_at)).where(Item.node_id == node.id, Item.modified_at > after - lasts)
    )
    return oldest + lasts if oldest is not None else None


def largest_unread(conn: Connection, limit: int) -> list[Entry]:
    """Nodes with several items, those first that nobody has read for longest."""
    found = _entries(conn, Node.item_count > 1, or_(whose.runs(), Account.removed))
    return sorted(found, key=lambda entry: (entry.last_read or 0, -entry.item_count))[:limit]


def unread_since(conn: Connection, analysers: Collection[str], before: int) -> list[Entry]:
    """Nodes of these analysers that are kept and were read, but not since this time, and are not pinned."""
    mine = (Node.analyser.in_(list(analysers)), Node.state.in_(list(KEPT)), Node.pinned.is_(False))
    return _entries(conn, *mine, Node.last_read < before, whose.runs())


def hidden_before(conn: Connection, before: int) -> list[Entry]:
    """Nodes denied or gone since before this time, that still hold something, be it that they have no items."""
    held = or_(Node.item_count > 0, Node.completeness != "none")
    hidden = (Node.state == "gone") | ((Node.state == "denied") & held)
    return _entries(conn, hidden, Node.gone_at < before, or_(whose.runs(), Account.removed))


def _entries(conn: Connection, *conditions: ColumnElement[bool]) -> list[Entry]:
    found = _ENTRY.where(*conditions).order_by(func.coalesce(Node.last_read, 0).desc(), Node.id)
    return [_entry(tuple(row)) for row in conn.execute(found)]


def _entry(row: Row) -> Entry:
    id_, account, service, node, *rest = row
    return Entry(id_, Address(account, service, node), *rest)
