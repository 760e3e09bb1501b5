"""Whose call is next: while there is time the one that came, else every client's in turn."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from dbus_fast import Message

SLICE = 0.003
"""Seconds for which calls are dealt with before everything else has its turn."""

AT_MOST = 1024
"""Calls of one client that wait here; what comes beyond is refused, for whoever stands behind it would wait as well."""

_NOBODY = ""

Receive = Callable[[Message], None]


class Turns:
    """Hands calls on in the order in which they came, as long as there are few.

    A client with many in flight would keep the others waiting for all of them, and the loop as well. So what is left
    after a slice of time waits for the loop's next turn, and then the clients take turns, a call each; those of one
    client keep their order.

    Answers leave in the order in which they were given, so whoever is answered last waits for all that the bus has not
    taken yet. While there is something that it has not (``full``), calls wait here instead, and each client gets one
    more answer at most. ``go_on`` is to be called when the bus has taken some.
    """

    def __init__(self, receive: Receive, refuse: Receive, full: Callable[[], bool] = lambda: False) -> None:
        self._receive = receive
        self._refuse = refuse
        self._full = full
        self._until = 0.0
        self._waiting: dict[str | None, deque[Message]] = {}
        self._scheduled = False
        # Who had a call handed on since answers wait for the bus.
        self._had: set[str | None] = set()

    def begin(self) -> None:
        """The loop begins to read what came."""
        self._until = time.monotonic() + SLICE

    def receive(self, call: Message) -> None:
        """Hands a call on, now or later, or refuses it."""
        waiting = self._waiting.get(call.sender)
        if waiting is None:
            if time.monotonic() < self._until and self._may(call.sender):
                self._receive(call)
                return
            waiting = self._waiting[call.sender] = deque()
        if len(waiting) < AT_MOST:
            waiting.append(call)
        else:
            self._refuse(call)
        self.go_on()

    def go_on(self) -> None:
        """Has calls that wait handed on from the loop's next turn."""
        if self._waiting and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)

    def flush(self) -> None:
        """Hands on all that wait."""
        while self._waiting:
            self._next(next(iter(self._waiting)))

    def _turn(self) -> None:
        self._scheduled = False
        until = time.monotonic() + SLICE
        while (sender := next(filter(self._may, self._waiting), _NOBODY)) is not _NOBODY:
            self._next(sender)
            if time.monotonic() > until:
                self.go_on()
                break

    def _may(self, sender: str | None) -> bool:
        if not self._full():
            self._had.clear()
        elif sender in self._had:
            return False
        else:
            self._had.add(sender)
        return True

    def _next(self, sender: str | None) -> None:
        waiting = self._waiting.pop(sender)
        call = waiting.popleft()
        if waiting:
            self._waiting[sender] = waiting
        self._receive(call)
