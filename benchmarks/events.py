"""From a publish to the signal on the bus, and events in numbers."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from itertools import count as counted
from typing import Any

from pubsub_cached.bus import Connection, Match, Signal
from tests.support.daemon import NAME, ROOT
from tests.support.publisher import Publisher

from . import content, pump
from .measure import Action, Row, ninety_ninth, seconds
from .memory import resident
from .online import Online
from .reads import CLIENTS, IN_FLIGHT, ITEMS, NODE, echoing
from .stage import CACHE, TIMEOUT, Measurement, Stage, line, read

OURS, RAW = "events", "events-raw"
# After a signal the changes of the next 50 ms are told together; what is measured is the first. The observer's
# events come as rarely, for a process that has just run is quicker than one that has slept.
QUIET = 0.06
FLOOD, RATE = "flood", 1000
LOADED, LOAD_RATE = "loaded", 200
# What the configuration has the daemon keep of a node.
MOST = 10_000
BETWEEN = 0.005


async def publish(stage: Stage) -> Row:
    """Two nodes, so that only one of the two processes has work to do at a time."""
    online = await stage.online()
    await online.node(OURS, 1)
    await online.node(RAW, 1)
    await online.keep(OURS)
    await _subscribe(online, "carol", RAW)
    observer = await stage.process(online.daemon.bus, "-m", "benchmarks.observer", str(online.known), "carol")
    assert observer.stdout is not None
    await line(observer.stdout, "ready")
    heard = await _signals(online)
    mine, its = [], []
    numbers = counted()
    for _ in range(stage.scale.events):
        await asyncio.sleep(QUIET)
        id_ = f"event-{next(numbers)}"
        begin = await _publish(online, OURS, id_)
        async with asyncio.timeout(TIMEOUT):
            mine.append(await heard.get() - begin)
        await asyncio.sleep(QUIET)
        begin = await _publish(online, RAW, id_)
        its.append(int((await line(observer.stdout, id_)).split()[1]) - begin)
    return Row(
        name="publish",
        what="publish → ItemsChanged",
        against="raw slixmpp observer of the same event",
        ours=statistics.median(mine) / 1e9,
        floor=statistics.median(its) / 1e9,
        count=stage.scale.events,
        most=1.3,
    )


async def flood(stage: Stage) -> Row:
    """Reads beside as many events as a service of the server sends; every event has to be found afterwards.

    The floor is a read of the echo, while the daemon gets as many events.
    """
    online = await stage.online()
    await online.node(NODE, ITEMS)
    await online.keep(NODE)
    where = await echoing(stage, online)
    client = online.daemon.client
    its, _ = await _flooded(stage, online, f"{FLOOD}_echo", read(client, online.service, NODE, 20, destination=where))
    taken, sent = await _flooded(stage, online, FLOOD, read(client, online.service, NODE, 20))
    return Row(
        name="events",
        what=f"GetItems, 20 items, p99 beside {RATE * stage.scale.flood / sent:,.0f} events/s for {sent:.0f} s",
        against="the same at the echo",
        ours=ninety_ninth(taken),
        floor=ninety_ninth(its),
        count=len(taken),
        within=0.005,
    )


async def _flooded(stage: Stage, online: Online, node: str, action: Action) -> tuple[list[float], float]:
    """Beside the events of a node: how long each read took, and all of the events."""
    pumped = await stage.pump(online)
    await online.keep_at(pump.DOMAIN, node)
    count = int(RATE * stage.scale.flood)
    sending = asyncio.create_task(pumped.events(node, count, RATE))
    taken: list[float] = []
    while not sending.done():
        taken.append(await seconds(action))
        await asyncio.sleep(BETWEEN)
    sent = await sending
    await _arrived(online, node, count)
    return taken, sent


async def load(stage: Stage) -> Row:
    """Everything at once: readers, events, a synchronisation; what is measured is how long a ping waits.

    The floor is a ping to the echo while the readers read there, beside the same events and synchronisation.
    """
    online = await stage.online()
    await online.node(NODE, ITEMS)
    await online.keep(NODE)
    floor, _ = await _loaded(stage, online, f"{LOADED}_echo", await echoing(stage, online))
    before, memory = _descriptors(online), resident(online.daemon)
    waited, pings = await _loaded(stage, online, LOADED, (NAME, ROOT, CACHE))
    if (after := _descriptors(online)) > before:
        raise RuntimeError(f"{before} descriptors were open before, and {after} are afterwards")
    grown = resident(online.daemon) - memory
    return Row(
        name="load",
        what=f"Ping, p99 beside {CLIENTS} × {IN_FLIGHT} reads, {LOAD_RATE} events/s, a synchronisation of "
        f"{stage.scale.load_items:,} items; {after - before:+} descriptors, {grown:+.0f} MiB",
        against="Ping of the echo, which is read instead",
        ours=waited,
        floor=floor,
        count=pings,
        within=0.02,
    )


async def _loaded(stage: Stage, online: Online, node: str, where: tuple[str, str, str]) -> tuple[float, int]:
    """Read and ping at ``where`` while the daemon has events and synchronises: the 99th percentile, and the pings."""
    pumped = await stage.pump(online)
    await online.keep_at(pump.DOMAIN, node)
    count = int(LOAD_RATE * stage.scale.flood)
    readers = [await Connection.open(online.daemon.bus.address) for _ in range(CLIENTS)]
    name, path, _ = where
    pinger = await stage.process(online.daemon.bus, "-m", "benchmarks.pinger", name, path)
    assert pinger.stdin is not None
    assert pinger.stdout is not None
    await line(pinger.stdout, "ready")
    sending = asyncio.create_task(pumped.events(node, count, LOAD_RATE))
    synchronising = asyncio.create_task(online.keep_at(pump.DOMAIN, f"{node}-{stage.scale.load_items}"))
    reading = [
        asyncio.create_task(_until(sending, read(reader, online.service, NODE, 20, destination=where)))
        for reader in readers
        for _ in range(IN_FLIGHT)
    ]
    await asyncio.gather(sending, synchronising, *reading)
    pinger.stdin.close()
    _, waited, pings = (await line(pinger.stdout, "pinged")).split()
    await _arrived(online, node, count)
    for reader in readers:
        await reader.close()
    return float(waited), int(pings)


async def _until(done: asyncio.Task[Any], action: Action) -> None:
    while not done.done():
        await action()


async def _arrived(online: Online, node: str, count: int) -> None:
    """Return once a node has so many items; the last one that changed says that it has all there will be."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            found = await online.daemon.call("Cache", "GetNode", "sssa{sv}", "", pump.DOMAIN, node, {})
            if found.get("items", 0) >= min(count, MOST):
                break
            await asyncio.sleep(BETWEEN)
    if found["state"] != "live":
        raise RuntimeError(f"The node is {found['state']} ({found.get('reason')}) after the events")


def _descriptors(online: Online) -> int:
    assert online.daemon.process is not None
    return len(os.listdir(f"/proc/{online.daemon.process.pid}/fd"))


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


ROWS: dict[str, Measurement] = {"publish": publish, "events": flood, "load": load}
