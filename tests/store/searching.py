"""Databases to search in, and what a search finds, for tests."""

from __future__ import annotations

import contextlib
import json
import zlib
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from pubsub_cached.address import Address
from pubsub_cached.store import words
from pubsub_cached.store.accounts import nodes
from pubsub_cached.store.database import TooMuch
from pubsub_cached.store.rows import NodeRow, StoredItem
from pubsub_cached.store.search import query, search
from pubsub_cached.store.search.scope import Shown
from pubsub_cached.store.search.search import Found, Matching, Search
from tests.support.stored import publish

from .conftest import ACCOUNT, Database

STATES = ("live", "polled", "stale", "unreachable", "syncing")
SERVICE = "pubsub.example.org"

# The columns of a node of which nothing is known; the database numbers its row.
BLANK = nodes.as_columns(NodeRow(0, 0, Address("", "", "")))
del BLANK["id"]


def served(db: Database, name: str = "blog", service: str = SERVICE, account: str = ACCOUNT, **columns: Any) -> NodeRow:
    """A node whose items may be shown."""
    row = db.write(nodes.ensure, Address(account, service, name))
    return db.write(lambda tx: nodes.update(tx, row.id, **{"state": "live", "completeness": "full"} | columns))


def parsed(id_: str, data: object = None, **more: Any) -> StoredItem:
    """An item and what was made of it."""
    said = None if data is None else json.dumps(data, ensure_ascii=False)
    return StoredItem(id_, payload=f"<entry>{id_}</entry>", data=said, **more)


def titled(db: Database, node: NodeRow, **titles: str) -> None:
    """Items with these titles, oldest first."""
    db.write(publish, node.id, [parsed(id_, {"title": title}) for id_, title in titles.items()])


def sought(text: str = "", wanted: object = None, order: str = "", **more: Any) -> Search:
    """A search as the bus would ask for it."""
    matching = Matching(
        words=words.parse(text), query=query.parse("" if wanted is None else json.dumps(wanted)), shown=Shown(STATES)
    )
    return Search(matching=matching, order=query.parse_order(order) if order else (), **more)


def found(db: Database, text: str = "", wanted: object = None, order: str = "", **more: Any) -> Found:
    """What it finds; where little has to be looked at, it is the same for whoever everybody waits for."""
    asked = sought(text, wanted, order, **more)
    result = db.read(search.find, asked)
    with contextlib.suppress(TooMuch):
        assert db.read(search.find, replace(asked, briefly=True)) == result
    return result


def ids(db: Database, text: str = "", wanted: object = None, order: str = "", **more: Any) -> list[str]:
    """The ids it finds, in order."""
    return [item["id"] for item in found(db, text, wanted, order, **more).items]


def left_out(db: Database, *generated: object) -> bool:
    """Whether a generated case is none for this database: a server is slow, so it is given one in eight."""
    return db.dialect.NAME == "postgresql" and zlib.crc32(repr(generated).encode(errors="replace")) % 8 > 0


def outside(place: Sequence[Any] | None) -> tuple[Any, ...] | None:
    """A place after it was in a cursor."""
    return None if place is None else tuple(json.loads(json.dumps(place)))
