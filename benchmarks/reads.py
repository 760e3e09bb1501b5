"""Cached reads: against the echo of the same reply, and against the service."""

from __future__ import annotations

from functools import partial

from .measure import Row, in_turn
from .stage import Measurement, Stage, read

NODE = "read"
ITEMS = 100


async def echo_of(stage: Stage, limit: int) -> Row:
    """A cached read of ``limit`` items of 1.5 KB, all fields."""
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
    mine, its = await in_turn(ours, floor, stage.scale.reads)
    return Row(
        name=f"read-{limit}",
        what=f"cached GetItems, {limit} items",
        against="echo of the same reply",
        ours=mine,
        floor=its,
        count=stage.scale.reads,
        most=1.3,
    )


async def service(stage: Stage) -> Row:
    """A cached read of 20 items, against 20 items from a server on loopback."""
    online = await stage.online()
    await online.node(NODE, ITEMS)
    await online.keep(NODE)
    count = max(2, stage.scale.reads // 5)
    ours = read(online.daemon.client, online.service, NODE, 20)
    mine, its = await in_turn(ours, partial(online.fetch, NODE, 20), count)
    return Row(
        name="service",
        what="cached GetItems, 20 items",
        against="slixmpp, 20 items from Prosody",
        ours=mine,
        floor=its,
        count=count,
        least=10,
    )


ROWS: dict[str, Measurement] = {
    "read-20": partial(echo_of, limit=20),
    "read-100": partial(echo_of, limit=100),
    "service": service,
}
