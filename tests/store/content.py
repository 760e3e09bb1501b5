"""Items for tests, and ways to look at what became of them."""

from __future__ import annotations

from sqlalchemy import Connection

from pubsub_cached.store.accounts import nodes
from pubsub_cached.store.items import pages
from pubsub_cached.store.rows import ItemsQuery, ItemsSlice, NodeRow, StoredItem

from .conftest import Database


def item(id_: str, text: str = "", **more: object) -> StoredItem:
    """An item whose payload says ``text``."""
    return StoredItem(id_, payload=f"<entry>{text or id_}</entry>", **more)  # type: ignore[arg-type]


def slice_of(conn: Connection, node_id: int, query: ItemsQuery) -> ItemsSlice:
    """Items of the node of this id."""
    return pages.page(conn, nodes.must(nodes.by_id(conn, node_id)), query)


def listed(db: Database, node: NodeRow, order: str = "modified") -> list[str]:
    """All ids, oldest first."""
    found = db.read(slice_of, node.id, ItemsQuery(limit=10_000, order=((order, False),)))
    return [record["id"] for record in found.items]


def contents(db: Database, node: NodeRow) -> dict[str, str]:
    """Every id and its payload."""
    found = db.read(slice_of, node.id, ItemsQuery(limit=10_000))
    return {record["id"]: record.get("payload", "") for record in found.items}


def revisions(db: Database, node: NodeRow) -> dict[str, int]:
    """Every id and its revision."""
    found = db.read(slice_of, node.id, ItemsQuery(limit=10_000))
    return {record["id"]: record["revision"] for record in found.items}


def tombstones(db: Database, node: NodeRow) -> dict[str, int]:
    """Every removed id and the revision of its removal."""
    return dict(db.rows("SELECT item_id, revision FROM tombstone WHERE node_id = ?", node.id))
