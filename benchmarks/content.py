"""Posts as people write them, of a size that can be chosen, and databases that are full of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

import msgspec
from sqlalchemy import make_url

from pubsub_cached.address import Address
from pubsub_cached.analysers.builtin import registry
from pubsub_cached.analysers.registry import ItemContext
from pubsub_cached.store import urls
from pubsub_cached.store.accounts import accounts, nodes
from pubsub_cached.store.items import items
from pubsub_cached.store.rows import StoredItem
from pubsub_cached.store.store import Store
from pubsub_cached.store.transaction import Transaction

ATOM = "http://www.w3.org/2005/Atom"
ACCOUNT = "alice@localhost"
SERVICE = "pubsub.localhost"
PER_NODE = 100
NODES_AT_ONCE = 50
# A word in every item, and one in the first item of every hundredth node.
COMMON = "sleeper"
RARE = "kaleidoscope"
RARELY = 100
# An installed analyser that wants an index on a path of whatever is parsed.
INDEXED = "published"
INDEXES = f"""name = "benchmark"
type = "benchmark"
node = "benchmark"
indexes = ["{INDEXED}"]
"""
_FIRST = datetime(2001, 1, 1, tzinfo=UTC)

_WORDS = (
    "The sleeper left on time, which surprised everyone including the conductor, who brought tea at eleven and the "
    "timetable of every connection we were about to miss. "
)


def entry(id_: str, size: int) -> str:
    """An Atom entry with XHTML of about ``size`` bytes in all."""
    head = (
        f"<entry xmlns='{ATOM}'><id>tag:bob@localhost,2026:{id_}</id><title type='text'>Post {id_}</title>"
        "<published>2026-09-19T09:12:00Z</published><updated>2026-09-19T09:12:00Z</updated>"
        "<author><name>Bob</name><uri>xmpp:bob@localhost</uri></author><category term='travel'/>"
        "<content type='xhtml'><div xmlns='http://www.w3.org/1999/xhtml'><p>"
    )
    tail = "</p></div></content></entry>"
    room = max(0, size - len(head) - len(tail))
    return head + (_WORDS * (room // len(_WORDS) + 1))[:room].rstrip() + tail


def address(number: int) -> Address:
    """A node of a full database."""
    return Address(ACCOUNT, SERVICE, f"blog-{number}")


def published(number: int) -> str:
    """When an item of a full database was published; each of them at another time."""
    return (_FIRST + timedelta(minutes=number)).strftime("%Y-%m-%dT%H:%M:%SZ")


async def fill(url: str, count: int, size: int) -> None:
    """Fill a new database with ``count`` items on nodes of ``PER_NODE`` each, as the daemon would have stored them."""
    if make_url(url).get_backend_name() == "sqlite":
        urls.path_of(url).parent.mkdir(parents=True, exist_ok=True)
    definition = registry().get("blog")
    assert definition is not None
    version = definition.version
    template = _parsed(address(0), entry("@id@", size))
    store = Store.open(url)
    try:
        await store.write(partial(accounts.ensure, jid=ACCOUNT, origin="config", enabled=False))
        numbers = list(range(count // PER_NODE))
        for start in range(0, len(numbers), NODES_AT_ONCE):
            writes = (
                store.write(_node, number, template, version) for number in numbers[start : start + NODES_AT_ONCE]
            )
            await asyncio.gather(*writes)
        if store.shared:
            # What a server does by itself a minute after so many rows; its planner guesses without.
            await store.maintain(store.dialect.compact)
    finally:
        await store.close()


def _node(tx: Transaction, number: int, template: StoredItem, version: int) -> None:
    row = nodes.ensure(tx, address(number))
    nodes.update(
        tx,
        row.id,
        state="live",
        completeness="full",
        guarantee="normal",
        type="blog",
        subtype="feed",
        analyser="blog",
        # Else they would be parsed again while something is measured.
        analyser_version=version,
        access_model="open",
        subscribed=True,
        validated_at=tx.now,
        last_sync=tx.now,
    )
    items.follow(tx, row, _copies(template, number), (), None)


def _copies(template: StoredItem, number: int) -> Sequence[StoredItem]:
    copies = []
    for position in range(PER_NODE):
        id_ = f"post-{number}-{position}"
        title = f"{id_} {RARE}" if position == 0 and number % RARELY == 0 else id_
        at = published(number * PER_NODE + position)
        assert template.data is not None
        data = template.data.replace('"Post @id@"', f'"Post {title}"').replace("@id@", id_)
        data = data.replace('"published":"2026-09-19T09:12:00Z"', f'"published":"{at}"')
        payload = template.payload.replace("@id@", id_)
        copies.append(msgspec.structs.replace(template, id=id_, payload=payload, data=data))
    return copies


def _parsed(where: Address, payload: str) -> StoredItem:
    found = registry().parse("blog", ItemContext(where, "@id@", payload, ATOM, "bob@localhost"))
    return StoredItem(
        id="@id@",
        payload=found.payload,
        namespace=ATOM,
        publisher="bob@localhost",
        data=found.data,
        type=found.type or "",
        subtype=found.subtype or "",
        errors=found.errors,
    )
