"""What a program holds, so that it can be seen that nothing is left of somebody who has gone."""

from __future__ import annotations

import asyncio
import gc
import os
from collections import Counter

# Objects of a kind that are held until the next of the kind comes.
LATEST = 2


class Footprint:
    """Descriptors, tasks, and objects of this project's classes by their class."""

    def __init__(self) -> None:
        gc.collect()
        self.descriptors = len(os.listdir("/proc/self/fd"))
        every = gc.get_objects()
        self.tasks = sum(1 for each in every if issubclass(type(each), asyncio.Task) and not each.done())
        self.objects = Counter(type(each).__qualname__ for each in every if _ours(type(each).__module__))

    def grown(self, before: Footprint) -> dict[str, int]:
        """What there is more of than before; what came last may still be held."""
        found = {kind: more for kind, more in (self.objects - before.objects).items() if more > LATEST}
        for name in ("descriptors", "tasks"):
            if (more := getattr(self, name) - getattr(before, name)) > 0:
                found[name] = more
        return found


def _ours(module: str) -> bool:
    """Not what is outside: the simulated services keep a log of all that they were asked."""
    return module.startswith("pubsub_cached.") and not module.startswith("pubsub_cached.xmpp.fake")
