"""The first synchronisation of a large node."""

from __future__ import annotations

import statistics
from functools import partial

from pubsub_cached.bus import Variant

from .measure import Row, seconds
from .stage import Measurement, Online, Stage

NODE = "sync"


async def sync(stage: Stage, *, own: bool) -> Row:
    """Subscribe, fetch, parse, store; each time from nothing."""
    online = await stage.online()
    count = stage.scale.sync_items
    await online.node(NODE, count, own=own)
    mine, its = [], []
    for _ in range(stage.scale.syncs + 1):
        await _forget(online)
        mine.append(await seconds(partial(online.keep, NODE, own=own)))
        its.append(await seconds(partial(online.fetch, NODE, own=own)))
    await _check(online, own, count)
    where = "own service" if own else "component"
    return Row(
        name="sync" if own else "sync-component",
        what=f"synchronisation of {count:,} items, {where}",
        against="slixmpp, one request, nothing stored",
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


ROWS: dict[str, Measurement] = {"sync": partial(sync, own=True), "sync-component": partial(sync, own=False)}
