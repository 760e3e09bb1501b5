"""Reads of the cache's own books: nodes, changes and flags. All of them are local."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace
from sqlalchemy import Connection

from ... import errors, jid
from ...address import Address
from ...pace import Pace
from ...records import NodeRecord
from ...replies import fitting
from ...store.accounts import nodes as node_store
from ...store.items import changes as change_store
from ...store.items import items as item_store
from ...store.rows import UNPROVED, NodeRow, NodesQuery, NodesWanted
from ...store.store import Store
from .. import cursor as cursors
from ..changes import Changes
from ..nodes import refusals
from ..nodes.suspected import Suspected
from ..options import REPLY_BYTES, NodesFilter


class NodeReads:
    """Answers reads of nodes."""

    def __init__(self, store: Store, changes: Changes, suspected: Suspected) -> None:
        self._store = store
        self._changes = changes
        self._suspected = suspected

    async def get(self, address: Address) -> NodeRecord:
        """One node. Raises NoSuchNode when there is no row of it."""
        found = await self._store.read(_one, address)
        if found is None:
            raise errors.NoSuchNode(f"The cache knows no node {address}; read it with GetItems first.")
        return self._record(*found)

    async def listing(self, chosen: NodesFilter) -> tuple[list[NodeRecord], str]:
        """Nodes in a stable order, and a cursor, "" at the end. Raises InvalidCursor, InvalidJid."""
        pace = Pace()
        found, cursor = await self._page(chosen)
        while cursor and not found:
            # Whoever sees an empty page may take it for the end.
            await pace.kept()
            found, cursor = await self._page(replace(chosen, cursor=cursor))
        return found, cursor

    async def _page(self, chosen: NodesFilter) -> tuple[list[NodeRecord], str]:
        purpose = "\0".join(["ListNodes", *map(str, _wanted(chosen).values())])
        after = cursors.decode(purpose, chosen.cursor) if chosen.cursor else 0
        if not isinstance(after, int) or not 0 <= after < 2**63:
            raise cursors.invalid(chosen.cursor)
        # In whatever state they are, those that are not what their rows say are shown as stale at most.
        doubtful = frozenset(self._suspected if chosen.state == "stale" else ())
        rows = await self._store.read(_many, _query(chosen, after, doubtful))
        found = [self._record(*row) for row in rows[: chosen.limit]]
        found = found[: fitting(found, REPLY_BYTES)]
        cursor = cursors.encode(purpose, rows[len(found) - 1][0].id) if len(found) < len(rows) else ""
        # Of those that are not what their rows say some are in another state.
        return [each for each in found if chosen.state in (None, each["state"])], cursor

    async def changes(self, address: Address, since: int, limit: int) -> tuple[list[str], list[str], int, bool]:
        """Ids changed and removed after a revision, the revision reached, and whether that is all.

        Raises NoSuchNode, Denied.
        """
        return await self._store.read(_changed, address, since, limit, self._suspected.seen)

    async def set_flags(self, address: Address, ids: list[str], add: list[str], remove: list[str]) -> None:
        """Set and clear local marks of items. Raises InvalidArgs for a flag that is no word."""
        await self._changes.items_after(address, self._store.write(item_store.set_flags, address, ids, add, remove))

    def _record(self, row: NodeRow, unread: int) -> NodeRecord:
        return record(self._suspected.seen(row), unread)


def record(row: NodeRow, unread: int) -> NodeRecord:
    """A node's row as the contract shows it."""
    found: NodeRecord = {
        "account": row.address.account,
        "service": row.address.service,
        "node": row.address.node,
        "title": row.title,
        "description": row.description,
        "access-model": row.access_model,
        "type": row.type,
        "subtype": row.subtype,
        "analyser": row.analyser,
        "state": row.state,
        "reason": row.reason,
        "completeness": row.completeness,
        "guarantee": row.guarantee,
        "redirect": row.redirect,
    }
    known: NodeRecord = {key: value for key, value in found.items() if value or key == "node"}  # type: ignore[assignment]
    known["subscribed"], known["pinned"] = row.subscribed, row.pinned
    known["items"], known["unread"], known["revision"] = row.item_count, unread, row.revision
    if row.last_sync is not None:
        known["last-sync"] = row.last_sync
    if row.next_sync is not None:
        known["next-sync"] = row.next_sync
    if row.max_items is not None:
        known["max-items"] = row.max_items
    return known


def _changed(
    connection: Connection, address: Address, since: int, limit: int, seen: Callable[[NodeRow], NodeRow]
) -> change_store.Changes:
    row = node_store.find(connection, address)
    row = None if row is None else seen(row)
    if row is not None and row.state in ("denied", "gone"):
        raise refusals.of_node(row)
    found = change_store.since(connection, address, since, limit)
    if row is not None and row.reason == UNPROVED:
        # Nothing of it is shown; a read of the node tells why.
        return found._replace(changed=[], removed=[], complete=False)
    return found


def _one(connection: Connection, address: Address) -> tuple[NodeRow, int] | None:
    row = node_store.find(connection, address)
    return None if row is None else _with_unread(connection, [row])[0]


def _many(connection: Connection, query: NodesQuery) -> list[tuple[NodeRow, int]]:
    return _with_unread(connection, node_store.listing(connection, query))


def _with_unread(connection: Connection, rows: list[NodeRow]) -> list[tuple[NodeRow, int]]:
    return list(zip(rows, node_store.unread(connection, rows), strict=True))


def _wanted(chosen: NodesFilter) -> dict[str, Any]:
    return {name: getattr(chosen, name) for name in NodesWanted.__struct_fields__}


def _query(chosen: NodesFilter, after: int, doubtful: frozenset[Address]) -> NodesQuery:
    wanted = _wanted(chosen) | {
        "account": jid.bare(chosen.account) if chosen.account else None,
        "service": jid.normalise(chosen.service) if chosen.service else None,
    }
    return NodesQuery(**wanted, analysers=chosen.analysers, doubtful=doubtful, limit=chosen.limit + 1, after_id=after)
