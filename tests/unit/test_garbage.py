"""Garbage in cycles goes, however little there is to do, and is looked for in little of the time."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from pubsub_cached import garbage
from pubsub_cached.address import Address
from pubsub_cached.store import dialect
from pubsub_cached.store.accounts.schedule import Entry
from pubsub_cached.store.items.batch import Held
from pubsub_cached.store.items.outline import Line
from pubsub_cached.store.rows import NodeRow
from pubsub_cached.store.search.members import Member, Place
from pubsub_cached.store.search.query import Query
from pubsub_cached.store.search.scope import Shown
from pubsub_cached.store.search.search import Search
from pubsub_cached.store.search.shape import Matching, shaped
from pubsub_cached.store.statement import Values

ADDRESS = Address("alice@example.org", "pubsub.example.net", "blog")
COLUMNS: dict[str, Any] = dict.fromkeys(NodeRow.__struct_fields__, 0) | {"address": ADDRESS}
SEARCH = Search(matching=Matching(query=Query(nodes=("blog",)), shown=Shown(("live",))))
SHAPE = shaped(dialect.named("sqlite"), SEARCH.matching, Values())


class Cycle:
    """Something that holds itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def interpreter() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


async def test_what_was_in_use_for_long_goes_as_well(interpreter: None) -> None:
    garbage.begin()
    cycle = Cycle()
    # Now it is old, and nothing that is made here would have it looked at again.
    gc.collect()
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()
    weakref.finalize(cycle, lambda: loop.call_soon_threadsafe(gone.set))
    del cycle
    collecting = asyncio.create_task(garbage.collect(0.01, enough=0))
    async with asyncio.timeout(10):
        await gone.wait()
    collecting.cancel()


@pytest.mark.parametrize(
    "one",
    [
        Line("id", "hash", 1),
        Held(1, "id", 1, 1, 1, "hash", "", "", "", "", None),
        Member("key", Place((1,), (True,)), 1, 1),
        Place((1,), (True,)),
        NodeRow(**COLUMNS),
        Entry(1, ADDRESS, "live", None, 0, "", None),
        SEARCH,
        SEARCH.matching,
        SEARCH.matching.query,
        SEARCH.matching.shown,
        SHAPE,
        SHAPE.named,
        *SHAPE.named.nodes,
    ],
    ids=lambda one: type(one).__name__,
)
def test_what_there_may_be_for_each_item_node_or_view_is_not_looked_through(one: object) -> None:
    assert not gc.is_tracked(one)


def test_what_takes_long_to_look_through_is_looked_through_seldom() -> None:
    assert garbage.pause(60.0, 0.0) == 60.0
    assert garbage.pause(60.0, 0.020) == 60.0
    assert garbage.pause(60.0, 0.5) == 0.5 * garbage.SHARE
