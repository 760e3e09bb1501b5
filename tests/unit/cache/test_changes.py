"""Signals of changes: the first at once, a burst as one, never more ids than a signal may hold."""

from __future__ import annotations

import asyncio
import time

import pytest

from pubsub_cached.address import Address
from pubsub_cached.cache.changes import IDS_AT_MOST, Changes
from pubsub_cached.errors import StorageFull
from pubsub_cached.pace import SLICE
from pubsub_cached.store.rows import Delta

BLOG = Address("alice@example.org", "pubsub.example.net", "blog")
OTHER = Address("alice@example.org", "pubsub.example.net", "other")


class Heard:
    """What the callbacks were told, in order."""

    def __init__(self, changes: Changes) -> None:
        self.all: list[tuple[object, ...]] = []
        self._woken = asyncio.Event()
        changes.on_items.append(lambda *told: self._hear(*told))
        changes.on_node.append(lambda *told: self._hear(*told))

    def _hear(self, *told: object) -> None:
        self.all.append(told)
        self._woken.set()

    async def until(self, count: int) -> list[tuple[object, ...]]:
        while len(self.all) < count:
            self._woken.clear()
            await self._woken.wait()
        return self.all


@pytest.fixture
def changes() -> Changes:
    return Changes()


@pytest.fixture
def heard(changes: Changes) -> Heard:
    return Heard(changes)


async def test_the_first_change_goes_out_at_once(changes: Changes, heard: Heard) -> None:
    changes.items(BLOG, Delta(["a"], [], 1))
    assert heard.all == [(BLOG, ["a"], [], 1)]


async def test_those_that_follow_go_out_together(changes: Changes, heard: Heard) -> None:
    for number in range(1, 6):
        changes.items(BLOG, Delta([f"i{number}"], [], number))
    assert len(heard.all) == 1
    assert (await heard.until(2))[1] == (BLOG, ["i2", "i3", "i4", "i5"], [], 5)


async def test_what_came_and_went_within_a_burst_is_removed(changes: Changes, heard: Heard) -> None:
    for delta in (Delta(["x"], [], 1), Delta(["a", "b"], [], 3), Delta([], ["a"], 4)):
        changes.items(BLOG, delta)
    assert (await heard.until(2))[1] == (BLOG, ["b"], ["a"], 4)


async def test_nodes_do_not_wait_for_each_other(changes: Changes, heard: Heard) -> None:
    changes.items(BLOG, Delta(["a"], [], 1))
    changes.items(OTHER, Delta(["a"], [], 2))
    assert heard.all == [(BLOG, ["a"], [], 1), (OTHER, ["a"], [], 2)]


async def test_nothing_is_told_of_nothing(changes: Changes, heard: Heard) -> None:
    changes.items(BLOG, Delta([], [], 0))
    assert heard.all == []


async def test_more_ids_than_a_signal_holds_are_a_change_of_the_node(changes: Changes, heard: Heard) -> None:
    changes.items(BLOG, Delta([str(number) for number in range(IDS_AT_MOST + 1)], [], 501))
    assert heard.all == [(BLOG, "updated")]


async def test_a_change_of_the_node_comes_after_those_of_its_items(changes: Changes, heard: Heard) -> None:
    changes.items(BLOG, Delta(["a"], [], 1))
    changes.items(BLOG, Delta([], ["a"], 2))
    changes.node(BLOG, "gone")
    assert heard.all == [(BLOG, ["a"], [], 1), (BLOG, [], ["a"], 2), (BLOG, "gone")]


async def test_nothing_that_waits_is_lost_at_the_end(changes: Changes, heard: Heard) -> None:
    changes.items(BLOG, Delta(["a"], [], 1))
    changes.items(BLOG, Delta(["b"], [], 2))
    changes.close()
    assert heard.all[-1] == (BLOG, ["b"], [], 2)


async def test_what_is_committed_is_told_though_nobody_waits_for_it_any_more(changes: Changes, heard: Heard) -> None:
    written: asyncio.Future[Delta] = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(changes.items_after(BLOG, written))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    written.set_result(Delta([], ["a"], 1))

    assert waiting.cancelled()
    assert await heard.until(1) == [(BLOG, [], ["a"], 1)]


async def test_of_a_write_that_failed_nothing_is_told(changes: Changes, heard: Heard) -> None:
    written: asyncio.Future[Delta] = asyncio.get_running_loop().create_future()
    written.set_exception(StorageFull("No space is left."))
    with pytest.raises(StorageFull):
        await changes.items_after(BLOG, written)

    assert heard.all == []


async def test_what_is_committed_after_the_end_is_told_at_once(changes: Changes, heard: Heard) -> None:
    changes.items(BLOG, Delta(["a"], [], 1))
    changes.items(BLOG, Delta(["b"], [], 2))
    changes.close()
    changes.items(BLOG, Delta(["c"], [], 3))
    changes.items(BLOG, Delta(["d"], [], 4))

    assert [told[1] for told in heard.all] == [["a"], ["b"], ["c"], ["d"]]
    await changes.settled()


class InTurns:
    """Two nodes are forgotten, and to tell of the first of them takes as long as others may have to wait."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        changes.in_turns([BLOG, OTHER], self._tell)

    def _tell(self, address: Address) -> None:
        self._changes.node(address, "removed")
        until = time.monotonic() + SLICE
        while time.monotonic() <= until:
            pass


async def test_of_very_many_nodes_is_told_in_turns(changes: Changes, heard: Heard) -> None:
    InTurns(changes)
    assert heard.all == [(BLOG, "removed")]
    await changes.told()
    assert heard.all == [(BLOG, "removed"), (OTHER, "removed")]


async def test_it_is_quiet_once_all_was_told_in_turns(changes: Changes, heard: Heard) -> None:
    InTurns(changes)
    await changes.settled()
    assert heard.all == [(BLOG, "removed"), (OTHER, "removed")]


async def test_what_waits_for_its_turn_comes_before_a_change_of_the_node(changes: Changes, heard: Heard) -> None:
    InTurns(changes)
    changes.node(OTHER, "added")
    await changes.told()
    assert heard.all == [(BLOG, "removed"), (OTHER, "removed"), (OTHER, "added")]


async def test_what_waits_for_its_turn_comes_before_a_change_of_items(changes: Changes, heard: Heard) -> None:
    InTurns(changes)
    changes.items(OTHER, Delta(["a"], [], 1))
    await changes.told()
    assert heard.all == [(BLOG, "removed"), (OTHER, "removed"), (OTHER, ["a"], [], 1)]


async def test_what_waits_for_its_turn_comes_after_what_items_did_before(changes: Changes, heard: Heard) -> None:
    changes.items(OTHER, Delta(["a"], [], 1))
    changes.items(OTHER, Delta(["b"], [], 2))
    InTurns(changes)
    await changes.told()
    assert heard.all[1:] == [(BLOG, "removed"), (OTHER, ["b"], [], 2), (OTHER, "removed")]


async def test_nothing_that_waits_for_its_turn_is_lost_at_the_end(changes: Changes, heard: Heard) -> None:
    InTurns(changes)
    changes.close()
    assert heard.all == [(BLOG, "removed"), (OTHER, "removed")]
