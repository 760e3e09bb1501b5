"""Tasks that belong to somebody, who holds them until they end: the loop alone would let them go."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

K = TypeVar("K")
T = TypeVar("T")


class Tasks(set[asyncio.Task[Any]]):
    """Those that have not ended."""

    def begin(self, work: Coroutine[Any, Any, T], name: str | None = None) -> asyncio.Task[T]:
        """Begin with something."""
        task = asyncio.create_task(work, name=name)
        self.add(task)
        task.add_done_callback(self.discard)
        return task

    @property
    def under_way(self) -> bool:
        """Whether one goes on: what has just ended is held for another moment."""
        return not all(task.done() for task in self)

    async def settled(self) -> None:
        """Wait until all have ended, those that are begun meanwhile as well."""
        while self:
            await asyncio.wait(self)


class TasksByKey(dict[K, asyncio.Task[Any]]):
    """Those that have not ended, of each key that which was begun last."""

    def begin(self, key: K, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Begin with something."""
        task = self[key] = asyncio.create_task(work, name=name)
        task.add_done_callback(functools.partial(self._ended, key))
        return task

    def _ended(self, key: K, task: asyncio.Task[Any]) -> None:
        if self.get(key) is task:
            del self[key]

    async def settled(self) -> None:
        """Wait until all have ended, those that are begun meanwhile as well."""
        while self:
            await asyncio.wait(self.values())


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks, and wait until each has ended, in whatever way."""
    ending = [*tasks]
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)


async def first_of(*work: Coroutine[Any, Any, T], seconds: float | None = None) -> T | None:
    """What the first gives that ends, the others are cancelled; None where none has in time.

    Of several that have ended by then the one that is named first. Raises what that raises.
    """
    tasks = [asyncio.create_task(each) for each in work]
    try:
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return next((task.result() for task in tasks if task.done()), None)
    finally:
        for task in tasks:
            task.cancel()
