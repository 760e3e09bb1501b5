"""What concerns the whole database."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from . import dialect
from .models import Account, Flag, Item, Node, Service, Tombstone
from .transaction import Transaction, committed_revision


def revision(conn: Connection) -> int:
    """The daemon's revision."""
    return committed_revision(conn)


def reset(tx: Transaction) -> int:
    """Remove all nodes, items, tombstones and flags, and what was observed of services; the number of nodes.

    Accounts stay, and the revisions go on.
    """
    conn = tx.connection
    removed = conn.scalar(select(func.count()).select_from(Node)) or 0
    for model in (Item, Tombstone, Node, Flag, Service):
        conn.execute(delete(model))
    conn.execute(delete(Account).where(Account.removed.is_(True)))
    tx.next_revision()
    tx.touched.all()
    return removed


def expire_tombstones(tx: Transaction, before: int) -> int:
    """Forget the removals that are older than a time in milliseconds; their number.

    Changes since a revision before the last of them are incomplete from then on.
    """
    conn = tx.connection
    old = Tombstone.removed_at < before
    last = conn.execute(
        select(Tombstone.node_id, func.max(Tombstone.revision)).where(old).group_by(Tombstone.node_id)
    ).all()
    for node_id, highest in last:
        conn.execute(update(Node).where(Node.id == node_id, Node.floor < highest).values(floor=highest))
    return conn.execute(delete(Tombstone).where(old)).rowcount


def size(conn: Connection) -> int:
    """Bytes that the database takes, without what it keeps free for later."""
    return dialect.of(conn).size(conn)


def statistics(conn: Connection) -> dict[str, Any]:
    """Counts, the bytes that the database takes, the revision.

    newest: the latest time that was written down, ms. free: bytes free on the disk.
    """
    counts = {
        "accounts": select(func.count()).select_from(Account).where(Account.removed.is_(False)),
        "nodes": select(func.count()).select_from(Node),
        "items": select(func.coalesce(func.sum(Node.item_count), 0)),
        "tombstones": select(func.count()).select_from(Tombstone),
        "flags": select(func.count()).select_from(Flag),
    }
    found: dict[str, Any] = {name: int(conn.scalar(statement) or 0) for name, statement in counts.items()}
    found["bytes"] = size(conn)
    if (free := dialect.of(conn).free(conn)) is not None:
        found["free"] = free
    if newest := _newest(conn):
        found["newest"] = newest
    found["revision"] = committed_revision(conn)
    return found


def _newest(conn: Connection) -> int:
    """Of the items only the one that changed last is looked at."""
    last = select(Item.modified_at).order_by(Item.modified.desc()).limit(1)
    columns = (Node.last_sync, Node.validated_at, Tombstone.removed_at)
    return max(conn.scalar(last) or 0, *(conn.scalar(select(func.max(column))) or 0 for column in columns))
