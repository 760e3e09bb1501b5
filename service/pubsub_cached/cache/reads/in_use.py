"""Nodes that clients read: their rows say when, by which they are validated first, and let go last."""

from __future__ import annotations

import asyncio
import functools
import logging

from ...store.accounts import nodes as node_store
from ...store.database import AccountInUse
from ...store.rows import NodeRow
from ...store.store import Store

log = logging.getLogger(__name__)

# How often a node's row says that it is in use, ms.
IN_USE_MS = 3_600_000


def in_use(store: Store, node: NodeRow, now: int) -> None:
    """A client reads the node; nobody waits for that to be written down."""
    if node.last_read is not None and now - node.last_read <= IN_USE_MS:
        return
    written = store.write(functools.partial(node_store.update, last_read=now), node.id)
    written.add_done_callback(_log_failure)


def _log_failure(written: asyncio.Future[NodeRow]) -> None:
    if written.cancelled() or isinstance(error := written.exception(), AccountInUse):
        # Whoever runs the account keeps its books.
        return
    if error is not None:
        log.warning("a node's last read could not be written down: %s", error)
