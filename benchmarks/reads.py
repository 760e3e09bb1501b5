"""Cached reads: against the echo of the same reply, and against the service."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from itertools import cycle
from typing import Any

import msgspec

from pubsub_cached.bus import Connection, Variant
from tests.support.daemon import NAME, ROOT

from . import syncs
from .measure import Action, Row, in_turn
from .online import Online
from .stage import Measurement, Stage, read

JSON = f"{NAME}.Json"
CLIENTS = 4
IN_FLIGHT = 16

NODE = "read"
ITEMS = 100
# More than the daemon keeps as they were sent.
NEW_PAGES = 200


async def echo_of(stage: Stage, limit: int, *, new: bool = False) -> Row:
    """A cached read of ``limit`` items of 1.5 KB, all fields; ``new``: a page that is not kept as it was sent."""
    online = await stage.online()
    await online.node(NODE, ITEMS)
    await online.keep(NODE)
    client = online.daemon.client
    ours = read(client, online.service, NODE, limit)
    reply = await ours()
    if len(reply[0]) != limit or reply[2]["source"].value != "cache":
        raise RuntimeError(f"The reply has {len(reply[0])} items: {reply[2]}")
    where = await stage.echo(online)
    await client.call(*where, "Keep", "aa{sv}sa{sv}", reply)
    floor = read(client, online.service, NODE, limit, destination=where)
    pages = cycle(read(client, online.service, NODE, limit, index=index) for index in range(ITEMS - limit + 1))
    taken = await in_turn((lambda: next(pages)()) if new else ours, floor, stage.scale.reads)
    return Row(
        name=f"read-{limit}-new" if new else f"read-{limit}",
        what=f"cached GetItems, {limit} items{', another page each time' if new else ''}",
        against="echo of the same reply",
        **taken._asdict(),
        count=stage.scale.reads,
        most=1.3,
    )


async def service(stage: Stage, *, json: bool = False) -> Row:
    """A cached read of 20 items, against 20 items from a server on loopback. json: as JSON Lines in a descriptor."""
    online = await stage.online()
    await online.node(NODE, ITEMS)
    await online.keep(NODE)
    client = online.daemon.client
    count = max(2, stage.scale.reads // 5)
    ours = _read_lines(client, online.service, NODE, 20) if json else read(client, online.service, NODE, 20)
    taken = await in_turn(ours, partial(online.fetch, NODE, 20), count)
    return Row(
        name="service-json" if json else "service",
        what="cached Json.ReadItems, 20 items, parsed" if json else "cached GetItems, 20 items",
        against="slixmpp, 20 items from Prosody",
        **taken._asdict(),
        count=count,
        least=10,
    )


async def lines(stage: Stage, limit: int, *, new: bool = False) -> Row:
    """The same as JSON Lines in a descriptor, which the client reads and parses."""
    online = await stage.online()
    count = min(limit, stage.scale.sync_items)
    await online.node(syncs.NODE, stage.scale.sync_items, own=True)
    await online.keep(syncs.NODE, own=True)
    client, own = online.daemon.client, online.alice.jid
    where = await stage.echo(online)
    ours = _read_lines(client, own, syncs.NODE, count)
    floor = _read_lines(client, own, syncs.NODE, count, destination=where)
    call = [own, own, syncs.NODE, {"limit": Variant("u", count)}]
    descriptor, cursor, info = await client.call(NAME, ROOT, JSON, "ReadItems", "sssa{sv}", call)
    try:
        await client.call(*where, "KeepLines", "uhss", [count, descriptor, cursor, info])
    finally:
        os.close(descriptor)
    repeat = max(2, stage.scale.reads * 20 // (limit + 20))
    places = range(min(NEW_PAGES, stage.scale.sync_items - count + 1))
    pages = cycle(_read_lines(client, own, syncs.NODE, count, index=index) for index in places)
    taken = await in_turn((lambda: next(pages)()) if new else ours, floor, repeat)
    return Row(
        name=f"json-{limit}-new" if new else f"json-{limit}",
        what=f"cached Json.ReadItems, {limit} items, parsed{', another page each time' if new else ''}",
        against="echo of the same descriptor",
        count=repeat,
        most=1.4,
        **taken._asdict(),
    )


def _read_lines(
    client: Connection,
    service: str,
    node: str,
    count: int,
    *,
    index: int = 0,
    destination: tuple[str, str, str] = (NAME, ROOT, JSON),
) -> Action:
    """A ReadItems of the only account, whose lines are parsed, ready to be called often."""
    decode = msgspec.json.Decoder().decode_lines
    place = {"index": Variant("u", index)} if index else {}
    body = ["", service, node, {"limit": Variant("u", count)} | place]

    async def action() -> list[Any]:
        descriptor, _, _ = await client.call(*destination, "ReadItems", "sssa{sv}", body)
        try:
            # From the beginning, wherever the others that hold it have read to.
            found: list[Any] = decode(os.pread(descriptor, os.fstat(descriptor).st_size, 0))
        finally:
            os.close(descriptor)
        if len(found) != count:
            raise RuntimeError(f"{len(found)} lines came, not {count}")
        return found

    return action


async def pipelined(stage: Stage) -> Row:
    """Calls of several clients at once; the time is that of all of them by their number."""
    online = await stage.online()
    await online.node(NODE, ITEMS)
    await online.keep(NODE)
    where = await echoing(stage, online)
    clients = [await Connection.open(online.daemon.bus.address) for _ in range(CLIENTS)]
    try:
        ours = [read(client, online.service, NODE, 20) for client in clients]
        floor = [read(client, online.service, NODE, 20, destination=where) for client in clients]
        count = max(2, stage.scale.reads // 20)
        taken = await in_turn(partial(_at_once, ours), partial(_at_once, floor), count, block=2)
    finally:
        for client in clients:
            await client.close()
    calls = CLIENTS * IN_FLIGHT
    return Row(
        name="pipelined",
        what=f"a read of 20 items, {CLIENTS} clients with {IN_FLIGHT} in flight each",
        against="echo of the same reply",
        ours=taken.ours / calls,
        floor=taken.floor / calls,
        paired=taken.paired,
        count=count,
        # At least 0.6 times as many in the same time.
        most=1 / 0.6,
    )


async def echoing(stage: Stage, online: Online) -> tuple[str, str, str]:
    """The echo, which answers a read of 20 items as the daemon does: destination, path and interface."""
    where = await stage.echo(online)
    reply = await read(online.daemon.client, online.service, NODE, 20)()
    await online.daemon.client.call(*where, "Keep", "aa{sv}sa{sv}", reply)
    return where


async def _at_once(actions: list[Action]) -> None:
    await asyncio.gather(*(action() for action in actions for _ in range(IN_FLIGHT)))


ROWS: dict[str, Measurement] = {
    "read-20": partial(echo_of, limit=20),
    "read-100": partial(echo_of, limit=100),
    "read-20-new": partial(echo_of, limit=20, new=True),
    "json-20": partial(lines, limit=20),
    "json-100": partial(lines, limit=100),
    "json-1000": partial(lines, limit=1000),
    "json-100-new": partial(lines, limit=100, new=True),
    "service": service,
    "service-json": partial(service, json=True),
    "pipelined": pipelined,
}
