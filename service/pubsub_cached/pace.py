"""Work that never waits by itself gives the loop back now and then, so that readers are answered meanwhile."""

from __future__ import annotations

import asyncio
import time

# After so much work, in seconds; a reader waits so long on top of its own answer.
SLICE = 0.003


class Pace:
    """How long somebody has worked since the loop had its turn."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    async def kept(self) -> None:
        """Go on at once, or after everything else had its turn. Between two pieces of work."""
        if time.monotonic() - self._began > SLICE:
            await asyncio.sleep(0)
            self._began = time.monotonic()
