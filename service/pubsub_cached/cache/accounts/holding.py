"""Holding: which accounts this daemon runs, for several may use one database, each with accounts of its own.

Of each account one daemon at a time has the session and writes the rows. Another that has the account too shows what
is stored and calls it ``offline``; its account is ``waiting``, and is run here once the other daemon has let it go, has
ended or lost its connection. What a file holds has one daemon, which runs everything. docs/databases.md, "Several
daemons".
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable
from typing import Any

import msgspec

from ... import config, errors
from ...store.accounts import accounts as account_store
from ...store.database import AccountInUse
from ...store.rows import AccountRow
from ...store.store import Store
from .account import Account, Follower

log = logging.getLogger(__name__)

# Seconds until an account that could not be taken over, as the database was away, is tried again.
AGAIN = 5.0
# Seconds between two looks at what another daemon writes of an account.
LOOKED_AGAIN = 2.0


class Holding:
    """Runs accounts, and says when another daemon does."""

    def __init__(self, store: Store, configured: dict[str, config.Account]) -> None:
        self._store = store
        self._configured = configured
        self._run: set[int] = set()
        # Set by whoever has the accounts: all of them, what is told of them, what begins to connect one, forgets one.
        self.accounts: Callable[[], Iterable[Account]]
        self.follower: Follower
        self.connect: Callable[[Account], None]
        self.forget: Callable[[Account], None]
        store.on_lost.append(self._lost)
        store.on_set_back.append(self._set_back)

    async def find(self) -> list[tuple[AccountRow, str]]:
        """Every account of the configuration and the database; those that are enabled and free are run from now on.

        Each with why it is not, as a sentence, where another daemon runs it.
        """
        for account in self._configured.values():
            await self._configure(account)
        rows = await self.stored()
        if not self._store.shared:
            for row in await self._store.read(account_store.all):
                if row.jid not in rows:
                    # Taken out of the configuration; its cache waits for its return.
                    await self._store.write(account_store.remove, row.jid, True)
        self.show(rows.values())
        found = []
        for row in rows.values():
            refused = ""
            if row.enabled:
                try:
                    await self._hold(row.id)
                except AccountInUse as error:
                    log.warning("%s It is taken over once that has ended.", error)
                    refused = error.message
            found.append((row, refused))
        return found

    async def stored(self) -> dict[str, AccountRow]:
        """The accounts of the database that the daemon has: its configuration's, and all that came over a bus."""
        rows: dict[str, AccountRow] = {}
        for row in await self._store.read(account_store.all):
            if row.jid in self._configured:
                # As this configuration has it, whatever that of another daemon says.
                rows[row.jid] = msgspec.structs.replace(row, **_columns(self._configured[row.jid]))
            elif row.origin == "bus":
                rows[row.jid] = row
        return rows

    def show(self, rows: Iterable[AccountRow]) -> None:
        """These are the accounts that the daemon has."""
        self._store.show({row.id for row in rows})

    def runs(self, account: Account) -> bool:
        """Whether this daemon runs an account."""
        return not self._store.shared or account.row.id in self._run

    def take(self, account: Account) -> None:
        """Run an account, and connect it, as soon as no other daemon runs it."""
        if account.taking is None or account.taking.done():
            account.taking = asyncio.create_task(self._take(account), name=f"take {account.jid}")

    async def let_go(self, account: Account) -> None:
        """Run an account no longer, so that another daemon may."""
        if account.taking is not None and account.taking is not asyncio.current_task():
            account.taking.cancel()
        account.go_on()
        if self._store.shared:
            if self.runs(account):
                self.follower.left(account)
            # Also where it was about to be run: the lock may be had, and nobody has heard of that yet.
            await self._release(account)

    async def removed(self, account: Account) -> None:
        """The account is no more."""
        if account.taking is not None:
            account.taking.cancel()
        await self._release(account)

    async def _configure(self, account: config.Account) -> None:
        """Write down what the configuration says of an account, unless another daemon runs it."""
        try:
            await self._store.write(account_store.ensure, account.jid, **_columns(account))
        except AccountInUse as error:
            log.debug("%s", error)

    async def _hold(self, account_id: int) -> None:
        await self._store.hold(account_id)
        self._run.add(account_id)

    async def _release(self, account: Account) -> None:
        self._run.discard(account.row.id)
        # Whoever waits for it may be cancelled, and nobody else would do it.
        await asyncio.shield(self._store.release(account.row.id))

    def _lost(self, account_ids: frozenset[int]) -> None:
        """Other daemons run these accounts since the connection to the database was lost."""
        for account in self._running(account_ids):
            log.warning("%s is run by another daemon since the connection to the database was lost.", account.jid)
            self._take_again(account, f"{account.jid} is run by another daemon on the same database.")

    def _set_back(self) -> None:
        """The database lost some of what was written, which is as if another daemon had had the accounts since then."""
        for account in self._running(self._run):
            # It is told again where what would have been written first fails, and the account begins anew already.
            if account.taking is None or account.taking.done():
                log.warning("The database lost what was written of %s last; all of it is compared again.", account.jid)
                self._take_again(account, f"{account.jid} begins anew: the database lost what was written of it last.")

    def _running(self, account_ids: Collection[int]) -> list[Account]:
        return [account for account in self.accounts() if account.row.id in self._run and account.row.id in account_ids]

    def _take_again(self, account: Account, why: str) -> None:
        self._run.discard(account.row.id)
        account.wait(why)
        self.follower.left(account)
        self.take(account)

    async def _take(self, account: Account) -> None:
        if account.waits:
            await account.session.close()
        refusal = ""
        while True:
            try:
                await self._hold(account.row.id)
                if not await self._taken(account):
                    return
                if self.runs(account):
                    break
                # It was lost again meanwhile.
            except AccountInUse as error:
                self._run.discard(account.row.id)
                if account.waits != error.message:
                    log.warning("%s It is taken over once that has ended.", error)
                    account.wait(error.message)
                if error.message == refusal:
                    # It goes on: that it has ended could not be told.
                    await asyncio.sleep(AGAIN)
                refusal = error.message
                await self._released(account)
            except errors.PubSubCachedError as error:
                log.warning("%s could not be taken over yet: %s", account.jid, error)
                await asyncio.sleep(AGAIN)
        log.info("account %s: run by this daemon", account.jid)
        account.go_on()
        if account.enabled:
            self.connect(account)
        else:
            await self.let_go(account)

    async def _released(self, account: Account) -> None:
        """Return once no other daemon runs an account; what that writes meanwhile is told."""
        released = asyncio.create_task(self._store.released(account.row.id))
        try:
            while not released.done():
                try:
                    await self.follower.waits(account)
                except errors.PubSubCachedError as error:
                    log.debug("What another daemon writes of %s can't be told yet: %s", account.jid, error)
                await asyncio.wait({released}, timeout=LOOKED_AGAIN)
        finally:
            released.cancel()

    async def _taken(self, account: Account) -> bool:
        """Make an account that is held ready; False when the other daemon has removed it."""
        if (configured := self._configured.get(account.jid)) is not None:
            row = await self._store.write(account_store.ensure, account.jid, **_columns(configured))
            if row.id != account.row.id:
                # The other daemon had it over its bus, and removed it.
                await self._release(account)
                account.written_down(row)
                self.show(account.row for account in self.accounts())
                await self._hold(row.id)
        else:
            found = await self._store.read(account_store.find, account.jid)
            if found is None or found.id != account.row.id:
                self.forget(account)
                await self._release(account)
                return False
            row = found
        account.written_down(row)
        await self._store.write(account_store.own, account.jid, lasting=True)
        await self.follower.taken(account)
        return True


def _columns(account: config.Account) -> dict[str, Any]:
    """What the configuration says of an account."""
    return {
        "origin": "config",
        "enabled": account.enabled,
        "host": account.host,
        "port": account.port,
        "tls": account.tls,
        "ca_file": account.ca_file,
    }
