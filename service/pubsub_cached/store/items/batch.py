"""Changes of one node's items, gathered and then written, each kind by one ``executemany``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from .. import dialect
from ..accounts import nodes
from ..models import Item, Tombstone
from ..rows import Delta, NodeRow, StoredItem
from ..statement import Prepared, Several
from ..text import text_of
from ..transaction import Transaction
from . import flags

# So many rows are inserted by one statement. SQLite has FTS5 write down what it holds in memory before each statement
# with a trigger, which took longer than all else that an insertion does.
_ROWS_AT_ONCE = 16


# As many as a node has items, and the collector looks at every named tuple, but at no struct of texts and numbers.
class Held(msgspec.Struct, frozen=True):
    """What a write compares with: an item as it is stored, without its payload."""

    id: int
    item_id: str
    created: int
    modified: int
    modified_at: int
    hash: str
    namespace: str
    type: str
    subtype: str
    errors: str
    data: str | None


_HELD = select(*(getattr(Item, name) for name in Held.__struct_fields__))
_SOME = Several(lambda ids: _HELD.where(Item.node_id == bindparam("node"), Item.item_id.in_(ids)))
_ALL = Prepared(_HELD.where(Item.node_id == bindparam("node")).order_by(Item.modified))
_NEWEST = Prepared(select(func.max(Item.modified)).where(Item.node_id == bindparam("node")))

# ``id`` is numbered by the database, ``seen`` and ``flags`` come from the flags.
_COLUMNS = [column.name for column in Item.__table__.columns if column.name != "id"]
_INSERT = Prepared(insert(Item).values({name: bindparam(name) for name in _COLUMNS}))
_NUMBERED = [{name: f"{name}_{number}" for name in _COLUMNS} for number in range(_ROWS_AT_ONCE)]
_WRITTEN = (
    "revision",
    "created",
    "modified",
    "modified_at",
    "hash",
    "namespace",
    "publisher",
    "type",
    "subtype",
    "errors",
    "payload",
    "data",
    "text",
)
_UPDATE = Prepared(update(Item).where(Item.id == bindparam("row")).values({name: bindparam(name) for name in _WRITTEN}))
_MOVE = Prepared(
    update(Item).where(Item.id == bindparam("row")).values(created=bindparam("created"), modified=bindparam("modified"))
)
_DELETE = Several(lambda rows: delete(Item).where(Item.id.in_(rows)))
_BURY = Prepared(
    insert(Tombstone).values(
        {name: bindparam(name) for name in ("node_id", "item_id", "revision", "removed_at")},
    )
)
_UNBURY = Several(
    lambda ids: delete(Tombstone).where(Tombstone.node_id == bindparam("node"), Tombstone.item_id.in_(ids))
)


def held(tx: Transaction, node_id: int, ids: Sequence[str]) -> dict[str, Held]:
    """Those of the items that are stored."""
    return {row[1]: Held(*row) for row in _SOME.all(tx.connection, ids, node=node_id)}


def all_held(tx: Transaction, node_id: int) -> dict[str, Held]:
    """Every item of the node, the longest unmodified first."""
    return {row[1]: Held(*row) for row in _ALL.all(tx.connection, node=node_id)}


def newest_place(tx: Transaction, node_id: int) -> int | None:
    """The place of the item modified last, None in an empty node."""
    place: int | None = _NEWEST.value(tx.connection, node=node_id)
    return place


def delete_rows(tx: Transaction, row_ids: list[int]) -> None:
    """Delete items by their rows, without a trace."""
    _DELETE.run(tx.connection, row_ids)


def last_of_each(items: Sequence[StoredItem]) -> list[StoredItem]:
    """One item an id, the last one, where the last one was."""
    last = {item.id: number for number, item in enumerate(items)}
    return [item for number, item in enumerate(items) if last[item.id] == number]


def published_again(row: Held, item: StoredItem | None) -> bool:
    """Whether a row's item has another content than it had; what was not known was not another."""
    return item is not None and row.hash != "" and item.hash not in ("", row.hash)


