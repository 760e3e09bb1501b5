"""How often is looked how much the database takes, for which a server of PostgreSQL looks at each item."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from pubsub_cached.cache import room
from pubsub_cached.cache.room import Room
from pubsub_cached.store.store import Store


class Slow:
    """A database that takes its time to say what it takes."""

    def __init__(self, *, shared: bool, taken: int) -> None:
        self.shared = shared
        self._taken = taken

    async def read(self, *_: Any) -> int:
        await asyncio.sleep(0.05)
        return self._taken


async def looked_at(*, shared: bool, taken: int) -> Room:
    """The room once it was looked at."""
    found = Room(cast(Store, Slow(shared=shared, taken=taken)), 2)
    assert found.is_due
    assert await found.taken() == taken
    return found


@pytest.mark.parametrize(
    ("shared", "taken", "again"),
    [(True, room.LARGE + 1, False), (True, room.LARGE, True), (False, room.LARGE + 1, True)],
    ids=["many items on a server", "few", "a file"],
)
async def test_where_it_takes_long_it_is_done_the_more_seldom(
    monkeypatch: pytest.MonkeyPatch, shared: bool, taken: int, again: bool
) -> None:
    monkeypatch.setattr(room, "PART", 1e-6)
    assert (await looked_at(shared=shared, taken=taken)).is_due == again


async def test_it_is_done_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "PART", 1e9)
    assert (await looked_at(shared=True, taken=room.LARGE + 1)).is_due
