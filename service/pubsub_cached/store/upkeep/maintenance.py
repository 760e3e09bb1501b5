"""What concerns the whole database, as far as it is the daemon's (``whose``)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, func, or_, select, update

from .. import dialect, whose
from ..accounts import discarded, subscriptions
from ..accounts import nodes as node_store
from ..models import Account, Flag, Item, Node, Service, Tombstone
from ..rows import DISCARDED, NodeRow
from ..transaction import Transaction, committed_revision


def reset(tx: Transaction) -> list[NodeRow]:
    """Forget all nodes, items, tombstones and flags, and what was observed of services; the nodes.

    Those of accounts that are run. The accounts stay, but for those removed with their cache kept, and the revisions
    go on, and so do subscriptions that the daemon made, until it has given them up. Raises AccountInUse.
    """
    conn = tx.connection
    removed = node_store.run(conn)
    every = select(Account.id, Account.jid, Account.removed).where(or_(whose.runs(), Account.removed))
    for id_, jid, is_removed in conn.execute(every.where(Account.origin != DISCARDED)).all():
        discarded.discard(tx, id_)
        conn.execute(delete(Flag).where(Flag.account == jid))
        conn.execute(delete(Service).where(Service.account_id == id_))
        if is_removed:
            conn.execute(delete(Account).where(Account.id == id_))
    for row in removed:
        if row.own_subscription:
            subscriptions.leave(tx, row)
    return removed


def expire_tombstones(tx: Transaction, before: int) -> int:
    """Forget the removals that are older than a time in milliseconds; their number.

    Changes since a revision before the last of them are incomplete from then on.
    """
    expired = tx.connection.execute(_EXPIRED, {"before": before}).all()
    floors = dict(sorted((node_id, revision) for node_id, revision in expired))
    for node_id, highest in floors.items():
        tx.connection.execute(update(Node).where(Node.id == node_id, Node.floor < highest).values(floor=highest))
    return len(expired)


# By its node a tombstone is looked for last: there may be many, of which none is old enough.
_MINE = select(Node.id).join(Account).where(Node.id == Tombstone.node_id, or_(whose.runs(), Account.removed))
_OLD = and_(Tombstone.removed_at < bindparam("before"), _MINE.correlate(Tombstone).exists())
_EXPIRED = delete(Tombstone).where(_OLD).returning(Tombstone.node_id, Tombstone.revision)


def size(conn: Connection) -> int:
    """Bytes that the database takes, without what it keeps free for later."""
    return dialect.of(conn).size(conn, whose.has())


def statistics(conn: Connection) -> dict[str, Any]:
    """Counts, the bytes that the database takes, the revision.

    newest: the latest time that was written down, ms. free: bytes free on the disk.
    """
    counts = {
        "accounts": select(func.count()).select_from(Account).where(Account.removed.is_(False)),
        "nodes": select(func.count()).select_from(Node).where(Node.state != DISCARDED),
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