class Batch:
    """Says of each item what has to be written, numbers the changes in the order they are named.

    node: its row in this transaction; after ``write`` as it is then.
    """

    def __init__(self, tx: Transaction, node: NodeRow) -> None:
        tx.own(node.account_id)
        self._tx = tx
        self.node = node
        self._new: list[dict[str, Any]] = []
        self._updated: list[dict[str, Any]] = []
        self._moved: list[dict[str, Any]] = []
        self._gone: list[Held] = []
        self._buried: list[dict[str, Any]] = []
        self._changed: list[str] = []
        self._touched: list[str] = []

    def store(self, item: StoredItem, before: Held | None, created: int, modified: int) -> None:
        """An item as the service has it now, and its places.

        The same content has no new revision; neither has content that is not known.
        """
        if before is None:
            self._insert(item, created, modified)
        elif not item.hash:
            self.move(before, created, modified)
        elif item.hash != before.hash:
            self._update(item, before, created, modified, self._tx.now)
        elif item.deferred and not _left_out(before):
            self.move(before, created, modified)
        elif _parsed(item) != (before.namespace, before.type, before.subtype, before.errors, before.data):
            # With its payload: how large one may be can have changed.
            self._update(item, before, created, modified, before.modified_at)
        else:
            self.move(before, created, modified)

    def move(self, item: Held, created: int, modified: int) -> None:
        """An item that is only somewhere else in the order, if it is."""
        if (created, modified) != (item.created, item.modified):
            self._moved.append({"row": item.id, "created": created, "modified": modified})
            self._touched.append(item.item_id)

    def remove(self, item: Held) -> None:
        """An item that the service has no more."""
        self._gone.append(item)
        self._touched.append(item.item_id)
        self._buried.append(
            {
                "node_id": self.node.id,
                "item_id": item.item_id,
                "revision": self._tx.next_revision(),
                "removed_at": self._tx.now,
            }
        )

    def write(self) -> Delta:
        """Write everything, and the node's count and revision."""
        conn = self._tx.connection
        if self._new:
            marks = flags.of(conn, self.node.address, [row["item_id"] for row in self._new])
            for row in self._new:
                mine = marks.get(row["item_id"], [])
                row |= {"flags": " ".join(mine), "seen": flags.READ in mine}
            # Items that are there again were not removed.
            _UNBURY.run(conn, [row["item_id"] for row in self._new], node=self.node.id)
            _insert(conn, self._new)
        _UPDATE.each(conn, self._updated)
        if written := (*self._new, *self._updated):
            texts = ((row["item_id"], row["text"]) for row in written)
            dialect.of(conn).store_texts(conn, self.node.id, texts)
        _MOVE.each(conn, self._moved)
        if self._gone:
            delete_rows(self._tx, [item.id for item in self._gone])
            _BURY.each(conn, self._buried)
        if self._touched:
            self._tx.touched.items(self.node.id, self.node.address, self._touched)
        removed = [item.item_id for item in self._gone]
        if not self._changed and not removed:
            return Delta()
        self.node = nodes.count(self._tx, self.node, len(self._new) - len(removed))
        return Delta(self._changed, removed, self._tx.last_revision)

    def _insert(self, item: StoredItem, created: int, modified: int) -> None:
        now = self._tx.now
        self._new.append(
            self._values(item, created, modified)
            | {
                "node_id": self.node.id,
                "created_at": now,
                "modified_at": now,
            }
        )

    def _update(self, item: StoredItem, before: Held, created: int, modified: int, at: int) -> None:
        self._updated.append(self._values(item, created, modified) | {"row": before.id, "modified_at": at})

    def _values(self, item: StoredItem, created: int, modified: int) -> dict[str, Any]:
        self._changed.append(item.id)
        self._touched.append(item.id)
        namespace, type_, subtype, errors, data = _parsed(item)
        return {
            "item_id": item.id,
            "revision": self._tx.next_revision(),
            "created": created,
            "modified": modified,
            "hash": item.hash,
            "namespace": namespace,
            "publisher": item.publisher,
            "type": type_,
            "subtype": subtype,
            "errors": errors,
            "payload": item.payload,
            "data": data,
            "text": text_of(data),
        }


def _insert(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    whole = len(rows) - len(rows) % _ROWS_AT_ONCE
    groups = (rows[start : start + _ROWS_AT_ONCE] for start in range(0, whole, _ROWS_AT_ONCE))
    if whole:
        _insertion_of_many().each(conn, (_numbered(group) for group in groups))
    _INSERT.each(conn, rows[whole:])


@cache
def _insertion_of_many() -> Prepared:
    """Made when it is first wanted, for it takes some milliseconds that no start should wait for."""
    return Prepared(insert(Item).values([{name: bindparam(own) for name, own in names.items()} for names in _NUMBERED]))


def _numbered(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The values of several rows, as one statement takes them."""
    return {own: row[name] for row, names in zip(rows, _NUMBERED, strict=True) for name, own in names.items()}


def _left_out(row: Held) -> bool:
    """Whether a row's payload was larger than one may be: all else has the type of its node, or nothing to say."""
    return row.errors != "" and row.data is None and not row.type


def _parsed(item: StoredItem) -> tuple[str, str, str, str, str | None]:
    """What was made of the payload, as it is stored."""
    errors = msgspec.json.encode(item.errors).decode() if item.errors else ""
    return item.namespace, item.type, item.subtype, errors, item.data
