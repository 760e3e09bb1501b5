"""Parsers of plugins that are coroutines: bounded as agents are, as far as one in the same process can be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ...analysers.item import ItemContext, Parsed
from ...analysers.parse import finish_deferred
from ...analysers.registry import Registry
from ...tasks import Tasks
from .deferred import RESULT_AT_MOST, SECONDS, Deferred, Unanswered


class Coroutine(Deferred):
    """The parser of an analyser that is a coroutine. One that does not give the loop back is beyond help."""

    def __init__(self, name: str, registry: Registry, usable: Callable[[], None]) -> None:
        super().__init__(name, registry, usable)
        self._running = Tasks()

    async def watch(self) -> None:
        """There from the beginning."""

    async def parse(self, context: ItemContext, made: Parsed) -> Parsed:
        """An item with what the coroutine makes of it. Raises Unanswered."""
        task = self._running.begin(finish_deferred(self._registry.begin(self.name, context), RESULT_AT_MOST))
        try:
            # Not wait_for, which also waits for one that ignores that it is cancelled.
            await asyncio.wait([task], timeout=SECONDS)
        finally:
            if not task.done():
                task.cancel()
        if not task.done():
            self.unanswered()
            raise Unanswered(tried=True)
        self.answered()
        if task.cancelled():
            error = f"The parser of '{self.name}' failed: CancelledError."
            return Parsed(made.payload, None, made.type, made.subtype, (*made.errors, error))
        return task.result()
