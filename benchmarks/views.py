"""Views over a large database: until the first items are told, and from a change to its signal."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pubsub_cached.bus import Match, Signal
from tests.support.daemon import NAME, Daemon

from . import content
from .measure import Row
from .stage import TIMEOUT, Measurement, Stage

VIEW = f"{NAME}.View"
QUERY = '{"types":["blog"]}'
# A view waits so long between two signals; what is measured is the first one.
QUIET = 0.15


class Watched:
    """A view and when its signals came."""

    def __init__(self, daemon: Daemon, path: str) -> None:
        self.daemon = daemon
        self.path = path
        self._heard: asyncio.Queue[tuple[str, list[Any], float]] = asyncio.Queue()

    def hear(self, signal: Signal) -> None:
        """A signal of the view."""
        self._heard.put_nowait((signal.member, signal.body, time.perf_counter()))

    async def until(self, member: str) -> tuple[list[Any], float]:
        """The next signal of this name, and when it came."""
        async with asyncio.timeout(TIMEOUT):
            while True:
                heard, body, at = await self._heard.get()
                if heard == member:
                    return body, at


@asynccontextmanager
async def watched(daemon: Daemon) -> AsyncIterator[Watched]:
    """A view of the newest 100 of everything, not started yet."""
    path = await daemon.call("Cache", "CreateView", "ssa{sv}", "", QUERY, {})
    view = Watched(daemon, path)
    subscription = await daemon.client.subscribe(view.hear, Match(sender=NAME, path=path, interface=VIEW))
    try:
        yield view
    finally:
        subscription.cancel()
        await daemon.call("View", "Close", path=path)


async def start(stage: Stage) -> Row:
    """From the call of CreateView until all of the window was told."""
    taken = []
    daemon = await stage.running(stage.scale.big)
    for _ in range(stage.scale.starts + 1):
        begin = time.perf_counter()
        async with watched(daemon) as view:
            await daemon.call("View", "Start", path=view.path)
            _, at = await view.until("Ready")
            taken.append(at - begin)
    return Row(
        name="view",
        what=f"a view until its first 100 are told, {stage.scale.big:,} items",
        ours=statistics.median(taken[1:]),
        count=stage.scale.starts,
        within=0.1,
    )


async def update(stage: Stage) -> Row:
    """From a flag that is set to the signal of its view, in a large database and in a small one."""
    scale = stage.scale
    taken: tuple[list[float], list[float]] = ([], [])
    large, small = await stage.running(scale.big), await stage.running(scale.small)
    async with watched(large) as its, watched(small) as others:
        for view in (its, others):
            await view.daemon.call("View", "Start", path=view.path)
            await view.until("Ready")
        for number in range(scale.events):
            for view, count, times in ((its, scale.big, taken[0]), (others, scale.small, taken[1])):
                times.append(await _flagged(view, count, number))
    return Row(
        name="view-update",
        what=f"a change until a view tells it, {scale.big:,} items",
        against=f"the same, {scale.small:,} items",
        ours=statistics.median(taken[0]),
        floor=statistics.median(taken[1]),
        count=scale.events,
        most=1.3,
    )


async def _flagged(view: Watched, count: int, number: int) -> float:
    """Mark the newest item, or take the mark away."""
    await asyncio.sleep(QUIET)
    where = content.address(count // content.PER_NODE - 1)
    id_ = f"post-{count // content.PER_NODE - 1}-{content.PER_NODE - 1}"
    add, remove = (["read"], []) if number % 2 == 0 else ([], ["read"])
    begin = time.perf_counter()
    await view.daemon.call("Cache", "SetFlags", "sssasasas", *where, [id_], add, remove)
    body, at = await view.until("Changed")
    if [item["id"].value for item in body[0]] != [id_]:
        raise RuntimeError(f"{len(body[0])} other items changed")
    return at - begin


ROWS: dict[str, Measurement] = {"view": start, "view-update": update}
