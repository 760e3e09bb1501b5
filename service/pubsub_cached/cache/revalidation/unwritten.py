"""Unwritten: what has to be said of nodes and could not be, because the database failed; it is said once it works.

It may fail for hours, and of thousands of nodes there may be something to say by then. So one piece is tried at a
time, and the next only once that one could be written.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from ... import errors
from ...address import Address
from ...tasks import Tasks, end
from ..nodes.suspected import NOTHING_TO_WRITE

log = logging.getLogger(__name__)

# Seconds until it is tried again to write, and the longest, for a database that goes on to fail.
AGAIN = 1.0
AGAIN_LONGEST = 60.0

Work = Callable[[], Awaitable[None]]
# A node or an account, and what is to be said of it.
Key = tuple[Address | str, object]


class Unwritten:
    """Tries again what the database refused, in the order in which it came."""

    def __init__(self) -> None:
        self._waiting: dict[Key, Work] = {}
        self._trying = Tasks()
        self._closed = False

    async def write(self, key: Key, work: Work) -> None:
        """Do work that writes; where the database fails, later. key: what it is about, once however often it fails."""
        if not await self._done(work):
            self.later(key, work)

    def later(self, key: Key, work: Work) -> None:
        """Do work once the database works again, for it has just failed."""
        self._waiting[key] = work
        if not self._trying.under_way and not self._closed:
            self._trying.begin(self._run(), "unwritten")

    def forget(self, address: Address) -> None:
        """The node's row is no more, and nothing is to be said of it."""
        self._waiting = {key: work for key, work in self._waiting.items() if key[0] != address}

    async def settled(self) -> None:
        """Wait until everything is written."""
        await self._trying.settled()

    async def close(self) -> None:
        """Try nothing any more; the next start validates everything."""
        self._closed = True
        await end(self._trying)

    async def _run(self) -> None:
        delay = AGAIN
        while self._waiting:
            await asyncio.sleep(delay)
            delay = min(delay * 2, AGAIN_LONGEST)
            for key in [*self._waiting]:
                # What fails again is the last: it may be the only one that does.
                work = self._waiting.pop(key, None)
                if work is None:
                    # Of a node that was forgotten meanwhile.
                    continue
                await self.write(key, work)
                if key in self._waiting:
                    break
                delay = AGAIN

    async def _done(self, work: Work) -> bool:
        try:
            await work()
        except NOTHING_TO_WRITE:
            return True
        except errors.PubSubCachedError as error:
            log.error("what is known of a node could not be written down yet: %s", error)
            return False
        return True
