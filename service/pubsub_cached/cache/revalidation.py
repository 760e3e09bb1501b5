"""Validation in due time: after a new session, of what is polled, failed or was not audited for long.

Source: the coherence model, "Continuity" and "Revalidation ladder"; here the conclusive rung, a full
fetch, serves for all of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ..store import nodes as node_store
from ..store import schedule
from ..store.store import Store
from .accounts import Account, Accounts
from .changes import Changes
from .negatives import Negatives
from .nodes import Nodes
from .removal import Removal
from .sync import KEPT, Sync

log = logging.getLogger(__name__)

# The longest sleep, so that a clock that was set is noticed.
LONGEST_SLEEP = 600.0


class Revalidation:
    """Decides when a node is synchronised without anybody asking."""

    def __init__(
        self,
        store: Store,
        accounts: Accounts,
        nodes: Nodes,
        sync: Sync,
        removal: Removal,
        changes: Changes,
        negatives: Negatives,
        clock: Callable[[], int],
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._nodes = nodes
        self._sync = sync
        self._removal = removal
        self._changes = changes
        self._negatives = negatives
        self._clock = clock
        self._wake = asyncio.Event()
        self._timer: asyncio.Task[None] | None = None
        self._starting: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to watch the time."""
        self._timer = asyncio.create_task(self._run(), name="revalidation")

    async def close(self) -> None:
        """Stop."""
        tasks = [*self._starting, *([self._timer] if self._timer else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def wake(self) -> None:
        """Look at once at what is due."""
        self._wake.set()

    async def settled(self) -> None:
        """Wait until every new session was taken note of."""
        if self._starting:
            await asyncio.wait(self._starting)

    async def daemon_started(self) -> None:
        """Nothing is live in a daemon that has just started."""
        await self._store.write(node_store.demote, None, ("live",), "stale", "restart")

    def session_started(self, account: Account, resumed: bool) -> None:
        """A stream is up: after a resumption all goes on, else everything live is validated."""
        if resumed:
            self.wake()
            return
        task = asyncio.create_task(self._new_session(account), name=f"new session of {account.jid}")
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _new_session(self, account: Account) -> None:
        self._sync.new_session(account.jid)
        self._negatives.clear_account(account.jid)
        epoch = account.epoch
        for row in await self._store.write(node_store.demote, account.jid, ("live",), "stale", "session"):
            self._changes.node(row.address, row.state)
        if account.epoch != epoch:
            return
        account.set_ready()
        for entry in await self._store.read(schedule.of_account, account.jid, KEPT - {"polled"}):
            self._sync.in_background(entry.address)
        self.wake()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            now = self._clock()
            until: int | None = None
            try:
                await self._look(now)
                until = await self._store.read(schedule.next_due, now)
            except Exception:
                # A full disk does not last for ever.
                log.exception("what is due could not be looked after")
            await self._sleep(until)

    async def _look(self, now: int) -> None:
        online = {account.jid for account in self._accounts.list() if account.online}
        for entry in await self._store.read(schedule.due, now, KEPT):
            if entry.address.account in online:
                self._sync.in_background(entry.address)
        await self._removal.tidy(now)

    async def _sleep(self, until: int | None) -> None:
        seconds = LONGEST_SLEEP if until is None else max(0.0, (until - self._clock()) / 1000)
        try:
            async with asyncio.timeout(min(seconds, LONGEST_SLEEP)):
                await self._wake.wait()
        except TimeoutError:
            return
