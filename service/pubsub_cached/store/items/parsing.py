"""Stored items on their way through a parser: again, or for the first time after they were stored.

Of the accounts that are run (``whose``): those of others have a daemon that parses them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, Text, cast, func, select, tuple_

from ...address import Address
from .. import whose
from ..accounts import nodes
from ..listed import rows as listed
from ..models import UNPARSED, Account, Item, Node
from ..rows import DISCARDED, Delta, StoredItem
from ..transaction import Transaction
from .batch import Batch, held


class Stored(msgspec.Struct, frozen=True):
    """An item as it is stored.

    row: of the item. hash: tells whether its content is still the same later. type, subtype: of its node.
    """

    row: int
    node_id: int
    address: Address
    id: str
    payload: str
    namespace: str
    publisher: str
    hash: str
    type: str
    subtype: str


def of_node(
    conn: Connection, node_id: int, created_before: int | None = None, modified_before: int | None = None
) -> list[int]:
    """The rows of a node's items that have content; before: times in ms."""
    conditions = [Item.node_id == node_id, Item.payload != ""]
    if created_before is not None:
        conditions.append(Item.created_at < created_before)
    if modified_before is not None:
        conditions.append(Item.modified_at < modified_before)
    return list(conn.scalars(select(Item.id).where(*conditions)))


def unparsed(
    conn: Connection, analyser: str, skip: Mapping[int, str] | None = None, limit: int | None = None
) -> list[int]:
    """Rows of items of an analyser's nodes of which nothing was made yet; all, or so many.

    skip: but these, while they have the hash that they had.
    """
    return list(conn.scalars(unparsed_statement(analyser, skip or {}).limit(limit)))


def unparsed_statement(analyser: str, skip: Mapping[int, str]) -> Select[Any]:
    """In the order of the index, so that few of many cost no more than few."""
    mine = select(Node.id).join(Account).where(Node.analyser == analyser, whose.runs())
    rows = select(Item.id).where(Item.node_id.in_(mine), UNPARSED).order_by(Item.node_id, Item.id)
    if not skip:
        return rows
    skipped = listed([(str(row), hash_) for row, hash_ in skip.items()], 2)
    return rows.where(tuple_(cast(Item.id, Text), Item.hash).not_in(select(skipped)))


def these(conn: Connection, rows: Sequence[int]) -> list[Stored]:
    """Items by their rows; those that are gone are left out."""
    found = conn.execute(
        select(
            Item.id,
            Item.node_id,
            Account.jid,
            Node.service,
            Node.node,
            Item.item_id,
            Item.payload,
            Item.namespace,
            Item.publisher,
            Item.hash,
            Node.type,
            Node.subtype,
        )
        .join(Node, Node.id == Item.node_id)
        .join(Account, Account.id == Node.account_id)
        .where(Item.id.in_(rows), Node.state != DISCARDED)
        .order_by(Item.id)
    )
    return [
        Stored(row, node_id, Address(jid, service, node), *rest) for row, node_id, jid, service, node, *rest in found
    ]


def pending(conn: Connection, analyser: str, version: int) -> int:
    """How many items of an analyser's nodes wait for it: nothing was made of them, or by an earlier version."""
    count = conn.scalar(pending_statement(analyser, version)) or 0
    old = select(func.sum(Node.item_count)).join(Account)
    old = old.where(Node.analyser == analyser, Node.analyser_version < version, whose.runs())
    return count + int(conn.scalar(old) or 0)


def pending_statement(analyser: str, version: int) -> Select[Any]:
    """Counted in the index alone."""
    current = select(Node.id).join(Account)
    current = current.where(Node.analyser == analyser, Node.analyser_version >= version, whose.runs())
    return select(func.count()).select_from(Item).where(Item.node_id.in_(current), UNPARSED)


def behind(conn: Connection, analyser: str, version: int) -> list[int]:
    """The ids of an analyser's nodes that were parsed by an earlier version."""
    old = (Node.analyser == analyser, Node.analyser_version < version, whose.runs())
    return list(conn.scalars(select(Node.id).join(Account).where(*old)))


def write(
    tx: Transaction, node_id: int, parsed: Sequence[tuple[str, StoredItem]], analyser: str, type: str, subtype: str
) -> Delta:
    """What parsers made of stored items, each with the hash it had; those with other content by now stay.

    analyser, type, subtype: of the node, when they were parsed; if it is something else by now, all stay. Raises
    NoSuchNode.
    """
    node = nodes.must(nodes.by_id(tx.connection, node_id))
    if (node.analyser, node.type, node.subtype) != (analyser, type, subtype):
        return Delta()
    batch = Batch(tx, node)
    stored = held(tx, node_id, [item.id for _, item in parsed])
    for hash_, item in parsed:
        before = stored.get(item.id)
        if before is not None and before.hash == hash_:
            batch.store(item, before, before.created, before.modified)
    return batch.write()
