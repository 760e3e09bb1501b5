"""Who the clients are: identified at their first call, and known until they leave the bus."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from ..errors import BusLost, Timeout
from ..tasks import TasksByKey
from . import sandbox
from .errors import RemoteError
from .owners import Owners

if TYPE_CHECKING:
    from .connection import Connection

log = logging.getLogger(__name__)


class Clients:
    """Tells sandboxed clients from others.

    trusted: unique names of clients that may do everything, limited: those that may not, with their application.
    allow: applications whose clients are trusted although they are sandboxed.
    """

    def __init__(self, connection: Connection, allow: Collection[str] = ()) -> None:
        self.trusted = connection.unsandboxed
        self.limited: dict[str, str] = {}
        self._connection = connection
        self._allow = frozenset(allow)
        self._owners = Owners(connection)
        self._asking: TasksByKey[str] = TasksByKey()

    def identify(self, name: str, identified: Callable[[str], None]) -> None:
        """Has ``identified(name)`` called once the client is known; again and again is once."""
        if name not in self._asking:
            task = self._asking.begin(name, self._identify(name, identified), f"identify {name}")
            task.add_done_callback(lambda ended: self._ended(name, identified, ended))

    def _ended(self, name: str, identified: Callable[[str], None], ended: asyncio.Task[None]) -> None:
        if not ended.cancelled():
            # One that left the bus meanwhile is not known any more, and may have calls that came since.
            identified(name)

    async def _identify(self, name: str, identified: Callable[[str], None]) -> None:
        application: str | None = sandbox.UNKNOWN
        try:
            application = await self._application(name)
        except (RemoteError, BusLost, Timeout, OSError) as error:
            log.info("%s can't be identified, so it counts as sandboxed: %s", name, error)
        if application is None or (application and application in self._allow):
            self.trusted.add(name)
        else:
            log.info("%s is sandboxed (%s) and may only read", name, application or "unknown")
            self.limited[name] = application
        try:
            identified(name)
            await self._owners.watch(name, self._left)
        except (RemoteError, BusLost, Timeout) as error:
            log.debug("%s can't be watched, so it is identified again: %s", name, error)
            self._left(name)

    async def _application(self, name: str) -> str | None:
        peer = await self._connection.peer(name)
        try:
            return await sandbox.application(peer)
        finally:
            if peer.pidfd >= 0:
                os.close(peer.pidfd)

    def _left(self, name: str) -> None:
        self.trusted.discard(name)
        self.limited.pop(name, None)
        self._connection.flow.forget(name)
