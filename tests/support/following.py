"""A cache that follows a real server through a proxy, driven as the one over the fake world is."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from pubsub_cached import config, errors
from pubsub_cached.clock import clock
from pubsub_cached.xmpp.session import connect

from .cached import Cached
from .proxy import Proxy
from .server import Server

# Seconds for anything to become quiet.
QUIET = 30.0


class Following(Cached):
    """A cache of a user of a real server, behind a proxy."""

    def __init__(self, server: Server, user: str, proxy: Proxy, directory: Path) -> None:
        self.server, self.user, self.proxy = server, user, proxy
        super().__init__(self, directory, server.jid(user))  # type: ignore[arg-type]
        self.clock = clock  # type: ignore[assignment]

    @property
    def connector(self) -> Any:
        """Real sessions, where a fake world would give its own."""
        return connect

    @property
    def account(self) -> Any:
        """Bob's account."""
        return self.house.accounts.get(self.server.jid(self.user))

    async def settle(self) -> None:
        """Return once the session is up and everything that was sent before this call has come."""
        async with asyncio.timeout(QUIET):
            while True:
                await self._online()
                try:
                    await self.account.session.disco_info(self.server.pubsub, timeout=5)
                except (errors.Offline, errors.Timeout):
                    continue
                return

    async def _online(self) -> None:
        changed = asyncio.Event()
        account = self.account
        account.on_change.append(changed.set)
        try:
            # A stream that was lost just now has still to say so.
            while account.state != "online" or not account.session.online:
                account.session.connect()
                changed.clear()
                await changed.wait()
        finally:
            account.on_change.remove(changed.set)

    def _account(self, jid: str) -> config.Account:
        file = self.directory / "password"
        file.write_text(self.server.passwords[self.user])
        file.chmod(0o600)
        return config.Account(
            jid=jid, password_file=str(file), host=self.proxy.host, port=self.proxy.port, ca_file=self.server.ca_file
        )
