"""Bytes on their way to each client: sent, but not known to have been read.

A bus that can't deliver keeps what it took, and counts it against the sender: one client that does not read would
in the end stop the service for all. So the bus is asked now and then how much still waits for a client, and a
client with too much waiting gets nothing more until it has read. Buses without that question (dbus-broker) account
by user and need no such help: there nothing is ever held back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ..errors import STANDARD
from .errors import RemoteError

log = logging.getLogger(__name__)

WINDOW = 4 * 1024 * 1024
"""Bytes that may be on their way to one client before its calls wait."""

ASK_AFTER = 512 * 1024
"""Bytes to one client after which the bus is asked what became of them."""

_MOST_CLIENTS = 1024
_FIRST_PAUSE = 0.02
_LAST_PAUSE = 1.0
_UNSUPPORTED = frozenset(
    STANDARD + name for name in ("UnknownMethod", "UnknownInterface", "UnknownObject", "AccessDenied", "NotSupported")
)

Answer = Callable[[int | RemoteError], None]


class _Client:
    """What is known of one client. ``unseen``: bytes sent since the question that is being answered."""

    __slots__ = ("asking", "known", "pause", "unseen")

    def __init__(self) -> None:
        self.known = 0
        self.unseen = 0
        self.asking = False
        self.pause = _FIRST_PAUSE


class Flow:
    """Counts what is on its way to each client.

    ask: has the bus say how many bytes wait for a client (``Debug.Stats.GetConnectionStats``), by a callback.
    read: called with a client's unique name when it may be sent to again, or is gone.
    """

    def __init__(self, ask: Callable[[str, Answer], None]) -> None:
        self.read: Callable[[str], None] = lambda name: None
        self._ask = ask
        self._clients: dict[str, _Client] = {}
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._supported = True

    def sent(self, destination: str, size: int) -> None:
        """Counts ``size`` bytes that were sent or queued for a unique name."""
        client = self._clients.get(destination)
        if client is None:
            client = self._clients[destination] = _Client()
            if len(self._clients) > _MOST_CLIENTS:
                self._forget_one()
        client.unseen += size
        if client.unseen >= ASK_AFTER and not client.asking:
            self._question(destination, client)

    def outstanding(self, destination: str) -> int:
        """Bytes on their way to a unique name, as far as known."""
        client = self._clients.get(destination)
        return client.known + client.unseen if client is not None and self._supported else 0

    def blocked(self, destination: str) -> bool:
        """Whether the client has so much to read that it should get nothing more for now."""
        client = self._clients.get(destination)
        if client is None or client.known + client.unseen < WINDOW or not self._supported:
            return False
        if not client.asking:
            self._question(destination, client)
        # Once the bus has gone the answer is there at once.
        return client.asking

    async def unblocked(self, destination: str) -> None:
        """Returns once the client is not blocked, or is gone."""
        while self.blocked(destination):
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(destination, []).append(future)
            await future

    def forget(self, destination: str) -> None:
        """A client left the bus; who waited for it goes on."""
        if self._clients.pop(destination, None) is not None:
            self._go_on(destination)

    def _go_on(self, destination: str) -> None:
        for future in self._waiting.pop(destination, ()):
            if not future.done():
                future.set_result(None)
        self.read(destination)

    def _question(self, destination: str, client: _Client) -> None:
        if not self._supported:
            client.unseen = 0
            return
        client.asking = True
        before = client.known + client.unseen
        client.known, client.unseen = before, 0
        self._ask(destination, lambda answer: self._answered(destination, client, answer))

    def _answered(self, destination: str, client: _Client, answer: int | RemoteError) -> None:
        client.asking = False
        if isinstance(answer, RemoteError):
            if answer.name in _UNSUPPORTED:
                log.info("This bus does not tell what its clients have read; nothing is held back for them")
                self._supported = False
            self._clients.pop(destination, None)
            self._go_on(destination)
            return
        client.known = answer
        if client.known + client.unseen < WINDOW:
            client.pause = _FIRST_PAUSE
            self._go_on(destination)
            return
        if client.pause == _FIRST_PAUSE:
            log.debug("%s has %d bytes to read; its calls wait", destination, answer)
        asyncio.get_running_loop().call_later(client.pause, self._again, destination, client)
        client.pause = min(client.pause * 2, _LAST_PAUSE)

    def _again(self, destination: str, client: _Client) -> None:
        if self._clients.get(destination) is client and not client.asking:
            self._question(destination, client)

    def _forget_one(self) -> None:
        """Makes room: the client that has been known longest with little on its way."""
        for name, client in self._clients.items():
            if not client.asking and client.known + client.unseen < ASK_AFTER:
                del self._clients[name]
                return
