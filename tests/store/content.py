"""Items for tests, and ways to look at what became of them."""

from __future__ import annotations

from pubsub_cached.store.items import items
from pubsub_cached.store.rows import ItemsQuery, NodeRow, StoredItem

from .conftest import Database


def item(id_: str, text: str = "", **more: object) -> StoredItem:
    """An item whose payload says ``text``."""
    return StoredItem(id_, payload=f"<entry>{text or id_}</entry>", **more)  # type: ignore[arg-type]


def listed(db: Database, node: NodeRow, order: str = "modified") -> list[str]:
    """All ids, oldest first."""
    found = db.read(items.page, node.id, ItemsQuery(limit=10_000, order=((order, False),)))
    return [record["id"] for record in found.items]


def contents(db: Database, node: NodeRow) -> dict[str, str]:
    """Every id and its payload."""
    found = db.read(items.page, node.id, ItemsQuery(limit=10_000))
    return {record["id"]: record.get("payload", "") for record in found.items}


def revisions(db: Database, node: NodeRow) -> dict[str, int]:
    """Every id and its revision."""
    found = db.read(items.page, node.id, ItemsQuery(limit=10_000))
    return {record["id"]: record["revision"] for record in found.items}


def tombstones(db: Database, node: NodeRow) -> dict[str, int]:
    """Every removed id and the revision of its removal."""
    return dict(db.rows("SELECT item_id, revision FROM tombstone WHERE node_id = ?", node.id))
