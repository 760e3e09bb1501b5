"""Contradictions: what a service answered, held against the copy that stands for what it has.

Services remove without a word, so whoever reads past the cache may be the first to see it. An answer shows only so
much: what it leaves open contradicts nothing. Source: the coherence model, "Unit and states"; server-facts, "Events".
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from ...store.accounts import nodes as node_store
from ...store.items.outline import digests
from ...store.rows import NodeRow, StoredItem
from ..nodes.suspected import BELIEVED
from .service_reads import ServicePage


def is_believed(node: NodeRow) -> bool:
    """Whether readers are told that the copy is what the service has."""
    return node.state in BELIEVED and node.completeness != "none"


def contradicts(
    conn: Connection, before: NodeRow, items: Sequence[StoredItem], page: ServicePage, ids: Sequence[str] | None
) -> bool:
    """Whether an answer shows that the service does not have what is stored.

    before: the node's row when the service was asked, which was believed. items: those of the page as they would be
    stored. ids: all that were asked for by name.
    """
    row = node_store.find(conn, before.address)
    if row is None or row.revision != before.revision:
        # What came meanwhile may be newer than the answer.
        return False
    given = {item.id for item in items}
    newest = {page.newest.id} if page.newest is not None and page.newest.id else set()
    stored = digests(conn, row.id, given.union(newest, ids or ()))
    if any(_differs(stored.get(item.id, ""), item.hash) for item in items):
        return True
    if ids is not None and not page.more and not stored.keys() <= given:
        return True
    # Items without an id are counted by the service and not stored.
    total = page.total if ids is None and len(items) == len(page.items) else None
    if total is not None and (total < row.item_count or (total == len(items) and len(stored) < row.item_count)):
        return True
    if row.completeness != "full":
        return not newest <= stored.keys()
    return not given <= stored.keys() or total not in (None, row.item_count)


def _differs(one: str, other: str) -> bool:
    """Of contents, "" is unknown."""
    return one != "" and other != "" and one != other
