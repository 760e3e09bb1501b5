"""Nodes by the time at which something is to be done about them; of the accounts that are run (``whose``)."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from sqlalchemy import ColumnElement, Connection, func, or_, select

from ..address import Address
from . import whose
from .models import Account, Item, Node
from .rows import LET_GO, NodeRow


class Entry(msgspec.Struct, frozen=True):
    """A node, as far as a plan needs it."""

    id: int
    address: Address
    state: str
    last_read: int | None
    item_count: int
    analyser: str


def of_account(conn: Connection, account: str, states: Collection[str]) -> list[Entry]:
    """An account's nodes in these states, those read last first."""
    return _entries(conn, Account.jid == account, Node.state.in_(list(states)))


def at_service(conn: Connection, account: str, service: str, states: Collection[str]) -> list[Entry]:
    """An account's nodes of one service in these states."""
    return _entries(conn, Account.jid == account, Node.service == service, Node.state.in_(list(states)))


def subscribed(conn: Connection) -> list[Entry]:
    """Nodes of which the cache believes that they are subscribed to."""
    return _entries(conn, Node.subscribed.is_(True), whose.runs())


def followed(conn: Connection) -> list[Entry]:
    """Nodes that are live because they are subscribed to."""
    return _entries(conn, Node.subscribed.is_(True), Node.state == "live", whose.runs())


def followed_in_vain(conn: Connection, account: str) -> list[Entry]:
    """An account's nodes that nobody keeps, of which the daemon has a subscription that it made."""
    return _entries(conn, Account.jid == account, Node.own_subscription.is_(True), Node.state.in_(list(LET_GO)))


def due(conn: Connection, now: int, states: Collection[str]) -> list[Entry]:
    """Nodes in these states whose ``next_sync`` has come."""
    return _entries(conn, Node.next_sync <= now, Node.state.in_(list(states)), whose.runs())


def next_due(conn: Connection, now: int) -> int | None:
    """The next ``next_sync`` after now, or None."""
    later = select(func.min(Node.next_sync)).join(Account).where(Node.next_sync > now, whose.runs())
    found: int | None = conn.scalar(later)
    return found


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


def unread_since(conn: Connection, analysers: Collection[str], before: int, states: Collection[str]) -> list[Entry]:
    """Nodes of these analysers in these states that were read, but not since this time, and are not pinned."""
    mine = (Node.analyser.in_(list(analysers)), Node.state.in_(list(states)), Node.pinned.is_(False))
    return _entries(conn, *mine, Node.last_read < before, whose.runs())


def hidden_before(conn: Connection, before: int) -> list[Entry]:
    """Nodes denied or gone since before this time, that still hold something."""
    hidden = (Node.state == "gone") | ((Node.state == "denied") & (Node.item_count > 0))
    return _entries(conn, hidden, Node.gone_at < before, or_(whose.runs(), Account.removed))


def _entries(conn: Connection, *conditions: ColumnElement[bool]) -> list[Entry]:
    found = conn.execute(
        select(
            Node.id, Account.jid, Node.service, Node.node, Node.state, Node.last_read, Node.item_count, Node.analyser
        )
        .join(Account, Account.id == Node.account_id)
        .where(*conditions)
        .order_by(func.coalesce(Node.last_read, 0).desc(), Node.id)
    )
    return [
        Entry(id_, Address(account, service, node), state, last_read, item_count, analyser)
        for id_, account, service, node, state, last_read, item_count, analyser in found
    ]
