"""A turnstile: so many at once through each gate, the urgent first."""

from __future__ import annotations

import asyncio
import functools
import heapq
from collections.abc import AsyncIterator, Callable, Hashable, Iterator
from contextlib import asynccontextmanager, contextmanager


class _Gate:
    def __init__(self) -> None:
        self.inside = 0
        # Whoever became urgent while waiting is there twice.
        self.waiting: list[tuple[int, int, asyncio.Future[None]]] = []


class Ticket:
    """Held by a caller that may become urgent while it waits."""

    def __init__(self) -> None:
        self._hurry: Callable[[], None] | None = None

    def hurry(self) -> None:
        """Pass before those that wait without haste; nothing where it has passed."""
        if self._hurry is not None:
            self._hurry()

    @contextmanager
    def waiting(self, hurry: Callable[[], None]) -> Iterator[None]:
        """The caller waits. For the turnstile."""
        self._hurry = hurry
        try:
            yield
        finally:
            self._hurry = None


class Turnstile:
    """Lets at most ``at_once`` callers of one key in at a time."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._gates: dict[Hashable, _Gate] = {}
        self._serial = 0

    @asynccontextmanager
    async def pass_(self, key: Hashable, *, urgent: bool, ticket: Ticket | None = None) -> AsyncIterator[None]:
        """Hold a place of ``key``; the urgent pass before those that wait without haste."""
        gate = self._gates.setdefault(key, _Gate())
        if gate.inside >= self._at_once:
            await self._wait(key, gate, urgent, ticket or Ticket())
        else:
            gate.inside += 1
        try:
            yield
        finally:
            self._leave(key, gate)

    async def _wait(self, key: Hashable, gate: _Gate, urgent: bool, ticket: Ticket) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line_up(gate, turn, urgent)
        try:
            with ticket.waiting(functools.partial(self._line_up, gate, turn, True)):
                await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # The place was given in the same moment: pass it on.
                self._leave(key, gate)
            raise

    def _line_up(self, gate: _Gate, turn: asyncio.Future[None], urgent: bool) -> None:
        self._serial += 1
        heapq.heappush(gate.waiting, (0 if urgent else 1, self._serial, turn))

    def _leave(self, key: Hashable, gate: _Gate) -> None:
        self._next(gate)
        if gate.inside == 0 and self._gates.get(key) is gate:
            del self._gates[key]

    def _next(self, gate: _Gate) -> None:
        while gate.waiting:
            *_, turn = heapq.heappop(gate.waiting)
            if not turn.done():
                turn.set_result(None)
                return
        gate.inside -= 1
