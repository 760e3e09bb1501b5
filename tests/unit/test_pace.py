"""Work that never waits by itself, and what else the loop has to do meanwhile."""

from __future__ import annotations

import asyncio
import time

from pubsub_cached.pace import SLICE, Pace


async def worked(seconds: float, pieces: int) -> int:
    """Work in pieces at a pace; how often something else had its turn meanwhile."""
    turns = 0
    done = False

    async def other() -> None:
        nonlocal turns
        while not done:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    await asyncio.sleep(0)
    before = turns
    pace = Pace()
    for _ in range(pieces):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            pass
        await pace.kept()
    done, had = True, turns - before
    await beside
    return had


async def test_others_have_their_turn_after_each_slice() -> None:
    assert await worked(SLICE * 1.1, 5) >= 5


async def test_what_is_quick_goes_on_at_once() -> None:
    assert await worked(0, 1) <= 1
