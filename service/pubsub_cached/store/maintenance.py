"""What concerns the whole database."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from .models import Account, Flag, Item, Node, Tombstone
from .transaction import Transaction, committed_revision


def revision(conn: Connection) -> int:
    """The daemon's revision."""
    return committed_revision(conn)


def reset(tx: Transaction) -> int:
    """Remove all nodes, items, tombstones and flags; the number of nodes.

    Accounts stay, and the revisions go on.
    """
    conn = tx.connection
    removed = conn.scalar(select(func.count()).select_from(Node)) or 0
    for model in (Item, Tombstone, Node, Flag):
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
    if conn.dialect.name == "sqlite":
        return _file_bytes(conn)
    found: int | None = conn.scalar(select(func.pg_database_size(func.current_database())))
    return found or 0


def statistics(conn: Connection) -> dict[str, Any]:
    """Counts, the bytes that the database takes, the revision."""
    counts = {
        "accounts": select(func.count()).select_from(Account).where(Account.removed.is_(False)),
        "nodes": select(func.count()).select_from(Node),
        "items": select(func.coalesce(func.sum(Node.item_count), 0)),
        "tombstones": select(func.count()).select_from(Tombstone),
        "flags": select(func.count()).select_from(Flag),
    }
    found: dict[str, Any] = {name: int(conn.scalar(statement) or 0) for name, statement in counts.items()}
    found["bytes"] = size(conn)
    found["revision"] = committed_revision(conn)
    return found


def _file_bytes(conn: Connection) -> int:
    """Pages in use, without those that the file keeps for later."""
    pages, free, size = (
        int(conn.exec_driver_sql(f"PRAGMA {name}").scalar() or 0)
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size
