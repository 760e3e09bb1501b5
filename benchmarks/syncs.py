"""The first synchronisation of a large node."""

from __future__ import annotations

import statistics
from functools import partial

from pubsub_cached.bus import Variant

from .measure import Row, seconds
from .stage import Measurement, Online, Stage

NODE = "sync"


async def sync(stage: Stage) -> Row:
    """Subscribe, fetch, parse, store; each time from nothing."""
    online = await stage.online()
    count = stage.scale.sync_items
    await online.node(NODE, count)
    mine, its = [], []
    for _ in range(stage.scale.syncs + 1):
        await _forget(online)
        mine.append(await seconds(partial(online.keep, NODE)))
        its.append(await seconds(partial(online.fetch, NODE)))
    kept = (await online.daemon.call("Cache", "GetNode", "sssa{sv}", "", online.service, NODE, {}))["items"]
    if kept != count:
        raise RuntimeError(f"{kept} items were kept, not {count}")
    return Row(
        name="sync",
        what=f"synchronisation of {count:,} items",
        against="bare slixmpp fetch, nothing stored",
        ours=statistics.median(mine[1:]),
        floor=statistics.median(its[1:]),
        count=stage.scale.syncs,
        most=1.3,
    )


async def _forget(online: Online) -> None:
    """Drop the node, if there is one; this is not measured."""
    job = await online.daemon.call(
        "Cache", "Purge", "a{sv}", {"nodes": Variant("as", [NODE]), "forget": Variant("b", True)}
    )
    await online.daemon.call("Job", "Wait", path=job)


ROWS: dict[str, Measurement] = {"sync": sync}
