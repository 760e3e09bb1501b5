"""From a publish to the signal on the bus."""

from __future__ import annotations

import asyncio
import statistics
import time
from itertools import count

from pubsub_cached.bus import Match, Signal
from tests.support.daemon import NAME
from tests.support.publisher import Publisher

from . import content
from .measure import Row
from .stage import CACHE, TIMEOUT, Measurement, Online, Stage

OURS, RAW = "events", "events-raw"
# After a signal the changes of the next 50 ms are told together; what is measured is the first. The observer's
# events come as rarely, for a process that has just run is quicker than one that has slept.
QUIET = 0.06


async def publish(stage: Stage) -> Row:
    """Two nodes, so that only one of the two processes has work to do at a time."""
    online = await stage.online()
    await online.node(OURS, 1)
    await online.node(RAW, 1)
    await online.keep(OURS)
    await _subscribe(online, "carol", RAW)
    observer = await stage.process(online.daemon.bus, "-m", "benchmarks.observer", str(online.known), "carol")
    assert observer.stdout is not None
    await _line(observer.stdout, "ready")
    heard = await _signals(online)
    mine, its = [], []
    numbers = count()
    for _ in range(stage.scale.events):
        await asyncio.sleep(QUIET)
        id_ = f"event-{next(numbers)}"
        begin = await _publish(online, OURS, id_)
        async with asyncio.timeout(TIMEOUT):
            mine.append(await heard.get() - begin)
        await asyncio.sleep(QUIET)
        begin = await _publish(online, RAW, id_)
        its.append(int((await _line(observer.stdout, id_)).split()[1]) - begin)
    return Row(
        name="publish",
        what="publish → ItemsChanged",
        against="raw slixmpp observer of the same event",
        ours=statistics.median(mine) / 1e9,
        floor=statistics.median(its) / 1e9,
        count=stage.scale.events,
        most=1.3,
    )


async def _publish(online: Online, node: str, id_: str) -> int:
    """Publish an item; when that was begun, monotonic nanoseconds."""
    payload = content.entry(id_, 1500)
    begin = time.monotonic_ns()
    await online.bob.publish(online.service, node, id_, payload)
    return begin


async def _signals(online: Online) -> asyncio.Queue[int]:
    """When each ItemsChanged of the node came, monotonic nanoseconds."""
    times: asyncio.Queue[int] = asyncio.Queue()

    def signalled(signal: Signal) -> None:
        if signal.body[2] == OURS:
            times.put_nowait(time.monotonic_ns())

    await online.daemon.client.subscribe(signalled, Match(sender=NAME, interface=CACHE, member="ItemsChanged"))
    return times


async def _subscribe(online: Online, user: str, node: str) -> None:
    subscriber = await Publisher.open(online.server, user)
    try:
        await subscriber.iq(
            "set",
            "<pubsub xmlns='http://jabber.org/protocol/pubsub'>"
            f"<subscribe node='{node}' jid='{subscriber.jid}'/></pubsub>",
            online.service,
        )
    finally:
        await subscriber.close()


async def _line(stream: asyncio.StreamReader, start: str) -> str:
    async with asyncio.timeout(TIMEOUT):
        while line := (await stream.readline()).decode():
            if line.split()[0] == start:
                return line
    raise RuntimeError(f"The observer ended before it said {start!r}")


ROWS: dict[str, Measurement] = {"publish": publish}
