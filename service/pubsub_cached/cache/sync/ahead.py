"""Requests that are under way while the reply before them is worked on, so that the service works meanwhile."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any, Generic, Self, TypeVar

from ...tasks import end

T = TypeVar("T")


class Ahead(Generic[T]):
    """Replies in the order in which they were asked for; a context manager that gives up what is left at its end."""

    def __init__(self) -> None:
        self._under_way: deque[asyncio.Task[T]] = deque()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.give_up()

    async def ask(self, request: Coroutine[Any, Any, T]) -> None:
        """Make a request; it has begun when this returns."""
        self._under_way.append(asyncio.create_task(request))
        await asyncio.sleep(0)

    async def reply(self) -> T:
        """The next reply. Raises what its request raises."""
        return await self._under_way.popleft()

    async def give_up(self) -> None:
        """Wait no more for what is under way."""
        given_up = [*self._under_way]
        self._under_way.clear()
        await end(given_up)
