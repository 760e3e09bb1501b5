"""Reading a page of items: the path that nearly every call takes."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from ..address import Address
from ..errors import NoSuchItem
from . import nodes, pages
from .rows import ItemsQuery, ItemsSlice, NodeRow


def read_items(conn: Connection, address: Address, query: ItemsQuery) -> tuple[NodeRow | None, int, ItemsSlice | None]:
    """The node's row, the daemon's revision and the items, all of one moment.

    The node is None when it has no row; the slice is None then, and when ``after`` or ``before``
    is no item of it.
    """
    node, revision = nodes.find_with_revision(conn, address)
    if node is None:
        return None, revision, None
    try:
        return node, revision, pages.page(conn, node, query)
    except NoSuchItem:
        return node, revision, None


def read_kept(
    conn: Connection, address: Address, find: Callable[[NodeRow], ItemsSlice | None]
) -> tuple[NodeRow | None, int, ItemsSlice | None]:
    """The same with a page that somebody kept: ``find`` gives it, if it is what would be read now."""
    node, revision = nodes.find_with_revision(conn, address)
    return node, revision, None if node is None else find(node)
