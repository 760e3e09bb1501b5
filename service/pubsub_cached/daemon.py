"""The one place where the parts are put together, and stopped in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from . import garbage
from .api.agents import Peers
from .api.exports import Exports
from .bus import Connection, Tree
from .clock import clock
from .config import Config
from .errors import BusLost, DatabaseError, Fatal, Internal, PubSubCachedError
from .network import Network
from .tasks import Tasks, end, first_of

if TYPE_CHECKING:
    from .analysers.watching import Watching
    from .cache.house import House
    from .store.store import Store
    from .xmpp.port import Connector, Endpoint, Listener, PasswordSource, Session

log = logging.getLogger(__name__)

NAME = "im.pubsubcache1"
# A writer thread beside the loop: short turns halve the longest waits.
SWITCH_INTERVAL = 0.0005
# How long another daemon at the same file may take to end, s: its bus went away, and the next one starts this daemon.
ENDING = 5.0


class _Stopped(Exception):
    """The daemon was told to end before it was ready."""


class Daemon:
    """The daemon on one bus.

    connector: makes sessions, by default real ones (``xmpp.session``). address: the bus, by default the
    session's. clock: milliseconds since the epoch.
    """

    def __init__(
        self,
        config: Config,
        *,
        connector: Connector | None = None,
        address: str | None = None,
        clock: Callable[[], int] = clock,
    ) -> None:
        self._config = config
        self._connector = connector
        self._address = address
        self._clock = clock
        self._stop = asyncio.Event()
        self._beside = Tasks()
        self._connection: Connection
        self._tree: Tree
        self._store: Store
        # Held until the store is closed.
        self._alone = contextlib.ExitStack()
        self._files: Watching
        self.house: House

    def stop(self) -> None:
        """Have ``run`` end."""
        self._stop.set()

    async def run(self) -> None:
        """Start, serve until ``stop``, and close. Raises BusLost, NameTaken, NewerDatabase, BadConfiguration."""
        try:
            await self.start()
        except _Stopped:
            return
        try:
            await first_of(self._connection.lost(), self._stop.wait())
        finally:
            await self.close()

    async def start(self) -> None:
        """Own the name, then load the house, then answer, then connect."""
        self._connection = await Connection.open(self._address)
        self._tree = Tree(self._connection, allow=self._config.sandbox.allow)
        # Whoever had the daemon started by a call can look at it before the first method is answered.
        self._exports = Exports(self._tree, self._config.database.features)
        async with contextlib.AsyncExitStack() as undo:
            undo.push_async_callback(self._connection.close)
            undo.callback(self._alone.close)
            await self._connection.own(NAME)
            log.info("own %s on the session bus", NAME)
            undo.push_async_exit(self._not_started)
            await self._load()
            undo.pop_all()
        self.house.begin()
        self._tree.open()
        self.house.set_state("running")
        if self._connector is None and any(account.enabled for account in self.house.accounts.list()):
            from .xmpp.session import load

            # Reads are answered meanwhile.
            await asyncio.to_thread(load)
        await self.house.connect()
        self._beside.begin(Network(self.house.network_changed).run(), "network")
        # It begins with what changed since they were read.
        self._beside.begin(self._files.run(), "files of analysers")
        garbage.begin()
        self._beside.begin(garbage.collect(), "garbage")

    async def _not_started(self, _: object, error: BaseException | None, __: object) -> None:
        """Tell whoever had the daemon started, or has called since, why it does not begin."""
        why: PubSubCachedError | None = None
        if isinstance(error, Fatal):
            why = DatabaseError(str(error))
        elif isinstance(error, PubSubCachedError):
            why = error
        elif isinstance(error, Exception) and not isinstance(error, _Stopped):
            why = Internal(str(error))
        with contextlib.suppress(BusLost):
            await self._tree.close(0.0, why)

    async def _load(self) -> None:
        from .heap import share
        from .threads import in_thread

        share()
        sys.setswitchinterval(SWITCH_INTERVAL)
        # Whoever had the daemon started can look at it meanwhile.
        await in_thread(_modules, "modules")
        from .analysers import files, plugins
        from .analysers.builtin import registry
        from .analysers.watching import Watching
        from .cache.house import House
        from .secrets import Secrets

        self._store = await self._opened()
        analysers = registry()
        plugins.load(analysers)
        self._files = Watching(lambda: files.load(analysers))
        files.load(analysers)
        # A name that somebody else had may be that of a file.
        analysers.on_change.append(lambda name, registered: None if registered else self._files.again())
        self.house = House(
            self._config,
            self._store,
            analysers,
            self._connector or _real_connector,
            Secrets(),
            self._clock,
            Peers(self._connection),
        )
        await self.house.start()
        self._exports.open(self.house)

    async def _opened(self) -> Store:
        """The store, once no other daemon is in the way, unless this one is stopped.

        One of another version at a server's database is waited for however long it runs, one at a file while it ends.
        """
        from .store.database import InUse
        from .store.store import Store
        from .store.urls import server_of

        url = self._config.database.url
        now = asyncio.get_running_loop().time
        until = now() + (ENDING if server_of(url) is None else math.inf)
        while True:
            try:
                return await self._open(url)
            except InUse as error:
                if now() >= until:
                    raise
                log.warning("%s Calls are answered once that is done.", error)
            left = None if until == math.inf else until - now()
            await first_of(self._connection.lost(), self._stop.wait(), Store.free(url), seconds=left)
            if self._stop.is_set():
                raise _Stopped

    async def _open(self, url: str) -> Store:
        """Raises InUse; of a file, which has one daemon, before anything of it is read."""
        from .store.sqlite.alone import alone
        from .store.store import Store
        from .store.urls import path_of, server_of
        from .threads import in_thread

        if server_of(url) is None:
            self._alone.enter_context(alone(path_of(url)))
        # An upgrade may take long.
        return await in_thread(lambda: Store.open(url), "database")

    async def close(self) -> None:
        """Answer the running calls, end the sessions, close the store, leave the bus."""
        self.house.set_state("stopping")
        with contextlib.suppress(BusLost):
            await self._tree.close()
        await end(self._beside)
        await self.house.close()
        await self._store.close()
        self._alone.close()
        await self._connection.close()


def _modules() -> None:
    """Import what the first answer needs. It takes long, so it is for a thread."""
    from . import secrets
    from .analysers import builtin, files, plugins, watching
    from .cache import house
    from .store import database, store, urls
    from .store.sqlite import alone

    del secrets, builtin, files, plugins, watching, house, database, store, urls, alone


def _real_connector(endpoint: Endpoint, password: PasswordSource, listener: Listener) -> Session:
    """A session over slixmpp, which is imported when the first one connects."""
    from .xmpp.session import connect

    return connect(endpoint, password, listener)
