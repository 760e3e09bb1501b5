"""What another daemon writes of accounts that wait here: looked for now and then, so that whoever writes pays nothing.

Nobody tells which items changed, but nodes have revisions: views look again, and clients hear of the nodes.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from ...store.accounts import nodes as node_store
from ...store.rows import NodeRow, NodesQuery
from ...store.store import Store
from ...store.transaction import committed_revision
from ..changes import Changes
from .account import Account


class Elsewhere:
    """Tells of what changed without this daemon."""

    def __init__(self, store: Store, changes: Changes, note: Callable[[NodeRow], object]) -> None:
        """note: hears what nodes are by now, before anybody is told."""
        self._store = store
        self._changes = changes
        self._note = note
        self._start = store.revision
        self._seen: dict[str, int] = {}

    async def look(self, account: Account) -> None:
        """Tell what changed of an account since the last look, or since it was run here."""
        since = self._seen.get(account.jid, self._start)
        self._seen[account.jid], rows = await self._store.read(_changed, account.jid, since)
        if rows:
            self._store.changed_elsewhere()
        for row in rows:
            self._note(row)
            self._changes.node(row.address, "updated")

    def forget(self, account: Account) -> None:
        """The account is no more."""
        self._seen.pop(account.jid, None)

    def left(self, account: Account) -> None:
        """The account was run here until now."""
        self._seen[account.jid] = self._store.revision


def _changed(conn: Connection, account: str, since: int) -> tuple[int, list[NodeRow]]:
    """The revision, and the nodes of an account that changed after another one."""
    revision = committed_revision(conn)
    rows: list[NodeRow] = []
    after = 0
    while page := node_store.listing(conn, NodesQuery(account=account, since=since, after_id=after)):
        rows += page
        after = page[-1].id
    return revision, rows
