"""Rows of nodes as they were read, for as long as nothing at all is committed.

For a database that nobody else writes to, and that is read on the loop's thread. To read a row takes a call that comes
alone longer than anything else that a page costs which comes again.
"""

from __future__ import annotations

from ...address import Address
from ...recent import Recent
from ...store.accounts.nodes import find_with_revision
from ...store.items.pages import RowHeld, read_items
from ...store.rows import ItemsQuery, ItemsSlice, NodeRow
from ...store.store import Store

ROWS_AT_MOST = 64


class Rows:
    """Reads of nodes' rows, each with the revision of that moment, and of the items with them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._versions = store.versions
        self._version: int | None = None
        self._rows: Recent[Address, RowHeld] = Recent(ROWS_AT_MOST)

    def row(self, address: Address) -> RowHeld:
        """A node's row and the revision, as the database has them now."""
        version, held = self._versions.everything, self._held(address)
        if held is None:
            held = self._store.read_now(find_with_revision, address)
            self._hold(version, address, held)
        return held

    def read_items(self, address: Address, query: ItemsQuery) -> tuple[NodeRow | None, int, ItemsSlice | None]:
        """See ``store.items.pages.read_items``."""
        version, held = self._versions.everything, self._held(address)
        found = self._store.read_now(read_items, address, query, held)
        if held is not None and self._versions.everything != version:
            # The row may be of before a commit, and the items of after it.
            found = self._store.read_now(read_items, address, query)
        elif held is None:
            self._hold(version, address, found[:2])
        return found

    def _held(self, address: Address) -> RowHeld | None:
        return self._rows.get(address) if self._version == self._versions.everything else None

    def _hold(self, version: int | None, address: Address, held: RowHeld) -> None:
        """version: of before it was read."""
        if version is None:
            return
        if version != self._version:
            self._version = version
            self._rows.clear()
        self._rows[address] = held
