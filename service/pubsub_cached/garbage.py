"""Garbage in cycles: the interpreter looks for it by how many objects were made, not by what they hold.

A connection that has ended is such a cycle, with its parser, its buffers and what TLS needs: a few thousand objects
and 300 KiB. Those that lasted for long would be found once some millions of objects were made, which of a daemon that
has little to do may be never. So everything is looked through now and then as well. That takes some milliseconds: what
was made by the end of the start is left out, and what is stored is in the database. With hundreds of views, which hold
places of items, it takes longer, nobody is answered meanwhile, and so it is done more seldom.
"""

from __future__ import annotations

import asyncio
import gc
import time

# With the interpreter's own thresholds collecting doubles the time of large fetches.
THRESHOLDS = (50_000, 20, 20)
EVERY_SECONDS = 60.0
# So many more objects than went are worth a look.
ENOUGH = 10_000
# Of the time, all looks take one part in so many at most.
SHARE = 2_000


def begin() -> None:
    """Collect from now on. What was made so far stays, and need not be looked at again and again."""
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    gc.enable()


async def collect(every: float = EVERY_SECONDS, enough: int = ENOUGH) -> None:
    """Collect everything, again and again, where objects were made since. every: seconds, more where it takes long."""
    took = 0.0
    while True:
        await asyncio.sleep(pause(every, took))
        young, middle, old = gc.get_count()
        if young >= enough or middle or old:
            begun = time.perf_counter()
            gc.collect()
            took = time.perf_counter() - begun


def pause(every: float, took: float) -> float:
    """Seconds to the next look after one of so many."""
    return max(every, took * SHARE)
