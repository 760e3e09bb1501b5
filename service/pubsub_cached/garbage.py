"""Garbage in cycles: the interpreter looks for it by how many objects were made, not by what they hold.

A connection that has ended is such a cycle, with its parser, its buffers and what TLS needs: a few thousand objects
and 300 KiB. Those that lasted for long would be found once some millions of objects were made, which of a daemon that
has little to do may be never. So everything is looked through now and then as well. That takes some milliseconds: what
was made by the end of the start is left out, and what is stored is in the database.
"""

from __future__ import annotations

import asyncio
import gc

# With the interpreter's own thresholds collecting doubles the time of large fetches.
THRESHOLDS = (50_000, 20, 20)
EVERY_SECONDS = 60.0
# So many more objects than went are worth a look.
ENOUGH = 10_000


def begin() -> None:
    """Collect from now on. What was made so far stays, and need not be looked at again and again."""
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    gc.enable()


async def collect(every: float = EVERY_SECONDS, enough: int = ENOUGH) -> None:
    """Collect everything, again and again, where objects were made since. every: seconds."""
    while True:
        await asyncio.sleep(every)
        young, middle, old = gc.get_count()
        if young >= enough or middle or old:
            gc.collect()
