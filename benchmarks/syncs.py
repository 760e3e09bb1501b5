"""The first synchronisation of a large node."""

from __future__ import annotations

import statistics
from functools import partial

from pubsub_cached.bus import Variant
from tests.support.publisher import Publisher

from .measure import Row, duration, seconds
from .online import Online
from .stage import Measurement, Stage

NODE = "sync"


async def at_prosody(stage: Stage, name: str, *, own: bool) -> Row:
    """Of a node of the account's own service, or of the pubsub component."""
    return await sync(stage, await stage.online(), name, own=own)


async def at_ejabberd(stage: Stage, name: str) -> Row:
    """Of a node of the account's own service."""
    return await sync(stage, await stage.ejabberd(), name, own=True)


async def sync(stage: Stage, online: Online, name: str, *, own: bool) -> Row:
    """Subscribe, fetch, parse, store; each time from nothing."""
    count = stage.scale.sync_items
    await online.node(NODE, count, own=own)
    # As every client that must not lose what it is sent, so that the server has the same to do for it.
    reader = await Publisher.open(online.server, "alice" if own else "bob", managed=True)
    mine, its, unmanaged = [], [], []
    try:
        reader.send("<presence type='unavailable'/>")
        for _ in range(stage.scale.syncs + 1):
            await _forget(online)
            mine.append(await seconds(partial(online.keep, NODE, own=own)))
            its.append(await seconds(partial(online.fetch, NODE, own=own, reader=reader)))
            unmanaged.append(await seconds(partial(online.fetch, NODE, own=own)))
    finally:
        await reader.close()
    await _check(online, own, count)
    where = f"{'own service' if own else 'component'}, {online.server.name}"
    return Row(
        name=name,
        what=f"synchronisation of {count:,} items, {where}",
        against=f"slixmpp, one request, nothing stored ({duration(statistics.median(unmanaged[1:]))} without XEP-0198)",
        ours=statistics.median(mine[1:]),
        floor=statistics.median(its[1:]),
        count=stage.scale.syncs,
        most=1.3,
    )


async def _check(online: Online, own: bool, count: int) -> None:
    node = await online.daemon.call("Cache", "GetNode", "sssa{sv}", "", online.address(own), NODE, {})
    kept = node.get("items")
    if kept != count:
        raise RuntimeError(f"{kept} items were kept, not {count}")


async def _forget(online: Online) -> None:
    """Drop the nodes, if they are there; this is not measured."""
    filter_ = {"nodes": Variant("as", [NODE]), "forget": Variant("b", True)}
    job = await online.daemon.call("Cache", "Purge", "a{sv}", filter_)
    await online.daemon.call("Job", "Wait", path=job)


ROWS: dict[str, Measurement] = {
    "sync": partial(at_prosody, name="sync", own=True),
    "sync-component": partial(at_prosody, name="sync-component", own=False),
    "sync-ejabberd": partial(at_ejabberd, name="sync-ejabberd"),
}
