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

Receive = Callable[[Message], None]


class Turns:
    """Hands calls on in the order in which they came, as long as there are few.

    A client with many in flight would keep the others waiting for all of them, and the loop as well. So what is left
    after a slice of time waits for the loop's next turn, and then the clients take turns, a call each; those of one
    client keep their order.
    """

    def __init__(self, receive: Receive, refuse: Receive) -> None:
        self._receive = receive
        self._refuse = refuse
        self._until = 0.0
        self._waiting: dict[str | None, deque[Message]] = {}

    def begin(self) -> None:
        """The loop begins to read what came."""
        self._until = time.monotonic() + SLICE

    def receive(self, call: Message) -> None:
        """Hands a call on, now or later, or refuses it."""
        if not self._waiting:
            if time.monotonic() < self._until:
                self._receive(call)
                return
            asyncio.get_running_loop().call_soon(self._turn)
        waiting = self._waiting.setdefault(call.sender, deque())
        if len(waiting) < AT_MOST:
            waiting.append(call)
        else:
            self._refuse(call)

    def flush(self) -> None:
        """Hands on all that wait."""
        while self._waiting:
            self._next()

    def _turn(self) -> None:
        until = time.monotonic() + SLICE
        while self._waiting:
            self._next()
            if time.monotonic() > until:
                break
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._turn)

    def _next(self) -> None:
        sender, waiting = next(iter(self._waiting.items()))
        del self._waiting[sender]
        call = waiting.popleft()
        if waiting:
            self._waiting[sender] = waiting
        self._receive(call)
