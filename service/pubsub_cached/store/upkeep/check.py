"""What may be wrong in a database, found and mended: each pair of functions looks, and puts right what it found.

Looking takes as long as the database is large, so it is done aside; what mends looks again in its transaction.
"""

from __future__ import annotations

import msgspec
from sqlalchemy import ColumnElement, Connection, ForeignKey, and_, delete, func, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute

from ...address import Address
from .. import dialect, whose
from ..models import Account, Base, Item, Node, Tombstone
from ..rows import DISCARDED
from ..transaction import Transaction, committed_revision, committed_sequence


def damage(conn: Connection) -> list[str]:
    """What is wrong with the stored data itself, a sentence each, as far as the database can tell."""
    return dialect.of(conn).damage(conn)


def rebuild_indexes(tx: Transaction) -> None:
    """Make every index anew from its table."""
    dialect.of(tx.connection).rebuild_indexes(tx.connection)


# Rows that belong to nothing


def orphans(conn: Connection) -> int:
    """How many rows refer to another that is not there."""
    return sum(
        conn.scalar(select(func.count()).select_from(key.parent.table).where(_is_orphan(key))) or 0
        for key in _foreign_keys()
    )


def remove_orphans(tx: Transaction) -> int:
    """Remove them; their number."""
    tx.touched.all()
    return sum(
        tx.connection.execute(delete(key.parent.table).where(_is_orphan(key))).rowcount for key in _foreign_keys()
    )


def _foreign_keys() -> list[ForeignKey]:
    """All of them, those of parents first: their children become orphans with them."""
    return [key for table in Base.metadata.sorted_tables for column in table.columns for key in column.foreign_keys]


def _is_orphan(key: ForeignKey) -> ColumnElement[bool]:
    return and_(key.parent.is_not(None), key.parent.not_in(select(key.column)))


# Counts and revisions


class Miscounted(msgspec.Struct, frozen=True):
    """A node whose count or revision is not what its items say; item_count and revision are as they should be."""

    id: int
    address: Address
    item_count: int
    revision: int


def miscounted(conn: Connection) -> list[Miscounted]:
    """Nodes whose count of items is wrong, or that are older than the newest change of one."""
    items = (
        select(Item.node_id, func.count().label("count"), func.max(Item.revision).label("newest"))
        .group_by(Item.node_id)
        .subquery()
    )
    removed = (
        select(Tombstone.node_id, func.max(Tombstone.revision).label("newest")).group_by(Tombstone.node_id).subquery()
    )
    count = func.coalesce(items.c.count, 0)
    revisions = (Node.revision, Node.floor, func.coalesce(items.c.newest, 0), func.coalesce(removed.c.newest, 0))
    found = conn.execute(
        select(Node.id, Account.jid, Node.service, Node.node, count, *revisions)
        .join(Account, Account.id == Node.account_id)
        .outerjoin(items, items.c.node_id == Node.id)
        .outerjoin(removed, removed.c.node_id == Node.id)
        .where(or_(whose.runs(), Account.removed), Node.state != DISCARDED)
        .where(or_(Node.item_count != count, *(Node.revision < each for each in revisions[1:])))
        .order_by(Node.id)
    )
    return [
        Miscounted(id_, Address(jid, service, node), real, max(known))
        for id_, jid, service, node, real, *known in found
    ]


def recount(tx: Transaction) -> list[Address]:
    """Put the counts and revisions of nodes right; the nodes that were changed."""
    wrong = miscounted(tx.connection)
    for node in wrong:
        tx.reach(revision=node.revision)
        tx.connection.execute(
            update(Node).where(Node.id == node.id).values(item_count=node.item_count, revision=tx.next_revision())
        )
    return [node.address for node in wrong]


class Counters(msgspec.Struct, frozen=True):
    """The highest revision and the highest place that anything has."""

    revision: int
    place: int


def highest(conn: Connection) -> Counters:
    """What the counters have to have reached."""

    def top(*columns: InstrumentedAttribute[int]) -> int:
        return max(conn.scalar(select(func.max(column))) or 0 for column in columns)

    return Counters(top(Node.revision, Node.floor, Item.revision, Tombstone.revision), top(Item.created, Item.modified))


def counters_behind(conn: Connection) -> bool:
    """Whether a counter would give a number that something has already."""
    given = highest(conn)
    return committed_revision(conn) < given.revision or committed_sequence(conn) < given.place


def advance_counters(tx: Transaction) -> None:
    """Have the counters go on after the highest numbers that were given."""
    given = highest(tx.connection)
    tx.reach(revision=given.revision, place=given.place)


# The search index


def text_index_wrong(tx: Transaction) -> bool:
    """Whether the full-text index differs from the texts. It takes a writer to ask, but nothing is written."""
    return not dialect.of(tx.connection).compare_text_index(tx.connection)


def rebuild_text_index(tx: Transaction) -> None:
    """Make the full-text index anew from the texts."""
    dialect.of(tx.connection).rebuild_text_index(tx.connection)
    tx.touched.all()
